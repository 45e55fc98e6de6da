"""The orders that a model of device takes: what an order must say, and where its language writes it."""

from collections.abc import Callable, Mapping

import msgspec

from device_profiles.branch import NAME, Branch
from device_profiles.model import CommandSpec
from device_profiles.wires import Wire
from device_profiles.wires.ble_orders import read_uart_order
from device_profiles.wires.cjt188_orders import check_valve_order, read_valve_order
from device_profiles.wires.jt808_orders import read_terminal_order
from device_profiles.wires.lwm2m_orders import read_resource
from device_profiles.wires.modbus_orders import order_limits, read_order
from device_profiles.wires.mqtt_orders import read_publish_order

__all__ = ["read_commands"]


def read_commands(root: Branch, wire: Wire) -> dict[str, CommandSpec]:
    """Every order under `commands`; each belongs to one of the languages that the model speaks."""
    inner = root.optional("commands")
    commands: dict[str, CommandSpec] = {}
    for name, branch in () if inner is None else inner.inner():
        if inner is not None and not NAME.fullmatch(name):
            inner.wrong_key(name, f"{name!r} is not a command's name", "small letters, digits and _")
        commands[name] = _command(name, branch, wire, judge_wire=root.is_sound("wire"))
        branch.finish()
    return commands


def _command(name: str, branch: Branch, wire: Wire, *, judge_wire: bool) -> CommandSpec:
    found = next((key for key in _LANGUAGES if branch.has(key)), "area")
    language, read = _LANGUAGES[found]
    if judge_wire and getattr(wire, language) is None:
        branch.wrong_here(f"no {language} wire to write it to", f"wire.{language}, or no such command")
    spec = msgspec.structs.replace(read(name, branch), dangerous=branch.flag("dangerous", default=False))
    if spec.valve is not None and wire.cjt188 is not None:
        check_valve_order(branch, spec.valve, wire.cjt188)
    return spec


def _modbus(name: str, branch: Branch) -> CommandSpec:
    argument = branch.text("argument", "", form=NAME, like="small letters, digits and _")
    register = read_order(branch, argument or name)
    low, high = _limits(branch, order_limits(register))
    return CommandSpec(name=name, title=branch.both("title"), argument=argument, low=low, high=high, register=register)


def _limits(branch: Branch, limits: tuple[float, float]) -> tuple[float, float]:
    """What the argument may be; an order without one writes its `value`."""
    lowest, highest = limits
    if not branch.has("argument"):
        value = branch.number("value", low=lowest, high=highest)
        return value, value
    low = branch.number("low", lowest, low=lowest, high=highest)
    high = branch.number("high", highest, low=lowest, high=highest)
    if low > high:
        branch.wrong("high", f"{high:g} is below low {low:g}", "low to high")
    return low, high


def _jt808(name: str, branch: Branch) -> CommandSpec:
    """A parameter has an argument of the profile's own or a fixed `value`; other orders have the arguments of their table."""
    order, title = read_terminal_order(branch), branch.both("title")
    if order.name != "parameter":
        return CommandSpec(name=name, title=title, terminal=order)
    argument = branch.text("argument", "", form=NAME, like="small letters, digits and _")
    low = branch.number("low" if argument else "value", low=0, high=2**32 - 1)
    high = branch.number("high", low=low, high=2**32 - 1) if argument else low
    return CommandSpec(name=name, title=title, argument=argument, low=low, high=high, terminal=order)


def _lwm2m(name: str, branch: Branch) -> CommandSpec:
    """A resource that is written has an argument or a fixed `value`; one that is executed or read has neither."""
    order, title = read_resource(branch), branch.both("title")
    if not order.type.is_written:
        return CommandSpec(name=name, title=title, low=0, high=0, resource=order)
    argument = branch.text("argument", "", form=NAME, like="small letters, digits and _")
    low, high = _limits(branch, order.limits)
    return CommandSpec(name=name, title=title, argument=argument, low=low, high=high, resource=order)


def _mqtt(name: str, branch: Branch) -> CommandSpec:
    order, title = read_publish_order(branch), branch.both("title")
    argument = branch.text("argument", "", form=NAME, like="small letters, digits and _")
    low, high = _limits(branch, (-_MOST_PUBLISHED, _MOST_PUBLISHED)) if argument or order.takes_value else (0, 0)
    return CommandSpec(name=name, title=title, argument=argument, low=low, high=high, publish=order)


def _ble(name: str, branch: Branch) -> CommandSpec:
    order, title = read_uart_order(branch), branch.both("title")
    argument = branch.text("argument", "", form=NAME, like="small letters, digits and _")
    limits = (-(2**31) * abs(order.scale), (2**31 - 1) * abs(order.scale))
    low, high = _limits(branch, limits) if argument or branch.has("value") else (0, 0)
    return CommandSpec(name=name, title=title, argument=argument, low=low, high=high, uart=order)


def _cjt188(name: str, branch: Branch) -> CommandSpec:
    return CommandSpec(name=name, title=branch.both("title"), low=0, high=0, valve=read_valve_order(branch))


_MOST_PUBLISHED = 1e15
"""Beyond it a number would be written with an exponent, or lose digits."""
_LANGUAGES: Mapping[str, tuple[str, Callable[[str, Branch], CommandSpec]]] = {
    "area": ("modbus", _modbus),
    "terminal": ("jt808", _jt808),
    "path": ("lwm2m", _lwm2m),
    "topic": ("mqtt", _mqtt),
    "uart": ("ble", _ble),
    "valve": ("cjt188", _cjt188),
}
"""By the key that tells an order's language: the part of `wire` that it needs, and what reads it."""
