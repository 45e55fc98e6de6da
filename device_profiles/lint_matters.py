"""What the author of a table of matters should hear: mistakes, and doubts about its use by the profiles."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from device_profiles.lint import Report
from device_profiles.matter import MatterTable
from device_profiles.mistakes import Findings, Mistake, ProfileError
from device_profiles.model import Profile
from device_profiles.read_matters import CITIES, OWN, load_table
from device_profiles.yaml_nodes import line_at, read_yaml

__all__ = ["OF_THE_CLOUD", "built_in_tables", "lint_matters"]

OF_THE_CLOUD = frozenset({"gateway_offline"})
"""Matters that no profile's alarm opens, but one that the cloud raises by itself (`cloud.watch.names`)."""


def built_in_tables() -> tuple[Path, ...]:
    """The product's own table and those of the cities beside it."""
    return (OWN, *sorted(CITIES.glob("*.yaml")))


def lint_matters(path: Path, profiles: Iterable[Profile]) -> Report:
    """Everything that is wrong or doubtful in a table; `profiles` are those whose alarms may open its matters."""
    try:
        table = load_table(path)
    except ProfileError as error:
        return Report(path=str(path), profile=None, mistakes=error.mistakes)
    root = read_yaml(path, Findings(str(path)))
    warnings = [
        Mistake(str(path), line_at(root, "matters", code), f"matters.{code}", what, instead)
        for code, what, instead in _doubts(table, _users(profiles))
    ]
    return Report(path=str(path), profile=table.name, mistakes=(), warnings=tuple(warnings))


def _users(profiles: Iterable[Profile]) -> Mapping[str, list[str]]:
    """Matter -> the profiles whose alarms open it."""
    users: dict[str, list[str]] = {}
    for profile in profiles:
        for code in {rule.matter for rule in profile.alarms.values() if rule.matter}:
            users.setdefault(code, []).append(profile.name)
    return users


def _doubts(table: MatterTable, users: Mapping[str, list[str]]) -> Iterator[tuple[str, str, str]]:
    for code, matter in table.matters.items():
        if matter.people_only and code in users:
            yield code, f"people_only, and alarms of {', '.join(sorted(users[code])[:3])} open it", "no people_only here"
        elif not matter.people_only and code not in users and code not in OF_THE_CLOUD:
            yield code, "no profile's alarm opens it", f"matter: {code} in a profile, or people_only: true here"
