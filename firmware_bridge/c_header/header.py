"""The header of one profile, put together."""

from collections.abc import Iterator

from device_profiles.model import Profile
from device_profiles.quantities import NumberType
from device_profiles.wires.serial_binary import BinaryLayout
from firmware_bridge.c_header.helpers import F64, WIRE
from firmware_bridge.c_header.modbus import modbus_lines
from firmware_bridge.c_header.names import Names, comment
from firmware_bridge.c_header.others import other_lines
from firmware_bridge.c_header.serial import frame_lines

__all__ = ["c_header"]


def c_header(profile: Profile) -> str:
    """A C99 header that needs nothing but the standard's own; the same profile gives the same text.

    Register maps and binary frames become structs with put functions; of other languages, where each metric stands.
    """
    return "\n".join(_lines(profile)) + "\n"


def _lines(profile: Profile) -> Iterator[str]:
    names = Names()
    guard = names.give("CITYNERVE", profile.name, "H", upper=True)
    yield comment(f"{profile.name}, version {profile.version}: {profile.title.en}. Made from its profile; do not change by hand.")
    yield comment(f"Whose map: {profile.source}")
    yield f"#ifndef {guard}"
    yield f"#define {guard}"
    yield ""
    yield from (f"#include <{header}.h>" for header in ("limits", "stddef", "stdint", "string"))
    yield ""
    yield WIRE
    if _has_doubles(profile):
        yield F64
    yield f"#define {names.give(profile.name, 'PROFILE_VERSION', upper=True)} {profile.version}"
    if profile.wire.modbus is not None:
        yield from modbus_lines(names, profile, profile.wire.modbus)
    if profile.wire.serial is not None and isinstance(profile.wire.serial.layout, BinaryLayout):
        yield ""
        yield from frame_lines(names, profile, profile.wire.serial.layout)
    yield from other_lines(names, profile)
    yield ""
    yield f"#endif /* {guard} */"


def _has_doubles(profile: Profile) -> bool:
    fields = list(profile.wire.modbus.registers) if profile.wire.modbus is not None else []
    kinds = {field.type for field in fields}
    if profile.wire.serial is not None and isinstance(profile.wire.serial.layout, BinaryLayout):
        kinds |= {field.type for field in profile.wire.serial.layout.all_fields}
    return NumberType.F64 in kinds
