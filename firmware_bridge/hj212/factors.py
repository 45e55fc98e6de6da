"""What is measured: factor codes with their names, units and the codes of 2005 (HJ 212-2017, annex B).

The units are those of the annex, as UCUM codes. Of PM10, PM2.5 and some more, the transcription at hand says ng/m3 beside
totals in grams; the water table's own rule (ug gives g, ng gives mg) and what loggers send (PM2.5 of 207) say ug/m3, and
so does this table. No frame says its units: stations of ambient air (ST 22) plainly send gases in ug/m3, too, where the
annex has mg/m3, so whoever stores a value takes its unit from what is known of the station.
"""

import re

import msgspec

from firmware_bridge.hj212.factors_air import AIR
from firmware_bridge.hj212.factors_site import SITE
from firmware_bridge.hj212.factors_water import WATER

__all__ = ["FACTORS", "OLD_CODES", "Factor", "factor"]


class Factor(msgspec.Struct, frozen=True, kw_only=True):
    """One code. `unit` is of Rtd, Min, Avg and Max, a UCUM code, None where the instrument says it; `old` is the code of 2005."""

    code: str
    zh: str
    en: str
    unit: str | None
    old: str | None = None

    @property
    def total_unit(self) -> str | None:
        """The unit of Cou, None for what is not summed up."""
        summed = self.code[0] in "wa" and self.code not in _NOT_SUMMED
        return _TOTALS.get(self.unit or "") if summed else None


_TOTALS = {
    "L/s": "m3",
    "m3/s": "m3",
    "mg/L": "kg",
    "ug/L": "g",
    "ng/L": "mg",
    "mg/m3": "kg",
    "ug/m3": "g",
}
_NOT_SUMMED = {"w01009"}


_NOISE = (
    ("LA", "", "dB", "A 权声级", "A-weighted sound level"),
    ("L5", "", "dB", "累计百分声级 L5", "sound level exceeded 5 % of the time"),
    ("L10", "", "dB", "累计百分声级 L10", "sound level exceeded 10 % of the time"),
    ("L50", "", "dB", "累计百分声级 L50", "sound level exceeded 50 % of the time"),
    ("L90", "", "dB", "累计百分声级 L90", "sound level exceeded 90 % of the time"),
    ("L95", "", "dB", "累计百分声级 L95", "sound level exceeded 95 % of the time"),
    ("Leq", "", "dB", "等效声级", "equivalent sound level"),
    ("Ldn", "", "dB", "昼夜等效声级", "day-night equivalent sound level"),
    ("Ld", "", "dB", "昼间等效声级", "day equivalent sound level"),
    ("Ln", "", "dB", "夜间等效声级", "night equivalent sound level"),
    ("LMx", "", "dB", "最大的瞬时声级", "highest sound level"),
    ("LMn", "", "dB", "最小的瞬时声级", "lowest sound level"),
)

_ROWS = (*WATER, *AIR, *_NOISE, *SITE)

FACTORS: dict[str, Factor] = {
    code: Factor(code=code, zh=zh, en=en, unit=unit or None, old=old or None) for code, old, unit, zh, en in _ROWS
}
"""Every code of the annex; an x stands for any digit, where a code counts equipment."""

OLD_CODES: dict[str, Factor] = {known.old: known for known in FACTORS.values() if known.old is not None}
"""The codes of 2005, which loggers still send."""

_COUNTED = re.compile(r"(?P<stem>[eg][0-9]{3})[0-9]{2}|(?P<info>i[0-9]{4})[0-9]")
_EQUIPMENT = re.compile(r"SB[0-9]{1,4}")


def factor(code: str) -> Factor | None:
    """What `code` stands for, in either revision's codes; None where the annex does not know it."""
    known = FACTORS.get(code) or OLD_CODES.get(code)
    if known is not None:
        return known
    if _EQUIPMENT.fullmatch(code):
        return Factor(code=code, zh=f"设备 {code[2:]}", en=f"equipment {code[2:]}", unit=None)
    counted = _COUNTED.fullmatch(code)
    if counted is None:
        return None
    pattern = f"{counted['stem']}xx" if counted["stem"] else f"{counted['info']}x"
    return FACTORS.get(pattern)
