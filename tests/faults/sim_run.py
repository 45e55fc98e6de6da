"""Runs of the simulation, one for each seed: which faults there are is drawn, and so is when they come.

    python tests/faults/sim_run.py --seeds 1000 --from 1

The same seed gives the same run. A seed that breaks a promise is printed with what it broke.
"""

import argparse
import asyncio
import logging
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import msgspec
from sim_world import RESERVE_BYTES, BrokenPromiseError, World, opened

from edge_agent.config import OutboxLimits

__all__ = ["FAMILIES", "WORDS", "Verdict", "run"]


WORDS = (
    *("dropped", "doubled", "reordered", "forgotten", "unheard", "half-open", "line cut", "wiped", "taken over"),
    *("agent stopped", "agent killed", "power cut", "power cut in a commit", "disk rolled back", "cloned", "bits flipped"),
    *("disk full", "sync failed", "clock turned", "unreadable", "row refused", "new epoch"),
    *("cloud killed", "cloud restored", "series store away", "database away"),
    *("retransmissions", "snapshots", "parts", "refused_batches", "renewals", "rewinds", "disk_errors"),
    *("lost: outbox_full", "lost: corrupt", "lost: missing"),
)
"""What must have happened at least once in some hundred seeds: a fault that never comes proves nothing."""


class Verdict(msgspec.Struct):
    """What came of one seed; `broken` is empty where every promise was kept, else what was found by which `check`."""

    seed: int
    trace: str
    seen: dict[str, int]
    virtual_s: float
    promised: int
    check: str = ""
    broken: str = ""


def _rates(world: World, families: set[str]) -> None:
    """Faults of single messages."""
    chance, edge, cloud = world.chance, world.edge.line, world.cloud.line
    if "drops" in families:
        edge.drops, cloud.drops = chance.random() * 0.3, chance.random() * 0.3
    if "doubles" in families:
        edge.doubles, cloud.doubles = 0.2, 0.2
    if "reorders" in families:
        edge.reorders, cloud.reorders = 0.2, 0.2
    if "breaks" in families:
        edge.breaks = 0.03
    if "forgets" in families:
        world.broker.forgets = chance.random() * 0.3
    if "slow" in families:
        edge.delay_s, edge.jitter_s = 1.0, 1.0


def _clocks(world: World) -> None:
    """The time source goes, the clock jumps, and the source comes back some day."""
    if not world.edge.kernel.synced:
        world.lose_time_source(synced=True)
        return
    world.lose_time_source()
    world.turn_clock(world.chance.choice((-86_400.0, -3_600.0, -2.0, 2.0, 3_600.0, 400 * 86_400.0)))


_FAULTS: dict[str, Callable[[World], object]] = {
    "cuts": lambda world: world.cut_line(world.chance.expovariate(0.1)),
    "long cuts": lambda world: world.cut_line(400.0),
    "half-open": lambda world: world.silence_line(world.chance.expovariate(0.05)),
    "wipes": lambda world: world.wipe_broker(),
    "stops": lambda world: world.stop_agent(),
    "kills": lambda world: world.kill_agent(),
    "power": lambda world: world.cut_power(),
    "power within": lambda world: world.cut_power_within(world.chance.randint(1, 12)),
    "images": lambda world: world.keep_image() if world.chance.random() < 0.5 else world.roll_back(),
    "clones": lambda world: world.clone(),
    "rot": lambda world: world.rot(),
    "full": lambda world: world.fill_disk(world.chance.randrange(20_000)) if world.edge.disk.free is None else world.free_disk(),
    "syncs": lambda world: world.fail_syncs(),
    "clocks": _clocks,
    "cloud kills": lambda world: world.kill_cloud(world.chance.randrange(60), world.chance.expovariate(0.2)),
    "restores": lambda world: world.cloud.save() if world.chance.random() < 0.6 else world.restore_cloud(),
    "series away": lambda world: setattr(world.cloud.series, "away", not world.cloud.series.away),
    "database away": lambda world: world.lock_database(world.chance.random() < 0.5),
    "poison": lambda world: world.hear(1, poison=True),
    "unreadable": lambda world: world.hear_unreadable(),
    "strangers": lambda world: world.hear(1, stranger=True),
}
FAMILIES = ("drops", "doubles", "reorders", "breaks", "forgets", "slow", "small quota", "much", *_FAULTS)


async def _story(world: World, families: set[str]) -> None:
    chance = world.chance
    if "slow" in families:
        world.edge.rate_bits_s = 64_000
    world.cloud.start()
    world.edge.start()
    await asyncio.sleep(1.0)
    _rates(world, families)
    most = 100 if "much" in families else 20
    faults = [name for name in _FAULTS if name in families]
    for _ in range(30):
        world.hear(chance.choice((0, 1, 3, most)))
        if chance.random() < 0.4:
            world.alarm()
        if faults and chance.random() < 0.5:
            _FAULTS[chance.choice(faults)](world)
        await asyncio.sleep(chance.expovariate(0.3))
        world.check()
    world.calm()
    await world.settle()
    world.judge()


def run(seed: int, only: Collection[str] = (), without: Collection[str] = ()) -> Verdict:
    """One seed: some of the fault families, chosen by it, or `only` those given; never those `without`."""
    chance = random.Random(f"families of {seed}")  # noqa: S311 - a simulation
    drawn = {name for name in FAMILIES if chance.random() < 0.3}
    families = (set(only) or drawn) - set(without)
    quota = {"max_bytes": chance.randint(4_000, 20_000)} if "small quota" in families else {}
    limits = OutboxLimits(reserve_bytes=RESERVE_BYTES, keep_bytes=chance.choice((2_000, 1 << 20)), **quota)
    check = broken = ""
    with opened(seed, limits) as world:
        try:
            world.loop.run_until_complete(_story(world, families))
        except BrokenPromiseError as error:
            check, broken = error.check, str(error)
        return Verdict(
            seed=seed,
            trace=world.trace(),
            seen={**dict.fromkeys(families, 0), **world.seen},
            virtual_s=world.loop.now,
            promised=len(world.model.promised),
            check=check,
            broken=broken,
        )


def _several(work: Callable[[int], Verdict], seeds: Iterable[int], jobs: int) -> Iterator[Verdict]:
    if jobs == 1:
        yield from map(work, seeds)
        return
    with ProcessPoolExecutor(jobs) as workers:
        yield from workers.map(work, seeds, chunksize=4)


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def main() -> int:
    """The command line: 1 where a promise was broken, or something that should have happened never did."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--from", type=int, default=1, dest="first")
    parser.add_argument("--only", default="", help="fault families, separated by commas; half of all of them otherwise")
    parser.add_argument("--without", default="", help="fault families to leave out, separated by commas")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--traces", action="store_true", help="print the fingerprint of each run")
    parser.add_argument("--loud", action="store_true", help="show what the product logs")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO if arguments.loud else logging.CRITICAL)
    work = partial(run, only=_names(arguments.only), without=_names(arguments.without))
    began, seen, failed, virtual_s, promised = time.perf_counter(), Counter[str](), 0, 0.0, 0
    for verdict in _several(work, range(arguments.first, arguments.first + arguments.seeds), arguments.jobs):
        seen.update(verdict.seen)
        virtual_s += verdict.virtual_s
        promised += verdict.promised
        if arguments.traces:
            print(f"seed {verdict.seed}: {verdict.trace}")  # noqa: T201
        if verdict.broken:
            failed += 1
            print(f"seed {verdict.seed}: {verdict.broken}\n    with {', '.join(sorted(verdict.seen))}")  # noqa: T201
    took = time.perf_counter() - began
    never = sorted(set(WORDS) - set(seen)) if not (arguments.only or arguments.without) else []
    print(", ".join(f"{name} {count}" for name, count in sorted(seen.items()) if count))  # noqa: T201
    print(f"never happened: {', '.join(never) or 'nothing'}")  # noqa: T201
    print(  # noqa: T201
        f"{arguments.seeds} seeds, {failed} broken; {promised} records promised in {virtual_s / 3600:.1f} virtual hours, "
        f"{took / arguments.seeds:.3f} s a seed"
    )
    return 1 if failed or never else 0


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of sets of strings would be another one in each process.
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "PYTHONHASHSEED": "0"})  # noqa: S606
    sys.exit(main())
