"""What a profile's author should hear beyond whether it loads: warnings, in the same form as mistakes."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from device_profiles.frames import load_frames
from device_profiles.loader import load_profile
from device_profiles.mistakes import Findings, Mistake, ProfileError, one_of
from device_profiles.model import Above, AlarmRule, Below, Equals, Leaf, OneOf, Place, Profile, Speed, Stale, Windowed, leaves
from device_profiles.wires import wire_rows
from device_profiles.wires.documents import DocumentField
from device_profiles.wires.items import ItemField
from device_profiles.wires.jt808_parts import Jt808Part
from device_profiles.wires.modbus import RegisterArea, RegisterField
from device_profiles.wires.serial import BinaryField, LineField
from device_profiles.yaml_nodes import Node, line_at, read_yaml
from telemetry.records import Priority, Value

__all__ = ["Report", "lint_profile"]

# Paths of keys and two sentences: where, what is doubtful, what to write instead.
_Doubt = tuple[tuple[str, ...], str, str]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was found in one profile's folder. With mistakes it does not load; with warnings it does."""

    path: str
    profile: str | None
    mistakes: tuple[Mistake, ...]
    warnings: tuple[Mistake, ...] = ()


def lint_profile(path: Path) -> Report:
    """Everything that is wrong or doubtful in a profile's folder, profile.yaml and frames.yaml together."""
    file = path if path.suffix in {".yaml", ".yml"} else path / "profile.yaml"
    try:
        profile = load_profile(file)
    except ProfileError as error:
        return Report(path=str(file), profile=None, mistakes=error.mistakes)
    mistakes, warnings = _beside(file.parent, profile)
    root = read_yaml(file, Findings(str(file)))
    warnings += [_warning(file, root, doubt) for doubt in _doubts(profile)]
    return Report(path=str(file), profile=profile.name, mistakes=mistakes, warnings=tuple(sorted(warnings, key=lambda w: w.line)))


def _warning(file: Path, root: Node, doubt: _Doubt) -> Mistake:
    keys, what, instead = doubt
    return Mistake(str(file), line_at(root, *keys), ".".join(keys), what, instead)


def _beside(folder: Path, profile: Profile) -> tuple[tuple[Mistake, ...], list[Mistake]]:
    """What is missing beside profile.yaml, and the mistakes of frames.yaml."""
    warnings = []
    if not (folder / "README.md").is_file():
        what = "no README.md in the folder"
        warnings.append(Mistake(str(folder), 1, "README.md", what, "what the model is, whose map it is, how it is wired"))
    if not (folder / "frames.yaml").is_file():
        instead = "at least one frame from outside with its expected reading"
        return (), [*warnings, Mistake(str(folder), 1, "frames.yaml", "no example frame", instead)]
    try:
        load_frames(folder, profile)
    except ProfileError as error:
        return error.mistakes, warnings
    return (), warnings


def _doubts(profile: Profile) -> Iterator[_Doubt]:
    yield from _unfed(profile)
    yield from _silence(profile)
    yield from _mix(profile)
    for rule in profile.alarms.values():
        yield from _rule(rule, profile)
    yield from _switching(profile)


def _switching(profile: Profile) -> Iterator[_Doubt]:
    """Coils, valves and locks move things; whoever wrote the profile must have thought of who stands beside them."""
    for name, spec in profile.commands.items():
        coil = spec.register is not None and spec.register.field.area is RegisterArea.COIL
        locks = spec.terminal is not None and spec.terminal.name in {"lock_doors", "unlock_doors"}
        if (coil or locks or spec.valve is not None) and not spec.dangerous:
            yield ("commands", name), "switches or opens something at the word of one person", "dangerous: true"


def _unfed(profile: Profile) -> Iterator[_Doubt]:
    fed = _fed(profile)
    for name in profile.metrics:
        if name not in fed:
            yield ("metrics", name), "no wire map provides it", "a field for it, or leave the metric out"


def _fed(profile: Profile) -> set[str]:
    return {metric for _, metric, _, _ in wire_rows(profile.wire)}


def _silence(profile: Profile) -> Iterator[_Doubt]:
    reporting = profile.reporting
    if reporting.on_change and reporting.heartbeat_s < reporting.interval_s:
        what = f"{reporting.heartbeat_s:g} s is shorter than interval_s ({reporting.interval_s:g}), which it can never beat"
        yield ("reporting", "heartbeat_s"), what, "interval_s or more"
    if not any(isinstance(part, Stale) for rule in profile.alarms.values() for part in leaves(rule.when)):
        yield ("alarms",), "no rule speaks when the device falls silent", "a rule with stale_after_s"


def _mix(profile: Profile) -> Iterator[_Doubt]:
    """ISA-18.2 wants about 5 % of the highest priority and 15 % of the next; a model has few rules, so half is the mark."""
    urgent = [rule.name for rule in profile.alarms.values() if rule.priority in {Priority.CRITICAL, Priority.HIGH}]
    if len(profile.alarms) > 3 and 2 * len(urgent) > len(profile.alarms):
        what = f"{len(urgent)} of {len(profile.alarms)} rules are critical or high"
        yield ("alarms",), what, "critical and high for what cannot wait an hour, medium and low for the rest"


def _rule(rule: AlarmRule, profile: Profile) -> Iterator[_Doubt]:
    at = ("alarms", rule.name)
    if rule.matter is None:
        yield at, "no matter: the alarm opens no case", "matter: one of matters.yaml"
    for key, delay in (("on_delay_s", rule.on_delay_s), ("off_delay_s", rule.off_delay_s)):
        if 0 < delay < profile.reporting.interval_s:
            what = f"{delay:g} s is over only at the next reading, up to {profile.reporting.interval_s:g} s later"
            yield (*at, key), what, "0, or interval_s or more"
    for part in leaves(rule.when):
        for what, instead in _leaf(part, profile):
            yield (*at, "when"), what, instead


def _leaf(part: Leaf, profile: Profile) -> Iterator[tuple[str, str]]:
    """What is doubtful in one comparison, and what to write instead."""
    interval_s = profile.reporting.interval_s
    if isinstance(part, Above | Below | Speed | Windowed) and part.deadband == 0:
        yield "no deadband: a value on the limit raises and returns for ever", "deadband: how far the value must go back"
    if isinstance(part, Place) and part.deadband_m == 0:
        yield "no deadband_m: a vehicle at the edge raises and returns for ever", "deadband_m: the metres that a fix may jump"
    if isinstance(part, Windowed) and part.over_s < 2 * interval_s:
        # Two readings must lie in the window, and half of it apart.
        yield f"{part.over_s:g} s is shorter than two readings take ({2 * interval_s:g} s)", "a longer window"
    if isinstance(part, Equals | OneOf):
        words = _words(profile, part.metric)
        for value in (part.value,) if isinstance(part, Equals) else part.values:
            if words and isinstance(value, str) and value not in words:
                yield f"no wire map makes {part.metric} {value!r}", one_of(words)
    if isinstance(part, Stale) and part.after_s <= interval_s:
        yield f"{part.after_s:g} s is not longer than interval_s ({interval_s:g})", "longer than the device's own silence"


def _words(profile: Profile, metric: str) -> set[str]:
    """The texts that the wire maps' enums can make of a metric."""
    wire = profile.wire
    fields: list[RegisterField | BinaryField | LineField | DocumentField | ItemField | Jt808Part] = (
        [*wire.modbus.registers] if wire.modbus else []
    )
    fields += wire.serial.layout.all_fields if wire.serial else ()
    for document in (wire.coap, wire.mqtt):
        fields += document.fields if document else ()
    fields += wire.jt808.parts if wire.jt808 else ()
    for items in (wire.dlt645, wire.cjt188, wire.hj212, wire.sl651, wire.lwm2m):
        fields += items.items if items else ()
    return {str(word) for field in fields if field.metric == metric for word in _meanings(field)}


def _meanings(field: RegisterField | BinaryField | LineField | DocumentField | ItemField | Jt808Part) -> list[Value]:
    said = list(field.scaling.enum.values())
    return [*said, *field.words.values()] if isinstance(field, LineField) else said
