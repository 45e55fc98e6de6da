"""Frames as devices sent them, written as texts beside values: what an edge writes and a cloud reads back.

    LANGUAGE:HEX,LANGUAGE:HEX,LANGUAGE:HEX~512

is three frames, of the last of which 512 bytes are left out. It is cut into texts of 1024 characters at most, as the contract's
texts are: NAME, NAME.2, NAME.3 and so on, which are put together before they are read.
`LANGUAGE` is a name of the table in `firmware_bridge.describe`. In the readings lane NAME is `raw_frame`, in a record of its own
with the event time of the reading that the frames gave; in the evidence of a transition it is `frame`. Beside them stand
NAME.received_ns, the gateway's clock when they had come, and NAME.source, the transport address of who sent them, where there is
one.
"""

import re
from collections.abc import Iterable, Mapping

import msgspec

from telemetry.records import Value

__all__ = [
    "EVIDENCE_FRAME",
    "EVIDENCE_TEXTS",
    "RAW_FRAME",
    "READING_TEXTS",
    "RawFrame",
    "is_raw_frame",
    "read_frames",
    "without_frames",
    "written_frames",
]

RAW_FRAME = "raw_frame"
"""The name in a reading; no profile may have a metric of this name."""
EVIDENCE_FRAME = "frame"
"""The name in a transition's evidence."""
READING_TEXTS = 8
"""Texts of one reading: nearly 4 KiB of frames."""
EVIDENCE_TEXTS = 2
"""Texts of one transition: nearly 1 KiB of frames, 2 KiB as hex."""

_TEXT = 1024
_TAIL = 12
"""Room for what tells how much is left out."""
_FRAME = re.compile(r"([a-z0-9][a-z0-9_-]{0,63}):((?:[0-9a-f]{2})*)(?:~(\d{1,10}))?")


class RawFrame(msgspec.Struct, frozen=True):
    """One frame of a device in a language, as it came; `left_out` counts the bytes at its end that were not kept."""

    language: str
    raw: bytes
    left_out: int = 0


def written_frames(name: str, frames: Iterable[RawFrame], most: int) -> tuple[dict[str, Value], int]:
    """The frames as at most `most` texts, and how many bytes did not fit: the end of one frame, and all that come after it."""
    written, left_out, full = "", 0, False
    for frame in frames:
        head = f"{',' if written else ''}{frame.language}:"
        room = (most * _TEXT - _TAIL - len(written) - len(head)) // 2
        if full or room <= 0:
            full, left_out = True, left_out + len(frame.raw)
            continue
        kept = frame.raw[:room]
        full = len(kept) < len(frame.raw)
        left_out += len(frame.raw) - len(kept)
        missing = frame.left_out + len(frame.raw) - len(kept)
        written += f"{head}{kept.hex()}" + (f"~{missing}" if missing else "")
    pieces = [written[at : at + _TEXT] for at in range(0, len(written), _TEXT)]
    return {name if not number else f"{name}.{number + 1}": piece for number, piece in enumerate(pieces)}, left_out


def read_frames(name: str, values: Mapping[str, Value]) -> list[RawFrame]:
    """The frames under `name`, in order; what is not of this form ends the list, and raises nothing."""
    written = ""
    for number in range(1, READING_TEXTS + 1):
        text = values.get(name if number == 1 else f"{name}.{number}")
        if not isinstance(text, str):
            break
        written += text
    frames: list[RawFrame] = []
    for piece in written.split(","):
        found = _FRAME.fullmatch(piece)
        if found is None:
            break
        frames.append(RawFrame(found[1], bytes.fromhex(found[2]), int(found[3] or 0)))
    return frames


def is_raw_frame(metric: str) -> bool:
    """Whether a name in a reading is that of a frame, and no metric's."""
    return metric == RAW_FRAME or metric.startswith(f"{RAW_FRAME}.")


def without_frames(evidence: Mapping[str, Value]) -> dict[str, Value]:
    """A transition's evidence without its frames and what is said of them."""
    return {
        name: value for name, value in evidence.items() if name != EVIDENCE_FRAME and not name.startswith(f"{EVIDENCE_FRAME}.")
    }
