"""The cloud as the crew's page sees it, held in memory.

What a step does is judged by the real workflow (`cloud.workflow`); keys and versions are kept as the cloud keeps them, and
what comes and goes has the shapes of the real API.
"""

import hashlib
import time
from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import Body, FastAPI, Request
from mock_api import iso
from starlette.responses import JSONResponse, Response

from cloud.api import case_schemas, schemas
from cloud.api.headers import BodyLimit, OriginCheck, SecurityHeaders
from cloud.api.maintenance import Arming, Disarming
from cloud.console.serve import mount_console
from cloud.workflow.case import Case, Deed, Refused
from cloud.workflow.states import STATE_WORDS, STEP_WORDS, Role, State, Step
from cloud.workflow.step import step as take_step
from cloud.workflow.step import steps_from
from telemetry.reason import Reason

__all__ = ["Desk", "build"]

_STATUS = {Reason.CONFLICT: 409, Reason.NOT_ALLOWED: 403, Reason.MISSING: 422}


def _checked(shape: type[schemas.BaseModel], document: Any) -> JSONResponse:
    """Never a shape that the API has not."""
    shape.model_validate(document)
    return JSONResponse(document)


def _text(text: Any) -> dict[str, str]:
    return {"zh": text.zh, "en": text.en}


class Desk:
    """Cases of a crew, devices, photos, and everything that was posted, in order."""

    def __init__(self) -> None:
        self.rows: dict[int, dict[str, Any]] = {}
        self.cases: dict[int, Case] = {}
        self.steps: dict[int, list[dict[str, Any]]] = {}
        self.keys: dict[str, int] = {}
        self.photos: dict[str, bytes] = {}
        self.steps_taken: list[dict[str, Any]] = []
        self.uploads = 0
        self.armings: dict[str, dict[str, Any]] = {}
        self.arming_posts: list[dict[str, Any]] = []
        self.values: dict[str, dict[str, Any]] = {}
        self.devices: dict[str, dict[str, Any]] = {}
        self.session: dict[str, Any] | None = None
        self.refuse: tuple[int, str, str] | None = None
        """Answer the next steps with this status, reason and sentence."""

    def add_task(
        self, number: int, *, due_s: float | None = 7200, place: tuple[float, float] | None = (113.3, 23.1), **more: Any
    ) -> None:
        """A cover's case that was assigned to li.wei, in `handling`."""
        device = f"cover-{number}"
        now = time.time()
        title = {"zh": f"井盖缺失或移位（{number}）", "en": f"Manhole cover missing or displaced ({number})"}
        self.rows[number] = {
            "id": number, "device": device, "device_name": f"中山路{number}号井盖", "matter": "cover_displaced",
            "gbt_code": "0103",
            "department": "市政设施养护单位", "district": "", "title": title, "priority": "critical", "source": "alarm",
            "description": "", "address": f"中山路{number}号", "longitude": place[0] if place else None,
            "latitude": place[1] if place else None, "opened": iso(now - 600), "age_s": 600.0,
            "due": None if due_s is None else iso(now + due_s), "overdue": False, "closed": None, "hold_until": None,
            "asked": "nothing", "returned": False, "reworks": 0, "version": 4, **more,
        }  # fmt: skip
        self.cases[number] = Case(state=State.HANDLING, department="市政设施养护单位", assignee="li.wei")
        self.steps[number] = []
        self.devices[device] = {
            "id": device, "name": f"中山路{number}号井盖", "kind": "manhole_cover", "component_code": f"44010601030000{number}",
            "longitude": 113.3, "latitude": 23.1, "profile": "cover_nbiot", "profile_version": 1, "gateway": "gw-1",
            "state": "critical", "last_reading": iso(now), "age_s": 3.0, "open_alarms": 1, "open_cases": 1,
        }  # fmt: skip
        self.values[device] = {"cover_open": True, "tilt_deg": 41.5}
        self.armings[device] = {"armed": True}
        self._log(number, Step.ASSIGN, "dispatcher", Role.DEPARTMENT, {})

    def act(self, number: int, step: Step, actor: str, role: Role, **said: Any) -> JSONResponse:
        """Somebody else's step, or the page's."""
        before = self.cases[number]
        deed = Deed(step=step, actor=actor, role=role, at_ns=time.time_ns(), **said)
        done = take_step(before, deed)
        if isinstance(done, Refused):
            return problem(_STATUS.get(done.reason, 422), done.reason.value, done.detail)
        self.cases[number] = done
        self.rows[number]["version"] += 1
        self._log(number, step, actor, role, msgspec.structs.asdict(deed))
        return _checked(case_schemas.CaseDetail, self.detail(number))

    def post(self, number: int, said: dict[str, Any]) -> JSONResponse:
        """The page's step."""
        case_schemas.StepTaken.model_validate(said)
        self.steps_taken.append({"case": number, **said})
        version = self.rows[number]["version"]
        if said["key"] in self.keys:
            return _checked(case_schemas.CaseDetail, self.detail(number))
        if self.refuse is not None:
            return problem(*self.refuse)
        if said["version"] != version:
            return problem(409, "conflict", f"case {number}: is at version {version}, the step was for {said['version']}")
        if missing := set(said["photos"]) - set(self.photos):
            return problem(422, "invalid", f"photos {missing}: were not sent yet")
        words = {name: said.get(name, "") for name in ("note", "reason")}
        at = said.get("position")
        position = (at["longitude"], at["latitude"]) if at else None
        photos = tuple(said["photos"])
        answer = self.act(
            number, Step(said["step"]), said["actor"], Role(said["role"]), **words, photos=photos, position=position
        )
        if answer.status_code == 200:
            self.keys[said["key"]] = number
        return answer

    def says(self, device: str) -> list[dict[str, Any]]:
        at = iso(time.time() - 3)
        titles = {"tilt_deg": {"zh": "倾角", "en": "Tilt"}, "cover_open": {"zh": "井盖打开", "en": "Cover open"}}
        units = {"tilt_deg": "deg", "cover_open": "1"}
        return [
            {"metric": name, "value": value, "unit": units[name], "quality": "good", "reason": None, "time": at, "age_s": 3.0,
             "title": titles[name]}
            for name, value in self.values[device].items()
        ]  # fmt: skip

    def row(self, number: int) -> dict[str, Any]:
        case = self.cases[number]
        state = {"state": case.state.value, "state_title": _text(STATE_WORDS[case.state]), "assignee": case.assignee}
        return {**self.rows[number], **state}

    def detail(self, number: int) -> dict[str, Any]:
        may = [
            {"step": step.value, "title": _text(STEP_WORDS[step]), "roles": sorted(row.roles), "needs": list(row.needs),
             "to": row.after}
            for step, row in steps_from(self.cases[number].state).items()
        ]  # fmt: skip
        open_now = self.values[self.rows[number]["device"]].get("cover_open")
        return {
            **self.row(number), "steps": self.steps[number], "clocks": [], "may": may, "alarms": [], "notifications": [],
            "device_says": "fault" if open_now else "clear",
            "filed_when": {"zh": "井盖缺失、移位", "en": "A cover is missing or moved"},
            "closes_when": {"zh": "井盖复位并锁闭，现场照片核实", "en": "Cover back on its seat and locked, verified by photo"},
        }  # fmt: skip

    def _log(self, number: int, step: Step, actor: str, role: Role, said: Mapping[str, Any]) -> None:
        position = said.get("position") or (None, None)
        self.steps[number].append(
            {
                "id": 1000 * number + len(self.steps[number]) + 1, "step": step.value, "title": _text(STEP_WORDS[step]),
                "from_state": "", "to_state": self.cases[number].state.value, "actor": actor, "role": role.value,
                "at": iso(time.time()), "done": None, "note": said.get("note", ""), "reason": said.get("reason", ""),
                "standard": "", "until": None, "department": "", "assignee": said.get("assignee", ""), "device_says": "nothing",
                "photos": list(said.get("photos", ())), "longitude": position[0], "latitude": position[1],
            }
        )  # fmt: skip


def problem(status: int, reason: str, detail: str) -> JSONResponse:
    document = {
        "type": f"urn:citynerve:problem:{reason}", "title": reason, "status": status, "detail": detail, "instance": "",
        "reason": reason, "errors": [],
    }  # fmt: skip
    return JSONResponse(document, status, media_type="application/problem+json")


def build(desk: Desk) -> FastAPI:
    app = FastAPI()
    for around in (BodyLimit, OriginCheck, SecurityHeaders):
        app.add_middleware(around)

    @app.exception_handler(KeyError)
    async def unknown(_request: Request, error: Exception) -> Response:
        return problem(404, "not_found", f"{error}: there is none")

    _add_session(app, desk)
    _add_cases(app, desk)
    _add_photos(app, desk)
    _add_devices(app, desk)
    mount_console(app)
    return app


def _add_session(app: FastAPI, desk: Desk) -> None:
    @app.get("/api/session")
    async def session() -> Response:
        if desk.session is None:
            return problem(404, "not_found", "no accounts")
        return JSONResponse(desk.session)

    @app.post("/api/session")
    async def log_in(said: dict[str, str] = Body()) -> Response:  # noqa: B008 - FastAPI's way to say "the body"
        if said != {"name": "li.wei", "password": "correct horse"}:
            return problem(401, "not_authenticated", "no such name, or another password")
        roles = [{"role": "crew", "district": "", "department": ""}]
        desk.session = {"accounts": True, "name": "li.wei", "display": "李伟", "roles": roles, "expires": None}
        return JSONResponse({**desk.session, "token": "t"})


def _add_cases(app: FastAPI, desk: Desk) -> None:
    def out() -> bool:
        return desk.session is not None and desk.session["name"] is None

    @app.get("/api/cases")
    async def cases(assignee: str, state: str, limit: int = 100, cursor: str = "") -> Response:
        del limit, cursor
        if out():
            return problem(401, "not_authenticated", "log in")
        rows = [desk.row(number) for number in desk.rows]
        mine = [row for row in rows if row["assignee"] == assignee and state == "open"]
        return _checked(case_schemas.CasePage, {"items": mine, "next": None})

    @app.get("/api/cases/{number}")
    async def case(number: int) -> Response:
        return _checked(case_schemas.CaseDetail, desk.detail(number))

    @app.post("/api/cases/{number}/steps")
    async def step(number: int, said: dict[str, Any] = Body()) -> Response:  # noqa: B008 - as above
        return problem(401, "not_authenticated", "log in") if out() else desk.post(number, said)


def _add_photos(app: FastAPI, desk: Desk) -> None:
    @app.post("/api/evidence")
    async def put(request: Request, actor: str = "") -> Response:
        del actor
        desk.uploads += 1
        data = await request.body()
        name = hashlib.sha256(data).hexdigest()
        desk.photos[name] = data
        return JSONResponse({"id": name, "size": len(data)})

    @app.get("/api/evidence/{name}")
    async def get(name: str) -> Response:
        return Response(desk.photos[name], media_type="image/jpeg")


def _add_devices(app: FastAPI, desk: Desk) -> None:
    @app.get("/api/devices/{device}")
    async def one(device: str) -> Response:
        return _checked(schemas.Device, desk.devices[device])

    @app.get("/api/devices/{device}/latest")
    async def latest(device: str) -> Response:
        return _checked(schemas.Latest, {"device": device, "metrics": desk.says(device)})

    def arming(device: str) -> JSONResponse:
        nothing = {"device": device, "rules": [], "since": None, "until": None, "by": "", "reason": "", "ends_when_closed": False}
        return _checked(Arming, {**nothing, **desk.armings[device]})

    @app.get("/api/devices/{device}/arming")
    async def get_arming(device: str) -> Response:
        return arming(device)

    @app.post("/api/devices/{device}/disarm")
    async def disarm(device: str, said: dict[str, Any] = Body()) -> Response:  # noqa: B008 - as above
        Disarming.model_validate(said)
        desk.arming_posts.append({"device": device, "what": "disarm", **said})
        desk.armings[device] = {
            "armed": False, "until": said["until"], "by": said["actor"], "reason": said["note"], "ends_when_closed": True,
        }  # fmt: skip
        return arming(device)

    @app.post("/api/devices/{device}/arm")
    async def arm(device: str, said: dict[str, Any] = Body()) -> Response:  # noqa: B008 - as above
        schemas.Note.model_validate(said)
        desk.arming_posts.append({"device": device, "what": "arm", **said})
        desk.armings[device] = {"armed": True}
        return arming(device)
