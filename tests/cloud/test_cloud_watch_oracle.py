"""Whatever happens to gateways, devices, the broker and the cloud: the watch says what a slow look at everything says."""

import asyncio
import shutil
import tempfile
from pathlib import Path

from cloud_watch_city import CATALOG, T0, City, S, device_row, gateway_row
from cloud_watch_oracle import GRACE, LEFT, QUIET, Oracle
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cloud.relational.engine import make_engine
from cloud.watch.config import GatewayWatch, SilenceWatch, WatchRules
from cloud.watch.limits import silent_after_s
from cloud.watch.names import GATEWAY, SILENT

HALF_MINUTE = 30
PROFILES = {"a1": "lamp_loop", "a2": "lamp_loop", "a3": "toilet_counter_mqtt", "b1": "lamp_loop", "b2": "toilet_counter_mqtt"}
DEVICES = {name: (f"gw-{name[0]}", round(silent_after_s(CATALOG[profile])) // HALF_MINUTE) for name, profile in PROFILES.items()}
RULES = WatchRules(
    silence=SilenceWatch(grace_s=GRACE * HALF_MINUTE),
    gateway=GatewayWatch(offline_after_s=LEFT * HALF_MINUTE, silent_after_s=QUIET * HALF_MINUTE),
)
GATEWAYS = ("gw-a", "gw-b")

Move = tuple[int, tuple[str, ...], str]
"""So many half minutes pass; these are heard, those after a - leave; and then this happens to the cloud."""

_SAID = st.lists(st.sampled_from([*GATEWAYS, *GATEWAYS, *PROFILES, "-gw-a", "-gw-b"]), max_size=5, unique=True).map(tuple)
_HAPPENS = st.sampled_from(["tick"] * 12 + ["restart", "down", "up", "nothing"])
_STORIES = st.lists(st.tuples(st.sampled_from([1, 2, 3, 3, 4, 5, 8, 30]), _SAID, _HAPPENS), min_size=1, max_size=30)
_TICK = (4, (), "tick")
_ALIVE = [(4, (*GATEWAYS, *PROFILES), "tick")] * 4
_LEFT = [(1, ("-gw-a",), "tick"), (4, ("gw-b",), "tick"), *[_TICK] * 4]
_BACK = (2, ("gw-a",), "tick")
_THEN = [(5, GATEWAYS, "tick")] * 9
_EXAMPLES = {
    "a restart while a gateway is silent": [*_ALIVE, _BACK, *[_TICK] * 6, (4, (), "restart"), *[(4, ("gw-b",), "tick")] * 6],
    "one gateway is there from the beginning, the other is not": [*[(4, ("gw-a",), "tick")] * 12, *_THEN],
    "a gateway is gone and comes back": [*_ALIVE, *_LEFT, _BACK, *_THEN],
    "a gateway comes back and is gone again": [*_ALIVE, *_LEFT, _BACK, *_LEFT, _BACK, *_THEN],
    "the broker is away for an hour": [*_ALIVE, (4, (), "down"), *[_TICK] * 30, (4, (), "up"), *_ALIVE, *_THEN],
}


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(story=_STORIES)
@example(story=_EXAMPLES["a restart while a gateway is silent"])
@example(story=_EXAMPLES["one gateway is there from the beginning, the other is not"])
@example(story=_EXAMPLES["a gateway is gone and comes back"])
@example(story=_EXAMPLES["a gateway comes back and is gone again"])
@example(story=_EXAMPLES["the broker is away for an hour"])
def test_the_watch_says_what_a_slow_look_says(migrated_file: Path, story: list[Move]) -> None:
    oracle, seen = Oracle(DEVICES), []
    now = 0
    for wait, said, happens in story:
        now += wait
        for name in said:
            oracle.leave(now, name[1:]) if name.startswith("-") else oracle.hear(now, name)
        match happens:
            case "tick":
                oracle.tick(now)
            case "restart":
                oracle.restart()
            case "down" | "up":
                oracle.link(now, up=happens == "up")
        silent = sorted(name for name, holds in oracle.silent.items() if holds)
        seen.append((silent, sorted(oracle.gone), list(oracle.told)))
    assert asyncio.run(_lived(migrated_file, story)) == seen


async def _lived(migrated_file: Path, story: list[Move]) -> list[tuple[list[str], list[str], list[str]]]:
    with tempfile.TemporaryDirectory() as folder:
        engine = make_engine(f"sqlite+aiosqlite:///{shutil.copy(migrated_file, folder)}")
        try:
            return await _live(City(engine, RULES), story)
        finally:
            await engine.dispose()


async def _live(city: City, story: list[Move]) -> list[tuple[list[str], list[str], list[str]]]:
    rows = [device_row(name, DEVICES[name][0], profile, last_reading_ns=T0) for name, profile in PROFILES.items()]
    await city.build([gateway_row(name) for name in GATEWAYS], rows)
    seen, at_s = [], 0
    for wait, said, happens in story:
        at_s += wait * HALF_MINUTE
        await city.hear(at_s, *(name for name in said if name in PROFILES))
        for name in said:
            if name not in PROFILES:
                await city.report(at_s, name.removeprefix("-"), online=not name.startswith("-"))
        match happens:
            case "tick":
                await city.tick(at_s)
            case "restart":
                city.restart()
            case "down" | "up":
                city.watch.link(up=happens == "up", now_ns=T0 + at_s * S)
        seen.append((await city.active(SILENT), await city.active(GATEWAY), list(city.told)))
    return seen
