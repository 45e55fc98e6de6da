"""Keys of programs, and the figures that Prometheus scrapes with one."""

import pytest
from cloud_api_world import ALARM, World
from prometheus_client.parser import text_string_to_metric_families
from test_cloud_api_accounts import ADMIN, logged_in, rows

from cloud.accounts.roles import AccountRole

ACKNOWLEDGE = f"/api/alarms/{ALARM}/acknowledge"


async def made(city: World, admin: dict[str, str], **more: object) -> dict[str, str]:
    """The header of a new key with the operator's role."""
    wanted = {"name": "grafana", "roles": [{"role": "operator"}], **more}
    answer = await city.post("/api/keys", wanted, **admin)
    assert answer["token"].startswith(answer["begins"])
    return {"Authorization": f"Bearer {answer['token']}"}


async def test_a_key_reads_what_its_roles_see_and_nothing_else(city: World) -> None:
    admin = await logged_in(city, "chief", ADMIN)
    key = await made(city, admin)
    assert (await city.get("/api/devices", **key))["items"]
    await city.get("/api/devices", status=401)
    told = await city.post(ACKNOWLEDGE, {"actor": "key:grafana"}, status=403, **key)
    assert "changes nothing" in told["detail"]


async def test_a_key_that_may_write_acts_under_its_own_name(city: World) -> None:
    admin = await logged_in(city, "chief", ADMIN)
    key = await made(city, admin, reads_only=False)
    answer = await city.post(ACKNOWLEDGE, {"actor": "key:grafana"}, **key)
    assert answer["acknowledged_by"] == "key:grafana"
    assert ("key:grafana", "operator", "acknowledge_alarm", ALARM, "200") in await rows(city)
    await city.get("/api/keys", status=403, **key)


async def test_a_revoked_key_and_one_that_is_over_open_nothing(city: World) -> None:
    admin = await logged_in(city, "chief", ADMIN)
    short = await made(city, admin, name="short", expires="2025-11-20T14:10:00Z")
    long = await made(city, admin, name="long")
    async with city.session.delete("/api/keys/long", headers=admin) as answer:
        assert answer.status == 200
    await city.get("/api/devices", status=401, **long)
    await city.get("/api/devices", **short)
    city.clock.advance(660)
    await city.get("/api/devices", status=401, **short)
    listed = (await city.get("/api/keys", **admin))["items"]
    assert [(one["name"], one["revoked"] is None) for one in listed] == [("long", False), ("short", True)]


@pytest.mark.parametrize("role", [role for role in AccountRole if role is not AccountRole.ADMIN])
async def test_only_the_administrator_gives_keys(city: World, role: AccountRole) -> None:
    await logged_in(city, "chief", ADMIN)
    other = await logged_in(city, "li.wei", ADMIN.__class__(role))
    await city.post("/api/keys", {"name": "mine", "roles": [{"role": "admin"}]}, status=403, **other)


async def test_a_name_is_given_once(city: World) -> None:
    admin = await logged_in(city, "chief", ADMIN)
    await made(city, admin)
    await city.post("/api/keys", {"name": "grafana", "roles": [{"role": "crew"}]}, status=409, **admin)


async def test_prometheus_reads_the_figures_with_a_key(city: World) -> None:
    admin = await logged_in(city, "chief", ADMIN)
    key = await made(city, admin)
    async with city.session.get("/metrics") as refused:
        assert refused.status == 401
    async with city.session.get("/metrics", headers=key) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        families = {one.name: one for one in text_string_to_metric_families(await answer.text())}
    values = {
        (s.name, *[value for _, value in sorted(s.labels.items())]): s.value for one in families.values() for s in one.samples
    }
    assert values["citynerve_refused_total", "bad_checksum"] == 3
    assert values["citynerve_records_total", "stored", "readings"] == 91
    assert values["citynerve_records_total", "lost", "readings"] == 4
    assert values["citynerve_gateways", "true"] == 1
    assert values["citynerve_cases", "dispatched"] == 1
    assert values["citynerve_ingest_lag_seconds",] == 0
    assert all(one.documentation for one in families.values())
