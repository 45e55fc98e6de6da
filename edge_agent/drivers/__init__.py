"""The I/O of each transport: one driver per link, decoding left to `firmware_bridge`.

A driver opens, reads, writes and reopens; it judges nothing. What it hears goes to the `Inlet`, what it cannot use is
refused there with a reason.
"""

from collections.abc import Callable, Mapping
from importlib import import_module

from device_profiles.model import Profile
from edge_agent.config import LinkConfig
from edge_agent.drivers.base import Driver, LinkHealth, SetupError
from edge_agent.link_kinds import DriverName
from telemetry.clock import Clock

__all__ = ["MAKERS", "Driver", "LinkHealth", "SetupError", "make_driver"]


MAKERS: Mapping[DriverName, tuple[str, str]] = {
    DriverName.MODBUS_TCP: ("modbus.tcp", "modbus_tcp"),
    DriverName.MODBUS_RTU: ("modbus.rtu", "modbus_rtu"),
    DriverName.MODBUS_RTU_TCP: ("modbus.tcp", "modbus_rtu_tcp"),
    DriverName.SERIAL: ("serial.line", "SerialDriver"),
    DriverName.DLT645: ("serial.meters", "MeterDriver"),
    DriverName.CJT188: ("serial.meters", "MeterDriver"),
    DriverName.CARRIER: ("carrier.driver", "CarrierDriver"),
    DriverName.COAP: ("coap", "CoapDriver"),
    DriverName.LWM2M: ("lwm2m.driver", "Lwm2mDriver"),
    DriverName.MQTT: ("mqtt.driver", "MqttDriver"),
    DriverName.JT808: ("jt808.driver", "Jt808Driver"),
    DriverName.HJ212: ("stations.hj212", "hj212"),
    DriverName.SL651: ("stations.sl651", "sl651"),
    DriverName.BLE: ("ble.driver", "ble"),
}
"""Module and function, or class, that makes each driver."""


def make_driver(link: LinkConfig, catalog: Mapping[str, Profile], clock: Clock) -> Driver:
    """The driver of `link`, not yet running; SetupError where a device does not fit its link.

    Only the transports that are configured are imported: a gateway with two RTU buses does not pay for CoAP.
    """
    if not link.devices and link.driver is not DriverName.JT808:
        raise SetupError(f"link {link.name}: no device, want at least one")
    module, name = MAKERS[link.driver]
    make: Callable[[LinkConfig, Mapping[str, Profile], Clock], Driver] = getattr(import_module(f"{__name__}.{module}"), name)
    return make(link, catalog, clock)
