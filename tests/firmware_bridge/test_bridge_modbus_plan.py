"""The read plan is the best there is: held against every other plan, and against the filling of holes as others do it."""

import itertools
from collections.abc import Iterator, Sequence

from hypothesis import example, given, settings
from hypothesis import strategies as st

from device_profiles.quantities import NumberType
from device_profiles.wires.modbus import ModbusWire, RegisterArea, RegisterField, RegisterRange
from firmware_bridge.modbus.plan import ReadBlock, plan_reads

HOLDING, INPUT, COIL = RegisterArea.HOLDING, RegisterArea.INPUT, RegisterArea.COIL
_KINDS = {1: NumberType.U16, 2: NumberType.U32, 4: NumberType.U64}


def field(address: int, width: int = 1, area: RegisterArea = HOLDING) -> RegisterField:
    return RegisterField(metric=f"{area}{address}", area=area, address=address, type=_KINDS[width])


@st.composite
def maps(draw: st.DrawFn, most: int = 7) -> ModbusWire:
    """Registers as a profile may have them: apart from one another, some of them wide, with places never to be read."""
    fields, forbidden, address = [], [], 0
    for _ in range(draw(st.integers(1, most))):
        hole = draw(st.integers(0, 6))
        if hole and draw(st.booleans()):
            first = address + draw(st.integers(0, hole - 1))
            forbidden.append(RegisterRange(HOLDING, first, draw(st.integers(first, address + hole - 1))))
        fields.append(field(address + hole, draw(st.sampled_from(sorted(_KINDS)))))
        address += hole + fields[-1].width
    return ModbusWire(
        registers=tuple(draw(st.permutations(fields))),
        max_gap=draw(st.integers(0, 8)),
        max_block=draw(st.integers(1, 14)),
        do_not_read=tuple(forbidden),
    )


def partitions(items: Sequence[RegisterField]) -> Iterator[list[list[RegisterField]]]:
    """Every way to divide some fields among requests."""
    if not items:
        yield []
        return
    first, rest = items[0], items[1:]
    for size in range(len(rest) + 1):
        for others in itertools.combinations(rest, size):
            left = [one for one in rest if one not in others]
            for tail in partitions(left):
                yield [[first, *others], *tail]


def allowed(wire: ModbusWire, group: Sequence[RegisterField]) -> ReadBlock | None:
    """The one request that reads a group, where the wire's limits allow it; from their own words, apart from the planner."""
    first = min(one.address for one in group)
    last = max(one.address + one.width - 1 for one in group)
    wanted = {one.address + n for one in group for n in range(one.width)}
    asked = range(first, last + 1)
    holes = "".join(" " if address in wanted else "x" for address in asked).split()
    if any(len(hole) > wire.max_gap for hole in holes):
        return None
    if len(asked) > min(wire.max_block, 125) and len(group) > 1:
        return None
    if any(one.first <= address <= one.last for one in wire.do_not_read for address in asked):
        return None
    return ReadBlock(HOLDING, first, len(asked))


def best(wire: ModbusWire) -> tuple[int, int]:
    """(requests, registers) of the best of all plans."""
    costs = []
    for division in partitions(wire.registers):
        blocks = [allowed(wire, group) for group in division]
        if all(blocks):
            costs.append((len(blocks), sum(block.count for block in blocks if block is not None)))
    return min(costs)


@settings(max_examples=150, deadline=None)
@given(maps())
# A full first request would read the hole from 2 to 8 for nothing; the later cut needs no more requests.
@example(ModbusWire(registers=(field(0), field(1), field(9), field(10)), max_gap=8, max_block=10))
def test_no_plan_has_fewer_requests_nor_as_many_with_fewer_registers(wire: ModbusWire) -> None:
    plan = plan_reads(wire)
    assert (len(plan), sum(block.count for block in plan)) == best(wire)


@settings(max_examples=200, deadline=None)
@given(maps(most=30))
def test_a_plan_reads_every_field_whole_and_nothing_that_must_not_be_read(wire: ModbusWire) -> None:
    plan = plan_reads(wire)
    for one in wire.registers:
        assert any(block.address <= one.address and one.address + one.width <= block.address + block.count for block in plan)
    asked = {address for block in plan for address in range(block.address, block.address + block.count)}
    assert not asked & {address for one in wire.do_not_read for address in range(one.first, one.last + 1)}


def filled_as_telegraf_does(wire: ModbusWire) -> int:
    """Requests of its `max_insert` optimisation: fields in order, a hole filled up to its budget, a full request closed."""
    requests, start, end = 0, 0, None
    for one in sorted(wire.registers, key=lambda each: each.address):
        last = one.address + one.width
        if end is not None and one.address - end <= wire.max_gap and last - start <= min(wire.max_block, 125):
            end = last
            continue
        requests, start, end = requests + 1, one.address, last
    return requests


@settings(max_examples=200, deadline=None)
@given(maps(most=30))
def test_a_plan_needs_no_more_requests_than_hole_filling_from_the_left(wire: ModbusWire) -> None:
    free = ModbusWire(registers=wire.registers, max_gap=wire.max_gap, max_block=wire.max_block)
    assert len(plan_reads(free)) <= filled_as_telegraf_does(free)


def test_coils_go_by_thousands_and_registers_by_hundred_and_twenty_five() -> None:
    coils = ModbusWire(registers=tuple(field(n, area=COIL) for n in range(0, 100, 5)), max_gap=8, max_block=125)
    assert plan_reads(coils) == (ReadBlock(COIL, 0, 96),)
    registers = ModbusWire(registers=tuple(field(n) for n in range(300)), max_gap=0, max_block=125)
    assert [block.count for block in plan_reads(registers)] == [125, 125, 50]


def test_only_what_is_due_is_planned() -> None:
    wire = ModbusWire(registers=(field(0), field(1), field(5)), max_gap=8)
    assert plan_reads(wire, (wire.registers[2],)) == (ReadBlock(HOLDING, 5, 1),)
