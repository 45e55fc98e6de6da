"""Which registers one request reads: the fewest requests that a unit's limits allow, and among those the fewest registers."""

from collections.abc import Iterable, Sequence

import msgspec

from device_profiles.wires.modbus import ModbusWire, RegisterArea, RegisterField

__all__ = ["ReadBlock", "plan_reads"]

_MOST = {  # MODBUS Application Protocol V1.1b3, clauses 6.1 to 6.4
    RegisterArea.COIL: 2000,
    RegisterArea.DISCRETE: 2000,
    RegisterArea.HOLDING: 125,
    RegisterArea.INPUT: 125,
}
_Cost = tuple[int, int]
"""(requests, registers)"""


class ReadBlock(msgspec.Struct, frozen=True):
    """One request: `count` coils or registers of `area` from zero-based `address` on."""

    area: RegisterArea
    address: int
    count: int


def plan_reads(wire: ModbusWire, fields: Iterable[RegisterField] | None = None) -> tuple[ReadBlock, ...]:
    """The requests that read every one of `fields` (all of the wire's where None) whole, in the order of their addresses.

    No request bridges more than `max_gap` addresses that nobody wants, takes more than `max_block` or than the standard
    allows, or touches `do_not_read`. A field wider than `max_block` gets a request of its own. Filling a request to its
    end before beginning the next also needs the fewest requests, but may read a long hole that a later cut would leave
    out; the cuts are therefore chosen over all of an area's fields at once.
    """
    wanted = sorted(wire.registers if fields is None else fields, key=lambda f: (f.area, f.address, f.width))
    blocks: list[ReadBlock] = []
    for area in RegisterArea:
        blocks += _plan_area(wire, area, [field for field in wanted if field.area is area])
    return tuple(sorted(blocks, key=lambda block: (block.area, block.address)))


def _plan_area(wire: ModbusWire, area: RegisterArea, fields: Sequence[RegisterField]) -> list[ReadBlock]:
    """Over the fields from the last to the first: the best first request of each tail, with the best plan of what it leaves."""
    best: list[_Cost] = [(0, 0)] * (len(fields) + 1)
    first: list[ReadBlock | None] = [None] * len(fields)
    following = [0] * len(fields)
    for start in range(len(fields) - 1, -1, -1):
        best[start] = (len(fields) + 1, 0)
        for end, block in _first_requests(wire, area, fields, start):
            cost = best[end][0] + 1, best[end][1] + block.count
            if cost <= best[start]:  # of equals the fuller first request
                best[start], first[start], following[start] = cost, block, end
    blocks = []
    at = 0
    while at < len(fields):
        chosen = first[at]
        assert chosen is not None  # noqa: S101 (every field can be read alone)
        blocks.append(chosen)
        at = following[at]
    return blocks


def _first_requests(
    wire: ModbusWire, area: RegisterArea, fields: Sequence[RegisterField], start: int
) -> Iterable[tuple[int, ReadBlock]]:
    """Every request that begins with field `start`, with the number of the first field that it does not read."""
    address = fields[start].address
    end = address + fields[start].width
    limit = max(min(wire.max_block, _MOST[area]), fields[start].width)
    for after in range(start + 1, len(fields) + 1):
        yield after, ReadBlock(area, address, end - address)
        if after == len(fields):
            return
        field = fields[after]
        stretched = max(end, field.address + field.width)
        if field.address - end > wire.max_gap or stretched - address > limit or _is_forbidden(wire, area, end, field.address):
            return
        end = stretched


def _is_forbidden(wire: ModbusWire, area: RegisterArea, start: int, end: int) -> bool:
    """Whether the hole from `start` to before `end` holds an address that must not be read."""
    return any(one.area is area and one.first < end and one.last >= start for one in wire.do_not_read)
