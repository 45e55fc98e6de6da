"""What the API answers to bad questions: a problem each time, never a fault of its own."""

import json
import random
from typing import Any
from urllib.parse import quote

import pytest
from cloud_api_world import World

from cloud.api.headers import MAX_BODY_BYTES
from cloud.series.store import StoreUnavailable

HISTORY = "/api/devices/cover-1/history"

BAD = [
    pytest.param("/api/devices?limit=0", 422, "invalid", "limit", id="a page of nothing"),
    pytest.param("/api/devices?limit=1001", 422, "invalid", "1000", id="a page above the limit says the limit"),
    pytest.param("/api/devices?colour=red", 422, "invalid", "colour", id="an unknown parameter is named"),
    pytest.param("/api/gateways?x=1", 422, "invalid", "query.x", id="an unknown parameter where there is only paging"),
    pytest.param("/api/profiles?x=1", 422, "invalid", "query.x", id="an unknown parameter where there are none"),
    pytest.param("/api/devices?state=broken", 422, "invalid", "state", id="an unknown state"),
    pytest.param("/api/devices?cursor=%00", 422, "invalid", "cursor", id="a cursor that is none"),
    pytest.param("/api/devices?cursor=WzFd", 422, "invalid", "cursor", id="a cursor of another shape"),
    pytest.param("/api/alarms?cursor=Wzk5OTk5OTk5OTk5OTk5OTk5OTk5OSwiYSJd", 422, "invalid", "cursor", id="a cursor too large"),
    pytest.param("/api/devices/nobody", 404, "unknown_device", "nobody", id="a device that is not there"),
    pytest.param("/api/devices/%2e%2e%2fetc", 404, "not_found", "", id="a path that climbs"),
    pytest.param("/api/devices/a%20b", 422, "invalid", "path.id", id="an id that cannot be one"),
    pytest.param("/api/latest", 422, "invalid", "device", id="latest of nobody"),
    pytest.param(f"{HISTORY}?metric=colour", 422, "unknown_metric", "tilt_deg", id="an unknown metric lists the known"),
    pytest.param(f"{HISTORY}?start=yesterday", 422, "invalid", "ISO 8601", id="a time in words"),
    pytest.param(f"{HISTORY}?start=2025-11-20T08:00:00", 422, "invalid", "zone", id="a time without a zone"),
    pytest.param(f"{HISTORY}?start=2025-11-20T08:00:00+08:00", 422, "invalid", "%2B", id="a plus sign that became a space"),
    pytest.param(f"{HISTORY}?start=1763650000", 422, "invalid", "start", id="a number is no time"),
    pytest.param(f"{HISTORY}?start=9999-01-01T00:00:00Z", 422, "invalid", "2100", id="a time beyond the store's"),
    pytest.param(f"{HISTORY}?start=0001-01-01T00:00:00%2B14:00", 422, "invalid", "start", id="a time before the first"),
    pytest.param(
        f"{HISTORY}?start=2025-01-02T00:00:00Z&end=2025-01-01T00:00:00Z",
        422,
        "invalid",
        "start < end",
        id="an end before the start",
    ),
    pytest.param(f"{HISTORY}?bucket=0", 422, "invalid", "bucket", id="a bucket of nothing"),
    pytest.param(f"{HISTORY}?bucket=100000", 422, "invalid", "whole days", id="a bucket of a day and a bit"),
    pytest.param(
        f"{HISTORY}?bucket=1&start=2025-01-01T00:00:00Z&end=2025-02-01T00:00:00Z", 422, "invalid", "10000", id="too many buckets"
    ),
    pytest.param(f"{HISTORY}?bucket=60&zone=Asia", 422, "invalid", "zone", id="a folder of the zone database"),
    pytest.param(f"{HISTORY}?bucket=60&zone=../../etc/passwd", 422, "invalid", "zone", id="a zone that climbs"),
    pytest.param("/api/devices/odd-1/history", 422, "invalid", "not in the catalog", id="a device without profile needs metrics"),
    pytest.param("/api/alarms/nothing/here", 404, "not_found", "nothing/here", id="an alarm that is not there"),
    pytest.param("/api/cases/8", 404, "not_found", "case 8", id="a case that is not there"),
    pytest.param("/api/cases/99999999999999999999", 422, "invalid", "path.id", id="a case number beyond any"),
    pytest.param("/api/cases/seven", 422, "invalid", "path.id", id="a case number in words"),
    pytest.param(
        "/api/gateways/nobody/ledger", 404, "not_found", "gateway nobody", id="the ledger of a gateway that is not there"
    ),
    pytest.param("/api/nothing", 404, "not_found", "/api/nothing", id="a path that is not there"),
    pytest.param("/api/stream?kind=gossip", 422, "invalid", "kind", id="an unknown kind of news"),
]


@pytest.mark.parametrize(("path", "status", "reason", "said"), BAD)
@pytest.mark.asyncio(loop_scope="module")
async def test_a_bad_question_gets_a_problem(quiet_city: World, path: str, status: int, reason: str, said: str) -> None:
    async with quiet_city.session.get(quiet_city.exact(path)) as response:
        assert response.status == status, await response.text()
        assert response.headers["Content-Type"] == "application/problem+json"
        problem = await response.json(content_type=None)
    assert (problem["status"], problem["reason"]) == (status, reason)
    assert problem["type"] == f"urn:citynerve:problem:{reason}"
    assert said in problem["detail"]


STEP: dict[str, Any] = {"step": "assign", "actor": "a", "role": "department", "assignee": "b", "version": 1}
BODIES = [
    pytest.param({k: v for k, v in STEP.items() if k != "version"}, 422, "version", id="without a version"),
    pytest.param({**STEP, "version": "1"}, 422, "version", id="a version in words"),
    pytest.param({**STEP, "version": True}, 422, "version", id="a version that is true"),
    pytest.param({**STEP, "version": 10**30}, 422, "version", id="a version beyond any"),
    pytest.param({**STEP, "actor": "  "}, 422, "actor", id="nobody acts"),
    pytest.param({**STEP, "actor": "a" * 129}, 422, "actor", id="a name too long"),
    pytest.param({**STEP, "actor": "a\x00"}, 422, "actor", id="control characters"),
    pytest.param({**STEP, "actor": "\ud800"}, 422, "actor", id="half a character"),
    pytest.param({**STEP, "colour": "red"}, 422, "colour", id="an unknown member"),
    pytest.param([1], 422, "body", id="a list"),
    pytest.param({**STEP, "assignee": " "}, 422, "assignee", id="assigning to nobody"),
    pytest.param({**STEP, "until": "tomorrow"}, 422, "until", id="a time in words"),
    pytest.param({**STEP, "version": 9}, 409, "version", id="a version that never was"),
]


@pytest.mark.parametrize(("body", "status", "said"), BODIES)
async def test_a_bad_step_changes_nothing(city: World, body: Any, status: int, said: str) -> None:
    problem = await city.post("/api/cases/7/steps", body, status=status)
    assert said in problem["detail"]
    assert (await city.get("/api/cases/7"))["version"] == 1


async def test_a_body_that_is_not_json_is_refused(city: World) -> None:
    for data in (b"{", b"\xff\xfe", b"[" * 60_000, b'{"actor": 1e999}'):
        async with city.session.post("/api/cases/7/steps", data=data, headers={"Content-Type": "application/json"}) as response:
            assert response.status in {400, 422}
            assert response.headers["Content-Type"] == "application/problem+json"


async def test_a_form_is_not_taken_for_json(city: World) -> None:
    async with city.session.post(
        "/api/cases/7/steps", data=json.dumps(STEP).encode(), headers={"Content-Type": "text/plain"}
    ) as r:
        assert r.status == 422


async def test_a_body_too_large_is_refused_by_its_length(city: World) -> None:
    body = {**STEP, "note": "x" * MAX_BODY_BYTES}
    problem = await city.post("/api/cases/7/steps", body, status=413)
    assert problem["reason"] == "oversized"
    assert str(MAX_BODY_BYTES) in problem["detail"]


async def test_a_body_too_large_is_refused_while_it_comes(city: World) -> None:
    async def drip() -> Any:
        for _ in range(20):
            yield b"x" * 8192

    async with city.session.post("/api/cases/7/steps", data=drip(), headers={"Content-Type": "application/json"}) as response:
        assert response.status == 413
        assert (await response.json(content_type=None))["reason"] == "oversized"


async def test_another_sites_page_may_not_post(city: World) -> None:
    body = STEP
    problem = await city.post("/api/cases/7/steps", body, status=403, Origin="https://elsewhere.example")
    assert problem["reason"] == "not_allowed"
    await city.post("/api/cases/7/steps", body, status=403, Origin="null")
    await city.post("/api/cases/7/steps", body, status=200, Origin=city.base)


async def test_a_wrong_method_is_a_problem(city: World) -> None:
    async with city.session.delete("/api/cases/7") as response:
        assert response.status == 405
        assert (await response.json(content_type=None))["reason"] == "not_allowed"
        assert "GET" in response.headers["Allow"]


async def test_a_store_that_does_not_answer_is_503_and_degraded_health(city: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object) -> None:
        raise StoreUnavailable("gone")

    monkeypatch.setattr(type(city.services.series), "latest", away)
    problem = await city.get("/api/devices/cover-1/latest", status=503)
    assert problem["reason"] == "store_unavailable"
    health = await city.get("/api/health", status=503)
    assert (health["status"], health["series"]) == ("degraded", False)


async def test_a_fault_of_the_server_is_a_problem_that_tells_nothing(city: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("the key is hunter2")

    monkeypatch.setattr(type(city.services.series), "latest", broken)
    async with city.session.get("/api/devices/cover-1/latest") as response:
        assert response.status == 500
        assert (await response.json(content_type=None))["reason"] == "internal"
        assert "hunter2" not in await response.text()
        assert "default-src" in response.headers["Content-Security-Policy"]


async def test_no_question_makes_a_fault(city: World) -> None:
    seed = random.Random(20)  # noqa: S311 - the same odd questions each time
    odd = [
        "",
        "0",
        "-1",
        "1e9",
        "99999999999999999999",
        "NaN",
        "\x00",
        "ü",
        "%",
        "' OR 1=1 --",
        "a" * 3000,
        "[]",
        "2025-11-20T00:00:00Z",
        "true",
    ]
    paths = ["/api/devices", "/api/latest", HISTORY, "/api/alarms", "/api/cases", "/api/gateways", "/api/refusals", "/api/counts"]
    names = ["cursor", "limit", "state", "kind", "q", "device", "metric", "start", "end", "bucket", "zone", "gateway", "x"]
    for _ in range(300):
        query = "&".join(f"{seed.choice(names)}={quote(seed.choice(odd))}" for _ in range(seed.randint(1, 3)))
        url = city.exact(f"{seed.choice(paths)}?{query}")
        async with city.session.get(url) as response:
            assert response.status < 500, url
    for text in odd:
        for path in ("/api/devices/{}", "/api/cases/{}", "/api/alarms/{}", "/api/devices/{}/latest"):
            url = city.exact(path.format(quote(text, safe="")))
            async with city.session.get(url) as response:
                assert response.status < 500, url


async def test_every_route_says_what_it_does_with_an_example(city: World) -> None:
    description = await city.get("/api/openapi.json")
    schemas = description["components"]["schemas"]
    for path, methods in description["paths"].items():
        for method, route in methods.items():
            where = f"{method} {path}"
            assert route["summary"], where
            assert route["description"], where
            well = next(answer for status, answer in route["responses"].items() if status.startswith("2"))
            (media,) = well["content"].values()
            name = media["schema"].get("$ref", "").rpartition("/")[2]
            assert "example" in media or "example" in schemas[name], where
            assert "application/problem+json" in route["responses"]["422"]["content"], where
    assert "Problem" in schemas
    assert {
        "/api/devices",
        "/api/devices/{id}/history",
        "/api/alarms/{id}/acknowledge",
        "/api/cases/{id}/steps",
        "/api/stream",
    } <= set(description["paths"])


async def test_the_examples_are_of_their_own_shape(city: World) -> None:
    import cloud.api.schemas as shapes

    for name in shapes.__all__:
        model = getattr(shapes, name)
        example = model.model_config.get("json_schema_extra", {}).get("example")
        if example is not None:
            model.model_validate(example)
