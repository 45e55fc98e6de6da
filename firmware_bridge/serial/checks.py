"""The checksums of serial devices, by the names that a profile calls them."""

from collections.abc import Callable, Mapping

from device_profiles.wires.serial_binary import CHECKSUM_BYTES
from firmware_bridge.modbus.frames import crc16

__all__ = ["checksum"]


def checksum(kind: str, data: bytes) -> int:
    """The checksum of `data` as a number of CHECKSUM_BYTES[kind] bytes; 0 for "none"."""
    return _COMPUTE[kind](data) & ((1 << 8 * CHECKSUM_BYTES[kind]) - 1)


def _xor(data: bytes) -> int:
    result = 0
    for byte in data:
        result ^= byte
    return result


def _crc_1021(data: bytes, register: int) -> int:
    """CRC-16 of polynomial 1021, high bit first."""
    for byte in data:
        register ^= byte << 8
        for _ in range(8):
            register = (register << 1 ^ (0x1021 if register & 0x8000 else 0)) & 0xFFFF
    return register


_COMPUTE: Mapping[str, Callable[[bytes], int]] = {
    "none": lambda _: 0,
    "sum8": sum,
    "sum8-ones": lambda data: ~sum(data),
    "lrc": lambda data: -sum(data),
    "xor8": _xor,
    "sum16": sum,
    "crc16-modbus": crc16,
    "crc16-xmodem": lambda data: _crc_1021(data, 0),
    "crc16-ccitt": lambda data: _crc_1021(data, 0xFFFF),
}
