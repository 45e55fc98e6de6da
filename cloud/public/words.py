"""The sentences of the public pages out of one catalogue for both languages."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from cloud.notify.config import Language
from cloud.open311.language import TAGS, preferred

__all__ = ["TAGS", "Words", "language_of", "texts"]


@cache
def texts(language: Language) -> Mapping[str, str]:
    """All sentences of one language, by key."""
    catalogue = tomllib.loads(files("cloud.public").joinpath("words.toml").read_text("utf-8"))
    held: Mapping[str, str] = catalogue[language.value]
    return held


class Words:
    """`words("until", time="22:00")` in one language; KeyError for a key that is none."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self.tag = TAGS[language]
        self._texts = texts(language)

    def __call__(self, key: str, **values: object) -> str:
        return self._texts[key].format_map(values)


def language_of(said: str, accept: str) -> Language:
    """The language in the address, else the browser's first, else Chinese."""
    return Language(said) if said in set(Language) else preferred(accept, Language.ZH)
