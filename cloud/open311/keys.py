"""API keys: in a file of their own as SHA-256, each with a name, a rate and the services it may report.

A key is 256 random bits, which no guessing reaches: a slow hash would only make every knock at the door expensive.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable
from pathlib import Path

import msgspec

from device_profiles.mistakes import ConfigError, Findings
from device_profiles.toml_table import Table, read_toml

__all__ = ["ApiKey", "find_key", "read_keys"]

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_A_NAME = 'small letters, digits, - and _, at most 32, such as name = "city-app"'
_A_DIGEST = "the 64 hexadecimal digits of the key's SHA-256"


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """One key; `services` are the codes that it may report, all where it is empty."""

    name: str
    sha256: str
    per_minute: int = 60
    services: frozenset[str] = frozenset()

    def may_report(self, service: str) -> bool:
        """Whether it opens this service."""
        return not self.services or service in self.services


def read_keys(path: Path) -> tuple[ApiKey, ...]:
    """The `[[keys]]` of a TOML file. ConfigError with every mistake in it."""
    findings = Findings(str(path))
    root = read_toml(path, findings)
    keys: dict[str, ApiKey] = {}
    for table in root.tables("keys"):
        key = _key(table)
        if key.name in keys:
            table.wrong("name", f"{key.name!r} is a key already", "another name")
        if any(other.sha256 == key.sha256 for other in keys.values()) and key.sha256:
            table.wrong("sha256", "is another key's too", "a key of its own for each name")
        keys[key.name] = key
    root.finish()
    if len(findings):
        raise ConfigError(findings.in_order())
    return tuple(keys.values())


def find_key(keys: Iterable[ApiKey], said: str) -> ApiKey | None:
    """The key that was said; all are compared, each in constant time."""
    digest = hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()
    found = None
    for key in keys:
        if hmac.compare_digest(key.sha256, digest):
            found = key
    return found


def _key(table: Table) -> ApiKey:
    key = ApiKey(
        name=table.checked("name", _check_name, _A_NAME),
        sha256=table.checked("sha256", _check_digest, _A_DIGEST),
        per_minute=table.integer("per_minute", 60, low=1, high=60_000),
        services=frozenset(table.texts("services")),
    )
    table.finish()
    return key


def _check_name(text: str) -> None:
    if not _NAME.fullmatch(text):
        raise ValueError(f"{text[:40]!r}")


def _check_digest(text: str) -> None:
    # The text itself is not shown: it may be the key.
    if not _DIGEST.fullmatch(text):
        raise ValueError("is no SHA-256")
