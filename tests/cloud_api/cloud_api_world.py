"""A small city in real stores, and the API over it on a loopback port."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from citynerve.rule_engine import gateway_engine
from cloud.accounts.accounts import AccountPolicy
from cloud.accounts.passwords import Cost
from cloud.api.app import build_app
from cloud.api.server import listen, serve
from cloud.api.services import Services
from cloud.cases.desk import Desk
from cloud.console.serve import mount_console
from cloud.counts import CloudCounts
from cloud.dossier.signing import Signer
from cloud.evidence import EvidenceFolder
from cloud.feed import Feed
from cloud.notify.config import ChannelConfig, ChannelKind
from cloud.public import pages
from cloud.public.config import PublicConfig
from cloud.relational.engine import make_engine, writing
from cloud.relational.tables import (
    alarms,
    case_alarms,
    case_steps,
    cases,
    devices,
    gateways,
    lanes,
    losses,
    metadata,
    notifications,
    quarantine,
    refusals,
    transitions,
)
from cloud.series.duckdb_store import DuckStore
from device_profiles.shelf import load_catalog
from telemetry.clock import SECOND_NS, ManualClock
from telemetry.reason import Reason
from telemetry.records import Flaw, Quality, Reading
from telemetry.wire import group_readings

NOW_NS = 1_763_647_200 * SECOND_NS + 123_000_000  # 2025-11-20T14:00:00.123Z
NOW = "2025-11-20T14:00:00.123Z"
MINUTE_NS = 60 * SECOND_NS
ALARM = f"cover-1/cover_opened/{NOW_NS - MINUTE_NS}"
CHEAP = AccountPolicy(cost=Cost(passes=1, memory_kib=8, lanes=1))
HOOK = ChannelConfig(name="hook", kind=ChannelKind.WEBHOOK, url="http://127.0.0.1:9/hook")


@dataclass
class World:
    """The API and what is behind it."""

    services: Services
    clock: ManualClock
    session: aiohttp.ClientSession
    base: str
    stop: asyncio.Event
    woken: list[int] = field(default_factory=list)

    def exact(self, path: str) -> URL:
        """The address of `path` with its escapes as they are."""
        return URL(self.base + path, encoded=True)

    async def get(self, path: str, status: int = 200, **headers: str) -> Any:
        async with self.session.get(path, headers=headers) as response:
            assert response.status == status, await response.text()
            return await response.json(content_type=None)

    async def post(self, path: str, body: Any, status: int = 200, **headers: str) -> Any:
        async with self.session.post(
            path, data=json.dumps(body), headers={"Content-Type": "application/json", **headers}
        ) as response:
            assert response.status == status, await response.text()
            return await response.json(content_type=None)


async def _counts() -> CloudCounts:
    return CloudCounts(stored_readings=12)


@contextlib.asynccontextmanager
async def world(folder: Path, *, console: bool = False, public: PublicConfig | None = None) -> AsyncIterator[World]:
    """The city, served until the block ends; with the console and the public pages beside it if wanted."""
    clock = ManualClock(NOW_NS)
    engine = make_engine(f"sqlite+aiosqlite:///{folder / 'cloud.db'}")
    store = DuckStore(folder / "series.duckdb")
    stop, ready, woken = asyncio.Event(), asyncio.Event(), []
    services = Services(
        engine=engine,
        series=store,
        desk=Desk(catalog=load_catalog(), channels=(HOOK,)),
        feed=Feed(size=100),
        clock=clock,
        counts=_counts,
        notify=lambda: woken.append(1),
        accounts=CHEAP,
        rules=gateway_engine(),
        signer=Signer(folder / "export-key.pem"),
        evidence=None if public is None else EvidenceFolder(folder / "evidence"),
        stop=stop,
    )
    bound = listen("127.0.0.1", 0)
    port = bound.getsockname()[1]
    await store.open()
    try:
        async with engine.begin() as conn:
            await conn.run_sync(metadata.create_all)
        await _fill(services)
        async with asyncio.TaskGroup() as tasks:
            app = build_app(services)
            if public is not None:
                pages.install(app, services, public)
            if console:
                mount_console(app)
            serving = tasks.create_task(serve(app, bound, stop, ready.set))
            await ready.wait()
            base = f"http://127.0.0.1:{port}"
            async with aiohttp.ClientSession(base) as session:
                yield World(services, clock, session, base, stop, woken)
            serving.cancel()
        assert stop.is_set()
    finally:
        await store.close()
        await engine.dispose()


async def _fill(services: Services) -> None:
    async with writing(services.engine) as conn:
        await conn.execute(gateways.insert(), [_gateway("gw-1"), _gateway("gw-2", online=False)])
        await conn.execute(
            lanes.insert().values(
                gateway="gw-1", epoch="e1", lane="readings", watermark=98, ranges=[[100, 100]], stored=91, quarantined=3,
                lost=4, moved=1, next_seq=103, updated_ns=NOW_NS,
            )
        )  # fmt: skip
        await conn.execute(losses.insert(), _losses())
        await conn.execute(quarantine.insert(), _quarantined())
        await conn.execute(devices.insert(), _devices())
        await conn.execute(alarms.insert(), [_alarm()])
        await conn.execute(transitions.insert(), [_raise()])
        await conn.execute(cases.insert().values(_case()))
        await conn.execute(case_alarms.insert().values(case_id=7, alarm=ALARM))
        await conn.execute(
            case_steps.insert().values(
                case_id=7, step="report", from_state="reported", to_state="reported", actor="system", at_ns=NOW_NS, note=""
            )
        )
        await conn.execute(notifications.insert().values(_notice()))
        await conn.execute(
            refusals.insert().values(source="gw-1", reason="bad_checksum", count=3, last_detail="got 1, want 2", last_ns=NOW_NS)
        )
        await conn.execute(
            refusals.insert().values(source="gw-1", reason="rolled_back", count=2, last_detail="epoch e0", last_ns=NOW_NS)
        )
    await services.series.write([group_readings("gw-1", "e1", 1, _readings())])


def _gateway(name: str, online: bool = True) -> dict[str, Any]:
    status = {
        "gateway": name, "at_ns": NOW_NS, "backlog": {"readings": 4}, "oldest_unacked_ns": NOW_NS, "outbox_bytes": 4096,
        "outbox_max_bytes": 1_000_000, "lost": {"readings": 2},
    }  # fmt: skip
    clock = {"clock": "cloud", "clock_ahead_ns": -1_500_000_000} if online else {"clock": "", "clock_ahead_ns": None}
    return {
        "id": name, "epoch": "e1", "boot_id": "b", "agent_version": "0.1.0", "online": online, "first_seen_ns": NOW_NS,
        "last_seen_ns": NOW_NS - SECOND_NS, "status": status, **clock,
    }  # fmt: skip


def _losses() -> list[dict[str, Any]]:
    def loss(first: int, last: int, reason: str, from_ns: int = NOW_NS, open_end: bool = False) -> dict[str, Any]:
        return {
            "gateway": "gw-1", "epoch": "e1", "lane": "readings", "seq_from": first, "seq_to": last, "bytes": 100,
            "time_from_ns": from_ns, "time_to_ns": from_ns, "reason": reason, "at_ns": NOW_NS, "open_end": open_end,
        }  # fmt: skip

    return [loss(20, 23, "outbox_full"), loss(40, 40, "renumbered"), loss(61, 60, "corrupt", from_ns=0, open_end=True)]


def _quarantined() -> list[dict[str, Any]]:
    def refused(seq: int, reason: str) -> dict[str, Any]:
        return {
            "gateway": "gw-1", "epoch": "e1", "lane": "readings", "seq": seq, "reason": reason, "detail": "why", "payload": b"x",
            "at_ns": NOW_NS,
        }  # fmt: skip

    return [refused(49, "unknown_device"), refused(50, "wrong_type"), refused(51, "wrong_type")]


def _devices() -> list[dict[str, Any]]:
    def device(name: str, profile: str, kind: str, last_ns: int | None) -> dict[str, Any]:
        return {
            "id": name, "gateway": "gw-1", "profile": profile, "profile_version": 1, "kind": kind, "name": f"井 {name} 100%",
            "component_code": "", "longitude": 113.26, "latitude": 23.12, "first_seen_ns": 1, "last_reading_ns": last_ns,
        }  # fmt: skip

    long_ago = NOW_NS - 365 * 86_400 * SECOND_NS
    return [
        device("cover-1", "cover_nbiot", "manhole_cover", NOW_NS - MINUTE_NS),
        device("cover-2", "cover_nbiot", "manhole_cover", NOW_NS - MINUTE_NS),
        device("cover-3", "cover_nbiot", "manhole_cover", None),
        device("lamp-1", "lamp_loop", "lamp_loop", long_ago),
        device("odd-1", "not_in_catalog", "odd", NOW_NS),
    ]


def _alarm() -> dict[str, Any]:
    return {
        "id": ALARM, "device": "cover-1", "rule": "cover_opened", "profile": "cover_nbiot", "profile_version": 1,
        "priority": "critical", "state": "unacknowledged", "uncertain": False, "raised_ns": NOW_NS - MINUTE_NS,
        "returned_ns": None, "acknowledged_ns": None, "acknowledged_by": "", "evidence": {"tilt_deg": 41.5}, "case_id": 7,
    }  # fmt: skip


def _raise() -> dict[str, Any]:
    return {
        "alarm": ALARM, "origin": "edge", "n": 1, "device": "cover-1", "rule": "cover_opened", "profile": "cover_nbiot",
        "profile_version": 1, "cause": "raise", "priority": "critical", "from_state": "normal", "to_state": "unacknowledged",
        "event_time_ns": NOW_NS - MINUTE_NS, "recorded_ns": NOW_NS, "stored_ns": NOW_NS, "actor": "gw-1",
        "evidence": {"tilt_deg": 41.5}, "note": "",
    }  # fmt: skip


def _case() -> dict[str, Any]:
    return {
        "id": 7, "device": "cover-1", "matter": "cover_displaced", "gbt_code": "0101", "department": "municipal",
        "title_zh": "井盖缺失", "title_en": "Cover missing", "priority": "critical", "state": "dispatched", "longitude": 113.26,
        "latitude": 23.12, "opened_ns": NOW_NS, "due_ns": NOW_NS + 3600 * SECOND_NS, "closed_ns": None, "assignee": "",
        "version": 1,
    }  # fmt: skip


def _notice() -> dict[str, Any]:
    return {
        "case_id": 7, "step": "opened", "occasion": ALARM, "channel": "hook", "payload": {}, "state": "pending", "attempts": 2,
        "next_attempt_ns": NOW_NS + SECOND_NS, "failure": "network", "vendor_code": "", "detail": "", "created_ns": NOW_NS,
    }  # fmt: skip


def _readings() -> list[Reading]:
    """Twelve readings of cover-1, one a minute up to now; the newest tilt is bad."""
    found = []
    for step in range(12):
        time_ns = NOW_NS - (11 - step) * MINUTE_NS
        flaws = {"tilt_deg": Flaw(Quality.BAD, Reason.OUT_OF_RANGE)} if step == 11 else {}
        found.append(
            Reading(
                device="cover-1", profile="cover_nbiot", profile_version=1, time_ns=time_ns, received_ns=time_ns,
                values={"tilt_deg": float(step), "battery_v": None}, flaws=flaws,
            )
        )  # fmt: skip
    return found
