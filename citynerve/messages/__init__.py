"""What the product says to people, in Chinese and in English: one catalogue, looked up by key.

`zh.toml` and `en.toml` hold the same keys with the same placeholders; a test holds the two together.
"""

import locale
import os
import tomllib
from functools import cache
from importlib.resources import files
from typing import Final

__all__ = ["LANGUAGES", "catalogue", "language", "say"]

LANGUAGES: Final = ("zh", "en")


def language() -> str:
    """The language to speak: CITYNERVE_LANG, or the environment's where that is Chinese, or English."""
    wanted = os.environ.get("CITYNERVE_LANG") or os.environ.get("LC_ALL") or os.environ.get("LANG") or locale.getlocale()[0] or ""
    return "zh" if wanted.lower().startswith("zh") else "en"


@cache
def catalogue(lang: str) -> dict[str, str]:
    """Every message of one language by its dotted key."""
    table = tomllib.loads(files(__package__).joinpath(f"{lang}.toml").read_text("utf-8"))
    return {f"{section}.{key}": text for section, entries in table.items() for key, text in entries.items()}


def say(key: str, lang: str | None = None, **values: object) -> str:
    """The message `key` with its placeholders filled; KeyError where the catalogue has no such key."""
    return catalogue(lang or language())[key].format(**values)
