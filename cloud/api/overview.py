"""One answer for the wall: how the whole city stands."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import shapely
from fastapi import APIRouter, Request
from starlette.responses import Response

from cloud.api.actor import Acting, Actor
from cloud.api.alarms import shown_alarm
from cloud.api.answers import json_answer
from cloud.api.common import Given, NoQuery, text
from cloud.api.overview_schemas import Overview
from cloud.api.problems import describe
from cloud.api.services import Services
from cloud.api.times import age_s, iso
from cloud.dispatch.districts import District
from cloud.overview.board import Board, View
from cloud.overview.rate import Hour
from cloud.overview.read import HOUR_NS, SLA_DAYS, Group
from device_profiles.quantities import Text

__all__ = ["router"]

router = APIRouter(tags=["system"])

_ALARM: Final = ("id", "device", "device_name", "title", "priority", "state", "raised")
_SILENT: Final = frozenset({"offline", "unknown"})
_MOST_STOPS: Final = 12


@router.get("/overview", summary="The whole city on one page", response_model=Overview, responses=describe(503))
async def get_overview(request: Request, given: Given, who: Acting, _: NoQuery) -> Response:
    """For a wall that asks every few seconds: counted at most once in five seconds, whoever asks."""
    state = request.app.state
    if not hasattr(state, "overview"):
        state.overview = Board(given)
    board: Board = state.overview
    return json_answer(_shown(given, who, await board.look()))


def _shown(given: Services, who: Actor, view: View) -> dict[str, Any]:
    groups = [group for group in view.groups if who.sees(group.district)]
    districts = {district.name: district for district in given.desk.duty.districts}
    titles = {name: district.title for name, district in districts.items()}
    criticals = [_alarm(given, row, view.at_ns, who) for row in view.criticals]
    return {
        "as_of": iso(view.at_ns),
        "age_s": age_s(view.at_ns, given.clock.wall_ns()),
        "heard": iso(view.heard_ns),
        "heard_age_s": age_s(view.heard_ns, view.at_ns),
        "zone": given.desk.calendars.current.zone.key,
        "devices": _devices(view.devices),
        "alarms": {"open": dict(view.open_alarms), "hours": [_hour(hour) for hour in view.hours]},
        "energy": {"devices": view.energy.devices, "heard": view.energy.heard, "power_kw": view.energy.power_kw},
        "sla": {
            "days": SLA_DAYS,
            "city": _standing("", None, groups),
            "districts": _ranking(groups, lambda group: group.district, titles),
            "departments": _ranking(groups, lambda group: group.department, {}),
        },
        "criticals": {"total": view.open_alarms.get("critical", 0), "items": criticals},
        "newest": [_alarm(given, row, view.at_ns, who) for row in view.newest],
        "tour": _tour(groups, districts),
    }


def _devices(counts: Iterable[tuple[str, str, int]]) -> dict[str, Any]:
    kinds: defaultdict[str, dict[str, int]] = defaultdict(dict)
    city: defaultdict[str, int] = defaultdict(int)
    for kind, state, count in counts:
        kinds[kind][state] = count
        city[state] += count
    each = [{"kind": kind, **_counted(states)} for kind, states in kinds.items()]
    return {**_counted(city), "kinds": sorted(each, key=lambda one: (-one["total"], one["kind"]))}


def _counted(states: Mapping[str, int]) -> dict[str, Any]:
    online = sum(count for state, count in states.items() if state not in _SILENT)
    return {"total": sum(states.values()), "online": online, "states": dict(states)}


def _hour(hour: Hour) -> dict[str, Any]:
    return {
        "start": iso(hour.number * HOUR_NS),
        **{name: getattr(hour, name) for name in ("count", "low", "high", "mean", "days")},
    }


def _ranking(groups: Iterable[Group], name: Callable[[Group], str], titles: Mapping[str, Text]) -> list[dict[str, Any]]:
    of: defaultdict[str, list[Group]] = defaultdict(list)
    for group in groups:
        of[name(group)].append(group)
    found = [_standing(each, titles.get(each), held) for each, held in of.items()]
    return sorted(found, key=lambda one: (one["share"], -one["late"], one["name"]))


def _standing(name: str, title: Text | None, groups: Sequence[Group]) -> dict[str, Any]:
    sums = {each: sum(getattr(group, each) for group in groups) for each in ("cases", "late", "open", "open_late", "critical")}
    share = 1 - sums["late"] / sums["cases"] if sums["cases"] else 1.0
    return {"name": name, "title": text(title), "share": round(share, 4), **sums}


def _tour(groups: Iterable[Group], districts: Mapping[str, District]) -> list[dict[str, Any]]:
    """Districts by open critical cases, then late ones, then all open ones; those without any are not gone to."""
    ranked = _ranking((group for group in groups if group.open and group.district in districts), lambda group: group.district, {})
    ranked.sort(key=lambda one: (-one["critical"], -one["open_late"], -one["open"], one["name"]))
    return [
        {
            "name": one["name"],
            "title": text(districts[one["name"]].title),
            "open": one["open"],
            "late": one["open_late"],
            "critical": one["critical"],
            "bounds": [round(float(edge), 6) for edge in shapely.total_bounds(districts[one["name"]].parts)],
        }
        for one in ranked[:_MOST_STOPS]
    ]


def _alarm(given: Services, row: Mapping[str, Any], now_ns: int, who: Actor) -> dict[str, Any]:
    shown = shown_alarm(given, row, now_ns, who)
    return {**{name: shown[name] for name in _ALARM}, "case_id": shown["case"] and shown["case"]["id"]}
