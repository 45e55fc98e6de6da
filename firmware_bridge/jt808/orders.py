"""From an order by name and what it says to the message that carries it, and to the one that answers it.

The names and arguments are those of `device_profiles.wires.jt808_orders`. Layouts: JT/T 808-2013 and -2019, clause 8.
"""

import struct
from collections.abc import Callable, Mapping

import msgspec

from device_profiles.model import CommandSpec
from device_profiles.quantities import MetricType
from device_profiles.wires.jt808_orders import ORDERS, OrderArgument
from firmware_bridge.errors import ParseError
from firmware_bridge.jt808.fences import Fence, circle_body, delete_body, polygon_body, rectangle_body, route_body
from firmware_bridge.jt808.parameters import gbk, query_parameters_body, set_parameters_body
from telemetry.reason import Reason
from telemetry.records import Value

__all__ = ["GENERAL_ANSWER", "Order", "build_order"]

GENERAL_ANSWER = 0x0001
_LOCATION_ANSWER, _CONTROL_ANSWER, _PARAMETERS_ANSWER, _ATTRIBUTES, _IDENTITY = 0x0201, 0x0500, 0x0104, 0x0107, 0x0702
_URGENT_2013, _DISPLAY, _SPEAK = 1, 1 << 2, 1 << 3
_SERVICE_2019, _URGENT_2019 = 1, 2
_TYPE_SERVICE = 2
_DOOR = 1  # 0x8500 of 2019, the only control that the standard has

Args = Mapping[str, Value]
_Build = Callable[["_Said", int], "Order"]


class Order(msgspec.Struct, frozen=True):
    """A message to a terminal: `answer` is the id of the message that ends the wait, the general answer or one of its own."""

    message_id: int
    body: bytes
    answer: int = GENERAL_ANSWER


class _Said(msgspec.Struct, frozen=True, kw_only=True):
    """What an order says, checked; `number` is the profile's parameter or control, `value` its argument."""

    args: Args
    number: int = 0
    value: Value = None

    def whole(self, name: str) -> int:
        value = self.args[name]
        return int(value) if isinstance(value, (int, float)) else 0

    def real(self, name: str) -> float:
        value = self.args[name]
        return float(value) if isinstance(value, (int, float)) else 0.0

    def text(self, name: str) -> str:
        return str(self.args[name])

    def place(self, prefix: str = "") -> tuple[float, float]:
        return self.real(f"{prefix}latitude"), self.real(f"{prefix}longitude")

    def fence(self) -> Fence:
        return Fence(
            id=self.whole("fence_id"),
            on_enter=bool(self.args["on_enter"]),
            on_leave=bool(self.args["on_leave"]),
            max_speed_kmh=None if self.args["max_speed_kmh"] is None else self.whole("max_speed_kmh"),
            overspeed_s=self.whole("overspeed_s"),
            name=self.text("name"),
        )

    def points(self) -> list[tuple[float, float]]:
        """`latitude,longitude;latitude,longitude;...`"""
        try:
            pairs = [pair.split(",") for pair in self.text("points").split(";") if pair.strip()]
            return [(float(latitude), float(longitude)) for latitude, longitude in pairs]
        except ValueError as error:
            raise ParseError(Reason.BAD_FIELD, 'points, want "latitude,longitude;latitude,longitude;..."') from error


def build_order(spec: CommandSpec, args: Args, version: int) -> Order:
    """The message of 2013 or 2019 for `spec.terminal` with `args`.

    ParseError: unknown_command for a spec without one, missing, wrong_type, out_of_range, bad_field, not_hex, oversized.
    """
    if spec.terminal is None:
        raise ParseError(Reason.UNKNOWN_COMMAND, f"{spec.name} is no order to a terminal")
    wanted = ORDERS[spec.terminal.name]
    strange = sorted(args.keys() - {argument.name for argument in wanted} - {spec.argument})
    if strange:
        raise ParseError(Reason.BAD_FIELD, f"{spec.name} does not take {', '.join(strange)[:80]}")
    checked = {argument.name: _checked(argument, args) for argument in wanted}
    said = _Said(args=checked, number=spec.terminal.number, value=_own_argument(spec, args))
    return _BUILD[spec.terminal.name](said, version)


def _own_argument(spec: CommandSpec, args: Args) -> Value:
    """The one argument that the profile names, within its limits; without one, what the profile fixed."""
    if not spec.argument:
        return int(spec.low) if float(spec.low).is_integer() else spec.low
    value = args.get(spec.argument)
    if value is None:
        raise ParseError(Reason.MISSING, f"{spec.name} without {spec.argument!r}")
    if isinstance(value, (int, float)) and not spec.low <= value <= spec.high:
        raise ParseError(Reason.OUT_OF_RANGE, f"{spec.argument} {value}, want {spec.low:g} to {spec.high:g}")
    return value


def _checked(argument: OrderArgument, args: Args) -> Value:
    value = args.get(argument.name, argument.default)
    if value is None:
        if argument.optional:
            return None
        raise ParseError(Reason.MISSING, f"want {argument.name!r}")
    if argument.type is MetricType.STRING:
        return _text(argument, value)
    if argument.type is MetricType.BOOLEAN:
        good = isinstance(value, bool)
    else:
        good = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not good or (argument.type is MetricType.INTEGER and not float(value).is_integer()):
        raise ParseError(Reason.WRONG_TYPE, f"{argument.name} {value!r}, want {argument.type}")
    if argument.type is not MetricType.BOOLEAN and not argument.low <= float(value) <= argument.high:
        raise ParseError(Reason.OUT_OF_RANGE, f"{argument.name} {value}, want {argument.low:g} to {argument.high:g}")
    return value


def _text(argument: OrderArgument, value: Value) -> str:
    if not isinstance(value, str):
        raise ParseError(Reason.WRONG_TYPE, f"{argument.name} {value!r}, want text")
    if len(gbk(value, argument.name)) > argument.high:
        raise ParseError(Reason.OVERSIZED, f"{argument.name} is longer than {argument.high:g} bytes")
    return value


def _words(said: _Said, version: int) -> Order:
    urgent, shown = bool(said.args["urgent"]), (_DISPLAY if said.args["display"] else 0) | (_SPEAK if said.args["speak"] else 0)
    text = gbk(said.text("text"), "text")
    if version == 2019:
        return Order(0x8300, bytes((shown | (_URGENT_2019 if urgent else _SERVICE_2019), _TYPE_SERVICE)) + text)
    return Order(0x8300, bytes((shown | (_URGENT_2013 if urgent else 0),)) + text)


def _track(said: _Said, _: int) -> Order:
    interval_s = said.whole("interval_s")
    return Order(0x8202, struct.pack(">H", interval_s) + (struct.pack(">I", said.whole("valid_s")) if interval_s else b""))


def _control(said: _Said, _: int) -> Order:
    return Order(0x8105, bytes((said.number,)) + gbk(said.text("arguments"), "arguments"))


def _doors(*, lock: bool) -> _Build:
    def build(_: _Said, version: int) -> Order:
        body = struct.pack(">HHB", 1, _DOOR, lock) if version == 2019 else bytes((lock,))
        return Order(0x8500, body, _CONTROL_ANSWER)

    return build


def _transparent(said: _Said, _: int) -> Order:
    try:
        return Order(0x8900, bytes((said.whole("kind"),)) + bytes.fromhex(said.text("data")))
    except ValueError as error:
        raise ParseError(Reason.NOT_HEX, "data, want hex digits") from error


def _delete(message_id: int) -> _Build:
    return lambda said, _: Order(message_id, delete_body([said.whole("fence_id")] if said.whole("fence_id") else []))


_BUILD: Mapping[str, _Build] = {
    "text": _words,
    "locate": lambda _s, _v: Order(0x8201, b"", _LOCATION_ANSWER),
    "track": _track,
    "confirm_alarms": lambda s, _: Order(0x8203, struct.pack(">HI", s.whole("alarm_serial"), s.whole("alarms"))),
    "parameter": lambda s, _: Order(0x8103, set_parameters_body({s.number: s.value})),
    "read_parameters": lambda _s, _v: Order(0x8104, b"", _PARAMETERS_ANSWER),
    "read_parameter": lambda s, _: Order(0x8106, query_parameters_body([s.number]), _PARAMETERS_ANSWER),
    "attributes": lambda _s, _v: Order(0x8107, b"", _ATTRIBUTES),
    "control": _control,
    "lock_doors": _doors(lock=True),
    "unlock_doors": _doors(lock=False),
    "link_test": lambda _s, _v: Order(0x8204, b""),
    "driver_identity": lambda _s, _v: Order(0x8702, b"", _IDENTITY),
    "transparent": _transparent,
    "circle_fence": lambda s, v: Order(0x8600, circle_body(s.fence(), s.place(), s.whole("radius_m"), v)),
    "rectangle_fence": lambda s, v: Order(0x8602, rectangle_body(s.fence(), s.place("top_"), s.place("bottom_"), v)),
    "polygon_fence": lambda s, v: Order(0x8604, polygon_body(s.fence(), s.points(), v)),
    "route_fence": lambda s, v: Order(0x8606, route_body(s.fence(), s.points(), s.whole("width_m"), v)),
    "delete_circle_fence": _delete(0x8601),
    "delete_rectangle_fence": _delete(0x8603),
    "delete_polygon_fence": _delete(0x8605),
    "delete_route_fence": _delete(0x8607),
}
