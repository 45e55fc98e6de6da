"""Structs of byte arrays: no padding and no alignment on any compiler, with asserts that say so."""

from collections.abc import Iterator, Sequence

import msgspec

from firmware_bridge.c_header.names import Names
from firmware_bridge.errors import ParseError
from telemetry.reason import Reason

__all__ = ["Member", "struct_lines", "with_gaps"]


class Member(msgspec.Struct, frozen=True):
    """`size` bytes from byte `at` of the struct on."""

    name: str
    at: int
    size: int


def with_gaps(members: Sequence[Member], size: int) -> list[Member]:
    """The members in their order, and a reserved one wherever bytes are nobody's. ParseError(bad_field) where two overlap."""
    filled: list[Member] = []
    at = 0
    for member in sorted(members, key=lambda member: member.at):
        if member.at < at:
            raise ParseError(Reason.BAD_FIELD, f"{member.name} overlaps {filled[-1].name}", member.at)
        if member.at > at:
            filled.append(Member(f"reserved_{at}", at, member.at - at))
        filled.append(member)
        at = member.at + member.size
    if at < size:
        filled.append(Member(f"reserved_{at}", at, size - at))
    return filled


def struct_lines(names: Names, struct: str, members: Sequence[Member], size: int) -> Iterator[str]:
    """The struct and the asserts on its size and its members' places."""
    filled = with_gaps(members, size)
    yield "typedef struct {"
    for member in filled:
        yield f"    uint8_t {member.name}[{member.size}]; /* byte {member.at} */"
    yield f"}} {struct};"
    yield f"CN_ASSERT({names.give('size_of', struct)}, sizeof({struct}) == {size}u);"
    for member in filled:
        yield f"CN_ASSERT({names.give('place_of', struct, member.name)}, offsetof({struct}, {member.name}) == {member.at}u);"
