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
from collections.abc import Callable

import msgspec
from sim_world import BrokenPromiseError, World, opened

from edge_agent.config import OutboxLimits

__all__ = ["Verdict", "run"]


class Verdict(msgspec.Struct):
    """What came of one seed; `broken` is None where every promise was kept."""

    seed: int
    trace: str
    seen: dict[str, int]
    virtual_s: float
    promised: int
    broken: BrokenPromiseError | None = None


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


_FAULTS: dict[str, Callable[[World], object]] = {
    "cuts": lambda world: world.cut_line(world.chance.expovariate(0.1)),
    "half-open": lambda world: world.silence_line(world.chance.expovariate(0.05)),
    "wipes": lambda world: world.wipe_broker(),
    "kills": lambda world: world.kill_agent(),
    "power": lambda world: world.cut_power(),
    "power within": lambda world: world.cut_power_within(world.chance.randint(1, 12)),
    "images": lambda world: world.keep_image() if world.chance.random() < 0.5 else world.roll_back(),
    "rot": lambda world: world.rot(),
    "full": lambda world: world.fill_disk(world.chance.randrange(20_000)) if world.disk.free is None else world.free_disk(),
    "syncs": lambda world: world.fail_syncs(),
    "cloud kills": lambda world: world.kill_cloud(world.chance.randrange(60), world.chance.expovariate(0.2)),
    "restores": lambda world: world.cloud.save() if world.chance.random() < 0.6 else world.restore_cloud(),
    "series away": lambda world: setattr(world.cloud.series, "away", not world.cloud.series.away),
    "poison": lambda world: world.hear(1, poison=True),
}
_ALL = ("drops", "doubles", "reorders", "breaks", "forgets", "slow", "small quota", *_FAULTS)


async def _story(world: World, families: set[str]) -> None:
    chance = world.chance
    world.cloud.start()
    world.edge.start()
    await asyncio.sleep(1.0)
    _rates(world, families)
    faults = [name for name in _FAULTS if name in families]
    for _ in range(30):
        world.hear(chance.choice((0, 1, 3, 10, 40)))
        if chance.random() < 0.4:
            world.alarm()
        if faults and chance.random() < 0.5:
            _FAULTS[chance.choice(faults)](world)
        await asyncio.sleep(chance.expovariate(0.3))
        world.check()
    world.calm()
    await world.settle()
    world.judge()


def run(seed: int, only: set[str] | None = None) -> Verdict:
    """One seed: half of the fault families, chosen by it, or `only` those given."""
    chance = random.Random(f"families of {seed}")  # noqa: S311 - a simulation
    families = {name for name in _ALL if chance.random() < 0.35} if only is None else only
    limits = OutboxLimits(max_bytes=chance.randint(4_000, 20_000)) if "small quota" in families else OutboxLimits()
    broken = None
    with opened(seed, limits) as world:
        try:
            world.loop.run_until_complete(_story(world, families))
        except BrokenPromiseError as error:
            broken = error
        if world.edge.counts.retransmissions:
            world.saw("retransmission")
        return Verdict(
            seed=seed,
            trace=world.trace(),
            seen={**dict.fromkeys(families, 0), **world.seen},
            virtual_s=world.loop.now,
            promised=len(world.model.promised),
            broken=broken,
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--from", type=int, default=1, dest="first")
    parser.add_argument("--only", default="", help="fault families, separated by commas")
    parser.add_argument("--loud", action="store_true", help="show what the product logs")
    parser.add_argument("--traces", action="store_true", help="print the fingerprint of each run")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO if arguments.loud else logging.CRITICAL)
    only = set(arguments.only.split(",")) if arguments.only else None
    began, seen, failed = time.perf_counter(), Counter[str](), 0
    virtual_s = 0.0
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        verdict = run(seed, only)
        seen.update(verdict.seen)
        virtual_s += verdict.virtual_s
        if arguments.traces:
            print(f"seed {seed}: {verdict.trace}")  # noqa: T201
        if verdict.broken is not None:
            failed += 1
            print(f"seed {seed}: {verdict.broken}")  # noqa: T201 - a command line
            print(f"    {', '.join(sorted(verdict.seen))}")  # noqa: T201
    took = time.perf_counter() - began
    print(  # noqa: T201
        f"{arguments.seeds} seeds, {failed} broken, {took / arguments.seeds:.3f} s a seed, {virtual_s / 3600:.1f} virtual hours"
    )
    print(", ".join(f"{name} {count}" for name, count in sorted(seen.items())))  # noqa: T201
    return 1 if failed else 0


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of sets of strings would be another one in each process.
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "PYTHONHASHSEED": "0"})  # noqa: S606
    sys.exit(main())
