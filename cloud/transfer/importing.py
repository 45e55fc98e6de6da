"""Values from a file into a store, as back-fill: portion by portion, each on disk before the next, again harmless.

The account of where it is lies beside the file (`FILE.import-state`) until the end. A portion that was written and not yet
noted when the power went is written again, which changes nothing.
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from cloud.series.store import SeriesStore, StoreUnavailable
from cloud.transfer.rows import reading_of
from cloud.transfer.sources import Numbered, Source, fingerprint
from cloud.transfer.state import load_state, save_state
from telemetry.wire import group_readings

__all__ = ["Imported", "Refusal", "import_file"]

_PORTION: Final = 5_000
_MOST_TOLD: Final = 50
_TRIES: Final = 6


class Refusal(msgspec.Struct, frozen=True):
    """A row that was not taken, by its number in the file."""

    line: int
    reason: str
    detail: str


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the rows of a file; `resumed` of them were done by runs before this one. `told` are the first refusals."""

    rows: int = 0
    stored: int = 0
    refused: int = 0
    resumed: int = 0
    reasons: dict[str, int] = {}
    told: list[Refusal] = []


class _State(msgspec.Struct, frozen=True):
    file: str
    target: str
    place: int
    number: int
    so_far: Imported


async def import_file(
    store: SeriesStore | None,
    source: Source,
    path: Path,
    target: str,
    tell: Callable[[int, Imported], None] = lambda _place, _so_far: None,
    *,
    rest_s: float = 1.0,
) -> Imported:
    """Write every sound row of `path` to the store, from where a former run to the same `target` was stopped.

    Without a store nothing is written, only checked. `tell` hears (place in the file, so far). StoreUnavailable once the store
    has been away for six tries with rests that double: run it again later.
    """
    beside = path.with_name(path.name + ".import-state")
    file = await asyncio.to_thread(fingerprint, path)
    state = load_state(beside, _State) if store is not None else None
    if state is None or (state.file, state.target) != (file, target):
        state = _State(file, target, 0, 0, Imported())
    so_far = msgspec.structs.replace(state.so_far, resumed=state.so_far.rows)
    for portion in source.portions(state.place, state.number, _PORTION):
        refused = [Refusal(each.number, each.fault.reason.value, each.fault.detail) for each in portion.rows if each.fault]
        if store is not None:
            refused += await _store(store, [each for each in portion.rows if each.row is not None], rest_s)
        so_far = _added(so_far, len(portion.rows), sorted(refused, key=lambda refusal: refusal.line))
        if store is not None:
            save_state(beside, _State(file, target, portion.place, portion.number, so_far))
        tell(portion.place, so_far)
        await asyncio.sleep(0)  # where Ctrl-C is heard
    if store is not None:
        beside.unlink(missing_ok=True)
    return so_far


async def _store(store: SeriesStore, rows: Sequence[Numbered], rest_s: float) -> list[Refusal]:
    """Write rows; those that the store will never take come back."""
    if not rows:
        return []
    batch = group_readings("import", "import", 1, [reading_of(each.row) for each in rows if each.row is not None])
    for tried in range(1, _TRIES + 1):
        try:
            refused = await store.write([batch])
        except StoreUnavailable as error:
            if tried == _TRIES:
                raise
            await asyncio.sleep(max(error.rest_s, rest_s * 2 ** (tried - 1)))
        else:
            return [Refusal(rows[row.seq - 1].number, row.reason.value, row.detail) for row in refused]
    raise AssertionError("the last try returns or raises")


def _added(so_far: Imported, rows: int, refused: Sequence[Refusal]) -> Imported:
    reasons = dict(so_far.reasons)
    for refusal in refused:
        reasons[refusal.reason] = reasons.get(refusal.reason, 0) + 1
    return Imported(
        rows=so_far.rows + rows,
        stored=so_far.stored + rows - len(refused),
        refused=so_far.refused + len(refused),
        resumed=so_far.resumed,
        reasons=reasons,
        told=[*so_far.told, *refused][:_MOST_TOLD],
    )
