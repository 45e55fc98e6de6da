"""What the table's columns may say: what a step needs, which guard stands before it, what it does to a clock, who is told."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec

from cloud.workflow.states import Clock, Role, State, Step
from device_profiles.quantities import Text

__all__ = ["DOES_WORDS", "GUARD_WORDS", "NEED_WORDS", "TOLD_WORDS", "Does", "Guard", "Need", "Row", "Told", "Turn"]


class Need(StrEnum):
    """What the deed must carry."""

    NOTE = "note"
    REASON = "reason"
    PHOTO = "photo"
    POSITION = "position"
    STANDARD = "standard"
    UNTIL = "until"
    DEPARTMENT = "department"
    ASSIGNEE = "assignee"


class Guard(StrEnum):
    """What must hold of the case and the deed together."""

    OWN_TASK = "own_task"
    REVOKE_FIRST = "revoke_first"
    A_PERSON_AFTER_A_RETURN = "a_person_after_a_return"
    NOTHING_ASKED = "nothing_asked"
    EXTENSION_LEFT = "extension_left"
    EXTENSION_ASKED = "extension_asked"
    HOLD_LEFT = "hold_left"
    HOLD_ASKED = "hold_asked"
    HOLD_SHORT_ENOUGH = "hold_short_enough"
    SOMETHING_ASKED = "something_asked"
    NOT_ONES_OWN = "not_ones_own"
    NOT_THE_APPELLANT = "not_the_appellant"
    HOLD_DATE_CAME = "hold_date_came"
    SEEN_DONE = "seen_done"
    DEVICE_AGREES = "device_agrees"
    DEVICE_CLEAR = "device_clear"
    WAS_OVERDUE = "was_overdue"
    NO_APPEAL_YET = "no_appeal_yet"
    APPEAL_NEW = "appeal_new"
    APPEAL_AGREED = "appeal_agreed"
    APPEAL_OPEN = "appeal_open"
    OTHER_REVIEWER = "other_reviewer"
    REOPEN_IN_TIME = "reopen_in_time"


class Does(StrEnum):
    """What happens to a clock. A resumed clock keeps what was spent; a started one begins at nothing."""

    STARTS = "starts"
    STOPS = "stops"
    PAUSES = "pauses"
    RESUMES = "resumes"
    EXTENDS = "extends"


class Told(StrEnum):
    """Who must hear of it. `assignee` is the person it is, or was until this step, assigned to."""

    OPERATOR = "operator"
    DISPATCHER = "dispatcher"
    DEPARTMENT = "department"
    ASSIGNEE = "assignee"
    REPORTER = "reporter"
    SHIFT_LEAD = "shift_lead"
    SUPERVISOR = "supervisor"
    INSPECTOR = "inspector"


class Turn(msgspec.Struct, frozen=True):
    """One clock and what happens to it."""

    does: Does
    clock: Clock


class Row(msgspec.Struct, frozen=True):
    """One row of the table: from `before` by `step` to `after`. `before` is None for the report, which makes the case."""

    before: State | None
    step: Step
    after: State
    roles: frozenset[Role]
    needs: tuple[Need, ...]
    guards: tuple[Guard, ...]
    turns: tuple[Turn, ...]
    tells: tuple[Told, ...]


NEED_WORDS: Final[Mapping[Need, Text]] = {
    Need.NOTE: Text("说明", "note"),
    Need.REASON: Text("理由", "reason"),
    Need.PHOTO: Text("照片", "photo"),
    Need.POSITION: Text("位置", "position"),
    Need.STANDARD: Text("选定的立结案标准", "standard chosen"),
    Need.UNTIL: Text("截止日期", "until date"),
    Need.DEPARTMENT: Text("处置部门", "department"),
    Need.ASSIGNEE: Text("承办人", "assignee"),
}

GUARD_WORDS: Final[Mapping[Guard, Text]] = {
    Guard.OWN_TASK: Text("任务仅由被指派的本人回复", "a task is answered by the person it is assigned to"),
    Guard.REVOKE_FIRST: Text("部门须先撤销指派再回退", "the department revokes the assignee before it returns the case"),
    Guard.A_PERSON_AFTER_A_RETURN: Text("回退后须由人处理，系统不得自动推进", "after a return a person decides, not the system"),
    Guard.NOTHING_ASKED: Text("没有待批的申请", "nothing else is waiting for a decision"),
    Guard.EXTENSION_LEFT: Text("延期次数未用完", "extensions are left"),
    Guard.EXTENSION_ASKED: Text("已申请延期", "an extension was asked for"),
    Guard.HOLD_LEFT: Text("未挂过账", "it was not on hold before"),
    Guard.HOLD_ASKED: Text("已申请挂账", "a hold was asked for"),
    Guard.HOLD_SHORT_ENOUGH: Text("挂账截止日期在以后一年之内", "the hold ends later than now and within a year"),
    Guard.SOMETHING_ASKED: Text("有待批的申请", "something was asked for"),
    Guard.NOT_ONES_OWN: Text("不得审批本人的申请", "nobody decides on what they asked for"),
    Guard.NOT_THE_APPELLANT: Text("不得审批本人的申诉", "nobody decides on their own appeal"),
    Guard.HOLD_DATE_CAME: Text("挂账日期已到", "the hold's date has come"),
    Guard.SEEN_DONE: Text("采集员已到场核查，或设备报告恢复正常", "a collector saw it done, or the device says so"),
    Guard.DEVICE_AGREES: Text("设备不再报告故障", "the device no longer reports the fault"),
    Guard.DEVICE_CLEAR: Text(
        "设备报告恢复正常，且其报告即可结案", "the device says that the fault is gone, and its word is enough"
    ),
    Guard.WAS_OVERDUE: Text("处置超期", "the handling was overdue"),
    Guard.NO_APPEAL_YET: Text("每案限申诉一次", "one appeal a case"),
    Guard.APPEAL_NEW: Text("申诉待初审", "the appeal waits for its first reviewer"),
    Guard.APPEAL_AGREED: Text("申诉已初审通过", "the first reviewer agreed"),
    Guard.APPEAL_OPEN: Text("申诉未结", "an appeal is open"),
    Guard.OTHER_REVIEWER: Text("复审人与初审人不同", "the second reviewer is another person"),
    Guard.REOPEN_IN_TIME: Text("在可重开期限内", "within the days in which a case can be reopened"),
}

DOES_WORDS: Final[Mapping[Does, Text]] = {
    Does.STARTS: Text("起算", "starts"),
    Does.STOPS: Text("止算", "stops"),
    Does.PAUSES: Text("暂停", "pauses"),
    Does.RESUMES: Text("续算", "resumes"),
    Does.EXTENDS: Text("加一个原时限", "one original limit more"),
}

TOLD_WORDS: Final[Mapping[Told, Text]] = {
    Told.OPERATOR: Text("受理员", "operator"),
    Told.DISPATCHER: Text("派遣员", "dispatcher"),
    Told.DEPARTMENT: Text("专业部门", "department"),
    Told.ASSIGNEE: Text("承办人", "assignee"),
    Told.REPORTER: Text("上报人", "reporter"),
    Told.SHIFT_LEAD: Text("值班长", "shift lead"),
    Told.SUPERVISOR: Text("领导", "supervisor"),
    Told.INSPECTOR: Text("考核员", "inspector"),
}
