"""A small town of real processes with terminals that report, for a test to hurt."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from fleet import fleet
from kills import Campaign, Plan, count_up

from edge_agent.status import ask

__all__ = ["GATEWAY", "SOME", "again", "caught_up", "heard", "town"]

GATEWAY = "gw-0"
SOME = 40
"""Reports answered: enough that several alarms are among them."""

_SOON_S = 45
"""So little is left at the end that a road which works has it through in some seconds, also on a busy machine."""


@contextlib.asynccontextmanager
async def town(
    folder: Path, *, gateways: int = 1, series: str = "", edge: str = "", reports: float = 60, lossless: bool = True
) -> AsyncIterator[Campaign]:
    """Programs that run and terminals that report; when it is left all is drained and ended, and the books must be right.

    `edge` is more of an agent's configuration. Without `lossless` readings may be missing that were declared lost.
    """
    async with fleet(folder, gateways, series=series, edge=edge) as ships:
        crew = Campaign(ships, Plan(kills=0, seed=0, gateways=gateways, reports=reports))
        async with crew.reporting():
            await heard(crew, SOME)
            yield crew
            await heard(crew, SOME)
            await crew.drain()
        await crew.end()
    await count_up(crew, ships, series, lossless=lossless)
    assert not crew.result.problems, crew.result.problems
    assert crew.result.drain_s < _SOON_S
    assert crew.result.books.readings_stored >= 2 * SOME
    assert crew.result.books.transitions_stored > 0


async def heard(crew: Campaign, more: int) -> None:
    """Returns when each relay has been answered so often again."""
    async with asyncio.timeout(60):
        for relay in crew.relays.values():
            wanted = relay.answered + more
            while relay.answered < wanted:
                await relay.next_answer()


async def again(crew: Campaign, *names: str) -> None:
    """Start what was killed."""
    for name in names:
        await crew.ships.start(name)
    for name in names:
        await crew.ships.answering(name)


async def caught_up(crew: Campaign) -> None:
    """Returns when the cloud has everything that was in the outbox at the beginning; meanwhile more comes."""
    folder = crew.ships.edge_folder(GATEWAY)
    wanted = {lane: account.next_seq - 1 for lane, account in (await ask(folder)).lanes.items()}
    async with asyncio.timeout(60):
        while True:
            lanes = (await ask(folder)).lanes
            if all(lanes[lane].cumulative >= last for lane, last in wanted.items()):
                return
            await asyncio.sleep(0.1)
