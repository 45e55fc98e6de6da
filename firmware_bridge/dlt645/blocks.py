"""Which identifiers a meter answers together, when FF stands where they differ (DL/T 645-2007, annex A)."""

from collections.abc import Iterable

from firmware_bridge.dlt645.items import find

__all__ = ["block_of", "members", "plan"]

_STATUS_WORDS = "040005FF"


def block_of(data_id: str) -> str | None:
    """The identifier of the block that holds `data_id`, None for one that is read alone.

    Tariffs of an energy or a demand, phases of a variable, and the status words.
    """
    if len(data_id) != 8:
        return None
    if data_id.startswith("040005"):
        return _STATUS_WORDS
    block = f"{data_id[:4]}FF{data_id[6:]}"
    item = find(block) if data_id[:2] in {"00", "01", "02"} else None
    return None if item is None or item.labels is None else block


def members(data_id: str) -> tuple[str, ...]:
    """The single identifiers whose data follow one another in the answer to `data_id`: itself, where it is no block."""
    if data_id == _STATUS_WORDS:
        return tuple(f"{0x04000500 + number:08X}" for number in range(1, 8))
    item = find(data_id)
    if item is None or item.labels is None or len(data_id) != 8:
        return (data_id,)
    # The settlement days of an energy differ in DI0; its tariffs, and the phases of a variable, in DI1.
    at = 6 if data_id.endswith("FF") else 4
    first = 0 if data_id[:2] != "02" or find(f"{data_id[:4]}0000") is not None else 1
    return tuple(f"{data_id[:at]}{number:02X}{data_id[at + 2 :]}" for number in range(first, first + len(item.labels)))


def plan(data_ids: Iterable[str], single: Iterable[str] = ()) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The fewest questions for `data_ids`: (identifier to ask for, those of `data_ids` that it brings), in their order.

    A block is asked for where it brings at least two; those in `single` never.
    """
    wanted: dict[str, list[str]] = {}
    for data_id in dict.fromkeys(data_ids):
        block = block_of(data_id)
        wanted.setdefault(data_id if block is None or block in single else block, []).append(data_id)
    return tuple((asked if len(brought) > 1 else brought[0], tuple(brought)) for asked, brought in wanted.items())
