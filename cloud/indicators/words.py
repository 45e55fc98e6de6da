"""The words of the indicators: what is counted, who answers for it, by what it is grouped, where its definition is from."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from device_profiles.quantities import Text

__all__ = ["BY_WORDS", "CHARGE_WORDS", "COUNT_WORDS", "LEVELS", "SOURCE_WORDS", "By", "Charge", "Count", "Kind", "Source"]


class Kind(StrEnum):
    """What a number is."""

    RATE = "rate"
    """Numerator by denominator, printed in per cent."""
    MEAN = "mean"
    """Nanoseconds by denominator, printed in hours and minutes."""
    NUMBER = "number"
    """How many; there is no denominator, and 0 is a true 0."""


class By(StrEnum):
    """How numbers are grouped beside the whole city."""

    CITY = "city"
    DISTRICT = "district"
    DEPARTMENT = "department"
    PERSON = "person"


class Charge(StrEnum):
    """Who answers for a number: the city as a whole, a department, a post and each person on it."""

    CITY = "city"
    DEPARTMENT = "department"
    HANDLER = "handler"
    COLLECTOR = "collector"
    OPERATOR = "operator"
    DISPATCHER = "dispatcher"


class Source(StrEnum):
    """Where a definition is from."""

    EGOVA = "egova"
    UNICOM = "unicom"
    OWN = "own"


class Count(StrEnum):
    """Everything that is counted: numerators and denominators."""

    REPORTED = "reported"
    VALID = "valid"
    UNCLOSED = "unclosed"
    BY_CITIZEN = "by_citizen"
    BY_DEVICE = "by_device"
    BY_PEOPLE = "by_people"
    ALL_REPORTS = "all_reports"
    JOINED = "joined"
    AT_DEVICE = "at_device"
    REPEATED = "repeated"
    PLACED = "placed"
    HOT = "hot"
    ACCEPTED = "accepted"
    ACCEPTED_ON_TIME = "accepted_on_time"
    ACCEPTED_RIGHT = "accepted_right"
    SHOULD_FILE = "should_file"
    FILED = "filed"
    FILED_ON_TIME = "filed_on_time"
    FILED_RIGHT = "filed_right"
    SHOULD_VERIFY = "should_verify"
    VERIFIED_ON_TIME = "verified_on_time"
    SHOULD_DISPATCH = "should_dispatch"
    DISPATCHED = "dispatched"
    DISPATCHED_ON_TIME = "dispatched_on_time"
    DISPATCHED_RIGHT = "dispatched_right"
    SHOULD_HANDLE = "should_handle"
    HANDLED = "handled"
    HANDLED_ON_TIME = "handled_on_time"
    HANDLED_LATE = "handled_late"
    OVERDUE = "overdue"
    EXEMPT = "exempt"
    SHOULD_CLOSE = "should_close"
    CLOSED = "closed"
    CLOSED_ON_TIME = "closed_on_time"
    CLOSED_LATE = "closed_late"
    SHOULD_CHECK = "should_check"
    CHECKED = "checked"
    CHECKED_ON_TIME = "checked_on_time"
    JUDGED = "judged"
    REWORKED = "reworked"
    IN_HAND = "in_hand"
    RETURNED = "returned"
    EXTENDED = "extended"
    HELD = "held"
    ACCEPT_ENDED = "accept_ended"
    ACCEPT_NS = "accept_ns"
    HANDLE_ENDED = "handle_ended"
    HANDLE_NS = "handle_ns"
    APPEALS_DECIDED = "appeals_decided"
    APPEALS_GRANTED = "appeals_granted"
    CLOSURES = "closures"
    CLOSED_BY_DEVICE = "closed_by_device"
    CLOSED_AGAINST_DEVICE = "closed_against_device"
    ASKED = "asked"
    SATISFIED = "satisfied"


LEVELS: Final[Mapping[Charge, frozenset[By]]] = {
    Charge.CITY: frozenset({By.CITY, By.DISTRICT}),
    Charge.DEPARTMENT: frozenset({By.CITY, By.DISTRICT, By.DEPARTMENT}),
    Charge.HANDLER: frozenset({By.CITY, By.DISTRICT, By.DEPARTMENT, By.PERSON}),
    Charge.COLLECTOR: frozenset({By.CITY, By.DISTRICT, By.PERSON}),
    Charge.OPERATOR: frozenset({By.CITY, By.DISTRICT, By.PERSON}),
    Charge.DISPATCHER: frozenset({By.CITY, By.DISTRICT, By.PERSON}),
}
"""At which levels a number is shown: nobody is listed for what somebody else answers for."""

BY_WORDS: Final[Mapping[By, Text]] = {
    By.CITY: Text("全市", "city"),
    By.DISTRICT: Text("区域", "district"),
    By.DEPARTMENT: Text("部门", "department"),
    By.PERSON: Text("人员", "person"),
}

CHARGE_WORDS: Final[Mapping[Charge, Text]] = {
    Charge.CITY: Text("全市（不计个人）", "the city, nobody in person"),
    Charge.DEPARTMENT: Text("处置部门", "handling department"),
    Charge.HANDLER: Text("处置部门及处置人员", "handling department and its crew member"),
    Charge.COLLECTOR: Text("采集员", "collector"),
    Charge.OPERATOR: Text("受理员", "operator"),
    Charge.DISPATCHER: Text("派遣员", "dispatcher"),
}

SOURCE_WORDS: Final[Mapping[Source, Text]] = {
    Source.EGOVA: Text("数字政通（eGova）统计字典", "statistics dictionary of eGova"),
    Source.UNICOM: Text("联通城市管理系统", "Unicom's city management system"),
    Source.OWN: Text("本产品自定口径", "this product's own definition"),
}

COUNT_WORDS: Final[Mapping[Count, Text]] = {
    Count.REPORTED: Text("上报案件", "cases reported"),
    Count.VALID: Text("有效上报", "valid reports"),
    Count.UNCLOSED: Text("未结案", "not closed"),
    Count.BY_CITIZEN: Text("公众举报", "reported by citizens"),
    Count.BY_DEVICE: Text("设备上报", "reported by devices"),
    Count.BY_PEOPLE: Text("人员上报", "reported by staff"),
    Count.ALL_REPORTS: Text("全部上报（含并案）", "all reports, joined ones too"),
    Count.JOINED: Text("并案上报", "reports that joined an open case"),
    Count.AT_DEVICE: Text("有设备的上报案件", "reported cases of a device"),
    Count.REPEATED: Text("重复发生", "happened again"),
    Count.PLACED: Text("有位置的上报案件", "reported cases with a position"),
    Count.HOT: Text("热点内案件", "cases in hot spots"),
    Count.ACCEPTED: Text("已受理", "accepted"),
    Count.ACCEPTED_ON_TIME: Text("按期受理", "accepted on time"),
    Count.ACCEPTED_RIGHT: Text("准确受理", "accepted rightly"),
    Count.SHOULD_FILE: Text("应立案", "should file"),
    Count.FILED: Text("已立案", "filed"),
    Count.FILED_ON_TIME: Text("按时立案", "filed on time"),
    Count.FILED_RIGHT: Text("准确立案", "filed rightly"),
    Count.SHOULD_VERIFY: Text("应核实", "should verify"),
    Count.VERIFIED_ON_TIME: Text("按期核实", "verified on time"),
    Count.SHOULD_DISPATCH: Text("应派遣", "should dispatch"),
    Count.DISPATCHED: Text("已派遣", "dispatched"),
    Count.DISPATCHED_ON_TIME: Text("按期派遣", "dispatched on time"),
    Count.DISPATCHED_RIGHT: Text("准确派遣", "dispatched rightly"),
    Count.SHOULD_HANDLE: Text("应处置", "should handle"),
    Count.HANDLED: Text("已处置", "handled"),
    Count.HANDLED_ON_TIME: Text("按期处置", "handled on time"),
    Count.HANDLED_LATE: Text("超期处置", "handled overdue"),
    Count.OVERDUE: Text("超期事实", "overdue in fact"),
    Count.EXEMPT: Text("申诉免责", "exempt by appeal"),
    Count.SHOULD_CLOSE: Text("应结案", "should close"),
    Count.CLOSED: Text("已结案", "closed"),
    Count.CLOSED_ON_TIME: Text("按期结案", "closed on time"),
    Count.CLOSED_LATE: Text("超期结案", "closed overdue"),
    Count.SHOULD_CHECK: Text("应核查", "should check"),
    Count.CHECKED: Text("已核查", "checked"),
    Count.CHECKED_ON_TIME: Text("按期核查", "checked on time"),
    Count.JUDGED: Text("处置结果判定", "verdicts on handled work"),
    Count.REWORKED: Text("返工", "sent to rework"),
    Count.IN_HAND: Text("在办处置", "handlings in hand"),
    Count.RETURNED: Text("部门回退", "returned by the department"),
    Count.EXTENDED: Text("获准延期", "granted an extension"),
    Count.HELD: Text("获准挂账", "granted a hold"),
    Count.ACCEPT_ENDED: Text("期内受理", "accepted within the period"),
    Count.ACCEPT_NS: Text("受理用时合计", "time to accept in all"),
    Count.HANDLE_ENDED: Text("期内处置", "handled within the period"),
    Count.HANDLE_NS: Text("处置用时合计", "time to handle in all"),
    Count.APPEALS_DECIDED: Text("已裁决申诉", "appeals decided"),
    Count.APPEALS_GRANTED: Text("获准申诉", "appeals granted"),
    Count.CLOSURES: Text("期内结案", "closures within the period"),
    Count.CLOSED_BY_DEVICE: Text("设备确认恢复", "confirmed by the device"),
    Count.CLOSED_AGAINST_DEVICE: Text("设备未恢复特批", "closed against the device"),
    Count.ASKED: Text("已回访", "people asked"),
    Count.SATISFIED: Text("满意", "satisfied"),
}
