"""The indicators as a page shows them: the table and the rules, from the same rows that the code reads."""

from cloud.indicators.sentences import RULES
from cloud.indicators.table import INDICATORS
from cloud.indicators.words import BY_WORDS, CHARGE_WORDS, COUNT_WORDS, LEVELS, SOURCE_WORDS, By, Charge, Count
from device_profiles.quantities import Text

__all__ = ["indicator_table", "level_table", "rule_list"]


def indicator_table() -> str:
    """Every indicator, a line each."""
    lines = ["| indicator | numerator / denominator | charged to | source, version | definition |", "|---|---|---|---|---|"]
    for row in INDICATORS:
        made = " / ".join(_count(count) for count in (row.numerator, row.denominator) if count is not None)
        source = f"{SOURCE_WORDS[row.source].en}, v{row.version}"
        cells = (f"{_both(row.title)} `{row.code}`", made, _both(CHARGE_WORDS[row.charge]), source, _both(row.sentence))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def level_table() -> str:
    """Who answers, and at which levels such numbers are shown."""
    lines = ["| charged to | shown for |", "|---|---|"]
    for charge in Charge:
        levels = ", ".join(_both(BY_WORDS[by]) for by in By if by in LEVELS[charge])
        lines.append(f"| {_both(CHARGE_WORDS[charge])} | {levels} |")
    return "\n".join(lines)


def rule_list() -> str:
    """What holds for all numbers."""
    return "\n".join(f"* {_both(rule)}" for rule in RULES)


def _count(count: Count) -> str:
    return _both(COUNT_WORDS[count])


def _both(text: Text) -> str:
    return f"{text.zh} {text.en}"
