"""The headings of reports out of one catalogue for both languages."""

import tomllib
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from importlib.resources import files

from device_profiles.quantities import Text

__all__ = ["Language", "in_language", "texts"]


class Language(StrEnum):
    """The languages of reports."""

    ZH = "zh"
    EN = "en"

    @property
    def tag(self) -> str:
        """By BCP 47."""
        return "zh-CN" if self is Language.ZH else "en"


@cache
def texts(language: Language) -> Mapping[str, str]:
    """All headings of one language, by key."""
    catalogue = tomllib.loads(files("cloud.indicators").joinpath("texts.toml").read_text("utf-8"))
    held: Mapping[str, str] = catalogue[language.value]
    return held


def in_language(text: Text, language: Language) -> str:
    """One side of a text."""
    return text.zh if language is Language.ZH else text.en
