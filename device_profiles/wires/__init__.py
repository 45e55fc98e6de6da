"""The languages a model of device speaks: for each, where on the wire its metrics are. One file a language."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from device_profiles.branch import Branch
from device_profiles.quantities import Metric
from device_profiles.wires.ble import BleWire, ble_rows, read_ble
from device_profiles.wires.carrier import CarrierWire, carrier_rows, read_carrier
from device_profiles.wires.cjt188 import Cjt188Wire, cjt188_rows, read_cjt188
from device_profiles.wires.coap import CoapWire, coap_rows, read_coap
from device_profiles.wires.dlt645 import Dlt645Wire, dlt645_rows, read_dlt645
from device_profiles.wires.fields import Row
from device_profiles.wires.hj212 import Hj212Wire, hj212_rows, read_hj212
from device_profiles.wires.jt808 import Jt808Wire, jt808_rows, read_jt808
from device_profiles.wires.lwm2m import Lwm2mWire, lwm2m_rows, read_lwm2m
from device_profiles.wires.modbus import ModbusWire, modbus_rows, read_modbus
from device_profiles.wires.mqtt import MqttWire, mqtt_rows, read_mqtt
from device_profiles.wires.serial import SerialWire, read_serial, serial_rows
from device_profiles.wires.sl651 import Sl651Wire, read_sl651, sl651_rows

__all__ = ["WIRES", "Wire", "read_wire", "wire_rows"]


class Wire(msgspec.Struct, frozen=True, kw_only=True):
    """The languages a model speaks; None for those it does not."""

    modbus: ModbusWire | None = None
    serial: SerialWire | None = None
    coap: CoapWire | None = None
    mqtt: MqttWire | None = None
    jt808: Jt808Wire | None = None
    dlt645: Dlt645Wire | None = None
    cjt188: Cjt188Wire | None = None
    hj212: Hj212Wire | None = None
    sl651: Sl651Wire | None = None
    lwm2m: Lwm2mWire | None = None
    carrier: CarrierWire | None = None
    ble: BleWire | None = None

    def spoken(self) -> list[str]:
        """The names of the languages that the model speaks."""
        return [name for name in WIRES if getattr(self, name) is not None]


_READERS: Mapping[str, Callable[[Branch, Mapping[str, Metric]], Any]] = {
    "modbus": read_modbus,
    "serial": read_serial,
    "coap": read_coap,
    "mqtt": read_mqtt,
    "jt808": read_jt808,
    "dlt645": read_dlt645,
    "cjt188": read_cjt188,
    "hj212": read_hj212,
    "sl651": read_sl651,
    "lwm2m": read_lwm2m,
    "carrier": read_carrier,
    "ble": read_ble,
}
_ROWS: Mapping[str, Callable[[Any], Iterator[Row]]] = {
    "modbus": modbus_rows,
    "serial": serial_rows,
    "coap": coap_rows,
    "mqtt": mqtt_rows,
    "jt808": jt808_rows,
    "dlt645": dlt645_rows,
    "cjt188": cjt188_rows,
    "hj212": hj212_rows,
    "sl651": sl651_rows,
    "lwm2m": lwm2m_rows,
    "carrier": carrier_rows,
    "ble": ble_rows,
}
WIRES = tuple(_READERS)
"""The names of the languages, as a profile writes them under `wire`."""


def read_wire(root: Branch, metrics: Mapping[str, Metric]) -> Wire:
    """The languages a model speaks; at least one."""
    branch = root.branch("wire")
    found = {name: inner for name in WIRES if (inner := branch.optional(name)) is not None}
    if branch.sound and not found:
        root.wrong("wire", "no transport", f"one of {', '.join(WIRES)}")
    branch.finish()
    return Wire(**{name: _READERS[name](inner, metrics) for name, inner in found.items()})


def wire_rows(wire: Wire) -> Iterator[Row]:
    """(transport, metric, where on the wire, how it becomes the metric), one row a field."""
    for name in wire.spoken():
        yield from _ROWS[name](getattr(wire, name))
