"""What an order's argument must be, whatever the language that carries it."""

from device_profiles.model import CommandSpec
from firmware_bridge.errors import Refused
from telemetry.reason import Reason
from telemetry.records import Command

__all__ = ["argument_of"]


def argument_of(spec: CommandSpec, command: Command) -> float | Refused:
    """The number that a command says within the profile's limits, or the fixed one of an order without an argument."""
    if not spec.argument:
        return spec.low
    given = command.args.get(spec.argument)
    if given is None:
        return Refused(reason=Reason.MISSING, detail=f"{command.action} without {spec.argument!r}")
    if isinstance(given, str):
        return Refused(reason=Reason.WRONG_TYPE, detail=f"{spec.argument} {given[:40]!r}, want a number")
    if not spec.low <= given <= spec.high:
        return Refused(reason=Reason.OUT_OF_RANGE, detail=f"{spec.argument} {given}, want {spec.low:g} to {spec.high:g}")
    return float(given)
