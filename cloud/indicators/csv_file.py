"""A report as CSV (RFC 4180) that spreadsheets open: UTF-8 with a byte order mark, one line for each number of each group."""

import csv
import io
from fractions import Fraction
from typing import Final

from cloud.indicators.figures import NO_DATA, group_title, instant, rounded
from cloud.indicators.tally import Line, Report
from cloud.indicators.texts import Language, in_language, texts
from cloud.indicators.words import BY_WORDS, CHARGE_WORDS, COUNT_WORDS, SOURCE_WORDS, By, Kind
from device_profiles.quantities import Text

__all__ = ["COLUMNS", "csv_file"]

COLUMNS: Final = (
    "period_from", "period_until", "made", "level", "group", "code", "indicator", "value", "unit", "numerator",
    "numerator_name", "denominator", "denominator_name", "charged", "definition", "version", "source",
)  # fmt: skip
"""Keys of the headings, in their order."""

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet would run. Names are written by people, so such a cell gets an apostrophe before it."""

_UNITS: Final = {Kind.RATE: "%", Kind.MEAN: "h", Kind.NUMBER: ""}
_HOUR_NS: Final = 3_600_000_000_000


def csv_file(report: Report, language: Language) -> bytes:
    """The whole city first, then the groups. Times, those in numerators too, are hours."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([texts(language)[key] for key in COLUMNS])
    lines = [*((By.CITY, line) for line in report.of_city()), *((report.by, line) for line in report.of_groups())]
    for by, line in lines:
        cells = _cells(report, by, line)
        writer.writerow([_safe(cell if isinstance(cell, str) else in_language(cell, language)) for cell in cells])
    return b"\xef\xbb\xbf" + out.getvalue().encode()


def _cells(report: Report, by: By, line: Line) -> tuple[str | Text, ...]:
    """In the order of COLUMNS."""
    row, period = line.indicator, report.period
    is_time = row.kind is Kind.MEAN
    return (
        instant(period.from_ns, period.zone),
        instant(period.until_ns, period.zone),
        instant(report.made_ns, period.zone),
        BY_WORDS[by],
        group_title(by, line.group),
        row.code,
        row.title,
        _value(line),
        _UNITS[row.kind],
        rounded(Fraction(line.numerator, _HOUR_NS), 2) if is_time else str(line.numerator),
        COUNT_WORDS[row.numerator],
        "" if line.denominator is None else str(line.denominator),
        "" if row.denominator is None else COUNT_WORDS[row.denominator],
        CHARGE_WORDS[row.charge],
        row.sentence,
        str(row.version),
        SOURCE_WORDS[row.source],
    )


def _value(line: Line) -> str | Text:
    if line.value is None:
        return NO_DATA
    match line.indicator.kind:
        case Kind.RATE:
            return rounded(line.value * 100, 2)
        case Kind.MEAN:
            return rounded(line.value / _HOUR_NS, 2)
        case Kind.NUMBER:
            return str(line.numerator)


def _safe(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
