"""A small city with the shapes of `cloud.api.schemas`, held in memory: what the page's tests talk to.

Every answer is checked against the real schemas, so that the page is never tested against a shape that the API has not.
"""

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Annotated, Any, Literal

import uvicorn
from fastapi import Body, FastAPI, Query, Request
from mock_cases import MockCase, Photos, iso
from starlette.responses import JSONResponse, Response, StreamingResponse

from cloud.api import case_schemas, problems, schemas
from cloud.api.gateway_schemas import GatewayPage, GatewayTotals
from cloud.api.headers import SecurityHeaders
from cloud.api.history_schemas import History
from cloud.console.serve import mount_console
from cloud.workflow.case import DeviceSays

__all__ = ["City", "MockServer", "build_mock"]

_KINDS = (
    ("manhole_cover", "cover_nbiot", "中山路{n}号井盖"),
    ("lamp_loop", "lamp_loop", "滨河路{n}号路灯回路"),
    ("toilet_sensor", "toilet_node_serial", "人民公园公厕{n}号厕位"),
    ("vehicle_terminal", "vehicle_terminal", "环卫车粤A{n}环"),
    ("people_counter", "toilet_counter_mqtt", "东门公厕{n}号客流"),
)
_METRICS = (
    ("tilt_deg", "deg", "float", "倾角", "Tilt", 0.0, 180.0),
    ("water_level_cm", "cm", "float", "水位", "Water level", 0.0, 500.0),
    ("battery_v", "V", "float", "电池电压", "Battery voltage", 2.0, 4.0),
    ("temperature_c", "Cel", "float", "温度", "Temperature", -40.0, 85.0),
    ("cover_open", "1", "boolean", "井盖打开", "Cover open", None, None),
    ("firmware", "1", "string", "固件版本", "Firmware", None, None),
)

_PLACE = ("longitude_deg", "latitude_deg")


def _device(n: int, now: float) -> dict[str, Any]:
    kind, profile, name = _KINDS[n % len(_KINDS)]
    state = "offline" if n % 17 == 9 else "unknown" if n % 23 == 11 else "normal"
    heard = None if state == "unknown" else now - (90_000 if state == "offline" else n % 50)
    ring = 0.004 + 0.0011 * (n % 29)
    return {
        "id": f"{kind.split('_')[0]}-{n:03d}",
        "name": name.format(n=n + 1),
        "kind": kind,
        "profile": profile,
        "profile_version": 1,
        "gateway": "gw-tianhe-1",
        "longitude": None if n == 59 else 113.3200 + ring * ((n * 7) % 13 - 6) / 6,
        "latitude": None if n == 59 else 23.1290 + ring * ((n * 5) % 11 - 5) / 6,
        "component_code": f"44010601010{n:05d}",
        "state": state,
        "last_reading": None if heard is None else iso(heard),
        "age_s": None if heard is None else now - heard,
        "open_alarms": 0,
        "open_cases": 0,
    }


class City:
    """The state behind the mock. Tests change it, from their own thread, and `publish` what changed."""

    def __init__(self, devices: int = 60) -> None:
        self.now = time.time()
        self.devices = {d["id"]: d for d in (_device(n, self.now) for n in range(devices))}
        self.alarms: dict[str, dict[str, Any]] = {}
        self.cases: dict[int, MockCase] = {}
        self.photos = Photos()
        self.session: dict[str, Any] = {"accounts": False, "name": None, "display": "", "roles": [], "expires": None}
        self.posts: list[tuple[str, dict[str, Any]]] = []
        self.gap = (self.now - 1500, self.now - 900)
        self.fail: set[str] = set()
        self.page = 25  # small pages, so that following the cursor is tested too
        self.positions: dict[str, tuple[float, float]] = {}
        self.streams_open = True
        self._news: list[tuple[str, dict[str, Any]]] = []

    def publish(self, kind: str, data: dict[str, Any]) -> None:
        self._news.append((kind, data))

    def news_after(self, place: int) -> list[tuple[str, dict[str, Any]]]:
        return self._news[place:]

    def raise_alarm(
        self, device: str, rule: str, zh: str, en: str, *, priority: str = "high", ago: float = 5, due_s: float = 7200
    ) -> int:
        """An alarm with its case, reported and not yet filed; the case's number."""
        raised = time.time() - ago
        row = self.devices[device]
        alarm = f"{device}/{rule}/{int(raised * 1e9)}"
        title = {"zh": zh, "en": en}
        new = self._open(
            {"device": device, "device_name": row["name"], "matter": rule, "title": title, "priority": priority,
             "source": "alarm", "description": "", "address": "", "longitude": row["longitude"], "latitude": row["latitude"]},
            opened=raised, due_s=due_s, note=alarm, says=DeviceSays.FAULT,
        )  # fmt: skip
        self.alarms[alarm] = {
            "id": alarm, "device": device, "device_name": row["name"], "rule": rule, "title": title, "priority": priority,
            "state": "unacknowledged", "uncertain": False, "raised": iso(raised), "age_s": ago, "returned": None,
            "acknowledged": None, "acknowledged_by": "", "case_id": new.number, "evidence": {"tilt_deg": 41.5},
            "shown": "unacknowledged", "suppression": [], "shelved_until": None, "raises": 1,
        }  # fmt: skip
        row["state"] = "critical" if priority == "critical" else "alarm"
        row["open_alarms"] += 1
        row["open_cases"] += 1
        return new.number

    def told_by_citizen(self, zh: str, en: str, *, description: str, address: str) -> int:
        """A report without a device; the case's number."""
        new = self._open(
            {"device": None, "device_name": "", "matter": "road_flooded", "title": {"zh": zh, "en": en}, "priority": "medium",
             "source": "citizen", "description": description, "address": address, "longitude": 113.331, "latitude": 23.126},
            opened=time.time() - 40, note=description, actor="open311", role="operator",
        )  # fmt: skip
        return new.number

    def _open(self, about: dict[str, Any], **more: Any) -> MockCase:
        number = len(self.cases) + 101
        whole = {"gbt_code": "0101", "district": "east", **about}
        new = self.cases[number] = MockCase.reported(number, whole, department="市政养护", **more)
        told = iso(new.opened)
        new.notices.append(
            {"id": 1, "step": "report", "channel": "crew-webhook", "target": "", "state": "sent", "attempts": 1, "failure": "",
             "vendor_code": "0", "detail": "", "created": told, "sent": told, "next_attempt": None, "receipt": "", "opened": None}
        )  # fmt: skip
        return new

    def latest(self, device: str) -> list[dict[str, Any]]:
        values: dict[str, tuple[Any, str, str | None]] = {
            "tilt_deg": (41.5, "good", None),
            "water_level_cm": (812.0, "bad", "out_of_range"),
            "battery_v": (3.42, "uncertain", "implausible_time"),
            "temperature_c": (23.6, "good", None),
            "cover_open": (True, "good", None),
            "firmware": ("2.4.1", "good", None),
        }
        if self.devices[device]["last_reading"] is None:
            return []
        at = time.time() - 12
        if device in self.positions:
            values = {name: (degrees, "good", None) for name, degrees in zip(_PLACE, self.positions[device], strict=True)}
            return [
                {"metric": name, "value": value, "unit": "deg", "quality": quality, "reason": reason, "time": iso(at),
                 "age_s": 12.0, "title": None}
                for name, (value, quality, reason) in values.items()
            ]  # fmt: skip
        return [
            {"metric": name, "value": values[name][0], "unit": unit, "quality": values[name][1], "reason": values[name][2],
             "time": iso(at), "age_s": 12.0, "title": {"zh": zh, "en": en}}
            for name, unit, _, zh, en, _, _ in _METRICS
        ]  # fmt: skip


def _checked(schema: type[schemas.BaseModel], document: Any) -> JSONResponse:
    schema.model_validate(document)
    return JSONResponse(document)


def _problem(status: int, reason: str, detail: str) -> JSONResponse:
    document = {
        "type": "about:blank",
        "title": reason,
        "status": status,
        "detail": detail,
        "instance": "",
        "reason": reason,
        "errors": [],
    }
    return JSONResponse(document, status, media_type="application/problem+json")


def build_mock(city: City) -> FastAPI:
    """The API's routes that the page uses, over `city`, with the real console and the real headers."""
    app = FastAPI()
    app.add_middleware(SecurityHeaders)

    @app.middleware("http")
    async def faults(request: Request, call_next: Callable[[Request], Any]) -> Response:
        if any(request.url.path.startswith(path) for path in city.fail):
            return _problem(503, "store_unavailable", "the relational store does not answer; try again later")
        answer: Response = await call_next(request)
        return answer

    problems.install(app)

    @app.exception_handler(KeyError)
    async def unknown(_request: Request, error: Exception) -> Response:
        return _problem(404, "not_found", f"{error}: there is none")

    _add_map(app, city)
    _add_devices(app, city)
    _add_work(app, city)
    _add_cases(app, city)
    _add_stream(app, city)
    mount_console(app)
    return app


def _fitting(city: City, kinds: list[str], states: list[str], text: str = "") -> list[dict[str, Any]]:
    """In order of id."""
    rows = sorted(city.devices.values(), key=lambda d: str(d["id"]))
    rows = [d for d in rows if (not kinds or d["kind"] in kinds) and (not states or d["state"] in states)]
    return [d for d in rows if text.lower() in f"{d['id']}\n{d['name']}\n{d['component_code']}".lower()]


def _add_map(app: FastAPI, city: City) -> None:
    """The city in figures. Its tiles are empty: what is drawn is tested before the real API."""

    @app.get("/api/map")
    async def figures(kind: Annotated[list[str], Query()] = [], state: Annotated[list[str], Query()] = []) -> Response:  # noqa: B006
        rows = _fitting(city, kind, state)
        document = {
            "crs": "wgs84", "basemap": {"kind": "none", "url": "", "attribution": "", "approval": ""},
            "bounds": [113.31, 23.12, 113.33, 23.14], "version": 1, "devices": len(rows), "as_of": iso(time.time()),
            "states": Counter(d["state"] for d in rows), "kinds": Counter(d["kind"] for d in rows), "ingest_lag_s": 0.2,
        }  # fmt: skip
        return JSONResponse(document)

    @app.get("/api/map/districts")
    async def outlines() -> Response:
        return JSONResponse({"type": "FeatureCollection", "features": []})

    @app.get("/api/tiles/{z}/{x}/{y}.mvt")
    async def tile(z: int, x: int, y: int) -> Response:
        del z, x, y
        return Response(b"", media_type="application/vnd.mapbox-vector-tile")


def _add_devices(app: FastAPI, city: City) -> None:
    @app.get("/api/devices")
    async def devices(
        kind: Annotated[list[str], Query()] = [],  # noqa: B006 - FastAPI copies it
        state: Annotated[list[str], Query()] = [],  # noqa: B006
        q: str = "",
        cursor: str = "",
        limit: int = 100,
    ) -> Response:
        rows = [d for d in _fitting(city, kind, state, q) if d["id"] > cursor]
        page = rows[: min(limit, city.page)]
        return _checked(schemas.DevicePage, {"items": page, "next": page[-1]["id"] if len(rows) > len(page) else None})

    @app.get("/api/devices/{device}")
    async def device(device: str) -> Response:
        metrics = [
            {"name": name, "unit": unit, "type": kind, "title": {"zh": zh, "en": en}, "low": low, "high": high}
            for name, unit, kind, zh, en, low, high in _METRICS
        ]
        return _checked(schemas.DeviceDetail, {**city.devices[device], "metrics": metrics})

    @app.get("/api/devices/{device}/latest")
    async def latest(device: str) -> Response:
        return _checked(schemas.Latest, {"device": device, "metrics": city.latest(device)})

    @app.get("/api/latest")
    async def many_latest(device: Annotated[list[str], Query()]) -> Response:
        items = [{"device": one, "metrics": city.latest(one)} for one in device if one in city.devices]
        return _checked(schemas.LatestPage, {"items": items})

    @app.get("/api/devices/{device}/history")
    async def history(device: str, metric: str, start: datetime, end: datetime, bucket: int = 0) -> Response:
        step = bucket or 10
        times = [t for t in range(int(start.timestamp()), int(end.timestamp()), step) if not city.gap[0] < t < city.gap[1]]
        points = [_bucket(t, step) if bucket else _point(metric, t) for t in times]
        document = {
            "device": device, "tier": "raw", "method": "bucket" if bucket else "raw", "start": iso(start.timestamp()),
            "end": iso(end.timestamp()), "truncated": False, "metrics": {metric: points},
        }  # fmt: skip
        return _checked(History, document)

    @app.get("/api/gateways")
    async def gateways() -> Response:
        lanes = [_lane("events", 214, 0), _lane("readings", 120_433, 3)]
        common = {
            "agent_version": "0.1.0", "epoch": "e7f3", "first_seen": iso(city.now - 9e5), "devices": 30, "status": {},
            "outbox_max_bytes": 536_870_912, "beat_s": 960, "expected": 30, "heard": 29, "alarm": None, "case_id": None,
        }  # fmt: skip
        busy = {
            "declared_lost": {"readings": 8000},
            "backlog": {"readings": 1203},
            "oldest": iso(city.now - 300),
            "outbox_bytes": 48_000_000,
            "clock": "synced",
        }
        idle = {"declared_lost": {}, "backlog": {}, "oldest": None, "outbox_bytes": 0, "clock": "unsynced"}
        here = {
            "id": "gw-tianhe-1",
            "online": True,
            "last_seen": iso(time.time()),
            "age_s": 0.1,
            "lanes": lanes,
            "standing": "online",
            "beats": "u" * 90,
            **common,
            **busy,
        }
        here["clock_ahead_s"] = 0.01
        gone = {
            "id": "gw-yuexiu-2",
            "online": False,
            "last_seen": iso(city.now - 7200),
            "age_s": 7200.0,
            "lanes": [],
            "standing": "offline",
            "beats": "u" * 82 + "p" + "d" * 7,
            **common,
            **idle,
        }
        gone["clock_ahead_s"] = -412.5
        return _checked(GatewayPage, {"items": [here, gone], "next": None})

    @app.get("/api/gateways/totals")
    async def totals() -> Response:
        counts = {
            "gateways": 2,
            "online": 1,
            "offline": 1,
            "silent": 0,
            "backlog": 1,
            "records": 1203,
            "devices": 60,
            "heard": 58,
        }
        return _checked(GatewayTotals, {**counts, "clocks": {"synced": 1, "unsynced": 1}, "versions": {"0.1.0": 2}})

    @app.get("/api/gateways/{gateway}/ledger")
    async def ledger(gateway: str) -> Response:
        return _checked(schemas.GatewayLedger, _ledger(gateway, city))


def _point(metric: str, at: int) -> dict[str, Any]:
    if metric == "cover_open":
        return {"time": iso(at), "value": (at // 600) % 2 == 0, "quality": "good"}
    wave = 20 + 8 * ((at // 10) % 60) / 60 + (at % 70) / 35
    bad = at % 400 < 10
    return {"time": iso(at), "value": 44.0 if bad else wave, "quality": "bad" if bad else "good"}


def _bucket(at: int, step: int) -> dict[str, Any]:
    middle = 20 + 8 * ((at // step) % 50) / 50
    return {"time": iso(at), "min": middle - 2.5, "max": middle + 3.5, "mean": middle, "last": middle, "count": 12}


def _lane(lane: str, stored: int, missing: int) -> dict[str, Any]:
    return {
        "epoch": "e7f3", "lane": lane, "watermark": stored - missing, "next_seq": stored + missing + 1, "stored": stored,
        "quarantined": 0, "lost": 0, "moved": 0, "missing": missing, "balanced": True, "gaps": [], "updated": iso(time.time()),
    }  # fmt: skip


def _ledger(gateway: str, city: City) -> dict[str, Any]:
    def gap(first: int, last: int, state: str, reason: str | None = None, **more: Any) -> dict[str, Any]:
        booked = None if reason is None else iso(city.now - 3600)
        nothing = {"time_from": None, "time_to": None, "open_end": False, "detail": ""}
        head = {"first": first, "last": last, "count": last - first + 1, "state": state, "reason": reason, "at": booked}
        return {**head, **nothing, **more}

    times = {"time_from": iso(city.now - 7200), "time_to": iso(city.now - 5400)}
    readings = _lane("readings", 120_433, 3) | {"quarantined": 1, "lost": 8_000, "moved": 0, "next_seq": 128_438}
    readings["gaps"] = [
        gap(128_435, 128_437, "awaited"),
        gap(99_001, 99_001, "quarantined", "wrong_type", detail="is float, already exists as integer"),
        gap(40_001, 48_000, "lost", "outbox_full", **times),
    ]
    old = _lane("readings", 900, 0) | {"epoch": "c0ffee11", "moved": 100, "next_seq": 1001}
    old["gaps"] = [gap(901, 1000, "moved", "renumbered", open_end=True)]
    event = {
        "reason": "rolled_back", "count": 2, "last_detail": "epoch c0ffee11: readings would go on at 40, and 900 is here",
        "last": iso(city.now - 5400), "age_s": 5400.0,
    }  # fmt: skip
    lanes = [lane | {"more": False} for lane in (_lane("events", 214, 0), readings, old)]
    return {"gateway": gateway, "epoch": "e7f3", "lanes": lanes, "more": False, "security": [event]}


def _add_work(app: FastAPI, city: City) -> None:
    @app.get("/api/session")
    async def session() -> Response:
        return JSONResponse(city.session)

    @app.get("/api/alarms")
    async def alarms(state: str = "open") -> Response:
        rows = [a for a in city.alarms.values() if state == "all" or a["state"] != "normal"]
        return _checked(schemas.AlarmPage, {"items": rows, "next": None})

    @app.post("/api/alarms/{alarm:path}/acknowledge")
    async def acknowledge(alarm: str, note: dict[str, Any] = Body()) -> Response:  # noqa: B008 - FastAPI's way to say "the body"
        schemas.Note.model_validate(note)
        city.posts.append((alarm, note))
        city.alarms[alarm].update(
            state="acknowledged", shown="acknowledged", acknowledged=iso(time.time()), acknowledged_by=note["actor"]
        )
        return JSONResponse(city.alarms[alarm])


def _add_cases(app: FastAPI, city: City) -> None:
    @app.get("/api/cases")
    async def cases(
        state: Literal["open", "closed", "all"] = "open",
        assignee: str = "",
        department: str = "",
        district: str = "",
        limit: int = 100,
    ) -> Response:
        rows = [case.shown() for case in reversed(city.cases.values()) if state == "all" or case.ended == (state == "closed")]
        asked = {"assignee": assignee, "department": department, "district": district}
        found = [row for row in rows if all(row[name] == value for name, value in asked.items() if value)]
        return _checked(case_schemas.CasePage, {"items": found[:limit], "next": "more" if len(found) > limit else None})

    @app.get("/api/cases/{number}")
    async def case(number: int) -> Response:
        return _whole(city, number)

    @app.post("/api/cases/{number}/steps")
    async def take(number: int, wanted: case_schemas.StepTaken) -> Response:
        case = city.cases[number]
        case.take(wanted)
        city.posts.append((f"{number}/{wanted.step}", wanted.model_dump(mode="json")))
        city.publish("case", {"id": number, "device": case.about["device"], "state": case.case.state, "version": case.version})
        return _whole(city, number)

    @app.post("/api/evidence")
    async def put_photo(request: Request) -> Response:
        return JSONResponse(city.photos.put(await request.body()))

    @app.get("/api/evidence/{photo}")
    async def get_photo(photo: str) -> Response:
        data, kind = city.photos.kept[photo]
        return Response(data, media_type=kind)


def _whole(city: City, number: int) -> JSONResponse:
    alarms = [alarm for alarm in city.alarms.values() if alarm["case_id"] == number]
    return _checked(case_schemas.CaseDetail, city.cases[number].shown_whole(alarms))


def _add_stream(app: FastAPI, city: City) -> None:
    async def news() -> AsyncIterator[bytes]:
        place = len(city.news_after(0))
        yield b"retry: 2000\n\n"
        while city.streams_open:
            for kind, data in city.news_after(place):
                place += 1
                yield f"id: {place}\nevent: {kind}\ndata: {json.dumps(data)}\n\n".encode()
            await asyncio.sleep(0.02)

    @app.get("/api/stream")
    async def stream() -> Response:
        if not city.streams_open:
            return _problem(503, "store_unavailable", "closed by the test")
        return StreamingResponse(news(), media_type="text/event-stream")


class MockServer:
    """The mock on a free loopback port, in a thread of its own; a context manager that gives the address."""

    def __init__(self, city: City) -> None:
        config = uvicorn.Config(build_mock(city), host="127.0.0.1", port=0, log_level="warning", timeout_graceful_shutdown=1)
        self._city = city
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, name="mock-api", daemon=True)

    def __enter__(self) -> str:
        self._thread.start()
        until = time.monotonic() + 10
        while not self._server.started:
            if time.monotonic() > until:
                raise TimeoutError("the mock server did not start within 10 s")
            time.sleep(0.01)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}"

    def __exit__(self, *_: object) -> None:
        self._city.streams_open = False
        self._server.should_exit = True
        self._thread.join(10)
