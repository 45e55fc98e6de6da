"""How an agent reaches devices: for each of its drivers the language, the addresses, and who calls whom."""

import re
from collections.abc import Mapping
from enum import StrEnum

import msgspec

__all__ = ["WAYS", "Driver", "Form", "Way"]


class Driver(StrEnum):
    """How the agent reaches a link's devices; the names of the agent's drivers."""

    MODBUS_TCP = "modbus_tcp"
    MODBUS_RTU = "modbus_rtu"
    MODBUS_RTU_TCP = "modbus_rtu_tcp"
    SERIAL = "serial"
    DLT645 = "dlt645"
    CJT188 = "cjt188"
    COAP = "coap"
    LWM2M = "lwm2m"
    CARRIER = "carrier"
    MQTT = "mqtt"
    JT808 = "jt808"
    HJ212 = "hj212"
    SL651 = "sl651"


class Form(StrEnum):
    """Which variant of its language a device speaks: body of a CoAP post, JSON through a simulated modem, or year of JT/T 808."""

    JSON = "json"
    CBOR = "cbor"
    BC95 = "bc95"
    BC26 = "bc26"
    JT808_2013 = "2013"
    JT808_2019 = "2019"


class Way(msgspec.Struct, frozen=True):
    """One kind of link: the part of a profile's `wire` that its devices speak, the form of their addresses and what to
    write instead of a wrong one, the forms they may speak in (the first is the usual one), and the port where the agent
    usually listens for them (None where it calls them, or both call a broker)."""

    wire: str
    address: re.Pattern[str]
    wanted: str
    forms: tuple[Form, ...] = ()
    port: int | None = None


_UNIT = (re.compile(r"[1-9]\d?|1\d\d|2[0-3]\d|24[0-7]"), 'a unit number in quotes, "1" to "247"')
_NAME = (re.compile(r"[^\s/+#]{1,64}"), "up to 64 characters without / + # and spaces")
_TOPIC_PART = (re.compile(r"[^\s/+#]{1,64}(/[^\s/+#]{1,64}){0,3}"), "up to 64 characters a level, without + # and spaces")

WAYS: Mapping[Driver, Way] = {
    Driver.MODBUS_TCP: Way("modbus", *_UNIT),
    Driver.MODBUS_RTU: Way("modbus", *_UNIT),
    Driver.MODBUS_RTU_TCP: Way("modbus", *_UNIT),
    Driver.SERIAL: Way("serial", re.compile(r"[0-9A-Za-z]{1,16}"), "what the device says it is, up to 16 letters and digits"),
    Driver.DLT645: Way("dlt645", re.compile(r"\d{12}"), "the meter's 12 digits in quotes"),
    Driver.CJT188: Way("cjt188", re.compile(r"[0-9A-F]{14}"), "the meter's 14 digits in quotes"),
    Driver.COAP: Way("coap", *_NAME, (Form.JSON, Form.CBOR, Form.BC95, Form.BC26), 5683),
    Driver.LWM2M: Way("lwm2m", *_NAME, (), 5683),
    Driver.CARRIER: Way("carrier", *_NAME, (), 8190),
    Driver.MQTT: Way("mqtt", *_TOPIC_PART, (Form.JSON,)),
    Driver.JT808: Way("jt808", re.compile(r"\d{1,20}"), "1 to 20 digits in quotes", (Form.JT808_2013, Form.JT808_2019), 7611),
    Driver.HJ212: Way(
        "hj212", re.compile(r"[0-9A-Za-z_-]{4,32}"), "the station's MN, 4 to 32 letters, digits, _ and -", (), 9212
    ),
    Driver.SL651: Way("sl651", re.compile(r"[0-9A-F]{10}"), "the station's 10 digits in quotes", (), 9651),
}
