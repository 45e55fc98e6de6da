"""How well the alarms serve a desk, and what a rule would have raised: both read much, and change nothing."""

import asyncio
from functools import partial
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response

from cloud.api import alarm_health_shapes as shapes
from cloud.api.answers import json_answer
from cloud.api.common import Given, NoQuery, StrictQuery
from cloud.api.problems import ApiProblem, describe
from cloud.api.services import Services
from cloud.health.desks import UnknownDeskError
from cloud.health.measure import alarm_health
from cloud.health.shown import shown_report
from cloud.trial.rule import read_rule
from cloud.trial.shown import shown_trial
from cloud.trial.trial import Progress, Trial, devices_of
from device_profiles.mistakes import ProfileError, did_you_mean
from device_profiles.model import AlarmRule, Profile, zones_of
from telemetry.reason import Reason

__all__ = ["router"]

router = APIRouter(tags=["alarms"])

MOST_DEVICES: Final = 100
_CHINA: Final = ZoneInfo("Asia/Shanghai")


class HealthQuery(StrictQuery):
    """Whose alarms, and how far back."""

    days: int = Field(30, ge=1, le=366, description="days up to now; the published targets are meant for 30 or more")
    desk: str = Field("", max_length=64, description="a department or a district; left out: all alarms")


@router.get(
    "/alarms/health",
    summary="The figures of ISA-18.2 and EEMUA 191",
    response_model=shapes.AlarmHealth,
    responses=describe(404),
)
async def get_alarm_health(given: Given, query: Annotated[HealthQuery, Query()]) -> Response:
    """Counted from the alarm log, each with its definition, version and target; null is "no data". 404: no such desk."""
    now_ns = given.clock.wall_ns()
    try:
        find = partial(given.desk.matters.find, at_ns=now_ns)
        report = await alarm_health(given.engine, given.catalog, now_ns=now_ns, days=query.days, desk=query.desk, find=find)
    except UnknownDeskError as error:
        raise ApiProblem(Reason.NOT_FOUND, str(error)) from error
    return json_answer(shown_report(report))


@router.post(
    "/alarms/try",
    summary="What a rule would have raised",
    response_model=shapes.Trial,
    responses=describe(404, 409, 413, 503),
)
async def try_rule(request: Request, given: Given, asked: shapes.TrialRequest, _: NoQuery) -> Response:
    """The gateway's own engine on the recorded readings. One trial at a time: 409 while there is another; who goes away ends it.

    At most 100 devices; the command `citynerve cloud alarms try` has no such limit, and knows the site's places.
    """
    profile = given.catalog.get(asked.profile)
    if profile is None:
        raise ApiProblem(Reason.UNKNOWN_PROFILE, f"profile {asked.profile!r}: want {did_you_mean(asked.profile, given.catalog)}")
    if given.rules is None:
        raise ApiProblem(Reason.NOT_FOUND, "this cloud was started without the gateways' alarm engine")
    rule = _rule(profile, asked)
    turn: asyncio.Lock = request.app.state.trying
    if turn.locked():
        raise ApiProblem(Reason.CONFLICT, "another rule is being tried just now; try again later")
    async with turn:
        names = await _devices(given, profile.name, asked)
        trial = Trial(profile, rule, given.rules, names=names, now_ns=given.clock.wall_ns(), days=asked.days, zone=_CHINA)
        await trial.run(given.engine, given.series, partial(_is_awaited, request, given))
    return json_answer(shown_trial(trial.result()))


def _rule(profile: Profile, asked: shapes.TrialRequest) -> AlarmRule:
    if (asked.rule is None) == (asked.yaml is None):
        raise ApiProblem(Reason.INVALID, "body: want either rule or yaml", [("body.rule", "want either rule or yaml")])
    if asked.yaml is not None:
        try:
            rule = read_rule(asked.yaml, profile)
        except ProfileError as error:
            faults = [(f"body.yaml:{each.line}: {each.where}", f"{each.what}; write {each.instead}") for each in error.mistakes]
            raise ApiProblem(Reason.INVALID, str(error), faults) from error
    elif (rule_name := asked.rule or "") in profile.alarms:
        rule = profile.alarms[rule_name]
    else:
        wanted = did_you_mean(rule_name, profile.alarms)
        raise ApiProblem(Reason.NOT_FOUND, f"rule {asked.rule!r}: {profile.name} has none of this name; want {wanted}")
    if places := sorted(zones_of(rule.when)):
        where = f"the rule is about {', '.join(places)}, a place of a site's; only the command knows those (--zones)"
        raise ApiProblem(Reason.INVALID, where)
    return rule


async def _devices(given: Services, profile: str, asked: shapes.TrialRequest) -> list[str]:
    known = await devices_of(given.engine, profile)
    if unknown := sorted(set(asked.devices) - set(known)):
        raise ApiProblem(Reason.UNKNOWN_DEVICE, f"no device {', '.join(unknown)} of the profile {profile}")
    names = asked.devices or known
    if len(names) > MOST_DEVICES:
        raise ApiProblem(Reason.INVALID, f"{len(names)} devices of {profile}: name at most {MOST_DEVICES} in `devices`")
    return names


async def _is_awaited(request: Request, given: Services, now: Progress) -> bool:
    """Between two devices: nobody works on an answer that nobody reads, and the cloud can end."""
    del now
    return not given.stop.is_set() and not await request.is_disconnected()
