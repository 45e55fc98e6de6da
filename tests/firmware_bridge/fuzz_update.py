"""Any bytes as a firmware package, as what a bootloader says of itself, and as a file that comes over XMODEM or YMODEM."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from firmware_bridge.errors import ParseError
from firmware_bridge.update.manifest import pack_manifest, parse_manifest
from firmware_bridge.update.package import open_package
from firmware_bridge.update.prompt import find_standing, standing_line
from firmware_bridge.update.standing import pack_standing, parse_standing
from firmware_bridge.xmodem import Receiver, parse_packet

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32))).public_key()
SEEDS = (
    b"BOOT 2 7 8 12 0 0011aabb *0000\r\n",
    b"\x01\x01\xfe" + bytes(128) + b"\x00\x00\x04\x04",
    b"\x01\x00\xffapp.bin\x00128" + bytes(117) + b"\x93\x0a",
    bytes.fromhex("0001 0000 00000007 00000008 0000000C 0011AABB"),
)
"""A bootloader's line, an XMODEM packet with what ends the file, a YMODEM head, the 20 bytes of a standing."""
MOST_BYTES = 300


def fuzz_one(data: bytes) -> None:
    """Nothing but ParseError; what is read is written again as it was, nothing unsigned is a package, memory is bounded."""
    for header in (data, data.ljust(176, b"\0")[:176]):
        try:
            manifest = parse_manifest(header)
        except ParseError:
            continue
        assert header.startswith(pack_manifest(manifest))
    try:
        open_package(data, KEY)
    except ParseError:
        pass
    else:
        raise AssertionError("a package that nobody signed was opened")
    _standing(data)
    _file(data)


def _standing(data: bytes) -> None:
    try:
        standing = parse_standing(data)
    except ParseError:
        pass
    else:
        assert pack_standing(standing) == data
    told = find_standing(data)
    assert told is None or find_standing(standing_line(told)) == told


def _file(data: bytes) -> None:
    for with_crc in (True, False):
        try:
            parse_packet(data, with_crc=with_crc)
        except ParseError:
            continue
    for ymodem in (True, False):
        receiver = Receiver(ymodem=ymodem, limit_bytes=MOST_BYTES)
        for at in range(0, len(data), 50):
            receiver.feed(data[at : at + 50])
            if at % 200 == 0:
                receiver.quiet()
            assert len(receiver._data) <= MOST_BYTES
            assert len(receiver._buffer) <= 2 * 1024 + 5
