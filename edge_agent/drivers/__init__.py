"""The I/O of each transport: one driver per link, decoding left to `firmware_bridge`.

A driver opens, reads, writes and reopens; it judges nothing. What it hears goes to the `Inlet`, what it cannot use is
refused there with a reason.
"""

from collections.abc import Mapping

from device_profiles.model import Profile
from edge_agent.config import LinkConfig
from edge_agent.drivers.base import Driver, LinkHealth, SetupError
from edge_agent.link_kinds import DriverName
from telemetry.clock import Clock

__all__ = ["Driver", "LinkHealth", "SetupError", "make_driver"]


def make_driver(link: LinkConfig, catalog: Mapping[str, Profile], clock: Clock) -> Driver:
    """The driver of `link`, not yet running; SetupError where a device does not fit its link.

    Only the transports that are configured are imported: a gateway with two RTU buses does not pay for CoAP.
    """
    # ruff: noqa: PLC0415
    if not link.devices and link.driver is not DriverName.JT808:
        raise SetupError(f"link {link.name}: no device, want at least one")
    match link.driver:
        case DriverName.MODBUS_TCP:
            from edge_agent.drivers.modbus_tcp import modbus_tcp

            return modbus_tcp(link, catalog, clock)
        case DriverName.MODBUS_RTU:
            from edge_agent.drivers.modbus_rtu import modbus_rtu

            return modbus_rtu(link, catalog, clock)
        case DriverName.SERIAL:
            from edge_agent.drivers.serial_line import SerialDriver

            return SerialDriver(link, catalog, clock)
        case DriverName.DLT645 | DriverName.CJT188:
            from edge_agent.drivers.meters import MeterDriver

            return MeterDriver(link, catalog, clock)
        case DriverName.COAP:
            from edge_agent.drivers.coap import CoapDriver

            return CoapDriver(link, catalog, clock)
        case DriverName.MQTT:
            from edge_agent.drivers.mqtt import MqttDriver

            return MqttDriver(link, catalog, clock)
        case DriverName.JT808:
            from edge_agent.drivers.jt808 import Jt808Driver

            return Jt808Driver(link, catalog, clock)
        case DriverName.HJ212:
            from edge_agent.drivers.hj212 import hj212

            return hj212(link, catalog, clock)
        case DriverName.SL651:
            from edge_agent.drivers.sl651 import sl651

            return sl651(link, catalog, clock)
        case _:
            raise SetupError(f"link {link.name}: nothing here drives {link.driver} yet")
