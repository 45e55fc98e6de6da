"""What citizens may report: which matters, in which group, by which words they are found, and what is asked about them.

A service of GeoReport v2 is one matter (事项), and its service_code the matter's own code: several matters share a code of
GB/T 30428.2 (a missing cover and a loose one are both 0103), so that code cannot tell them apart.
"""

from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from device_profiles.branch import NAME, Branch
from device_profiles.mistakes import Findings, one_of
from device_profiles.quantities import Text
from device_profiles.yaml_nodes import read_yaml

__all__ = ["COMPONENT", "OWN", "Attribute", "DataType", "Entry", "load_entries"]

OWN: Final = Path(__file__).with_name("services.yaml")
"""The product's own list."""

COMPONENT: Final = "component_code"
"""The attribute whose answer is the code on the object itself (16 digits by GB/T 30428.2), as address_id is."""

_NOTHING = Text("", "")


class DataType(StrEnum):
    """How an attribute is answered; the words are the specification's."""

    STRING = "string"
    NUMBER = "number"
    DATETIME = "datetime"
    TEXT = "text"
    SINGLEVALUELIST = "singlevaluelist"
    MULTIVALUELIST = "multivaluelist"


_LISTS: Final = frozenset({DataType.SINGLEVALUELIST, DataType.MULTIVALUELIST})


class Attribute(msgspec.Struct, frozen=True, kw_only=True):
    """One question; `values` (key -> name) are the answers of a list. With `asked` false it only tells something."""

    code: str
    datatype: DataType
    required: bool
    description: Text
    hint: Text
    values: Mapping[str, Text]
    asked: bool = True


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One matter that citizens may report; the matter's own words are in its table."""

    code: str
    group: Text
    keywords: Text
    attributes: tuple[Attribute, ...]


@cache
def load_entries(path: Path = OWN) -> Mapping[str, Entry]:
    """The entries of a file by matter, in its order. Raises ProfileError with every mistake."""
    findings = Findings(str(path))
    root = Branch(findings, read_yaml(path, findings), "")
    groups = _groups(root.branch("groups"))
    entries = {code: _entry(code, branch, groups) for code, branch in root.branch("services").inner()}
    root.finish()
    findings.raise_if_any()
    return entries


def _groups(branch: Branch) -> Mapping[str, Text]:
    return {name: branch.both(name) for name in branch}


def _entry(code: str, branch: Branch, groups: Mapping[str, Text]) -> Entry:
    if not NAME.fullmatch(code):
        branch.wrong_here(f"{code!r} is not a matter's name", "small letters, digits and _")
    group = branch.word("group", groups) if groups else branch.text("group")
    inner = branch.optional("attributes")
    entry = Entry(
        code=code,
        group=groups.get(group, _NOTHING),
        keywords=branch.both("keywords"),
        attributes=() if inner is None else tuple(_attribute(name, under) for name, under in inner.inner()),
    )
    branch.finish()
    return entry


def _attribute(code: str, branch: Branch) -> Attribute:
    if not NAME.fullmatch(code):
        branch.wrong_here(f"{code!r} is not an attribute's name", "small letters, digits and _")
    datatype = branch.choice("datatype", DataType)
    values = branch.optional("values")
    asked = branch.flag("variable", default=True)
    attribute = Attribute(
        code=code,
        datatype=datatype,
        required=branch.flag("required", default=False),
        description=branch.both("description"),
        hint=branch.both("hint") if branch.has("hint") else _NOTHING,
        values={} if values is None else {key: values.both(key) for key in values},
        asked=asked,
    )
    if branch.is_sound("datatype") and (datatype in _LISTS) != bool(attribute.values):
        has = "has values" if attribute.values else "has no values"
        branch.wrong("values" if attribute.values else "datatype", f"{datatype} {has}", f"values with {one_of(_LISTS)} only")
    if attribute.required and not asked:
        branch.wrong("required", "what only tells something is never required", "false")
    branch.finish()
    return attribute
