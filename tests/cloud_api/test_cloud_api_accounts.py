"""Accounts by HTTP: who is let in, who may do what, what is left in the trail, and when a stream ends."""

import asyncio
import contextlib
import dataclasses
import importlib
import logging
import pkgutil
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from cloud_api_world import ALARM, CHEAP, World
from fastapi.routing import APIRoute
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

import cloud.api
from cloud.accounts.accounts import AccountPolicy, Accounts
from cloud.accounts.roles import AccountRole, Grant
from cloud.accounts.users import Change
from cloud.alarms import acts
from cloud.api import account_schemas, stream
from cloud.api.actor import actor_of
from cloud.api.app import build_app
from cloud.api.server import listen, serve
from cloud.relational.engine import reading, writing
from cloud.relational.tables import audit, cases, metadata, notifications

WORDS = "lamp cover toilet drain"
ACKNOWLEDGE = f"/api/alarms/{ALARM}/acknowledge"
OPERATOR = Grant(AccountRole.OPERATOR)
ADMIN = Grant(AccountRole.ADMIN)


def door(city: World) -> Accounts:
    """The accounts as another program on the same store has them."""
    return Accounts(city.services.engine, city.clock, CHEAP)


async def logged_in(city: World, name: str, *grants: Grant) -> dict[str, str]:
    """Somebody with these roles; the header of their session."""
    await door(city).add(name, WORDS, grants, name.title())
    answer = await city.post("/api/session", {"name": name, "password": WORDS})
    return {"Authorization": f"Bearer {answer['token']}"}


async def rows(city: World) -> list[tuple[str, str, str, str, str]]:
    """What the trail says: actor, role, action, target, outcome."""
    columns = [audit.c[name] for name in ("actor", "role", "action", "target", "outcome")]
    async with reading(city.services.engine) as conn:
        return [tuple(row) for row in await conn.execute(select(*columns).order_by(audit.c.id))]


async def test_without_accounts_everybody_is_who_they_say(city: World) -> None:
    assert (await city.get("/api/session")) == {"accounts": False, "name": None, "display": "", "roles": [], "expires": None}
    await city.post(ACKNOWLEDGE, {"actor": "anybody"})
    assert await rows(city) == [("anybody", "", "acknowledge_alarm", ALARM, "200")]
    told = await city.post("/api/session/password", {"old": "x", "new": "y"}, status=403)
    assert "no session" in told["detail"]


async def test_the_first_account_is_not_made_by_whoever_comes_first(city: World) -> None:
    new = {"name": "li.wei", "password": WORDS, "roles": [{"role": "admin"}]}
    assert "citynerve cloud user add" in (await city.post("/api/users", new, status=403))["detail"]
    await city.get("/api/users", status=403)
    await city.get("/api/audit", status=403)


async def test_as_soon_as_there_is_an_account_nothing_answers_without_a_session(city: World) -> None:
    paths = (await city.get("/api/openapi.json"))["paths"]
    await door(city).add("li.wei", WORDS, (OPERATOR,))
    answered = set()
    for path, methods in {**paths, "/api/openapi.json": {"get": {}}, "/api/nothing": {"get": {}}, "/api": {"get": {}}}.items():
        for method in methods:
            async with city.session.request(method, path.replace("{id}", "x").replace("{name}", "x")) as response:
                if response.status != 401:
                    answered.add((method, path, response.status))
                    continue
                assert response.headers["WWW-Authenticate"] == "Bearer"
                assert (await response.json(content_type=None))["reason"] == "not_authenticated"
    assert answered == {
        ("get", "/api/health", 200),
        ("get", "/api/session", 200),
        ("post", "/api/session", 422),
        ("delete", "/api/session", 200),
    }


async def test_the_link_of_a_message_needs_no_session(city: World) -> None:
    await door(city).add("li.wei", WORDS, (OPERATOR,))
    async with writing(city.services.engine) as conn:
        await conn.execute(notifications.update().values(token="abcdefghijkl"))  # noqa: S106 - of a message
    async with city.session.get("/n/abcdefghijkl", allow_redirects=False) as response:
        assert response.status == 302


async def test_a_login_gives_a_page_its_cookie_and_a_program_its_token(city: World) -> None:
    await door(city).add("li.wei", WORDS, (OPERATOR,), "李伟")
    async with city.session.post("/api/session", json={"name": "Li.Wei", "password": WORDS}) as response:
        answer = await response.json()
        cookie = response.headers["Set-Cookie"]
    name, _, value = cookie.partition(";")[0].partition("=")
    flags = {flag.strip().lower() for flag in cookie.split(";")[1:]}
    assert (name, value) == ("citynerve_session", answer["token"])
    assert flags == {"httponly", "samesite=strict", "path=/", "max-age=604800"}
    role = {"role": "operator", "district": "", "department": ""}
    who = {"accounts": True, "name": "li.wei", "display": "李伟", "roles": [role], "expires": "2025-11-27T14:00:00.123Z"}
    assert {**who, "token": value} == answer
    assert await city.get("/api/session", Cookie=f"{name}={value}") == who
    await city.get("/api/devices", Cookie=f"{name}={value}")
    await city.get("/api/devices", Authorization=f"bearer {value}")
    await city.get("/api/devices", status=401, Authorization=f"Basic {value}")
    await city.get("/api/devices", status=401, Authorization="Bearer x", Cookie=f"{name}={value}")


@contextlib.asynccontextmanager
async def beside(city: World, policy: AccountPolicy) -> AsyncIterator[str]:
    """The same city served once more, under another policy."""
    stop, ready = asyncio.Event(), asyncio.Event()
    bound = listen("127.0.0.1", 0)
    app = build_app(dataclasses.replace(city.services, accounts=policy, stop=stop))
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(serve(app, bound, stop, ready.set))
        await ready.wait()
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        serving.cancel()


async def test_where_people_come_by_https_the_cookie_goes_nowhere_else(city: World) -> None:
    await door(city).add("li.wei", WORDS, (OPERATOR,))
    import aiohttp

    async with beside(city, AccountPolicy(secure=True, cost=CHEAP.cost)) as base, aiohttp.ClientSession(base) as session:
        async with session.post("/api/session", json={"name": "li.wei", "password": WORDS}) as response:
            cookie = response.headers["Set-Cookie"]
        assert cookie.startswith("__Host-citynerve=")
        assert "; Secure" in cookie
        token = cookie.partition(";")[0].partition("=")[2]
        for name, status in (("__Host-citynerve", 200), ("citynerve_session", 401)):
            async with session.get("/api/devices", headers={"Cookie": f"{name}={token}"}) as response:
                assert response.status == status


async def test_logging_out_ends_the_session_and_logging_in_again_the_former_one(city: World) -> None:
    first = await logged_in(city, "li.wei", OPERATOR)
    second = await city.post("/api/session", {"name": "li.wei", "password": WORDS}, **first)
    await city.get("/api/devices", status=401, **first)
    headers = {"Authorization": f"Bearer {second['token']}"}
    async with city.session.delete("/api/session", headers=headers) as response:
        assert (response.status, (await response.json())["name"]) == (200, None)
        assert 'citynerve_session=""; ' in response.headers["Set-Cookie"]
    await city.get("/api/devices", status=401, **headers)
    assert (await rows(city))[-1] == ("li.wei", "", "log_out", "", "200")


async def test_a_page_of_another_site_cannot_use_the_cookie(city: World) -> None:
    headers = await logged_in(city, "li.wei", OPERATOR)
    cookie = {"Cookie": f"citynerve_session={headers['Authorization'].split()[1]}"}
    problem = await city.post(ACKNOWLEDGE, {"actor": "li.wei"}, status=403, Origin="https://elsewhere.example", **cookie)
    assert problem["reason"] == "not_allowed"
    async with city.session.post(ACKNOWLEDGE, data={"actor": "li.wei"}, headers=cookie) as response:
        assert response.status == 422  # what a form of another site can send is not taken
    await city.post(ACKNOWLEDGE, {"actor": "li.wei"}, Origin=city.base, **cookie)


async def test_brute_force_is_told_to_wait_and_the_right_password_too(city: World) -> None:
    await door(city).add("li.wei", WORDS, (OPERATOR,))
    for _ in range(5):
        assert (await city.post("/api/session", {"name": "li.wei", "password": "wrong"}, status=401))["reason"] == (
            "not_authenticated"
        )
    async with city.session.post("/api/session", json={"name": "li.wei", "password": WORDS}) as response:
        assert (response.status, response.headers["Retry-After"]) == (429, "30")
        assert (await response.json(content_type=None))["reason"] == "too_often"
    city.clock.advance(30)
    await city.post("/api/session", {"name": "li.wei", "password": WORDS})


async def test_an_act_wants_a_role_that_has_it_and_the_trail_says_so(city: World) -> None:
    crew = await logged_in(city, "zhang.san", Grant(AccountRole.CREW))
    desk = await logged_in(city, "li.wei", Grant(AccountRole.CREW), OPERATOR)
    problem = await city.post(ACKNOWLEDGE, {"actor": "zhang.san"}, status=403, **crew)
    assert problem["reason"] == "not_allowed"
    assert "operator" in problem["detail"]
    await city.post(ACKNOWLEDGE, {"actor": "zhang.san"}, status=403, **desk)
    alarm = await city.post(ACKNOWLEDGE, {"actor": "Li.Wei"}, **desk)
    assert alarm["acknowledged_by"] == "li.wei"
    await city.post(ACKNOWLEDGE, {"actor": "li.wei"}, status=409, **desk)
    assert [row for row in await rows(city) if row[2] != "log_in"] == [
        ("zhang.san", "", "acknowledge_alarm", ALARM, "403 not_allowed"),
        ("li.wei", "", "acknowledge_alarm", ALARM, "403 not_allowed"),
        ("li.wei", "operator", "acknowledge_alarm", ALARM, "200"),
        ("li.wei", "operator", "acknowledge_alarm", ALARM, "409 conflict"),
    ]


async def test_an_operator_of_one_district_leaves_the_others_alone(city: World) -> None:
    async with writing(city.services.engine) as conn:
        await conn.execute(cases.update().values(district="east"))
    west = await logged_in(city, "west", Grant(AccountRole.OPERATOR, "west"))
    east = await logged_in(city, "east", Grant(AccountRole.OPERATOR, "east"))
    assert "district east" in (await city.post(ACKNOWLEDGE, {"actor": "west"}, status=403, **west))["detail"]
    await city.post(ACKNOWLEDGE, {"actor": "east"}, **east)


async def test_a_case_is_read_reported_and_moved_on_by_whom_it_concerns(city: World) -> None:
    async with writing(city.services.engine) as conn:
        await conn.execute(cases.update().values(district="east"))
    west = await logged_in(city, "west", Grant(AccountRole.DEPARTMENT, "west"))
    lamps = await logged_in(city, "lamps", Grant(AccountRole.DEPARTMENT, "east", "lamps"))
    crew = await logged_in(city, "crew", Grant(AccountRole.CREW, "east"))
    east = await logged_in(city, "east", Grant(AccountRole.DEPARTMENT, "east", "municipal"), Grant(AccountRole.COLLECTOR))
    assert [len((await city.get("/api/cases", **who))["items"]) for who in (west, lamps, crew, east)] == [0, 1, 1, 1]
    await city.get("/api/cases/7", status=404, **west)
    case = await city.get("/api/cases/7", **lamps)
    step = {"step": "assign", "version": case["version"], "assignee": "crew"}
    for name, role, who in (("west", "department", west), ("lamps", "department", lamps), ("crew", "crew", crew),
                            ("crew", "department", east), ("east", "operator", east), ("east", "system", east)):  # fmt: skip
        problem = await city.post("/api/cases/7/steps", {**step, "actor": name, "role": role}, status=403, **who)
        assert problem["reason"] == "not_allowed", (name, role)
    done = await city.post("/api/cases/7/steps", {**step, "actor": "east", "role": "department"}, **east)
    assert (done["assignee"], done["steps"][-1]["actor"], done["steps"][-1]["role"]) == ("crew", "east", "department")
    new = {"matter": case["matter"], "actor": "crew", "longitude": 113.0, "latitude": 23.0, "description": "open"}
    await city.post("/api/cases", new, status=403, **crew)
    assert (await city.post("/api/cases", {**new, "actor": "east"}, **east))["steps"][0]["role"] == "collector"
    assert [row[1:] for row in await rows(city) if row[2] != "log_in"][-3:] == [
        ("department", "take_step", "7", "200"),
        ("", "report_problem", "", "403 not_allowed"),
        ("collector", "report_problem", "", "200"),
    ]


ACTS: list[tuple[str, dict[str, Any], AccountRole]] = [
    ("shelve", {"note": "cleaned", "until": "2025-11-20T16:00:00Z"}, AccountRole.OPERATOR),
    ("unshelve", {}, AccountRole.OPERATOR),
    ("suppress", {"by": "works-1"}, AccountRole.SUPERVISOR),
    ("unsuppress", {"by": "works-1"}, AccountRole.SUPERVISOR),
    ("out-of-service", {"note": "order 7", "review": "2025-12-20T08:00:00Z"}, AccountRole.SHIFT_LEAD),
    ("return-to-service", {}, AccountRole.SHIFT_LEAD),
    ("priority", {"priority": "high"}, AccountRole.SHIFT_LEAD),
    ("acknowledge", {}, AccountRole.DISPATCHER),
    ("re-alarm", {}, AccountRole.DISPATCHER),
]


async def test_each_act_on_an_alarm_is_open_to_one_role_and_closed_to_another(city: World) -> None:
    closed = await logged_in(city, "inspector", Grant(AccountRole.INSPECTOR))
    may = {role: await logged_in(city, role.value, Grant(role)) for role in {role for _, _, role in ACTS}}
    for act, more, role in ACTS:
        path = f"/api/alarms/{ALARM}/{act}"
        await city.post(path, {"actor": "inspector", **more}, status=403, **closed)
        await city.post(path, {"actor": role.value, **more}, **may[role])
    for act in ("disarm", "arm"):
        body = {"note": "drain", "until": "2025-11-20T16:00:00Z"} if act == "disarm" else {}
        await city.post(f"/api/devices/cover-1/{act}", {"actor": "inspector", **body}, status=403, **closed)
        await city.post(f"/api/devices/cover-1/{act}", {"actor": "operator", **body}, **may[AccountRole.OPERATOR])


async def test_an_act_is_in_the_trail_before_it_is_done(city: World, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    async def dies(*_: Any) -> None:
        seen.extend(await rows(city))
        raise RuntimeError("the power went")

    monkeypatch.setattr(acts, "acknowledge", dies)
    async with city.session.post(ACKNOWLEDGE, json={"actor": "anybody"}) as response:
        assert response.status == 500
    assert seen == [("", "", "acknowledge_alarm", ALARM, "begun")]
    assert await rows(city) == [("anybody", "", "acknowledge_alarm", ALARM, "500 internal")]


async def test_where_the_trail_cannot_be_written_nothing_is_done(city: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: Any) -> int:
        raise OperationalError("INSERT", None, Exception("gone"))

    monkeypatch.setattr("cloud.accounts.trail.Trail.begin", away)
    assert (await city.post(ACKNOWLEDGE, {"actor": "anybody"}, status=503))["reason"] == "store_unavailable"
    assert (await city.get(f"/api/alarms/{ALARM}"))["state"] == "unacknowledged"


async def test_where_the_store_is_away_nobody_is_let_in_and_nobody_sent_to_the_login(
    city: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any) -> bool:
        raise OperationalError("SELECT", None, Exception("gone"))

    monkeypatch.setattr(Accounts, "exist", away)
    assert (await city.get("/api/devices", status=503))["reason"] == "store_unavailable"
    await city.get("/api/health")


async def test_odd_ids_are_in_the_trail_as_a_database_can_hold_them(city: World) -> None:
    for odd in ("%00", "a%00b", "%F0%9F%98%80", "%ED%A0%80", "x" * 300):
        async with city.session.post(city.exact(f"/api/alarms/{odd}/acknowledge"), json={"actor": "anybody"}) as response:
            assert response.status in {404, 422}
    told = await rows(city)
    assert [row[2] for row in told] == ["acknowledge_alarm"] * 5
    assert not any("\0" in row[3] or len(row[3]) > 200 for row in told)


async def test_the_administrator_gives_changes_and_takes_accounts(city: World) -> None:
    admin = await logged_in(city, "chief", ADMIN)
    new = {"name": "Li.Wei", "display": "李伟", "password": WORDS, "roles": [{"role": "crew", "district": "east"}]}
    made = await city.post("/api/users", new, **admin)
    assert (made["name"], made["roles"], made["disabled"]) == (
        "li.wei",
        [{"role": "crew", "district": "east", "department": ""}],
        False,
    )
    assert (await city.post("/api/users", new, status=409, **admin))["reason"] == "conflict"
    weak = await city.post("/api/users", {**new, "name": "b", "password": "1234567890"}, status=422, **admin)
    assert "1234567890" not in str(weak)
    theirs = await city.post("/api/session", {"name": "li.wei", "password": WORDS})
    own = {"Authorization": f"Bearer {theirs['token']}"}
    await city.get("/api/users", status=403, **own)
    await city.get("/api/audit", status=403, **own)
    assert [(user["name"], user["sessions"]) for user in (await city.get("/api/users?limit=1", **admin))["items"]] == [
        ("chief", 1)
    ]
    async with city.session.patch("/api/users/li.wei", json={"disabled": True}, headers=admin) as response:
        assert (response.status, (await response.json())["sessions"]) == (200, 0)
    await city.get("/api/devices", status=401, **own)
    for change in ({"disabled": True}, {"roles": [{"role": "operator"}]}):
        async with city.session.patch("/api/users/CHIEF", json=change, headers=admin) as response:
            assert response.status == 409
    async with city.session.patch("/api/users/nobody", json={"disabled": True}, headers=admin) as response:
        assert response.status == 404


async def test_the_trail_is_read_page_by_page_and_by_who_what_and_when(city: World) -> None:
    admin = await logged_in(city, "chief", ADMIN)
    desk = await logged_in(city, "li.wei", OPERATOR)
    city.clock.advance(60)
    await city.post(ACKNOWLEDGE, {"actor": "li.wei"}, **desk)
    pages, cursor = [], ""
    while True:
        page = await city.get(f"/api/audit?limit=1{cursor}", **admin)
        pages += page["items"]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert [row["action"] for row in pages] == ["acknowledge_alarm", "log_in", "log_in"]
    assert [row["address"] for row in pages] == ["127.0.0.1"] * 3
    for query, count in (("actor=li.wei", 2), (f"target={ALARM}", 1), ("start=2025-11-20T14:01:00Z", 1),
                         ("end=2025-11-20T14:01:00Z", 2), ("actor=nobody", 0)):  # fmt: skip
        assert len((await city.get(f"/api/audit?{query}", **admin))["items"]) == count, query


async def test_another_password_is_ones_own_to_choose(city: World) -> None:
    desk = await logged_in(city, "li.wei", OPERATOR)
    path, better = "/api/session/password", "another one of four"
    assert (await city.post(path, {"old": "wrong", "new": better}, status=403, **desk))["reason"] == "not_allowed"
    assert (await city.post(path, {"old": WORDS, "new": "short"}, status=422, **desk))["reason"] == "invalid"
    answer = await city.post(path, {"old": WORDS, "new": better}, **desk)
    await city.get("/api/devices", status=401, **desk)
    await city.get("/api/devices", Authorization=f"Bearer {answer['token']}")
    assert [row[4] for row in await rows(city) if row[2] == "change_password"] == ["403 not_allowed", "422 invalid", "200"]


async def _closed(city: World, **headers: str) -> bool:
    async with city.session.get("/api/stream", headers=headers) as response:
        assert response.status == 200
        async with asyncio.timeout(5):
            while await response.content.read(1000):
                pass
    return True


async def _heard(city: World) -> None:
    while (await city.get("/api/health"))["streams"] != 1:  # noqa: ASYNC110 - asks as a client would
        await asyncio.sleep(0.01)


async def test_a_stream_ends_with_its_session_however_much_there_is_to_tell(city: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "KEEP_ALIVE_S", 0.03)
    desk = await logged_in(city, "li.wei", OPERATOR)
    reading_on = asyncio.ensure_future(_closed(city, **desk))
    await _heard(city)
    for number in range(8):
        city.services.feed.publish("case", {"id": number})
        await asyncio.sleep(0.01)
    assert not reading_on.done()
    await door(city).change("li.wei", Change(disabled=True))
    assert await asyncio.wait_for(reading_on, 5)


async def test_a_stream_of_before_the_first_account_ends_with_it(city: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "KEEP_ALIVE_S", 0.03)
    reading_on = asyncio.ensure_future(_closed(city))
    await _heard(city)
    await door(city).add("li.wei", WORDS, (OPERATOR,))
    assert await asyncio.wait_for(reading_on, 5)


async def test_no_password_and_no_token_is_in_the_store_the_log_or_an_answer(
    city: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    admin = await logged_in(city, "chief", ADMIN)
    secrets = [WORDS, "the second password", "the third password", "a wrong password", "typed into the wrong field"]
    new = {"name": "li.wei", "password": secrets[1], "roles": [{"role": "crew"}]}
    told = [await city.post("/api/users", new, **admin), await city.post("/api/users", new, status=409, **admin)]
    async with city.session.patch("/api/users/li.wei", json={"password": secrets[2]}, headers=admin) as response:
        told.append(await response.json())
    login = await city.post("/api/session", {"name": "li.wei", "password": secrets[2]})
    told.append(await city.post("/api/session", {"name": "li.wei", "password": secrets[3]}, status=401))
    told.append(await city.post("/api/session", {"name": secrets[4], "password": WORDS}, status=401))
    told.append(await city.post("/api/session", {"name": "li.wei", "password": [WORDS]}, status=422))
    told.append(await city.get("/api/audit", **admin))
    held = str(told) + caplog.text
    async with reading(city.services.engine) as conn:
        for table in metadata.sorted_tables:
            held += "".join(str(tuple(row)) for row in await conn.execute(select(table)))
    tokens = [login["token"], admin["Authorization"].split()[1]]
    assert "li.wei" in held
    assert [secret for secret in (*secrets, *tokens) if secret in held] == []


def _routes() -> Iterator[APIRoute]:
    for found in pkgutil.iter_modules(cloud.api.__path__, "cloud.api."):
        router = getattr(importlib.import_module(found.name), "router", None)
        yield from (route for route in getattr(router, "routes", ()) if isinstance(route, APIRoute))


def _asks(wants: Any) -> bool:
    return any(inner.call is actor_of or _asks(inner) for inner in wants.dependencies)


def test_every_route_that_changes_something_asks_who_acts() -> None:
    writes = [route for route in _routes() if route.methods - {"GET", "HEAD"}]
    silent = {route.name for route in writes if not _asks(route.dependant)}  # codespell:ignore dependant
    # A rule that is tried on the past, and the newest values of a thousand devices: questions whose words fit into no address.
    assert silent - {"try_rule", "ask_many_latest"} == {"log_in", "log_out", "change_password"}


def test_the_examples_are_of_their_own_shape() -> None:
    for name in account_schemas.__all__:
        model = getattr(account_schemas, name)
        model.model_validate(model.model_config["json_schema_extra"]["example"])
