"""What C needs of the languages whose bytes a library makes: keys, paths, identifiers, bits, and the scales between."""

from collections.abc import Iterator

from device_profiles.model import Profile
from device_profiles.wires import wire_rows
from device_profiles.wires.items import ItemField
from firmware_bridge.c_header.field import word_lines
from firmware_bridge.c_header.names import Names, comment

__all__ = ["other_lines"]


def other_lines(names: Names, profile: Profile) -> Iterator[str]:
    """Where each metric stands, as text, and the words of its enum; one metric may stand in several places."""
    told: set[str] = set()
    words = _words(profile)
    for transport, metric, where, how in wire_rows(profile.wire):
        if transport.split(" ")[0] in {"modbus", "serial"} and _is_binary(profile):
            continue
        yield ""
        yield comment(
            f"{metric}: {profile.metrics[metric].title.en} [{profile.metrics[metric].unit}], {transport}, {where}, {how}"
        )
        text = where.replace("\\", "\\\\").replace('"', '\\"')
        if text.isascii() and text.isprintable():
            yield f'#define {names.give(profile.name, metric, transport.split(" ")[0], "PLACE", upper=True)} "{text}"'
        if metric in words and metric not in told:
            told.add(metric)
            yield from word_lines(names, profile.name, profile.metrics[metric], words[metric].scaling)


def _is_binary(profile: Profile) -> bool:
    return profile.wire.modbus is not None or profile.wire.serial is not None


def _words(profile: Profile) -> dict[str, ItemField]:
    found: dict[str, ItemField] = {}
    for name in profile.wire.spoken():
        for field in getattr(getattr(profile.wire, name), "items", ()):
            if isinstance(field, ItemField):
                found.setdefault(field.metric, field)
    return found
