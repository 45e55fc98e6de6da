"""`[public]` of the cloud's configuration, and the file of toilets that it names; every mistake is told with its line."""

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from cloud.clocks.rules import Hours, period
from cloud.public.toilet import Section, Stall, Toilet
from device_profiles.mistakes import ConfigError, Findings, did_you_mean
from device_profiles.quantities import Text
from device_profiles.toml_table import Table, read_toml

__all__ = ["SAMPLE", "PublicConfig", "read_public", "read_toilets"]

SAMPLE: Final = Path(__file__).with_name("toilets.sample.toml")
"""Two toilets of the small city that the demo runs."""

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,47}")
_STALL = re.compile(r"[^\s.]{1,8}")
_GAP = "."
_TAKEN = frozenset({"assets"})
_MOST_SIDE = 40
_HOURS = "HH:MM-HH:MM, its end up to 24:00"


class PublicConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the public pages show, and how much one address may report; `photos_per_day` is of all addresses together."""

    toilets: tuple[Toilet, ...] = ()
    reports_per_minute: int = 3
    photos_per_day: int = 200


def read_public(table: Table, here: Path) -> PublicConfig | None:
    """The table's content, paths taken from the folder `here`; None where it names no toilets."""
    path = table.file("toilets", here)
    config = PublicConfig(
        toilets=_toilets_of(table, path),
        reports_per_minute=table.integer("reports_per_minute", 3, low=1, high=600),
        photos_per_day=table.integer("photos_per_day", 200, low=0, high=100_000),
    )
    table.finish()
    return None if path is None else config


def read_toilets(path: Path) -> tuple[Toilet, ...]:
    """The `[[toilets]]` of a TOML file, in its order. ConfigError with every mistake in it."""
    findings = Findings(str(path))
    root = read_toml(path, findings)
    toilets: dict[str, Toilet] = {}
    for table in root.tables("toilets"):
        toilet = _toilet(table)
        if toilet.id in toilets:
            table.wrong("id", f"{toilet.id!r} is a toilet already", "another id")
        toilets[toilet.id] = toilet
    root.finish()
    if len(findings):
        raise ConfigError(findings.in_order())
    return tuple(toilets.values())


def _toilets_of(table: Table, path: Path | None) -> tuple[Toilet, ...]:
    if path is None or not path.is_file():
        return ()
    try:
        return read_toilets(path)
    except ConfigError as error:
        for mistake in error.mistakes:
            table.wrong("toilets", f"{mistake.file}:{mistake.line}: {mistake.where}: {mistake.what}", mistake.instead)
        return ()


def _toilet(table: Table) -> Toilet:
    longitude, latitude = _position(table)
    toilet = Toilet(
        id=table.checked("id", _check_id, 'small letters, digits and -, such as id = "east-gate"'),
        name=_both(table.table("name")),
        address=_both(table.table("address")),
        longitude=longitude,
        latitude=latitude,
        hours=_hours(table, "hours"),
        hours_off=_hours(table, "hours_on_days_off") if table.raw("hours_on_days_off") is not None else None,
        wheelchair=table.flag("wheelchair", default=False),
        family_room=table.flag("family_room", default=False),
        baby_change=table.flag("baby_change", default=False),
        stalls=_stalls(table),
        **{name: table.text(name, "") for name in ("air", "counter", "paper", "soap")},
    )
    table.finish()
    return toilet


def _check_id(text: str) -> None:
    if not _ID.fullmatch(text) or text in _TAKEN:
        raise ValueError(f"{text[:60]!r}")


def _both(table: Table) -> Text:
    text = Text(table.text("zh"), table.text("en"))
    table.finish()
    return text


def _position(table: Table) -> tuple[float, float]:
    match table.raw("position"):
        case [float() | int() as longitude, float() | int() as latitude] if abs(longitude) <= 180 and abs(latitude) <= 90:
            return float(longitude), float(latitude)
        case _:
            table.wrong("position", "is no position", "[longitude, latitude] in WGS-84 degrees")
            return 0.0, 0.0


def _hours(table: Table, key: str) -> Hours:
    found = []
    for text in table.texts(key):
        try:
            found.append(period(text))
        except ValueError:
            table.wrong(key, f"{text[:40]!r} is no period", _HOURS)
    found.sort()
    if any(earlier.end_min > later.start_min for earlier, later in itertools.pairwise(found)):
        table.wrong(key, "has periods that overlap", _HOURS)
    return tuple(found)


def _stalls(table: Table) -> tuple[Stall, ...]:
    """The stalls where the plan puts them; without a plan a row for each section."""
    described = [(inner, _stall(inner)) for inner in table.tables("stalls")]
    names = [stall.name for _, stall in described]
    for inner, stall in described:
        if names.count(stall.name) > 1:
            inner.wrong("name", f"{stall.name!r} is a stall already", "another name")
    rows = [line.split() for line in table.texts("plan")]
    if not rows:
        return _in_rows([stall for _, stall in described])
    if len(rows) > _MOST_SIDE or max(map(len, rows)) > _MOST_SIDE:
        table.wrong("plan", "is too large", f"at most {_MOST_SIDE} rows of {_MOST_SIDE} words")
    places = [(word, column, row) for row, words in enumerate(rows) for column, word in enumerate(words) if word != _GAP]
    words = [word for word, _, _ in places]
    for word in dict.fromkeys(words):
        if word not in names:
            table.wrong("plan", f"{word!r} is no stall", did_you_mean(word, names))
        if words.count(word) > 1:
            table.wrong("plan", f"{word!r} stands there twice", "each stall once")
    for inner, stall in described:
        if stall.name not in words:
            inner.wrong("name", f"{stall.name!r} is not in the plan", "it, at its place in `plan`")
    where = {word: (column, row) for word, column, row in places}
    return tuple(
        msgspec.structs.replace(stall, column=where[stall.name][0], row=where[stall.name][1])
        for _, stall in described
        if stall.name in where
    )


def _stall(table: Table) -> Stall:
    stall = Stall(
        name=table.checked("name", _check_stall, 'a word of at most 8 characters, such as name = "M1"'),
        section=Section(table.choice("section", list(Section))),
        device=table.text("device"),
        metric=table.text("metric", "occupied"),
        column=0,
        row=0,
    )
    table.finish()
    return stall


def _check_stall(text: str) -> None:
    if not _STALL.fullmatch(text):
        raise ValueError(f"{text[:40]!r}")


def _in_rows(stalls: Sequence[Stall]) -> tuple[Stall, ...]:
    used = [section for section in Section if any(stall.section is section for stall in stalls)]
    return tuple(
        msgspec.structs.replace(stall, column=column, row=row)
        for row, section in enumerate(used)
        for column, stall in enumerate(each for each in stalls if each.section is section)
    )
