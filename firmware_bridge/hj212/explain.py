"""An HJ 212 frame field by field, each with the offset of its first byte."""

from collections.abc import Iterator

from firmware_bridge.cursor import Shown
from firmware_bridge.errors import ParseError
from firmware_bridge.hj212.factors import factor
from firmware_bridge.hj212.frames import Frame, parse_frame
from firmware_bridge.hj212.segment import ANSWER_WANTED, PACKETS, STANDARDS, Item, parse_segment
from firmware_bridge.hj212.tables import (
    COMMANDS,
    DATA_FLAGS,
    EQUIPMENT_STATES,
    EXECUTION_CODES,
    REQUEST_CODES,
    SYSTEMS,
    Meaning,
)

__all__ = ["explain"]

_MEASURED = frozenset({"Rtd", "Min", "Avg", "Max", "ZsRtd", "ZsMin", "ZsAvg", "ZsMax", "Data", "DayData", "NightData", "Info"})

_AMBIENT_AIR = "22"
"""Its stations plainly send gases in other units than the annex's mg/m3 (NO2 of 112 in a frame), so none is told."""


def explain(raw: bytes) -> list[Shown]:
    """Every field of the frame in `raw`; ParseError where it is no frame."""
    frame = parse_frame(raw)
    declared = f"{frame.declared_length} bytes" + ("" if frame.length_ok else f", but {len(frame.segment)} are there")
    return [
        Shown("start", 0, 2, "##"),
        Shown("length", 2, frame.segment_at - 2, declared),
        *_segment(frame),
        Shown("crc", frame.segment_at + len(frame.segment), 4, f"{frame.crc} right"),
    ]


def _segment(frame: Frame) -> Iterator[Shown]:
    try:
        packet = parse_segment(frame.segment)
    except ParseError as error:
        yield Shown("refused", frame.segment_at, len(frame.segment), f"{error.reason}: {error.detail}")
        return
    for item in packet.header:
        yield _shown(frame, item, _header_value(item))
    for item in packet.items:
        yield _shown(frame, item, _item_value(item, packet.st))


def _shown(frame: Frame, item: Item, value: str) -> Shown:
    return Shown(item.name, frame.segment_at + item.at, item.size, value)


def _header_value(item: Item) -> str:
    match item.name:
        case "CN":
            command = COMMANDS.get(item.value)
            return item.value if command is None else f"{item.value} {command.en} ({command.zh})"
        case "ST":
            return _meant(item.value, SYSTEMS.get(item.value))
        case "Flag":
            return _flag_value(item.value)
        case _:
            return item.value


def _flag_value(text: str) -> str:
    if not (text.isascii() and text.isdigit() and len(text) <= 3):
        return text
    flag = int(text)
    parts = [STANDARDS.get(flag >> 2, f"version {flag >> 2}")]
    parts += ["answer wanted"] if flag & ANSWER_WANTED else []
    parts += ["packet numbers"] if flag & PACKETS else []
    return f"{text} {', '.join(parts)}"


def _item_value(item: Item, system: str) -> str:
    code, dash, kind = item.name.rpartition("-")
    if not dash:
        return _meant(item.value, _returned(item))
    if kind == "Flag":
        return _meant(item.value, DATA_FLAGS.get(item.value))
    if kind == "RS":
        return _meant(item.value, EQUIPMENT_STATES.get(int(item.value)) if _is_code(item.value) else None)
    known = factor(code)
    if known is None:
        return item.value
    unit = known.total_unit if kind == "Cou" else known.unit if kind in _MEASURED else None
    told = unit not in {None, "1"} and not (system == _AMBIENT_AIR and unit == "mg/m3")
    measured = f"{item.value} {unit}" if told else item.value
    return f"{measured}  {known.en} ({known.zh})"


def _returned(item: Item) -> Meaning | None:
    if not _is_code(item.value):
        return None
    tables = {"QnRtn": REQUEST_CODES, "ExeRtn": EXECUTION_CODES}
    return tables.get(item.name, {}).get(int(item.value))


def _is_code(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 4


def _meant(text: str, meaning: Meaning | None) -> str:
    return text if meaning is None else f"{text} {meaning.en} ({meaning.zh})"
