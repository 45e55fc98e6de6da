"""The map between a profile's Modbus wire and its metrics: register contents as a reading, and back."""

from collections.abc import Mapping, Sequence

from device_profiles.model import Profile
from device_profiles.wires.modbus import ONE_BIT, ModbusWire, RegisterArea, RegisterField
from firmware_bridge.errors import ParseError
from firmware_bridge.modbus.layout import in_wire_order, registers_of, words_of
from firmware_bridge.modbus.plan import ReadBlock
from firmware_bridge.modbus.reader import RegisterReader
from firmware_bridge.numbers import unpack
from firmware_bridge.values import Decoded, undo_scaling
from telemetry.reason import Reason
from telemetry.records import Value

__all__ = ["decode_registers", "encode_registers"]


def decode_registers(profile: Profile, blocks: Mapping[ReadBlock, Sequence[int | bool]]) -> Decoded:
    """Every metric of the profile's registers out of the contents that were read.

    A metric whose block is not there, or is shorter than it says, is bad with reason missing. Whoever reads often
    keeps a `RegisterReader` instead.
    """
    data = {block: _as_data(block, content) for block, content in blocks.items()}
    return RegisterReader(profile, tuple(blocks)).read(data)


def _as_data(block: ReadBlock, content: Sequence[int | bool]) -> bytes:
    """The contents as a reply carries them; nothing where there are fewer than the block says."""
    if len(content) < block.count:
        return b""
    if block.area not in ONE_BIT:
        return b"".join((int(word) & 0xFFFF).to_bytes(2, "big") for word in content)
    packed = bytearray((len(content) + 7) // 8)
    for place, bit in enumerate(content):
        packed[place // 8] |= bool(bit) << place % 8
    return bytes(packed)


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
    addresses = range(field.address, field.address + field.width)
    metric = profile.metrics[field.metric]
    if field.area in ONE_BIT:
        area[field.address] = bool(undo_scaling(value, field.scaling, metric))
        return
    if field.charset and value is None:
        value = ""
    takes_bits = field.scaling.bit is not None or field.scaling.bits is not None
    onto = int(_number(field, [area.get(address, 0) for address in addresses])) if takes_bits else 0
    raw = undo_scaling(value, field.scaling, metric, onto)
    area.update(zip(addresses, words_of(registers_of(field, raw)), strict=True))


def _number(field: RegisterField, words: Sequence[int | bool]) -> int | float:
    return unpack(in_wire_order(field, b"".join(int(word).to_bytes(2, "big") for word in words)), field.type)


def _wire(profile: Profile) -> ModbusWire:
    if profile.wire.modbus is None:
        raise ParseError(Reason.UNKNOWN_PROFILE, f"{profile.name} has no Modbus wire")
    return profile.wire.modbus
