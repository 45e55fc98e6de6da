"""What a model of device can be told: its orders with what each must say, and what an order would put on the wire."""

import math
from collections.abc import Iterator, Mapping
from typing import assert_never

import msgspec

from device_profiles.model import CommandSpec, Profile
from device_profiles.quantities import MetricType
from device_profiles.wires.jt808_orders import ORDERS
from firmware_bridge.errors import ParseError
from firmware_bridge.jt808.orders import build_order
from firmware_bridge.modbus.writes import plan_write
from telemetry.reason import Reason
from telemetry.records import Value

__all__ = ["Argument", "CommandError", "Preview", "arguments_of", "checked", "preview"]


class CommandError(ValueError):
    """An order that cannot be given; `where` is the argument that is wrong, or empty."""

    def __init__(self, reason: Reason, detail: str, where: str = "") -> None:
        super().__init__(detail)
        self.reason = reason
        self.where = where


class Argument(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that an order says. A number lies from `low` to `high`, a text has `high` characters at most; `unit` is a UCUM
    code, empty where the profile does not say one."""

    name: str
    type: MetricType
    unit: str = ""
    low: float | None = None
    high: float | None = None
    default: Value = None
    required: bool = True


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What would be sent: where it is written, and the message's bytes where they do not depend on what only the gateway knows
    (the unit's address, a serial number, an envelope)."""

    where: str
    language: str = ""
    payload: bytes | None = None


def arguments_of(spec: CommandSpec, profile: Profile) -> tuple[Argument, ...]:
    """What the order must and may say."""
    return tuple(_arguments(spec, profile))


def _arguments(spec: CommandSpec, profile: Profile) -> Iterator[Argument]:
    if spec.argument:
        metric = profile.metrics.get(spec.argument)
        unit = metric.unit if metric is not None else _UNITS.get(spec.argument.rpartition("_")[2], "")
        yield Argument(name=spec.argument, type=MetricType.FLOAT, unit=unit, low=spec.low, high=spec.high)
    elif spec.terminal is not None:
        for each in ORDERS[spec.terminal.name]:
            is_number = each.type in {MetricType.INTEGER, MetricType.FLOAT}
            yield Argument(
                name=each.name,
                type=each.type,
                low=each.low if is_number else None,
                high=None if each.type is MetricType.BOOLEAN else each.high,
                default=each.default,
                required=each.default is None and not each.optional,
            )


_UNITS: Mapping[str, str] = {
    "seconds": "s",
    "minutes": "min",
    "s": "s",
    "m": "m",
    "kmh": "km/h",
    "v": "V",
    "level": "%",
    "opening": "%",
}
"""By the last word of an argument that is no metric of its profile, as the vocabulary's names end."""


def checked(spec: CommandSpec, profile: Profile, said: Mapping[str, Value]) -> dict[str, Value]:
    """The arguments that go out: what was said, each of its type and within its range. CommandError otherwise."""
    known = {each.name: each for each in arguments_of(spec, profile)}
    strange = sorted(said.keys() - known.keys())
    if strange:
        wanted = ", ".join(known) or "none"
        raise CommandError(Reason.INVALID, f"{spec.name} takes no {strange[0]!r}; want {wanted}", strange[0])
    missing = [each.name for each in known.values() if each.required and said.get(each.name) is None]
    if missing:
        raise CommandError(Reason.INVALID, f"{spec.name} without {missing[0]!r}", missing[0])
    return {name: _fitting(known[name], value) for name, value in said.items() if value is not None}


def _fitting(argument: Argument, value: Value) -> Value:
    match argument.type:
        case MetricType.BOOLEAN:
            good = isinstance(value, bool)
        case MetricType.STRING:
            good = isinstance(value, str) and len(value) <= min(argument.high or 1024, 1024)
        case MetricType.INTEGER:
            good = isinstance(value, int) and not isinstance(value, bool) and _within(argument, value)
        case MetricType.FLOAT:
            good = isinstance(value, int | float) and math.isfinite(value) and _within(argument, value)
        case _:
            assert_never(argument.type)
    if not good:
        shown = str(value)[:40]
        raise CommandError(Reason.INVALID, f"{argument.name}: {shown!r}, want {_wanted(argument)}", argument.name)
    return value


def _within(argument: Argument, value: float) -> bool:
    return (argument.low is None or value >= argument.low) and (argument.high is None or value <= argument.high)


def _wanted(argument: Argument) -> str:
    if argument.type is MetricType.BOOLEAN:
        return "true or false"
    if argument.type is MetricType.STRING:
        return f"a text of at most {argument.high or 1024:g} characters"
    kind = "a whole number" if argument.type is MetricType.INTEGER else "a number"
    return f"{kind} from {argument.low:g} to {argument.high:g}" + (f" {argument.unit}" if argument.unit else "")


def preview(spec: CommandSpec, arguments: Mapping[str, Value]) -> Preview:
    """What the order would send. CommandError where its language has no form for it: then a gateway would refuse it, too."""
    value = arguments.get(spec.argument) if spec.argument else spec.low
    try:
        if spec.register is not None:
            return Preview(where=spec.where, language="modbus", payload=plan_write(spec.register, value).pdu)
        if spec.publish is not None and isinstance(value, int | float):
            return Preview(where=spec.where, language="mqtt", payload=spec.publish.text(value)[0].encode())
        if spec.terminal is not None:
            order = build_order(spec, dict(arguments), 2013)
            return Preview(where=spec.where, language="jt808", payload=order.body)
    except ParseError as error:
        raise CommandError(Reason.INVALID, f"{spec.name}: {error}") from error
    return Preview(where=spec.where)
