"""The city's own plan as the cloud read it at its start: matters, districts, departments, who is on duty now."""

from typing import Any, Final

from fastapi import APIRouter, Depends

from cloud.api.actor import actor_of
from cloud.api.common import Given, NoQuery, text
from cloud.api.schemas import Answer, Text, example
from device_profiles.matter import Limit, Matter

__all__ = ["router"]

router = APIRouter(tags=["plan"], dependencies=[Depends(actor_of)])

_LIMIT: Final = {"count": "6", "clock": "urgent_hours"}
_QUARTER: Final = {"count": "0.25", "clock": "urgent_hours"}
_HALF: Final = {"count": "0.5", "clock": "urgent_hours"}
_MATTER: Final[dict[str, Any]] = {
    "code": "cover_displaced",
    "title": {"zh": "井盖移位", "en": "Manhole cover displaced"},
    "gbt_code": "0101",
    "department": "市政设施养护单位",
    "department_by": "owner",
    "priority": "critical",
    "limits": {"accept": _QUARTER, "verify": _HALF, "dispatch": _QUARTER, "handle": _LIMIT, "check": _HALF},
    "filed_when": {"zh": "井盖移位", "en": "The cover is not in its place"},
    "closes_when": {"zh": "井盖复位", "en": "The cover is back in its place"},
    "device_word": "needed",
    "people_only": False,
    "table": "citynerve",
    "valid_from": "2026-01-01",
    "source": "",
}
_DISTRICT: Final = {"name": "east", "title": {"zh": "东区", "en": "East"}}
_DEPARTMENT: Final = {"name": "municipal", "districts": ["east"], "on_duty": ["li.wei"]}


class LimitInfo(Answer):
    """So many hours or days of one kind of clock; `count` is decimal text."""

    count: str
    clock: str


class LimitsInfo(Answer):
    """The limit of each stage."""

    accept: LimitInfo
    verify: LimitInfo
    dispatch: LimitInfo
    handle: LimitInfo
    check: LimitInfo


class MatterInfo(Answer):
    """One line that is in force now. `device_word`: what the device's own word is worth at the end, null where it has none."""

    model_config = example(**_MATTER)
    code: str
    title: Text
    gbt_code: str
    department: str
    department_by: str
    priority: str
    limits: LimitsInfo
    filed_when: Text
    closes_when: Text
    device_word: str | None
    people_only: bool
    table: str
    valid_from: str
    source: str


class MatterList(Answer):
    model_config = example(items=[_MATTER])
    items: list[MatterInfo]


class DistrictInfo(Answer):
    name: str
    title: Text


class DepartmentInfo(Answer):
    """A department, where it works (nowhere named: everywhere), and who is on duty, in the order in which they are asked."""

    name: str
    districts: list[str]
    on_duty: list[str]


class DutyInfo(Answer):
    model_config = example(districts=[_DISTRICT], departments=[_DEPARTMENT])
    districts: list[DistrictInfo]
    departments: list[DepartmentInfo]


@router.get("/matters", summary="What cases are about, and by when", response_model=MatterList)
async def list_matters(given: Given, _: NoQuery) -> dict[str, Any]:
    """The lines in force now, the city's own before the product's; files of the configuration change them."""
    found = given.desk.matters.all(given.clock.wall_ns())
    return {"items": [_matter(matter) for matter in sorted(found, key=lambda matter: matter.gbt_code)]}


@router.get("/duty", summary="Districts, departments, and who is on duty now", response_model=DutyInfo)
async def get_duty(given: Given, _: NoQuery) -> dict[str, Any]:
    """As the duty plan says; empty where the city has none."""
    duty, now_ns = given.desk.duty, given.clock.wall_ns()
    return {
        "districts": [{"name": one.name, "title": text(one.title)} for one in duty.districts],
        "departments": [
            {"name": name, "districts": sorted(one.districts), "on_duty": list(duty.on_duty(name, "", now_ns))}
            for name, one in duty.departments.items()
        ],
    }


def _matter(matter: Matter) -> dict[str, Any]:
    stages = ("accept", "verify", "dispatch", "handle", "check")
    same = ("code", "gbt_code", "department", "people_only", "table", "valid_from", "source")
    return {
        **{name: getattr(matter, name) for name in same},
        "title": text(matter.title),
        "department_by": matter.department_by.value,
        "priority": matter.priority.value,
        "limits": {stage: _limit(getattr(matter.limits, stage)) for stage in stages},
        "filed_when": text(matter.filed_when),
        "closes_when": text(matter.closes_when),
        "device_word": matter.device.word.value if matter.device else None,
    }


def _limit(limit: Limit) -> dict[str, str]:
    return {"count": limit.count, "clock": limit.clock.value}
