"""Frames as devices sent them, written as texts beside values: what an edge writes and a cloud reads back.

    NAME      LANGUAGE:HEX          the first frame
    NAME.2    +HEX                  goes on with the frame before
    NAME.3    LANGUAGE:HEX~512      another frame, 512 bytes of which are left out

`LANGUAGE` is a name of the table in `firmware_bridge.describe`. A text has 1024 characters at most, as the contract's texts
have. In the readings lane NAME is `raw_frame`, in a record of its own with the event time of the reading that the frames
gave; in the evidence of a transition it is `frame`. Beside them stand NAME.received_ns, the gateway's clock when they had come,
and NAME.source, the transport address of who sent them, where there is one.
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
_FIRST = re.compile(r"([a-z0-9][a-z0-9_-]{0,63}):((?:[0-9a-f]{2})*)(?:~(\d{1,10}))?")
_MORE = re.compile(r"\+((?:[0-9a-f]{2})*)(?:~(\d{1,10}))?")


class RawFrame(msgspec.Struct, frozen=True):
    """One frame of a device in a language, as it came; `left_out` counts the bytes at its end that were not kept."""

    language: str
    raw: bytes
    left_out: int = 0


def written_frames(name: str, frames: Iterable[RawFrame], most: int) -> tuple[dict[str, Value], int]:
    """The frames as at most `most` texts, and how many bytes did not fit: the end of one frame, and all that come after it."""
    texts: dict[str, Value] = {}
    left_out = 0
    for frame in frames:
        head, digits = f"{frame.language}:", frame.raw.hex()
        if len(texts) >= most:
            left_out += len(frame.raw)
            continue
        while True:
            room = (_TEXT - _TAIL - len(head)) // 2 * 2
            text, digits = head + digits[:room], digits[room:]
            head = "+"
            is_full = len(texts) + 1 >= most
            cut = frame.left_out + len(digits) // 2 if is_full or not digits else 0
            texts[name if not texts else f"{name}.{len(texts) + 1}"] = f"{text}~{cut}" if cut else text
            if is_full or not digits:
                left_out += len(digits) // 2
                break
    return texts, left_out


def read_frames(name: str, values: Mapping[str, Value]) -> list[RawFrame]:
    """The frames under `name`, in order; a text that is not of this form ends the list, and raises nothing."""
    frames: list[RawFrame] = []
    for number in range(1, READING_TEXTS + 1):
        text = values.get(name if number == 1 else f"{name}.{number}")
        if not isinstance(text, str):
            break
        if (first := _FIRST.fullmatch(text)) is not None:
            frames.append(RawFrame(first[1], bytes.fromhex(first[2]), int(first[3] or 0)))
        elif frames and (more := _MORE.fullmatch(text)) is not None:
            last = frames.pop()
            frames.append(RawFrame(last.language, last.raw + bytes.fromhex(more[1]), int(more[2] or 0)))
        else:
            break
    return frames


def is_raw_frame(metric: str) -> bool:
    """Whether a name in a reading is that of a frame, and no metric's."""
    return metric == RAW_FRAME or metric.startswith(f"{RAW_FRAME}.")


def without_frames(evidence: Mapping[str, Value]) -> dict[str, Value]:
    """A transition's evidence without its frames and what is said of them."""
    return {
        name: value for name, value in evidence.items() if name != EVIDENCE_FRAME and not name.startswith(f"{EVIDENCE_FRAME}.")
    }
