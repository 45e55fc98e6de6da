"""The indicators as a table: a row is one number, what it is made of, who answers for it, and the version of its definition.

Formulas are those of GB/T 30428.4 (performance evaluation) as far as they are public: the text of the standard was not at hand,
the formulas were read in a vendor's statistics dictionary (eGova) and in the code of another system (Unicom). Neither fixes the
denominators of 立案率, 派遣率, 核查率, 公众举报率, 超期处置率 and 满意率, and they differ in that of 返工率; these are decided
here and said to be our own, as are all rows without a public formula. A definition that changes gets the next version; nothing
is ever compared across versions.
"""

from typing import Final

import msgspec

from cloud.indicators.sentences import SENTENCES
from cloud.indicators.words import LEVELS, By, Charge, Count, Kind, Source
from device_profiles.quantities import Text

__all__ = ["INDICATORS", "Indicator"]


class Indicator(msgspec.Struct, frozen=True, kw_only=True):
    """One number. `denominator` is None for what is only a count; `sentence` is printed with every value of it."""

    code: str
    title: Text
    kind: Kind
    numerator: Count
    denominator: Count | None
    charge: Charge
    source: Source
    version: int
    sentence: Text

    def is_shown(self, by: By) -> bool:
        """Whether somebody answers for it at that level."""
        return by in LEVELS[self.charge]


_TEXT: Final = """
code                    | kind   | numerator             | denominator     | charge     | source | v | zh           | en
valid_report_rate       | rate   | valid                 | reported        | collector  | egova  | 1 | 有效上报率   | Valid reports
filing_rate             | rate   | filed                 | should_file     | operator   | own    | 1 | 立案率       | Filed
on_time_filing_rate     | rate   | filed_on_time         | filed           | operator   | egova  | 1 | 按时立案率   | Filed on time
right_filing_rate       | rate   | filed_right           | filed           | operator   | egova  | 1 | 准确立案率   | Filed rightly
on_time_accepting_rate  | rate   | accepted_on_time      | accepted        | operator   | egova  | 1 | 按期受理率   | Accepted on time
right_accepting_rate    | rate   | accepted_right        | accepted        | operator   | egova  | 1 | 准确受理率   | Accepted rightly
on_time_verifying_rate  | rate   | verified_on_time      | should_verify   | collector  | egova  | 1 | 按期核实率   | Verified on time (before filing)
dispatching_rate        | rate   | dispatched            | should_dispatch | dispatcher | own    | 1 | 派遣率       | Dispatched
on_time_dispatching_rate| rate   | dispatched_on_time    | should_dispatch | dispatcher | egova  | 1 | 按期派遣率   | Dispatched on time
right_dispatching_rate  | rate   | dispatched_right      | should_dispatch | dispatcher | egova  | 1 | 准确派遣率   | Dispatched rightly
handling_rate           | rate   | handled               | should_handle   | handler    | unicom | 1 | 处置率       | Handled
on_time_handling_rate   | rate   | handled_on_time       | should_handle   | handler    | unicom | 1 | 按期处置率   | Handled on time
late_handling_rate      | rate   | handled_late          | should_handle   | handler    | own    | 1 | 超期处置率   | Handled overdue
checking_rate           | rate   | checked               | should_check    | collector  | own    | 1 | 核查率       | Checked (after handling)
on_time_checking_rate   | rate   | checked_on_time       | should_check    | collector  | egova  | 1 | 按期核查率   | Checked on time (after handling)
closing_rate            | rate   | closed                | should_close    | department | egova  | 1 | 结案率       | Closed
on_time_closing_rate    | rate   | closed_on_time        | should_close    | department | egova  | 1 | 按期结案率   | Closed on time
late_closing_rate       | rate   | closed_late           | should_close    | department | egova  | 1 | 超期结案率   | Closed overdue
unclosed_rate           | rate   | unclosed              | reported        | city       | egova  | 1 | 未结案率     | Not closed
rework_rate             | rate   | reworked              | judged          | department | own    | 1 | 返工率       | Rework
return_rate             | rate   | returned              | in_hand         | department | own    | 1 | 回退率       | Returned
extension_rate          | rate   | extended              | in_hand         | department | own    | 1 | 延期率       | Extended
hold_rate               | rate   | held                  | in_hand         | department | own    | 1 | 挂账率       | Put on hold
overdue_number          | number | overdue               |                 | handler    | own    | 1 | 超期处置数   | Overdue in fact
exempt_number           | number | exempt                |                 | department | own    | 1 | 免责数       | Exempt by appeal
appeal_granting_rate    | rate   | appeals_granted       | appeals_decided | department | own    | 1 | 申诉获准率   | Appeals granted
mean_accepting_time     | mean   | accept_ns             | accept_ended    | operator   | own    | 1 | 平均受理用时 | Mean time to accept
mean_handling_time      | mean   | handle_ns             | handle_ended    | handler    | own    | 1 | 平均处置用时 | Mean time to handle
device_report_rate      | rate   | by_device             | reported        | city       | own    | 1 | 设备上报率   | Reported by devices
staff_report_rate       | rate   | by_people             | reported        | city       | own    | 1 | 人员上报率   | Reported by staff
citizen_report_rate     | rate   | by_citizen            | reported        | city       | own    | 1 | 公众举报率   | Reported by citizens
joined_report_rate      | rate   | joined                | all_reports     | city       | own    | 1 | 并案率       | Joined reports
repeat_case_rate        | rate   | repeated              | at_device       | city       | own    | 1 | 重复发生率   | Happened again
hot_spot_rate           | rate   | hot                   | placed          | city       | own    | 1 | 热点案件率   | In hot spots
device_closing_rate     | rate   | closed_by_device      | closures        | city       | own    | 1 | 设备确认率   | Closures confirmed by the device
against_device_rate     | rate   | closed_against_device | closures        | city       | own    | 1 | 特批结案率   | Closures against the device
satisfaction_rate       | rate   | satisfied             | asked           | city       | own    | 1 | 满意率       | Satisfaction
"""  # noqa: E501 - a row is one line, so that the columns can be read down


def _indicator(line: str) -> Indicator:
    """One line as a row; ValueError or KeyError where a word is not one of its column's."""
    code, kind, numerator, denominator, charge, source, version, zh, en = (cell.strip() for cell in line.split("|"))
    return Indicator(
        code=code,
        title=Text(zh, en),
        kind=Kind(kind),
        numerator=Count(numerator),
        denominator=Count(denominator) if denominator else None,
        charge=Charge(charge),
        source=Source(source),
        version=int(version),
        sentence=SENTENCES[code],
    )


_HEAD, *_LINES = filter(None, _TEXT.splitlines())

INDICATORS: Final = tuple(_indicator(line) for line in _LINES)
"""Every indicator, in the order of the workflow."""
