"""The lines that the series store would not take, newest first."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from cloud.api.common import Given, PageQuery
from cloud.api.cursors import Whole, next_cursor, read_cursor
from cloud.api.problems import describe
from cloud.api.schemas import Answer, example
from cloud.api.times import iso
from cloud.series.dead_letters import Letter, LetterPage

__all__ = ["router"]

router = APIRouter(tags=["system"])

_LETTER = {
    "n": 4711,
    "time": "2026-11-20T14:00:00.123Z",
    "gateway": "gw-1",
    "epoch": "e1",
    "seq": 107,
    "reason": "wrong_type",
    "detail": 'partial write: field type conflict: input field "level_cm" on measurement "reading" is type string, ...',
    "line": 'reading,device=cover-1 level_cm="seven" 1760000007000000000',
}


class DeadLetter(Answer):
    """One line as it was sent; `detail` is the server's words, `seq` the reading's number in its gateway's epoch."""

    n: int
    time: str
    gateway: str
    epoch: str
    seq: int
    reason: str
    detail: str
    line: str


class DeadLetterPage(Answer):
    """`written` counts every letter there ever was, `forgotten` those that made room for newer ones."""

    model_config = example(items=[_LETTER], next="WzQ3MTFd", written=4711, forgotten=0)
    items: list[DeadLetter]
    next: str | None
    written: int = Field(description="letters since the folder was made")
    forgotten: int = Field(description="letters that are not kept any more")


@router.get(
    "/dead-letters",
    summary="Lines that the series store refused",
    response_model=DeadLetterPage,
    responses=describe(422),
)
async def list_dead_letters(given: Given, query: Annotated[PageQuery, Query()]) -> dict[str, Any]:
    """Newest first. The readings of these lines are in their gateway's account as quarantined."""
    key = read_cursor(query.cursor, tuple[Whole])
    letters = given.letters
    page = LetterPage([], None, 0, 0)
    if letters is not None:
        page = await asyncio.to_thread(letters.page, key[0] if key else None, query.limit)
    return {
        "items": [_shown(letter) for letter in page.items],
        "next": None if page.next is None else next_cursor(page.next),
        "written": page.written,
        "forgotten": page.forgotten,
    }


def _shown(letter: Letter) -> dict[str, Any]:
    same = ("n", "gateway", "epoch", "seq", "detail", "line")
    return {**{name: getattr(letter, name) for name in same}, "time": iso(letter.at_ns), "reason": letter.reason.value}
