"""A report as one printable page: HTML without any script, A4, every number with what it is made of and what it means."""

import html
import itertools
from collections.abc import Iterable, Iterator
from importlib.resources import files
from string import Template
from typing import Final

from cloud.indicators.figures import amount, group_title, instant, minute, shown
from cloud.indicators.sentences import RULES
from cloud.indicators.table import INDICATORS, Indicator
from cloud.indicators.tally import Line, Report
from cloud.indicators.texts import Language, in_language, texts
from cloud.indicators.words import BY_WORDS, CHARGE_WORDS, COUNT_WORDS, By, Kind, Source
from device_profiles.quantities import Text

__all__ = ["page"]

_TEMPLATE: Final = Template(files("cloud.indicators").joinpath("page.html").read_text("utf-8"))


def page(report: Report, language: Language) -> str:
    """The whole document; names of people and places are escaped."""
    return _TEMPLATE.substitute(_Page(report, language).parts())


class _Page:
    def __init__(self, report: Report, language: Language) -> None:
        self._report = report
        self._language = language
        self._texts = texts(language)

    def parts(self) -> dict[str, str]:
        """What the template has places for, as HTML."""
        said = {key: _escaped(self._texts[key]) for key in ("title", "city", "indicator", "value", "definition", "rules")}
        versions = ", ".join(str(version) for version in sorted({row.version for row in INDICATORS}))
        return {
            **said,
            "lang": self._language.tag,
            "name": _escaped(self._report.period.name),
            "parts": _escaped(f"{self._texts['numerator']} / {self._texts['denominator']}"),
            "head": "".join(f"<dt>{_escaped(term)}</dt><dd>{_escaped(what)}</dd>" for term, what in self._head()),
            "notice": self._notice(),
            "rows": "\n".join(self._row(line) for line in self._report.of_city()),
            "groups": self._groups(),
            "notes": "\n".join(f"<li>{self._said(rule)}</li>" for rule in RULES),
            "footnote": _escaped(self._texts["footnote"].format(versions=versions)),
        }

    def _head(self) -> Iterator[tuple[str, str]]:
        period, said = self._report.period, self._texts
        begins, ends = (minute(at_ns, period.zone) for at_ns in (period.from_ns, period.until_ns))
        yield said["period"], f"{period.name}: {begins} {said['until']} {ends} {said['excluded']}, {period.zone.key}"
        yield said["made"], instant(self._report.made_ns, period.zone)

    def _notice(self) -> str:
        """That the period is not over, where it is not."""
        made_ns, period = self._report.made_ns, self._report.period
        if made_ns >= period.until_ns:
            return ""
        return f'<p class="notice">{_escaped(self._texts["partial" if made_ns > period.from_ns else "future"])}</p>'

    def _row(self, line: Line) -> str:
        row = line.indicator
        return (
            f'<tr><td class="name">{self._said(row.title)}<small>{self._said(CHARGE_WORDS[row.charge])}</small></td>'
            f"{self._value(line)}"
            f'<td class="parts">{self._parts(line)}</td>'
            f"<td><small>{self._sentence(row)}</small></td></tr>"
        )

    def _value(self, line: Line, bar: str = "") -> str:
        known = "value" if line.value is not None else "value none"
        return f'<td class="{known}">{self._said(shown(line))}{bar}</td>'

    def _parts(self, line: Line) -> str:
        """Numerator and denominator, each with its name."""
        row = line.indicator
        pairs = [(row.numerator, line.numerator)]
        if row.denominator is not None and line.denominator is not None:
            pairs.append((row.denominator, line.denominator))
        return "<br>".join(f"{_escaped(amount(count, number))} {self._said(COUNT_WORDS[count])}" for count, number in pairs)

    def _sentence(self, row: Indicator) -> str:
        own = f"{self._texts['own']} " if row.source is Source.OWN else ""
        return f'{self._said(row.sentence)} <span class="tag">[{_escaped(own)}v{row.version}]</span>'

    def _groups(self) -> str:
        by = self._report.by
        if by is By.CITY:
            return ""
        lines = itertools.groupby(self._report.of_groups(), key=lambda line: line.indicator)
        blocks = "\n".join(self._block(indicator, group) for indicator, group in lines)
        title = self._texts["groups"].format(by=self._words(BY_WORDS[by]))
        inside = f'<div class="groups">\n{blocks}\n</div>' if blocks else f"<p>{_escaped(self._texts['nothing'])}</p>"
        return f'<h2 class="new">{_escaped(title)}</h2>\n{inside}'

    def _block(self, indicator: Indicator, lines: Iterable[Line]) -> str:
        """One indicator with a line for each group."""
        heads = [BY_WORDS[self._report.by]]
        if indicator.denominator is not None:
            heads += [COUNT_WORDS[indicator.numerator], COUNT_WORDS[indicator.denominator]]
        names = "".join(f"<th>{self._said(head)}</th>" for head in heads)
        value = self._texts["value"] if indicator.denominator is not None else self._words(COUNT_WORDS[indicator.numerator])
        return (
            f'<section class="block"><h3>{self._said(indicator.title)}</h3><small>{self._sentence(indicator)}</small>'
            f'<table><thead><tr>{names}<th class="value">{_escaped(value)}</th></tr></thead><tbody>'
            f"{''.join(self._group(line) for line in lines)}</tbody></table></section>"
        )

    def _group(self, line: Line) -> str:
        row = line.indicator
        parts = []
        if row.denominator is not None and line.denominator is not None:
            parts = [amount(row.numerator, line.numerator), amount(row.denominator, line.denominator)]
        cells = "".join(f'<td class="parts">{_escaped(part)}</td>' for part in parts)
        is_share = row.kind is Kind.RATE and line.value is not None
        bar = f'<span class="bar"><i style="width:{float(line.value or 0):.1%}"></i></span>' if is_share else ""
        title = self._said(group_title(self._report.by, line.group))
        return f'<tr><td class="group">{title}</td>{cells}{self._value(line, bar)}</tr>'

    def _words(self, text: Text) -> str:
        return in_language(text, self._language)

    def _said(self, text: Text) -> str:
        return _escaped(self._words(text))


def _escaped(text: str) -> str:
    return html.escape(text, quote=True)
