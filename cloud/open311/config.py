"""`[open311]` of the cloud's configuration."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from cloud.notify.config import Language
from cloud.open311.catalogue import OWN, Entry, load_entries
from cloud.open311.keys import ApiKey, read_keys
from cloud.open311.times import shown_time
from device_profiles.mistakes import FileError, one_of
from device_profiles.toml_table import Table

__all__ = ["Keep", "Kind", "Open311Config", "Publish", "read_open311"]


class Keep(StrEnum):
    """What is kept of who reports, in `cases.reporter`; the public answers have none of it."""

    NOTHING = "nothing"
    """Only which key brought the report."""
    ACCOUNT = "account"
    """And the account_id that the client gave: whose it is, only the client can tell."""
    CONTACT = "contact"
    """And phone, e-mail and name, as far as there is room."""


class Publish(StrEnum):
    """Which cases of the list's matters anybody may see."""

    REPORTED = "reported"
    """Those that came, or were confirmed, through this door."""
    ALL = "all"
    """Those that devices and the city's own people found, too: also that a cabinet stands open, and where."""


class Kind(StrEnum):
    """What discovery says of this door: whether reports will be acted upon."""

    PRODUCTION = "production"
    TEST = "test"


class Open311Config(msgspec.Struct, frozen=True, kw_only=True):
    """The door, checked. `entries` are what citizens may report, as of `changed` (ISO 8601, UTC); without `keys` nothing
    can be reported. `url` is where clients reach /open311/v2, empty for the address that they ask. With `asynchronous` a
    report is answered with a token instead of its number.
    """

    contact: str
    key_service: str
    entries: Mapping[str, Entry]
    keys: tuple[ApiKey, ...] = ()
    jurisdiction_id: str = ""
    language: Language = Language.ZH
    asynchronous: bool = False
    keep: Keep = Keep.NOTHING
    publish: Publish = Publish.REPORTED
    publish_text: bool = True
    reports_per_minute: int = 10
    reads_per_minute: int = 120
    kind: Kind = Kind.PRODUCTION
    url: str = ""
    changed: str = ""


def read_open311(table: Table, here: Path) -> Open311Config | None:
    """The table's content, paths taken from the folder `here`; None where the door is not `enabled`.

    Mistakes, those of the files that it names too, are noted in the table.
    """
    enabled = table.flag("enabled", default=False)
    entries = _entries(table, here)
    config = Open311Config(
        contact=table.text("contact", None if enabled else ""),
        key_service=table.text("key_service", ""),
        entries=entries,
        keys=_keys(table, here, entries),
        jurisdiction_id=table.text("jurisdiction_id", ""),
        language=Language(table.choice("language", list(Language), Language.ZH)),
        asynchronous=table.flag("asynchronous", default=False),
        keep=Keep(table.choice("keep", list(Keep), Keep.NOTHING)),
        publish=Publish(table.choice("publish", list(Publish), Publish.REPORTED)),
        publish_text=table.flag("publish_text", default=True),
        reports_per_minute=table.integer("reports_per_minute", 10, low=1, high=60_000),
        reads_per_minute=table.integer("reads_per_minute", 120, low=1, high=60_000),
        kind=Kind(table.choice("kind", list(Kind), Kind.PRODUCTION)),
        url=table.checked("url", _check_url, "https://city.example/open311/v2", "").rstrip("/"),
        changed=_changed(table, here),
    )
    table.finish()
    return config if enabled else None


def _entries(table: Table, here: Path) -> Mapping[str, Entry]:
    path = table.file("services_file", here)
    try:
        return load_entries(path or OWN)
    except FileError as error:
        _tell(table, "services_file", error)
        return {}


def _changed(table: Table, here: Path) -> str:
    named = table.raw("services_file")
    path = here / named if isinstance(named, str) and named else OWN
    return shown_time(path.stat().st_mtime_ns) if path.is_file() else ""


def _keys(table: Table, here: Path, entries: Mapping[str, Entry]) -> tuple[ApiKey, ...]:
    path = table.file("keys_file", here)
    if path is None or not path.is_file():
        return ()
    try:
        keys = read_keys(path)
    except FileError as error:
        _tell(table, "keys_file", error)
        return ()
    for key in keys:
        for service in sorted(key.services - entries.keys()):
            table.wrong("keys_file", f"the key {key.name} may report {service!r}, which is no service", one_of(entries))
    return keys


def _tell(table: Table, key: str, error: FileError) -> None:
    """The mistakes of another file, each with its own place there."""
    for mistake in error.mistakes:
        table.wrong(key, f"{mistake.file}:{mistake.line}: {mistake.where}: {mistake.what}", mistake.instead)


def _check_url(text: str) -> None:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"{text[:80]!r}")
