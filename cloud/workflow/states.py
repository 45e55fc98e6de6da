"""The words of the workflow: where a case stands, who acts, what is done, which clock runs; each in zh-CN and en.

The seven steps (信息收集, 案卷建立, 任务派遣, 任务处理, 处理反馈, 核查结案, 综合评价) and the posts are those of
city management by GB/T 30428.8, read in a county's public notice (扶政办〔2019〕3号) and in the specification of an
open implementation; the text of the standard itself was not at hand. 核实 (verify) is before filing and 核查 (check)
after handling, as the notice and the best-known vendor have it; that specification has the two the other way round, so
the pages print both words.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from device_profiles.quantities import Text

__all__ = ["ASSIGNED", "CLOCK_WORDS", "ENDED", "ROLE_WORDS", "STATE_WORDS", "STEP_WORDS", "Clock", "Role", "State", "Step"]


class State(StrEnum):
    """Where a case stands."""

    REPORTED = "reported"
    VERIFYING = "verifying"
    VOID = "void"
    FILED = "filed"
    DISPATCHED = "dispatched"
    HANDLING = "handling"
    DEPARTMENT_REVIEW = "department_review"
    FEEDBACK = "feedback"
    CHECKING = "checking"
    CLOSED = "closed"
    HOLD = "hold"


class Role(StrEnum):
    """In which office somebody acts. A person may hold several; a deed names the one it is done in."""

    COLLECTOR = "collector"
    OPERATOR = "operator"
    SHIFT_LEAD = "shift_lead"
    DISPATCHER = "dispatcher"
    DEPARTMENT = "department"
    CREW = "crew"
    INSPECTOR = "inspector"
    SUPERVISOR = "supervisor"
    SYSTEM = "system"


class Step(StrEnum):
    """What is done to a case."""

    REPORT = "report"
    VERIFY = "verify"
    FOUND = "found"
    NOT_FOUND = "not_found"
    RECALL = "recall"
    VOID = "void"
    FILE = "file"
    DISPATCH = "dispatch"
    RETURN = "return"
    ASSIGN = "assign"
    REVOKE = "revoke"
    TAKE = "take"
    ARRIVE = "arrive"
    CALL_HELP = "call_help"
    SUBMIT = "submit"
    CONFIRM = "confirm"
    REWORK = "rework"
    CHECK = "check"
    CHECKED = "checked"
    PASS = "pass"  # noqa: S105 - a step, not a secret
    FAIL = "fail"
    OVERRIDE = "override"
    REOPEN = "reopen"
    JOIN = "join"
    ASK_EXTENSION = "ask_extension"
    GRANT_EXTENSION = "grant_extension"
    ASK_HOLD = "ask_hold"
    GRANT_HOLD = "grant_hold"
    REFUSE = "refuse"
    HOLD_OVER = "hold_over"
    END_HOLD = "end_hold"
    SUPERVISE = "supervise"
    APPEAL = "appeal"
    AGREE_APPEAL = "agree_appeal"
    GRANT_APPEAL = "grant_appeal"
    REFUSE_APPEAL = "refuse_appeal"


class Clock(StrEnum):
    """The stages that have a limit; a matter gives each its own."""

    ACCEPT = "accept"
    VERIFY = "verify"
    DISPATCH = "dispatch"
    HANDLE = "handle"
    CHECK = "check"


ENDED: Final = frozenset({State.VOID, State.CLOSED})
"""States in which nobody owes the case anything. A closed one may be appealed, and reopened for a while."""

ASSIGNED: Final = frozenset({State.VERIFYING, State.HANDLING, State.DEPARTMENT_REVIEW, State.CHECKING})
"""States in which the case is one person's task: a collector's, or a member's of the crew."""

STATE_WORDS: Final[Mapping[State, Text]] = {
    State.REPORTED: Text("上报待受理", "reported"),
    State.VERIFYING: Text("核实中（立案前）", "being verified (before filing)"),
    State.VOID: Text("作废", "void"),
    State.FILED: Text("已立案待派遣", "filed"),
    State.DISPATCHED: Text("已派遣待指派", "dispatched"),
    State.HANDLING: Text("处置中", "being handled"),
    State.DEPARTMENT_REVIEW: Text("部门审核", "in the department's review"),
    State.FEEDBACK: Text("处理反馈", "fed back"),
    State.CHECKING: Text("核查中（处置后）", "being checked (after handling)"),
    State.CLOSED: Text("结案", "closed"),
    State.HOLD: Text("挂账", "on hold"),
}

ROLE_WORDS: Final[Mapping[Role, Text]] = {
    Role.COLLECTOR: Text("采集员（监督员）", "collector"),
    Role.OPERATOR: Text("受理员（坐席）", "operator"),
    Role.SHIFT_LEAD: Text("值班长", "shift lead"),
    Role.DISPATCHER: Text("派遣员", "dispatcher"),
    Role.DEPARTMENT: Text("专业部门", "department"),
    Role.CREW: Text("处置人员", "crew"),
    Role.INSPECTOR: Text("考核员", "inspector"),
    Role.SUPERVISOR: Text("领导", "supervisor"),
    Role.SYSTEM: Text("系统", "system"),
}

STEP_WORDS: Final[Mapping[Step, Text]] = {
    Step.REPORT: Text("上报", "report"),
    Step.VERIFY: Text("发送核实", "send to verify"),
    Step.FOUND: Text("核实属实", "found on site"),
    Step.NOT_FOUND: Text("核实不属实", "not found on site"),
    Step.RECALL: Text("撤回任务", "recall the task"),
    Step.VOID: Text("作废", "declare void"),
    Step.FILE: Text("立案", "file"),
    Step.DISPATCH: Text("派遣", "dispatch"),
    Step.RETURN: Text("回退", "return"),
    Step.ASSIGN: Text("指派", "assign"),
    Step.REVOKE: Text("撤销指派", "revoke the assignee"),
    Step.TAKE: Text("接单", "take the task"),
    Step.ARRIVE: Text("到场", "arrive"),
    Step.CALL_HELP: Text("求助", "call for help"),
    Step.SUBMIT: Text("提交处置结果", "submit the work"),
    Step.CONFIRM: Text("部门确认", "confirm"),
    Step.REWORK: Text("返工", "send back to rework"),
    Step.CHECK: Text("发送核查", "send to check"),
    Step.CHECKED: Text("核查已处置", "checked on site"),
    Step.PASS: Text("核查通过结案", "pass and close"),
    Step.FAIL: Text("核查不通过返工", "fail, to rework"),
    Step.OVERRIDE: Text("特批结案", "close against the device"),
    Step.REOPEN: Text("重开返工", "reopen as rework"),
    Step.JOIN: Text("并案", "join another report"),
    Step.ASK_EXTENSION: Text("申请延期", "ask for an extension"),
    Step.GRANT_EXTENSION: Text("批准延期", "grant the extension"),
    Step.ASK_HOLD: Text("申请挂账", "ask for a hold"),
    Step.GRANT_HOLD: Text("批准挂账", "grant the hold"),
    Step.REFUSE: Text("驳回申请", "refuse what was asked"),
    Step.HOLD_OVER: Text("挂账到期", "the hold is over"),
    Step.END_HOLD: Text("提前解除挂账", "end the hold early"),
    Step.SUPERVISE: Text("督办", "supervise"),
    Step.APPEAL: Text("超期申诉", "appeal against overdue"),
    Step.AGREE_APPEAL: Text("申诉初审通过", "first reviewer agrees"),
    Step.GRANT_APPEAL: Text("申诉复审通过", "second reviewer grants"),
    Step.REFUSE_APPEAL: Text("驳回申诉", "refuse the appeal"),
}

CLOCK_WORDS: Final[Mapping[Clock, Text]] = {
    Clock.ACCEPT: Text("受理", "accept"),
    Clock.VERIFY: Text("核实", "verify"),
    Clock.DISPATCH: Text("派遣", "dispatch"),
    Clock.HANDLE: Text("处置", "handle"),
    Clock.CHECK: Text("核查", "check"),
}
