"""The sentence that stands with each number, and the rules that hold for all of them, in zh-CN and en."""

from collections.abc import Mapping
from typing import Final

from device_profiles.quantities import Text

__all__ = ["REPEAT_DAYS", "RULES", "SENTENCES", "SPOT_CASES", "SPOT_PER_DEGREE"]

REPEAT_DAYS: Final = 30
"""A new case so soon after the last one of the same device and matter was closed is the same trouble again. Our own choice."""

SPOT_PER_DEGREE: Final = 1000
"""Cells of a hot spot to a degree of latitude and of longitude: about 100 m. Our own choice."""

SPOT_CASES: Final = 3
"""So many cases reported in one cell within the period make it a hot spot. Our own choice."""

SENTENCES: Final[Mapping[str, Text]] = {
    "valid_report_rate": Text(
        "期内上报的案件中，截至期末已立案且未作废的比例；计上报人。",
        "Of the cases reported in the period, those filed and not void by its end; charged to who reported.",
    ),
    "filing_rate": Text(
        "受理时限在期内截止且未作废的案件（应立案）中，截至期末已立案的比例。",
        "Of the cases whose limit to accept ended in the period and that were not declared void, those filed by its end.",
    ),
    "on_time_filing_rate": Text(
        "受理时限在期内截止且已立案的案件中，在时限内立案的比例。",
        "Of the cases filed whose limit to accept ended in the period, those filed within it.",
    ),
    "right_filing_rate": Text(
        "受理时限在期内截止且已立案的案件中，截至期末未被派遣员退回的比例。",
        "Of the cases filed whose limit to accept ended in the period, those that the dispatcher had not returned by its end.",
    ),
    "on_time_accepting_rate": Text(
        "受理时限在期内截止且已作出立案或作废决定的案件中，在时限内作出的比例。",
        "Of the cases decided, filed or void, whose limit to accept ended in the period, those decided within it.",
    ),
    "right_accepting_rate": Text(
        "受理时限在期内截止且已作出立案或作废决定的案件中，决定未被退回推翻的比例。",
        "Of the cases decided, filed or void, whose limit to accept ended in the period, those whose decision was not returned.",
    ),
    "on_time_verifying_rate": Text(
        "核实（立案前）时限在期内截止的任务中，在时限内答复的比例；撤回的任务不计。",
        "Of the tasks to verify (before filing) whose limit ended in the period, those answered in it; recalled ones are out.",
    ),
    "dispatching_rate": Text(
        "派遣时限在期内截止的案件（应派遣）中，截至期末已派遣的比例。",
        "Of the cases whose limit to dispatch ended in the period, those dispatched by its end.",
    ),
    "on_time_dispatching_rate": Text(
        "派遣时限在期内截止的案件（应派遣）中，在时限内派遣的比例。",
        "Of the cases whose limit to dispatch ended in the period, those dispatched within it.",
    ),
    "right_dispatching_rate": Text(
        "派遣时限在期内截止的案件（应派遣）中，已派遣且截至期末未被部门退回的比例。",
        "Of the cases whose limit to dispatch ended in the period, those dispatched and not returned by the department.",
    ),
    "handling_rate": Text(
        "处置时限在期内截止的处置（应处置）中，截至期末部门已确认处置的比例，含超期。",
        "Of the handlings whose limit ended in the period, those that the department confirmed by its end, overdue or not.",
    ),
    "on_time_handling_rate": Text(
        "处置时限在期内截止的处置（应处置）中，部门在时限内确认处置的比例。",
        "Of the handlings whose limit ended in the period, those that the department confirmed within it.",
    ),
    "late_handling_rate": Text(
        "处置时限在期内截止的处置（应处置）中，截至期末已处置但超期的比例；未处置的不在分子内。",
        "Of the handlings whose limit ended in the period, those confirmed by its end but too late; open ones are not in it.",
    ),
    "checking_rate": Text(
        "核查（处置后）时限在期内截止的任务（应核查）中，截至期末已核查的比例；撤回的任务不计。",
        "Of the checks (after handling) whose limit ended in the period, those done by its end; recalled ones are out.",
    ),
    "on_time_checking_rate": Text(
        "核查（处置后）时限在期内截止的任务（应核查）中，在时限内核查的比例；撤回的任务不计。",
        "Of the checks (after handling) whose limit ended in the period, those done within it; recalled ones are out.",
    ),
    "closing_rate": Text(
        "处置时限在期内截止的处置（应结案）中，截至期末案件已结案的比例。",
        "Of the handlings whose limit ended in the period, those whose case was closed by its end.",
    ),
    "on_time_closing_rate": Text(
        "处置时限在期内截止的处置（应结案）中，部门在时限内确认处置且截至期末已结案的比例。",
        "Of the handlings whose limit ended in the period, those confirmed within it whose case was closed by the period's end.",
    ),
    "late_closing_rate": Text(
        "处置时限在期内截止的处置（应结案）中，部门超期确认处置且截至期末已结案的比例。",
        "Of the handlings whose limit ended in the period, those confirmed too late whose case was closed by the period's end.",
    ),
    "unclosed_rate": Text(
        "期内上报的案件中，截至期末既未结案也未作废的比例。",
        "Of the cases reported in the period, those neither closed nor void by its end.",
    ),
    "rework_rate": Text(
        "期内对处置结果的判定（核查通过、特批、返工、重开）中，判为返工或重开的比例。",
        "Of the verdicts on handled work in the period (passed, overridden, sent back, reopened), those sent back or reopened.",
    ),
    "return_rate": Text(
        "期内在办的处置中，部门在期内回退派遣员的比例。",
        "Of the handlings in hand in the period, those that the department returned to the dispatcher in it.",
    ),
    "extension_rate": Text(
        "期内在办的处置中，期内获准延期的比例。",
        "Of the handlings in hand in the period, those granted an extension in it.",
    ),
    "hold_rate": Text(
        "期内在办的处置中，期内获准挂账的比例；挂账期间不计时，不算超期。",
        "Of the handlings in hand in the period, those granted a hold in it; a hold stops the clock and is no lateness.",
    ),
    "overdue_number": Text(
        "处置时限在期内截止而超期处置或期末仍未处置的数量，含申诉免责的：超期事实保留。",
        "Handlings whose limit ended in the period and that were late, or open at its end, exempt ones too: the fact stays.",
    ),
    "exempt_number": Text(
        "其中申诉获准、不计入处置和结案各率的数量。",
        "Of the handlings overdue in fact, those that a granted appeal takes out of the rates of handling and closing.",
    ),
    "appeal_granting_rate": Text(
        "期内裁决的超期申诉中，获准的比例。",
        "Of the appeals against overdue decided in the period, those granted.",
    ),
    "mean_accepting_time": Text(
        "期内作出立案或作废决定的案件，受理时钟连续计时的平均用时，核实期间不计。",
        "Mean time on the accept clock of the cases decided in the period, nights included, time to verify left out.",
    ),
    "mean_handling_time": Text(
        "期内部门确认的处置，处置时钟连续计时的平均用时，挂账和待核查期间不计。",
        "Mean time on the handling clock of the handlings confirmed in the period, nights included, holds and checks left out.",
    ),
    "device_report_rate": Text(
        "期内上报的案件中，由设备告警上报的比例。",
        "Of the cases reported in the period, those that a device's alarm reported.",
    ),
    "staff_report_rate": Text(
        "期内上报的案件中，由采集员或坐席上报的比例。",
        "Of the cases reported in the period, those that a collector or an operator reported.",
    ),
    "citizen_report_rate": Text(
        "期内上报的案件中，由公众举报的比例。",
        "Of the cases reported in the period, those that a citizen reported.",
    ),
    "joined_report_rate": Text(
        "期内全部上报（新案件与并入在办案件的上报）中，并入在办案件的比例。",
        "Of all reports in the period, those that opened a case and those that joined one, the share that joined.",
    ),
    "repeat_case_rate": Text(
        f"期内上报的有设备案件中，同一设备同一事项在结案后{REPEAT_DAYS}天内再次发生的比例。",
        f"Of the cases of a device reported in the period, those within {REPEAT_DAYS} days after a closed one of the same "
        "device and matter.",
    ),
    "hot_spot_rate": Text(
        f"期内上报的有位置案件中，位于热点的比例；热点为{1 / SPOT_PER_DEGREE}度见方（约100米）内期内上报不少于{SPOT_CASES}件。",
        f"Of the cases with a position reported in the period, those in a hot spot: a cell of {1 / SPOT_PER_DEGREE} degrees "
        f"(about 100 m) with at least {SPOT_CASES} of them.",
    ),
    "device_closing_rate": Text(
        "期内结案的案件中，结案时设备报告已恢复正常的比例。",
        "Of the closures in the period, those at which the device itself said that the fault was gone.",
    ),
    "against_device_rate": Text(
        "期内结案的案件中，设备仍报告故障而由领导特批结案的比例。",
        "Of the closures in the period, those by a supervisor's override while the device still reported the fault.",
    ),
    "satisfaction_rate": Text(
        "回访中表示满意的比例；尚无回访数据来源。",
        "Of the people asked afterwards, those satisfied; nobody is asked yet, so there is no data.",
    ),
}

RULES: Final[tuple[Text, ...]] = (
    Text(
        "“应办”指时限在统计期内截止的全部任务，无论是否办理；时限在期末（或出表时刻）之后截止的，既不计应办，也不计按期。",
        "What should be done is all whose limit ends in the period, done or not; what ends after the period, or after the moment "
        "of this report, is neither owed nor on time.",
    ),
    Text(
        "“截至期末”以期末为准；期末在出表时刻之后的，以出表时刻为准。期末之后才办理的视为未办。",
        "By its end means the end of the period, or the moment of this report where that is earlier; what was done later is "
        "open here.",
    ),
    Text(
        "处置是否超期，以部门确认处置的时刻为准；返工后时限按剩余时间续算，重开后重新起算，各为一次应办。",
        "A handling is late by the moment of the department's confirmation; after rework its limit goes on with what was left, "
        "after reopening a new one begins.",
    ),
    Text(
        "在时限截止前被退回、撤回或转核实的任务，不再应办；截止之后的，仍计未办。",
        "A task returned, recalled or sent to verify before its limit ended is no longer owed; after that it was missed.",
    ),
    Text(
        "挂账期间时钟停止，不算超期，也不计应办。",
        "A hold stops the clock: it is no lateness, and nothing is owed while it lasts.",
    ),
    Text(
        "申诉获准的超期处置，不计入处置、结案各率的分子和分母；超期事实保留在“超期处置数”中。",
        "An overdue handling exempt by a granted appeal is in no numerator and no denominator of handling and closing; the fact "
        "stays among those overdue in fact.",
    ),
    Text(
        "分母为零时无数据，不作0%。各数按出表时所知：其后的返工、延期、挂账和申诉会使同一统计期重出的数字不同。",
        "Where the denominator is zero there is no data, never 0 %. Numbers are as known at the moment of this report: a later "
        "rework, extension, hold or appeal changes them when the same period is reported again.",
    ),
)
"""What holds for all numbers; printed once on each report."""
