"""Everything that is known of one case as one document that can be signed: nothing in it depends on who asks, and all that
depends on when is told by `as_of`."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.relational.chunks import chunks
from cloud.relational.tables import evidence, transitions

__all__ = ["FORMAT", "bundle", "photos_of", "sha256_of", "transitions_of"]

FORMAT: Final = "citynerve.case/1"

_APART: Final = ("steps", "clocks", "alarms", "notifications", "may")
_FLEETING: Final = ("age_s",)


def bundle(
    detail: Mapping[str, Any],
    *,
    as_of: str,
    logs: Mapping[str, Sequence[Mapping[str, Any]]],
    evidence_of: Sequence[Mapping[str, Any]],
    photos: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """The document of a case: `detail` as the API shows it, `logs` the transitions of each alarm, `evidence_of` what each
    alarm rests on. Numbers that JSON has no form for become null."""
    alarms = [{**_lasting(alarm), "transitions": list(logs.get(alarm["id"], ()))} for alarm in detail["alarms"]]
    whole = {
        "format": FORMAT,
        "as_of": as_of,
        "case": _lasting({name: value for name, value in detail.items() if name not in _APART}),
        "steps": detail["steps"],
        "clocks": detail["clocks"],
        "alarms": alarms,
        "evidence": list(evidence_of),
        "notifications": detail["notifications"],
        "photos": list(photos),
    }
    plain: dict[str, Any] = _plain(whole)
    return plain


async def transitions_of(conn: AsyncConnection, alarms: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of `transitions` of these alarms, in the order in which they were gone through."""
    rows: list[dict[str, Any]] = []
    for some in chunks(alarms):
        rows += [dict(row) for row in (await conn.execute(select(transitions).where(transitions.c.alarm.in_(some)))).mappings()]
    return sorted(rows, key=lambda row: (row["event_time_ns"], row["origin"], row["n"]))


async def photos_of(conn: AsyncConnection, steps: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What is known of each photo of these steps: its row of `evidence`, and the step that shows it."""
    shown = {photo: step["id"] for step in reversed(steps) for photo in step["photos"]}
    rows: dict[str, dict[str, Any]] = {}
    for some in chunks(list(shown)):
        found = (await conn.execute(select(evidence).where(evidence.c.id.in_(some)))).mappings()
        rows |= {row["id"]: dict(row) for row in found}
    return [{**rows[photo], "step": shown[photo]} for photo in sorted(rows, key=lambda photo: (shown[photo], photo))]


def sha256_of(path: Path) -> str | None:
    """The SHA-256 of a file's bytes as they are now; None where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _lasting(shown: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in shown.items() if name not in _FLEETING}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    # A count of a device may be larger than a double holds: its digits stay.
    return str(value) if isinstance(value, int) and abs(value) >= 2**53 else value
