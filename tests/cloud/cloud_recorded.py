"""A day of a muck truck, judged live by the gateway's own pipeline, and what the cloud stored of it."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from cloud_records import T0, S

from cloud.series.duckdb_store import DuckStore
from cloud.trial.rule import read_rule
from device_profiles.model import AlarmRule, Profile, Reporting
from device_profiles.shelf import load_catalog
from edge_agent.alarms.engine import judge_silence
from edge_agent.alarms.zones import Circle, Zone
from edge_agent.heard import Heard
from edge_agent.pipeline import Memory, Work, process
from firmware_bridge.values import Decoded
from telemetry.records import Reading, Transition, Value
from telemetry.wire import group_readings

__all__ = ["PLACES", "TRUCK", "Day", "edited", "record_day", "stored"]

PLACES: Mapping[str, Zone] = {"works": Circle((121.5, 31.2), 2_000)}

_TEXTS = 'title: {zh: "无", en: "none"}, cause: {zh: "无", en: "none"}, consequence: {zh: "无", en: "none"}'
_MEANING = f'{_TEXTS}, response: {{zh: "无", en: "none"}}, priority: low'

_EXTRA = f"""
alarms:
  fast_mean: {{when: {{mean: speed_kmh, over_s: 600, more_than: 40, deadband: 5}}, on_delay_s: 60, {_MEANING}}}
  fast_often: {{when: {{n_of_m: {{above: speed_kmh, limit: 50}}, n: 3, m: 5}}, off_delay_s: 60, {_MEANING}}}
  heavy: {{when: {{above: payload_t, limit: 10, deadband: 1}}, levels: {{high: 14, critical: 18}}, {_MEANING}}}
  fuel_theft: {{when: {{fall: fuel_l, over_s: 900, more_than: 10, per: hour}}, latch: true, {_MEANING}}}
  in_works: {{when: {{inside: works, dwell_s: 120, deadband_m: 50}}, {_MEANING}}}
  fast_in_works: {{when: {{speed_over_kmh: 30, in_zone: works, deadband: 3}}, on_delay_s: 30, {_MEANING}}}
  odd: {{when: {{any: [{{not: {{equals: lid_open, value: false}}}}, {{below: fuel_l, limit: 50}}]}}, on_delay_s: 90, {_MEANING}}}
"""


def edited(text: str, profile: Profile) -> AlarmRule:
    """The rule of one line of `alarms:`, with meanings of no meaning."""
    return read_rule(f"alarms:\n  {text.replace('MEANING', _MEANING)}\n", profile)


def _truck() -> Profile:
    truck = load_catalog()["vehicle_muck_truck"]
    lines = [line.strip() for line in _EXTRA.splitlines() if "when" in line]
    more = {rule.name: rule for rule in (edited(line, truck) for line in lines)}
    return msgspec.structs.replace(truck, alarms={**truck.alarms, **more})


TRUCK = _truck()


class Day(msgspec.Struct, frozen=True):
    """What was sent, what the gateway's log has, and when it ended."""

    profile: Profile
    readings: Sequence[Reading]
    log: Sequence[Transition]
    end_ns: int


def record_day(seed: int, lateness_s: float = 0.0, hours: float = 24) -> Day:
    """A message every two minutes or so, some of a part only, some false, with pauses; late ones in whatever order they come."""
    chance = random.Random(seed)  # noqa: S311 - a day, not a secret
    profile = TRUCK
    if lateness_s:
        profile = msgspec.structs.replace(TRUCK, reporting=Reporting(interval_s=30, lateness_s=lateness_s))
    said = _messages(chance, round(hours * 30))
    came = sorted(said, key=lambda each: each[0] + chance.uniform(0, max(0.0, lateness_s - 1)) * S)
    memory, sent, log, newest_ns = Memory(), [], [], 0
    for time_ns, values in came:
        newest_ns = max(newest_ns, time_ns)
        heard = Heard(
            device="truck-1", profile=profile, received_ns=newest_ns + S, decoded=Decoded(values=values, time_ns=time_ns)
        )
        work = process(Work(heard=heard, memory=memory, zones=PLACES))
        memory = work.memory
        log += work.transitions
        if work.reading is not None and work.send:
            sent.append(work.reading)
    end_ns = newest_ns + 600 * S
    log += judge_silence(profile, memory.alarms, "truck-1", 600, end_ns, zones=PLACES).transitions
    return Day(profile, sent, log, end_ns)


def _messages(chance: random.Random, count: int) -> "Sequence[tuple[int, dict[str, Value]]]":
    said: list[tuple[int, dict[str, Value]]] = []
    time_ns, speed, fuel, load, east = T0, 30.0, 200.0, 9.0, 0.0
    flags = dict.fromkeys(("lid_open", "body_lifted", "off_route", "sos", "area_crossed", "area_left"), False)
    for _ in range(count):
        time_ns += (round(chance.uniform(5, 200)) if chance.random() > 0.01 else 2_400) * S
        speed = min(95.0, max(0.0, speed + chance.uniform(-15, 15)))
        fuel = max(0.0, fuel - chance.choice((0.0, 0.1, 0.1, 8.0)))
        load = min(25.0, max(0.0, load + chance.uniform(-2, 2)))
        east += chance.uniform(-0.006, 0.006)
        for name in flags:
            if chance.random() < 0.04:
                flags[name] = not flags[name]
        values: dict[str, Value] = {
            "longitude_deg": 121.5 + east, "latitude_deg": 31.2, "speed_kmh": speed, "fuel_l": fuel, "payload_t": load,
            "position_fixed": chance.random() > 0.05, "load_state": chance.choice(("empty", "full")), **flags,
        }  # fmt: skip
        for name in chance.sample(sorted(values), chance.choice((0, 0, 1, 5))):
            # Left out, beyond its range, or told to be nothing.
            match chance.randrange(3):
                case 0:
                    del values[name]
                case 1 if name in {"payload_t", "speed_kmh"}:
                    values[name] = -1e6
                case _:
                    values[name] = None
        said.append((time_ns, values))
    return said


async def stored(folder: Path, readings: Sequence[Reading]) -> DuckStore:
    """A store with them, open."""
    store = DuckStore(folder / "series.duckdb")
    await store.open()
    for start in range(0, len(readings), 500):
        assert await store.write([group_readings("gw-1", "e1", 1 + start, readings[start : start + 500])]) == []
    return store
