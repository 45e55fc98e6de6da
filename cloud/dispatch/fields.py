"""What the tables of a duty file have in common: names, lists of known names, dates."""

import datetime as dt
from collections.abc import Collection

from device_profiles.mistakes import did_you_mean
from device_profiles.quantities import Text
from device_profiles.toml_table import Table

__all__ = ["ACCOUNT_MOST", "NAME_MOST", "date", "known", "known_each", "name", "names", "new_name", "titled"]

NAME_MOST = 64
"""Characters that the store keeps of a department or a district, and 128 of an account."""
ACCOUNT_MOST = 128

_DATE = "a date without quotes, such as 2026-10-01"


def name(table: Table, key: str, most: int = NAME_MOST) -> str:
    """A name as the store keeps it; required."""
    return table.checked(key, lambda text: _check(text, most), f"a name of {most} characters at most")


def new_name(table: Table, held: Collection[str], most: int = NAME_MOST) -> str:
    """The `name` of something that is not among those that are there already."""
    found = name(table, "name", most)
    if found in held:
        table.wrong("name", f"{found!r} stands above already", "each name once")
    return found


def names(table: Table, key: str) -> tuple[str, ...]:
    """A list of names, each once; empty where there is none."""
    found = table.texts(key)
    for text in found:
        try:
            _check(text, NAME_MOST)
        except ValueError as error:
            table.wrong(
                key, str(error).partition(": want ")[0], f"names of 1 to {NAME_MOST} characters, without spaces around them"
            )
    return _each_once(table, key, found)


def known(table: Table, key: str, words: Collection[str], default: str | None = None) -> str:
    """One of the names that are there; "" where it is none."""
    found = table.text(key, default)
    if found and found not in words:
        table.wrong(key, f"{found!r} is not in this file"[:120], did_you_mean(found, words))
        return ""
    return found


def known_each(table: Table, key: str, words: Collection[str]) -> tuple[str, ...]:
    """Those of a list of names that are there; empty where there is none."""
    found = table.texts(key)
    for text in found:
        if text not in words:
            table.wrong(key, f"{text!r} is not in this file"[:120], did_you_mean(text, words))
    return tuple(text for text in _each_once(table, key, found) if text in words)


def date(table: Table, key: str) -> dt.date | None:
    """A date; None where there is none."""
    value = table.raw(key)
    if value is None or (isinstance(value, dt.date) and not isinstance(value, dt.datetime)):
        return value
    table.wrong(key, f"{value!r}"[:80], _DATE)
    return None


def titled(table: Table, default: str) -> Text:
    """The keys `zh` and `en`, one for the other, or the name for both."""
    zh, en = table.text("zh", ""), table.text("en", "")
    return Text(zh or en or default, en or zh or default)


def _check(text: str, most: int) -> None:
    if not text or text != text.strip() or not text.isprintable():
        raise ValueError(f"{text!r}"[:80] + " is empty, or has spaces around it: want the name alone")
    if len(text) > most:
        raise ValueError(f"has {len(text)} characters: want {most} at most")


def _each_once(table: Table, key: str, found: tuple[str, ...]) -> tuple[str, ...]:
    once = tuple(dict.fromkeys(found))
    if len(once) != len(found):
        table.wrong(key, "names one twice", "each name once")
    return once
