"""What the steps of one log amount to: the states each step leads between, and the current rows. Nothing here writes.

Steps are rows of `transitions`. A log with steps of the process axis is an occurrence and has a row of `alarms`; a log
that bears the id of an alarm itself, `device/rule`, and has steps of the suppression axis has a row of `suppressions`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from telemetry.alarm_states import LINK, SUPPRESSING, Shelf, Standing, Suppression, alarm_id, next_standing
from telemetry.raw_frames import without_frames
from telemetry.records import Cause

__all__ = ["REVIEW", "UNTIL", "alarm_row", "hidden", "ordered", "settled", "suppression_row"]

Row = Mapping[str, Any]

UNTIL: Final = "until_ns"
"""The entry in the evidence of SHELVE and SHELVE_ONCE that says when the shelf ends."""
REVIEW: Final = "review_ns"
"""The entry in the evidence of OUT_OF_SERVICE that says when somebody looks at it again."""

_SUPPRESSING: Final = frozenset(cause.value for cause in SUPPRESSING)
_SHELVES: Final = (Cause.SHELVE, Cause.SHELVE_ONCE)


def ordered(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """In the order in which `telemetry.alarm_states.stand` goes through them."""
    return sorted(rows, key=lambda row: (row["event_time_ns"], row["origin"], row["n"]))


def settled(steps: Sequence[Row]) -> tuple[Standing, list[tuple[str, str]]]:
    """Where the steps, in order, lead in the end, and the words (before, after) of what is shown for each of them."""
    standing = Standing()
    words = []
    for row in steps:
        before, standing = standing, _after(standing, row)
        words.append((before.shown.value, standing.shown.value))
    return standing, words


def alarm_row(steps: Sequence[Row], standing: Standing) -> dict[str, Any] | None:
    """The row of `alarms`, without its case, that all steps of a log, in order, amount to; None where it is no occurrence."""
    if all(row["cause"] in _SUPPRESSING for row in steps):
        return None
    raises = [row for row in steps if row["cause"] == Cause.RAISE.value]
    shown = raises[-1] if raises else steps[0]
    ranked = _last(steps, Cause.RAISE, Cause.PRIORITY_RAISED, Cause.PRIORITY_LOWERED) or steps[-1]
    returned = _last(steps, Cause.RETURN, Cause.RETURN_LATCHED, Cause.RAISE)
    acknowledged = _last(steps, Cause.ACKNOWLEDGE)
    doubt = _last(steps, Cause.BECAME_UNCERTAIN, Cause.BECAME_CERTAIN)
    return {
        **_named(shown),
        "priority": ranked["priority"],
        "state": standing.process.value,
        "uncertain": doubt is not None and doubt["cause"] == Cause.BECAME_UNCERTAIN.value,
        "raised_ns": (raises[0] if raises else steps[0])["event_time_ns"],
        "raises": len(raises),
        "returned_ns": returned["event_time_ns"] if returned and returned["cause"] != Cause.RAISE.value else None,
        "acknowledged_ns": acknowledged["event_time_ns"] if acknowledged else None,
        "acknowledged_by": acknowledged["actor"] if acknowledged else "",
        "evidence": without_frames(shown["evidence"]),
    }


def suppression_row(steps: Sequence[Row], standing: Standing) -> dict[str, Any] | None:
    """The row of `suppressions` that all steps of an alarm's own log, in order, amount to; None where the log is another."""
    first = steps[0]
    if first["alarm"] != alarm_id(first["device"], first["rule"]):
        return None
    suppressing = [row for row in steps if row["cause"] in _SUPPRESSING]
    if not suppressing:
        return None
    shelved = _last(steps, *_SHELVES) if standing.shelf is not Shelf.UNSHELVED else None
    out = _last(steps, Cause.OUT_OF_SERVICE) if standing.out_of_service else None
    return {
        **_named(suppressing[-1]),
        "shown": next((why.value for why in Suppression if why in standing.suppression), ""),
        "changed_ns": suppressing[-1]["event_time_ns"],
        "shelf": standing.shelf.value,
        "shelved_ns": shelved["event_time_ns"] if shelved else None,
        "shelved_until_ns": _moment(shelved, UNTIL),
        "shelved_by": shelved["actor"] if shelved else "",
        "shelf_reason": shelved["note"] if shelved else "",
        "by_design": bool(standing.suppressed_by),
        "suppressed_by": sorted(standing.suppressed_by),
        "out_of_service": standing.out_of_service,
        "out_ns": out["event_time_ns"] if out else None,
        "review_ns": _moment(out, REVIEW),
        "out_by": out["actor"] if out else "",
        "out_reason": out["note"] if out else "",
    }


def hidden(steps: Sequence[Row], since_ns: int, until_ns: int) -> bool:
    """Whether an alarm with these steps of its own log, in order, was suppressed the whole time from `since_ns` to `until_ns`."""
    standing = Standing()
    for row in steps:
        if row["event_time_ns"] > until_ns:
            break
        if row["event_time_ns"] > since_ns and not standing.suppression:
            return False
        standing = _after(standing, row)
    return bool(standing.suppression)


def _after(standing: Standing, row: Row) -> Standing:
    return next_standing(standing, Cause(row["cause"]), str(row["evidence"].get(LINK, "")))


def _named(row: Row) -> dict[str, Any]:
    same = ("device", "rule", "profile", "profile_version", "priority")
    return {"id": row["alarm"], **{name: row[name] for name in same}}


def _moment(row: Row | None, name: str) -> int | None:
    """A time in the evidence of a step; None where it holds none that a column can hold."""
    value = row["evidence"].get(name) if row else None
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**63 else None


def _last(steps: Sequence[Row], *causes: Cause) -> Row | None:
    words = {cause.value for cause in causes}
    return next((row for row in reversed(steps) if row["cause"] in words), None)
