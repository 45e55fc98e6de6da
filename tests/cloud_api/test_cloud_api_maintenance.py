"""Disarming a device over the API: by the code that stands on it, for a while, once; and arming it again."""

from typing import Any

import pytest
from cloud_api_world import ALARM, NOW, World

UNTIL = "2025-11-20T16:00:00.000Z"
VISIT = {"actor": "li.wei", "note": "clearing the drain", "until": UNTIL}


async def listed(city: World) -> list[str]:
    return [alarm["id"] for alarm in (await city.get("/api/alarms"))["items"]]


async def test_a_disarmed_device_alarms_nobody_until_it_is_armed(city: World) -> None:
    assert (await city.get("/api/devices/cover-1/arming"))["armed"] is True
    arming = await city.post("/api/devices/cover-1/disarm", VISIT)
    assert arming == {
        "device": "cover-1",
        "armed": False,
        "rules": ["cover_opened", "cover_struck", "cover_tilted"],
        "since": NOW,
        "until": UNTIL,
        "by": "li.wei",
        "reason": "clearing the drain",
        "ends_when_closed": True,
    }
    assert await city.get("/api/devices/cover-1/arming") == arming
    assert await listed(city) == []
    armed = await city.post("/api/devices/cover-1/arm", {"actor": "li.wei", "note": "not today"})
    assert (armed["armed"], armed["rules"], armed["until"]) == (True, [], None)
    assert await listed(city) == [ALARM]
    problem = await city.post("/api/devices/cover-1/arm", {"actor": "li.wei", "note": ""}, status=409)
    assert problem["reason"] == "conflict"


async def test_the_code_of_another_device_disarms_nothing(city: World) -> None:
    problem = await city.post("/api/devices/cover-1/disarm", {**VISIT, "code": "cover-2"}, status=409)
    assert "the code of another" in problem["detail"]
    assert (await city.get("/api/devices/cover-1/arming"))["armed"] is True
    assert (await city.post("/api/devices/cover-1/disarm", {**VISIT, "code": "cover-1"}))["armed"] is False


async def test_what_is_sent_again_does_not_disarm_again(city: World) -> None:
    await city.post("/api/devices/cover-1/disarm", {**VISIT, "key": "k-1"})
    await city.post("/api/devices/cover-1/arm", {"actor": "li.wei", "note": "done"})
    assert (await city.post("/api/devices/cover-1/disarm", {**VISIT, "key": "k-1"}))["armed"] is True
    assert (await city.post("/api/devices/cover-1/disarm", {**VISIT, "key": "k-2"}))["armed"] is False


@pytest.mark.parametrize(
    ("device", "change", "status", "said"),
    [
        pytest.param("nobody", {}, 404, "nobody", id="a device that is not there"),
        pytest.param("odd-1", {}, 422, "nothing to disarm", id="a device that cannot be opened"),
        pytest.param("cover-1", {"until": NOW}, 422, "after now", id="an end that is now"),
        pytest.param("cover-1", {"until": "2025-11-22T16:00:00Z"}, 422, "within 86400 s", id="more than a day"),
        pytest.param("cover-1", {"until": "2025-11-20T16:00:00"}, 422, "zone", id="an end without a zone"),
        pytest.param("cover-1", {"note": " "}, 422, "reason", id="no reason"),
        pytest.param("cover-1", {"forever": True}, 422, "forever", id="an unknown field"),
    ],
)
async def test_a_visit_that_cannot_be_is_refused(city: World, device: str, change: Any, status: int, said: str) -> None:
    problem = await city.post(f"/api/devices/{device}/disarm", {**VISIT, **change}, status=status)
    assert said in str(problem)
    assert await listed(city) == [ALARM]
