"""Orders over the API: what may be asked for, by whom, how often, and what is said where it may not."""

from typing import Any

import pytest
from cloud_api_world import CHEAP, World
from sqlalchemy import select

from cloud.accounts.accounts import Accounts
from cloud.accounts.roles import AccountRole, Grant
from cloud.commands.book import MOST_IN_A_MINUTE
from cloud.dispatch.duty import Duty
from cloud.relational.engine import reading
from cloud.relational.tables import audit, commands

LAMP = "/api/devices/lamp-1/commands"
DIM: dict[str, Any] = {"actor": "li.wei", "command": "set_dimming", "arguments": {"level": 40}, "note": "glare"}
SWITCH: dict[str, Any] = {"actor": "li.wei", "command": "switch_loop_1", "arguments": {"state": 0}}
LEAD = AccountRole.SHIFT_LEAD


async def logged_in(city: World, name: str, *grants: Grant) -> dict[str, str]:
    await Accounts(city.services.engine, city.clock, CHEAP).add(name, "lamp cover toilet drain", grants, name.title())
    answer = await city.post("/api/session", {"name": name, "password": "lamp cover toilet drain"})
    return {"Authorization": f"Bearer {answer['token']}"}


@pytest.mark.asyncio(loop_scope="module")
async def test_what_a_device_can_be_told_is_what_its_profile_says(quiet_city: World) -> None:
    told = await quiet_city.get(LAMP)
    offers = {each["name"]: each for each in told["items"]}
    assert offers["set_dimming"] == {
        "name": "set_dimming",
        "title": {"zh": "设置调光等级", "en": "Set the dimming level"},
        "dangerous": False,
        "where": offers["set_dimming"]["where"],
        "arguments": [{"name": "level", "type": "float", "unit": "%", "low": 0, "high": 100, "default": None, "required": True}],
    }
    assert offers["switch_loop_1"]["dangerous"] is True
    assert (await quiet_city.get("/api/devices/odd-1/commands"))["items"] == []
    await quiet_city.get("/api/devices/nobody/commands", status=404)


async def test_an_order_is_put_into_the_book_and_shown(city: World) -> None:
    asked = await city.post(LAMP, {**DIM, "key": "k1"}, status=202)
    assert (asked["state"], asked["dangerous"], asked["preview"]["hex"]) == ("queued", False, "0600000028")
    shown = await city.get(f"/api/commands/{asked['id']}")
    assert (shown["device"], shown["gateway"], shown["command"], shown["arguments"]) == (
        "lamp-1",
        "gw-1",
        "set_dimming",
        {"level": 40},
    )
    assert (shown["actor"], shown["note"], shown["created"]) == ("li.wei", "glare", "2025-11-20T14:00:00.123Z")
    assert shown["expires"] == "2025-11-20T14:01:00.123Z"
    assert (await city.get("/api/commands?device=lamp-1&state=queued&state=done"))["items"] == [shown]
    assert (await city.get("/api/commands?state=done"))["items"] == []
    again = await city.post(LAMP, {**DIM, "key": "k1"}, status=202)
    assert again["id"] == asked["id"]
    other = await city.post(LAMP, {**DIM, "arguments": {"level": 41}, "key": "k1"}, status=409)
    assert other["reason"] == "conflict"


async def test_a_dry_run_checks_and_keeps_nothing(city: World) -> None:
    tried = await city.post(LAMP, {**SWITCH, "dry_run": True}, status=202)
    assert (tried["id"], tried["state"], tried["dry_run"], tried["dangerous"]) == (None, None, True, True)
    assert tried["preview"] == {"where": tried["preview"]["where"], "language": "modbus", "hex": "0500000000"}
    assert (await city.get("/api/commands"))["items"] == []


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({**DIM, "command": "explode"}, "body.command"),
        ({**DIM, "arguments": {}}, "body.arguments.level"),
        ({**DIM, "arguments": {"level": 101}}, "body.arguments.level"),
        ({**DIM, "arguments": {"level": "40"}}, "body.arguments.level"),
        ({**DIM, "arguments": {"level": 10**400}}, "body.arguments.level"),
        ({**DIM, "arguments": {"level": 40.5}}, "body.arguments"),
        ({**DIM, "arguments": {"level": 40, "speed": 1}}, "body.arguments.speed"),
        ({**DIM, "ttl_s": 4}, "body.ttl_s"),
        ({**DIM, "key": "no blanks"}, "body.key"),
        ({**DIM, "actor": " "}, "body.actor"),
        ({**DIM, "more": 1}, "body.more"),
    ],
)
async def test_an_order_that_cannot_be_is_told_where_and_why(quiet_city: World, body: dict[str, Any], where: str) -> None:
    told = await quiet_city.post(LAMP, body, status=422)
    assert any(error["where"].startswith(where) for error in told["errors"]), told


async def test_a_device_is_left_in_peace_after_some_orders(city: World) -> None:
    for _ in range(MOST_IN_A_MINUTE):
        await city.post(LAMP, DIM, status=202)
    assert (await city.post(LAMP, DIM, status=429))["reason"] == "too_often"
    first = await city.get("/api/commands?limit=4")
    rest = await city.get(f"/api/commands?limit=4&cursor={first['next']}")
    assert len({each["id"] for each in (*first["items"], *rest["items"])}) == MOST_IN_A_MINUTE
    assert rest["next"] is None


async def test_two_persons_give_a_dangerous_order_and_the_trail_says_who(city: World) -> None:
    lead, other = await logged_in(city, "li.wei", Grant(LEAD)), await logged_in(city, "wang.fang", Grant(LEAD))
    operator = await logged_in(city, "zhao.qi", Grant(AccountRole.OPERATOR))
    await city.post(LAMP, {**SWITCH, "actor": "zhao.qi"}, status=403, **operator)
    asked = await city.post(LAMP, SWITCH, status=202, **lead)
    approve = f"/api/commands/{asked['id']}/approve"
    assert asked["state"] == "awaiting_approval"
    assert "second person" in (await city.post(approve, {"actor": "li.wei"}, status=403, **lead))["detail"]
    await city.post(approve, {"actor": "zhao.qi"}, status=403, **operator)
    done = await city.post(approve, {"actor": "wang.fang", "note": "crew is clear"}, **other)
    assert (done["state"], done["actor"], done["approved_by"]) == ("queued", "li.wei", "wang.fang")
    assert (await city.post(approve, {"actor": "wang.fang"}, status=409, **other))["reason"] == "conflict"
    async with reading(city.services.engine) as conn:
        said = await conn.execute(select(audit.c.actor, audit.c.action, audit.c.outcome).where(audit.c.target.contains("lamp-1")))
        assert ("li.wei", "order_device", "202") in {tuple(row) for row in said}
        assert await conn.scalar(select(commands.c.role)) == "shift_lead"


async def test_who_leads_another_district_gives_no_orders_here(city: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Duty, "district", lambda self, longitude, latitude: "east")
    west, east = (
        await logged_in(city, "west", Grant(LEAD, district="west")),
        await logged_in(city, "east", Grant(LEAD, district="east")),
    )
    told = await city.post(LAMP, {**DIM, "actor": "west"}, status=403, **west)
    assert "district east" in told["detail"]
    await city.post(LAMP, {**DIM, "actor": "west", "dry_run": True}, status=403, **west)
    await city.post(LAMP, {**DIM, "actor": "east"}, status=202, **east)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("path", ["/api/commands/nobody", "/api/commands/..%2f"])
async def test_an_order_that_is_not_there_is_not_found(quiet_city: World, path: str) -> None:
    async with quiet_city.session.get(quiet_city.exact(path)) as answer:
        assert answer.status in {404, 422}
