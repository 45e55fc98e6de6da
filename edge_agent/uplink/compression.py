"""zstd behind the wire contract's two callables."""

import zstandard

from telemetry.wire import compressed

__all__ = ["compress_message", "decompress"]

_LEVEL = 3

_compressor = zstandard.ZstdCompressor(level=_LEVEL)
_decompressor = zstandard.ZstdDecompressor()


def compress_message(message: bytes) -> bytes:
    """A stored, uncompressed `telemetry.wire` message as it goes on the link."""
    return compressed(message, _compressor.compress)


def decompress(data: bytes, limit: int) -> bytes:
    """The content of one zstd frame of at most `limit` bytes; ValueError for anything else."""
    try:
        declared = zstandard.frame_content_size(data)
        if declared > limit:
            raise ValueError(f"{declared} bytes declared, want at most {limit}")
        return _decompressor.decompress(data, max_output_size=limit)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error
