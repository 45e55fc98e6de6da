"""What C needs of the languages whose bytes a library makes: keys, paths, identifiers, and the scales between."""

from collections.abc import Iterator, Mapping

import msgspec

from device_profiles.model import Profile
from device_profiles.quantities import NumberType, Scaling
from device_profiles.wires import wire_rows
from device_profiles.wires.fields import takes_bits
from device_profiles.wires.serial_binary import BinaryLayout
from firmware_bridge.c_header.field import mask_lines, scale_lines, word_lines
from firmware_bridge.c_header.names import Names, comment

__all__ = ["other_lines"]


def other_lines(names: Names, profile: Profile) -> Iterator[str]:
    """Where each metric stands, as text, with its scale, mask and enum; those are of the first place where it has several."""
    binary = _binary(profile)
    told: set[str] = set()
    scalings = {name: _scalings(getattr(profile.wire, name)) for name in profile.wire.spoken()}
    for transport, name, where, how in wire_rows(profile.wire):
        language = transport.split(" ")[0]
        if language in binary:
            continue
        metric = profile.metrics[name]
        yield ""
        parts = [f"{name}: {metric.title.en} [{metric.unit}]", transport, where, how]
        yield comment(", ".join(part for part in parts if part))
        if where.isascii() and where.isprintable():
            text = where.replace("\\", "\\\\").replace('"', '\\"')
            yield f'#define {names.give(profile.name, name, language, "PLACE", upper=True)} "{text}"'
        scaling = next((found[name] for found in scalings.values() if name in found), None)
        if scaling is None or name in told:
            continue
        told.add(name)
        yield from word_lines(names, profile.name, metric, scaling)
        if takes_bits(scaling):
            yield from mask_lines(names, profile.name, metric, scaling)
        elif not scaling.enum:
            yield from scale_lines(names, profile.name, metric, scaling, NumberType.F64)


def _binary(profile: Profile) -> set[str]:
    """The languages that have structs."""
    serial = profile.wire.serial
    return {"modbus"} | ({"serial"} if serial is not None and isinstance(serial.layout, BinaryLayout) else set())


def _scalings(part: object) -> dict[str, Scaling]:
    """Metric: scaling, of every field of a wire, however deep it stands."""
    found: dict[str, Scaling] = {}
    if isinstance(part, msgspec.Struct):
        metric, scaling = getattr(part, "metric", None), getattr(part, "scaling", None)
        if isinstance(metric, str) and isinstance(scaling, Scaling):
            return {metric: scaling}
        part = [getattr(part, name) for name in part.__struct_fields__]
    if isinstance(part, Mapping):
        part = list(part.values())
    if isinstance(part, (list, tuple)):
        for inner in part:
            for metric, scaling in _scalings(inner).items():
                found.setdefault(metric, scaling)
    return found
