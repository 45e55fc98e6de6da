"""zstd behind the wire contract's two callables."""

import zstandard

from telemetry.wire import VERSION

__all__ = ["compress_message", "decompress"]

_LEVEL = 3
_ABOVE_BYTES = 1024
_COMPRESSED_BIT = 0x80
"""Bit 7 of a message's first byte: the rest is one zstd frame (telemetry.wire)."""

_compressor = zstandard.ZstdCompressor(level=_LEVEL)
_decompressor = zstandard.ZstdDecompressor()


def compress_message(message: bytes) -> bytes:
    """A stored, uncompressed `telemetry.wire` message as it goes on the link."""
    if len(message) <= _ABOVE_BYTES or message[0] != VERSION:
        return message
    return bytes((VERSION | _COMPRESSED_BIT,)) + _compressor.compress(message[1:])


def decompress(data: bytes, limit: int) -> bytes:
    """The content of one zstd frame of at most `limit` bytes; ValueError for anything else."""
    try:
        declared = zstandard.frame_content_size(data)
        if declared > limit:
            raise ValueError(f"{declared} bytes declared, want at most {limit}")
        return _decompressor.decompress(data, max_output_size=limit)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error
