"""GET /api/dead-letters, and the mirror in the health."""

from pathlib import Path

from cloud_api_world import NOW, NOW_NS, World

from cloud.series.dead_letters import DeadLetters
from cloud.series.mirror import Mirror, parse_mirror
from telemetry.clock import ManualClock
from telemetry.reason import Reason
from telemetry.records import Reading
from telemetry.wire import group_readings


def give(city: World, **parts: object) -> None:
    """What the wiring would have given."""
    for name, part in parts.items():
        object.__setattr__(city.services, name, part)


async def test_refused_lines_are_told_newest_first_by_cursor(city: World, tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path / "dead-letters")
    give(city, letters=letters)
    assert (await city.get("/api/dead-letters"))["items"] == []
    for seq in range(1, 4):
        letters.put(at_ns=NOW_NS, gateway="gw-1", epoch="e1", seq=seq, reason=Reason.WRONG_TYPE, detail="no", line='m,d=1 v="x"')
    page = await city.get("/api/dead-letters?limit=2")
    assert page["items"][0] == {
        "n": 3, "time": NOW, "gateway": "gw-1", "epoch": "e1", "seq": 3, "reason": "wrong_type",
        "detail": "no", "line": 'm,d=1 v="x"',
    }  # fmt: skip
    assert (page["written"], page["forgotten"]) == (3, 0)
    rest = await city.get(f"/api/dead-letters?cursor={page['next']}")
    assert ([item["seq"] for item in rest["items"]], rest["next"]) == ([1], None)


async def test_a_cursor_of_nobody_and_a_foreign_parameter_are_problems(city: World) -> None:
    for query in ("cursor=x", "cursor=WyJhIl0", "limit=0", "page=1"):
        problem = await city.get(f"/api/dead-letters?{query}", status=422)
        assert problem["reason"] == "invalid"


async def test_health_tells_of_the_mirror_and_stays_well_without_it(city: World) -> None:
    assert (await city.get("/api/health"))["mirror"] is None
    give(city, mirror=Mirror(parse_mirror("http://127.0.0.1:9"), ManualClock(NOW_NS)))
    health = await city.get("/api/health")
    assert health["mirror"] == {"state": "ok", "waiting": 0, "lag_s": 0.0, "sent": 0, "dropped": 0, "refused": 0}
    assert health["status"] == "ok"


async def test_the_mirror_has_figures_for_prometheus(city: World) -> None:
    mirror = Mirror(parse_mirror("http://127.0.0.1:9"), ManualClock(NOW_NS))
    give(city, mirror=mirror)
    mirror.offer([group_readings("gw-1", "e1", 1, [_reading()])])
    async with city.session.get("/metrics") as answer:
        told = await answer.text()
    assert "citynerve_mirror_waiting_readings 1.0" in told
    assert "citynerve_mirror_lag_seconds 0.0" in told
    assert 'citynerve_mirror_readings_total{outcome="dropped"} 0.0' in told


def _reading() -> Reading:
    return Reading(
        device="cover-1", profile="cover_nbiot", profile_version=1, time_ns=NOW_NS, received_ns=NOW_NS, values={"tilt_deg": 1.0}
    )
