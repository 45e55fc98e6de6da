"""Which registers to read, and what they mean: the map between a profile's Modbus wire and its metrics."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import msgspec

from device_profiles.model import Profile
from device_profiles.quantities import NumberType
from device_profiles.wires.modbus import ModbusWire, RegisterArea, RegisterField
from firmware_bridge.errors import ParseError
from firmware_bridge.numbers import is_sentinel, pack, size_of, unpack
from firmware_bridge.values import Decoded, Gathering, apply_scaling, undo_scaling
from telemetry.reason import Reason
from telemetry.records import Value

__all__ = ["ReadBlock", "decode_registers", "encode_registers", "plan_reads", "width"]

_BIT_AREAS = frozenset({RegisterArea.COIL, RegisterArea.DISCRETE})
_MOST = {  # MODBUS Application Protocol V1.1b3, clauses 6.1 to 6.4
    RegisterArea.COIL: 2000,
    RegisterArea.DISCRETE: 2000,
    RegisterArea.HOLDING: 125,
    RegisterArea.INPUT: 125,
}


class ReadBlock(msgspec.Struct, frozen=True):
    """One request: `count` coils or registers of `area` from zero-based `address` on."""

    area: RegisterArea
    address: int
    count: int


def width(field: RegisterField) -> int:
    """Registers (or coils) that one field takes."""
    return field.width


def plan_reads(wire: ModbusWire) -> tuple[ReadBlock, ...]:
    """The fewest requests that read every field whole, within the wire's `max_gap` and `max_block` and the standard's limits.

    Taking fields by address and starting a new request only when one no longer fits is optimal here, because a field
    is never split. A field wider than `max_block` gets a request of its own.
    """
    blocks: list[ReadBlock] = []
    for field in sorted(wire.registers, key=lambda f: (f.area, f.address, width(f))):
        last = blocks[-1] if blocks else None
        joined = None if last is None or last.area is not field.area else _join(last, field, wire)
        if joined is None:
            blocks.append(ReadBlock(field.area, field.address, width(field)))
        else:
            blocks[-1] = joined
    return tuple(blocks)


def _join(block: ReadBlock, field: RegisterField, wire: ModbusWire) -> ReadBlock | None:
    """`block` stretched over `field`, or None where that costs too much."""
    end = block.address + block.count
    stretched = max(end, field.address + width(field)) - block.address
    limit = min(wire.max_block, _MOST[block.area])
    if field.address - end > wire.max_gap or stretched > max(limit, block.count):
        return None
    return ReadBlock(block.area, block.address, stretched)


def decode_registers(profile: Profile, blocks: Mapping[ReadBlock, Sequence[int | bool]]) -> Decoded:
    """Every metric of the profile's registers out of the blocks that were read.

    A metric whose block is not there, or is shorter than it says, is bad with reason missing.
    """
    gathering = Gathering()
    for field in _wire(profile).registers:
        gathering.add(field.metric, _reader(profile, field, blocks))
    return gathering.decoded()


def _reader(profile: Profile, field: RegisterField, blocks: Mapping[ReadBlock, Sequence[int | bool]]) -> Callable[[], Value]:
    def read() -> Value:
        words = _words(field, blocks)
        metric = profile.metrics[field.metric]
        if field.area in _BIT_AREAS:
            return apply_scaling(bool(words[0]), field.scaling, metric)
        raw = _number(field, words)
        return apply_scaling(None if is_sentinel(raw, field.type, field.scaling) else raw, field.scaling, metric)

    return read


def _words(field: RegisterField, blocks: Mapping[ReadBlock, Sequence[int | bool]]) -> Sequence[int | bool]:
    for block, words in blocks.items():
        start = field.address - block.address
        if block.area is field.area and start >= 0 and start + width(field) <= len(words):
            return words[start : start + width(field)]
    raise ParseError(Reason.MISSING, f"{field.metric}: {field.area} {field.address} was not read")


def _number(field: RegisterField, words: Sequence[int | bool]) -> int | float:
    return unpack(_bytes(field, words), field.type)


def _bytes(field: RegisterField, words: Sequence[int | bool]) -> bytes:
    """The field's bytes, most significant first. An 8-bit field is the low byte of its register."""
    ordered = words if field.word_order == "big" else words[::-1]
    data = b"".join((int(word) & 0xFFFF).to_bytes(2, _order(field.byte_order)) for word in ordered)
    return data[1:] if field.type in {NumberType.U8, NumberType.I8} else data


def encode_registers(profile: Profile, values: Mapping[str, Value]) -> dict[RegisterArea, dict[int, int | bool]]:
    """Register contents that `decode_registers` reads as `values`; for simulators and tests.

    Only metrics in `values` are written; bits that share a register share it here too. ParseError where a value has no wire form.
    """
    memory: dict[RegisterArea, dict[int, int | bool]] = {}
    for field in _wire(profile).registers:
        if field.metric in values:
            _write(profile, field, values[field.metric], memory.setdefault(field.area, {}))
    return memory


def _write(profile: Profile, field: RegisterField, value: Value, area: dict[int, int | bool]) -> None:
    addresses = range(field.address, field.address + width(field))
    metric = profile.metrics[field.metric]
    if field.area in _BIT_AREAS:
        area[field.address] = bool(undo_scaling(value, field.scaling, metric))
        return
    takes_bits = field.scaling.bit is not None or field.scaling.bits is not None
    onto = int(_number(field, [area.get(address, 0) for address in addresses])) if takes_bits else 0
    raw = undo_scaling(value, field.scaling, metric, onto)
    if isinstance(raw, str):
        raise ParseError(Reason.WRONG_TYPE, f"{field.metric}: text has no register form")
    area.update(zip(addresses, _split(field, raw), strict=True))


def _split(field: RegisterField, raw: float) -> list[int]:
    if _is_pattern(raw, field):
        raw = int(raw) - (1 << 8 * size_of(field.type))
    data = pack(raw, field.type, bcd_size=2).rjust(2, b"\x00")
    words = [int.from_bytes(data[i : i + 2], _order(field.byte_order)) for i in range(0, len(data), 2)]
    return words if field.word_order == "big" else words[::-1]


def _is_pattern(raw: float, field: RegisterField) -> bool:
    """Whether `raw` is a sentinel that a profile wrote as the bit pattern of a negative number."""
    if field.type not in {NumberType.I8, NumberType.I16, NumberType.I32, NumberType.I64} or raw not in field.scaling.no_value:
        return False
    return raw >= 1 << (8 * size_of(field.type) - 1)


def _order(name: str) -> Literal["big", "little"]:
    return "big" if name == "big" else "little"


def _wire(profile: Profile) -> ModbusWire:
    if profile.wire.modbus is None:
        raise ParseError(Reason.UNKNOWN_PROFILE, f"{profile.name} has no Modbus wire")
    return profile.wire.modbus
