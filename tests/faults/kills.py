"""Kill everything, all the time, and count afterwards: `python tests/faults/kills.py --kills 10000`.

Several gateways' agents, one broker and one cloud run as real processes while vehicle terminals report to the agents and
write down what they were told. At random moments one of the processes gets SIGKILL and is started again at once. When
the kills are done everything may drain, is ended decently, and then the books are compared: each reading and each alarm
that was answered must be in its final store once, and every account must balance. The exit status is 1 where they do not.
"""

import argparse
import asyncio
import contextlib
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
from fleet import BROKER, CLOUD, Fleet, fleet
from kills_books import Books, reckon
from kills_terminals import Relay

from edge_agent.status import ask
from telemetry.clock import SECOND_NS, SystemClock

__all__ = ["Campaign", "Plan", "Result", "campaign", "count_up"]

_DRAIN_S = 300.0
_TOGETHER = "all at once"
_AGENT = "agent"
_WHILE_STARTING = 0.25
"""The share of kills that may hit an agent which has not answered yet."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How many kills, of what: `rate` is kills a second, the shares are of a hundred kills, agents have the rest.

    `reports` is what each gateway's terminals send in a second.
    """

    kills: int
    seed: int
    gateways: int = 8
    rate: float = 6.0
    brokers: float = 2.0
    clouds: float = 2.0
    together: float = 0.3
    reports: float = 12.0


class Result(msgspec.Struct):
    """What a campaign did and what was found after it."""

    kills: Counter[str] = msgspec.field(default_factory=Counter)
    seconds: float = 0.0
    drain_s: float = 0.0
    recovery_s: dict[str, list[float]] = {}
    books: Books = msgspec.field(default_factory=Books)
    problems: list[str] = []


class Campaign:
    """The kills of one plan on a fleet that runs."""

    def __init__(self, ships: Fleet, plan: Plan, say: Callable[[str], None] = lambda _: None) -> None:
        self.ships = ships
        self._plan = plan
        self._say = say
        self._chance = random.Random(plan.seed)  # noqa: S311 - a campaign must be repeatable
        self._busy: set[str] = set()
        self._rising: set[str] = set()
        self._any_agent = False
        self._freed = asyncio.Event()
        self.result = Result()
        # Far enough back that no report is ever of the future, however many there will be.
        self.base_ns = (SystemClock().wall_ns() // SECOND_NS - 40 * 86_400) * SECOND_NS
        self.told = {name: ships.folder / f"{name}.told" for name in ships.gateways}
        self.relays = {name: self._relay(name) for name in ships.gateways}

    def _relay(self, gateway: str) -> Relay:
        phones = self.ships.phones(gateway)
        return Relay(self.ships.ports[gateway], phones, self.base_ns, self.told[gateway], self._plan.reports)

    async def run(self) -> None:
        """Kill as planned while the terminals report, then let everything drain and end it."""
        async with self.reporting():
            began = time.monotonic()
            async with asyncio.TaskGroup() as revivals:
                for number in range(1, self._plan.kills + 1):
                    await asyncio.sleep(self._chance.expovariate(self._plan.rate))
                    kind, names = await self._chosen()
                    revivals.create_task(self._strike(kind, names))
                    if number % 100 == 0:
                        self._say(self._progress(number, time.monotonic() - began))
            self.result.seconds = time.monotonic() - began
            await self.drain()
        await self.end()

    @contextlib.asynccontextmanager
    async def reporting(self) -> AsyncIterator[None]:
        """The terminals report for as long as the context lasts."""
        async with asyncio.TaskGroup() as devices:
            reporting = [devices.create_task(relay.run()) for relay in self.relays.values()]
            yield
            for task in reporting:
                task.cancel()

    async def drain(self) -> None:
        """No more news: every report is answered and every outbox is empty, in bounded time."""
        began = time.monotonic()
        for relay in self.relays.values():
            relay.hush()
        try:
            async with asyncio.timeout(_DRAIN_S):
                for name, relay in self.relays.items():
                    await relay.all_answered()
                    await drained(self.ships, name)
        except TimeoutError:
            self.result.problems.append(f"not drained within {_DRAIN_S} s")
        self.result.drain_s = time.monotonic() - began

    async def end(self) -> None:
        """Everything ends when it is asked to."""
        for name in (*self.ships.gateways, CLOUD):
            try:
                await self.ships.stop(name)
            except (RuntimeError, TimeoutError) as error:
                self.result.problems.append(f"{name}: {str(error) or 'did not end'}")

    async def _chosen(self) -> tuple[str, list[str]]:
        """What is killed next; waits while nobody is there to be killed."""
        kind = self._kind()
        # Most shall have come up before: on a slow machine nothing but starts would be killed.
        self._any_agent = self._chance.random() < _WHILE_STARTING
        while not (names := self._victims(kind)):
            self._freed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    await self._freed.wait()
            kind = _AGENT
        self._busy.update(names)
        return kind, names

    async def _strike(self, kind: str, names: list[str]) -> None:
        """One kill, and the start after it."""
        self.result.kills[kind] += 1
        struck = time.monotonic()
        await asyncio.gather(*(self.ships.kill(name) for name in names))
        await asyncio.gather(*(self.ships.start(name) for name in names))
        # From here on it may be killed again, also while it is still starting.
        self._busy.difference_update(names)
        self._rising.update(names)
        self._freed.set()
        await self._recovered(kind, names[0], struck)
        self._rising.difference_update(names)
        self._freed.set()

    def _victims(self, kind: str) -> list[str]:
        """Who is to be killed, of those who run."""
        agents = [name for name in self.ships.gateways if name not in self._busy]
        if kind == _AGENT:
            up = [name for name in agents if name not in self._rising]
            if not self._any_agent:
                agents = up if len(up) > len(self.ships.gateways) // 4 else []
            return [self._chance.choice(agents)] if agents else []
        names = [BROKER, CLOUD, *agents] if kind == _TOGETHER else [kind]
        return [name for name in names if name not in self._busy]

    def _kind(self) -> str:
        plan, drawn = self._plan, self._chance.uniform(0, 100)
        for kind, share in ((BROKER, plan.brokers), (CLOUD, plan.clouds), (_TOGETHER, plan.together)):
            if drawn < share:
                return kind
            drawn -= share
        return _AGENT

    async def _recovered(self, kind: str, name: str, struck: float) -> None:
        """Measure how long it took: an agent until its terminals are answered again, the others until they answer.

        One that is killed again meanwhile has not recovered: its time goes on.
        """
        if kind == _AGENT:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(30):
                    await self.relays[name].next_answer()
        else:
            await self.ships.answering(CLOUD if kind == _TOGETHER else name, 120)
        self.result.recovery_s.setdefault(kind, []).append(time.monotonic() - struck)

    def _progress(self, number: int, seconds: float) -> str:
        answered = sum(relay.answered for relay in self.relays.values())
        stored = sum(path.stat().st_size for path in self.ships.folder.rglob("*") if path.is_file()) >> 20
        crashes = len(self.ships.crashed)
        return f"{number} kills, {number / seconds:.1f}/s, {answered} reports answered, {stored} MiB on disk, {crashes} crashes"


async def campaign(folder: Path, plan: Plan, say: Callable[[str], None] = lambda _: None) -> Result:
    """Run a whole campaign in `folder` and compare the books."""
    async with fleet(folder, plan.gateways) as ships:
        crew = Campaign(ships, plan, say)
        await crew.run()
    await count_up(crew, ships)
    return crew.result


async def count_up(crew: Campaign, ships: Fleet, series: str = "", *, lossless: bool = True) -> None:
    """The books of a campaign whose programs have ended."""
    result = crew.result
    edges = {name: ships.edge_folder(name) for name in ships.gateways}
    result.books = await reckon(ships.cloud_folder, series, edges, crew.told, crew.base_ns, lossless=lossless)
    refused = [line for relay in crew.relays.values() for line in relay.refused]
    result.problems += [*result.books.problems, *refused[:20], *ships.crashed[:20]]


async def drained(ships: Fleet, gateway: str) -> None:
    """Returns when an agent says that the cloud has all it has; the caller says how long that may take."""
    while True:
        with contextlib.suppress(OSError, TimeoutError, msgspec.MsgspecError):
            status = await ask(ships.edge_folder(gateway))
            if all(lane.backlog == 0 for lane in status.lanes.values()):
                return
        await asyncio.sleep(0.05)


def told(result: Result, plan: Plan) -> str:
    """The result in words."""
    books = result.books
    count, of_kinds = result.kills.total(), ", ".join(f"{number} {kind}" for kind, number in result.kills.most_common())
    stored = f"readings: {books.readings_told} answered, {books.readings_stored} stored"
    alarms = f"alarms: {books.alarms_told} answered, {books.transitions_stored} transitions, {books.cases} cases"
    lines = [
        f"seed {plan.seed}: {count} kills in {result.seconds:.0f} s ({count / result.seconds:.1f}/s): {of_kinds}",
        f"{stored}; {alarms}; {books.epochs} epochs",
        f"drained in {result.drain_s:.1f} s",
    ]
    for kind, seconds in result.recovery_s.items():
        ordered = sorted(seconds)
        at = {share: ordered[min(len(ordered) - 1, len(ordered) * share // 100)] for share in (50, 95, 99)}
        lines.append(
            f"recovery of {kind}: p50 {at[50]:.2f} s, p95 {at[95]:.2f} s, p99 {at[99]:.2f} s, longest {ordered[-1]:.2f} s"
        )
    verdict = "nothing lost, nothing doubled, every account balances" if not result.problems else "FAILED"
    return "\n".join([*lines, *(f"problem: {problem}" for problem in result.problems), verdict])


def main() -> int:
    """The command line; 1 where anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=None, help="the campaign's chances; one that failed can be repeated")
    parser.add_argument("--gateways", type=int, default=8)
    parser.add_argument("--rate", type=float, default=6.0, help="kills a second")
    parser.add_argument("--keep", type=Path, default=None, help="a folder to work in, kept afterwards")
    given = parser.parse_args()
    seed = random.SystemRandom().randrange(2**32) if given.seed is None else given.seed
    plan = Plan(kills=given.kills, seed=seed, gateways=given.gateways, rate=given.rate)
    folder = given.keep or Path(tempfile.mkdtemp(prefix="citynerve-kills-"))
    folder.mkdir(parents=True, exist_ok=True)
    say(f"seed {seed}, {plan.gateways} gateways, in {folder}")
    result = asyncio.run(campaign(folder, plan, say))
    say(told(result, plan))
    if not result.problems and given.keep is None:
        shutil.rmtree(folder)
    return 1 if result.problems else 0


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
