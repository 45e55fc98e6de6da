"""Typed reading of one mapping of a YAML file: every getter notes what is wrong and goes on with a harmless value.

Numbers are plain decimal (`12`, `-0.5`, `1e-3`) or, where an integer is wanted, `0x` hexadecimal, which every YAML
reads alike; booleans are `true` and `false`. The words that YAML 1.1 turns into something else (`on`, `off`, `yes`, `no`,
`010`, `1:30`, `~`) are refused where text is wanted, so that this loader and every other YAML tool read the same file.
"""

import math
import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import TypeVar

from device_profiles.mistakes import Findings, did_you_mean, one_of
from device_profiles.quantities import Text
from device_profiles.yaml_nodes import ListNode, MapNode, Node, Scalar, Spoiled
from telemetry.records import Value

__all__ = ["NAME", "Branch", "parse_integer", "parse_number", "plain_value", "whole"]

NAME = re.compile(r"(?=.{1,64}\Z)[a-z][a-z0-9]*(_[a-z0-9]+)*")
MAX_TEXT = 4000

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]{1,3})?")
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,18})|0x[0-9A-Fa-f]{1,16}")
# What YAML 1.1 or 1.2 would take for a boolean, null or number (1.1: octal, sexagesimal, underscores).
_NOT_TEXT = re.compile(
    r"(?i:y|n|yes|no|on|off|true|false|null|~|)|[-+]?[0-9][0-9_,:.]*([eE][-+]?[0-9]+)?|0[xo][0-9a-fA-F_]+|[-+]?\.(?i:inf|nan)"
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ].*)?"
)

_Choice = TypeVar("_Choice", bound=StrEnum)


def parse_number(node: Scalar) -> float | None:
    """A plain decimal number, finite; None otherwise."""
    if not node.plain or not _NUMBER.fullmatch(node.text):
        return None
    number = float(node.text)
    return number if math.isfinite(number) else None


def parse_integer(node: Scalar) -> int | None:
    """A plain decimal or 0x integer; None otherwise."""
    return whole(node.text) if node.plain else None


def whole(text: str) -> int | None:
    """A decimal or 0x integer as written; None otherwise."""
    return int(text, 0) if _INTEGER.fullmatch(text) else None


class Branch:
    """One mapping. Ask for its keys, then call `finish`, which refuses the keys nobody asked for.

    A key is blamed once: after the first mistake about it, checks built on its stand-in value stay quiet.
    """

    def __init__(self, findings: Findings, node: Node | None, where: str, line: int = 1) -> None:
        self._findings = findings
        self._blamed: set[str] = set()
        self._asked: dict[str, None] = {}
        self._quiet = not isinstance(node, MapNode)
        self._entries = node.entries if isinstance(node, MapNode) else {}
        self.where = where
        self.line = line if node is None else node.line
        if node is not None and not isinstance(node, MapNode | Spoiled):
            findings.add(node.line, where or "file", f"{_shape(node)}, want keys with values", "key: value lines")

    @property
    def sound(self) -> bool:
        """Nothing about this mapping's own keys was wrong so far."""
        return not self._quiet and not self._blamed

    def is_sound(self, *keys: str) -> bool:
        return not self._quiet and self._blamed.isdisjoint(keys)

    def has(self, key: str) -> bool:
        self._asked[key] = None
        return key in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def is_empty_text(self, key: str) -> bool:
        """Written as "" on purpose."""
        entry = self._entries.get(key)
        return entry is not None and isinstance(entry.value, Scalar) and not entry.value.plain and not entry.value.text

    def is_null(self, key: str) -> bool:
        """Written as a plain null."""
        entry = self._entries.get(key)
        return entry is not None and isinstance(entry.value, Scalar) and entry.value.plain and entry.value.text == "null"

    def line_of(self, key: str) -> int:
        """The line of a key's value, or of the mapping where the key is missing."""
        entry = self._entries.get(key)
        return self.line if entry is None else entry.value.line

    def wrong(self, key: str, what: str, instead: str) -> None:
        """Note a mistake about one key (the first one only)."""
        if self._quiet or key in self._blamed:
            return
        self._blamed.add(key)
        self._findings.add(self.line_of(key), self._path(key), what, instead)

    def wrong_key(self, key: str, what: str, instead: str) -> None:
        """Note a mistake about the key itself rather than its value."""
        if self._quiet or key in self._blamed:
            return
        self._blamed.add(key)
        entry = self._entries.get(key)
        self._findings.add(self.line if entry is None else entry.line, self._path(key), what, instead)

    def wrong_here(self, what: str, instead: str) -> None:
        """Note a mistake about the mapping as a whole."""
        self.wrong("", what, instead)

    def finish(self) -> None:
        """Refuse the keys that nobody asked for."""
        for key in self._entries:
            if key not in self._asked:
                self.wrong_key(key, f"unknown key {_cut(key)!r}", did_you_mean(key, self._asked))

    # One value each. A default makes the key optional.

    def text(self, key: str, default: str | None = None, *, form: re.Pattern[str] | None = None, like: str = "") -> str:
        """Text of 1 to 4000 characters; `form` must match all of it, `like` shows one that does."""
        node = self._scalar(key, "text", required=default is None)
        if node is None:
            return default or ""
        if node.plain and _NOT_TEXT.fullmatch(node.text):
            self.wrong(key, f"{_cut(node.text)!r} is not text to every YAML reader", f'it in quotes: "{_cut(node.text)}"')
        elif not node.text.strip() or len(node.text) > MAX_TEXT:
            self.wrong(key, "empty text" if not node.text.strip() else "text too long", f"1 to {MAX_TEXT} characters")
        elif form is not None and not form.fullmatch(node.text):
            self.wrong(key, f"{_cut(node.text)!r} does not have the right form", like)
        else:
            return node.text
        return default or ""

    def quoted(self, key: str, default: str | None = None) -> str:
        """A text in quotes as it stands there, blanks and control characters included; it may be empty."""
        node = self._scalar(key, "a text in quotes", required=default is None)
        if node is None:
            return default or ""
        if node.plain:
            self.wrong(key, f"{_cut(node.text)!r} stands without quotes", f'it in quotes: "{_cut(node.text)}"')
            return default or ""
        return node.text[:MAX_TEXT]

    def number(self, key: str, default: float | None = None, *, low: float = -math.inf, high: float = math.inf) -> float:
        node = self._scalar(key, "a number", required=default is None)
        fallback = 0.0 if default is None else default
        if node is None:
            return fallback
        number = parse_number(node)
        if number is None:
            self.wrong(key, f"{_cut(node.text)!r} is not a plain decimal number", "a number such as 12 or -0.5")
            return fallback
        if not low <= number <= high:
            self.wrong(key, f"{node.text} is out of range", _between(low, high))
            return fallback
        return number

    def integer(self, key: str, default: int | None = None, *, low: int, high: int) -> int:
        node = self._scalar(key, "a whole number", required=default is None)
        fallback = low if default is None else default
        if node is None:
            return fallback
        number = parse_integer(node)
        if number is None:
            self.wrong(key, f"{_cut(node.text)!r} is not a plain whole number", _between(low, high))
            return fallback
        if not low <= number <= high:
            self.wrong(key, f"{node.text} is out of range", _between(low, high))
            return fallback
        return number

    def flag(self, key: str, default: bool | None = None) -> bool:  # noqa: FBT001 - the value when the key is missing, as in the other getters
        node = self._scalar(key, "true or false", required=default is None)
        if node is None:
            return bool(default)
        if not node.plain or node.text not in {"true", "false"}:
            self.wrong(key, f"{_cut(node.text)!r} is not a boolean", "true or false")
            return bool(default)
        return node.text == "true"

    def word(self, key: str, words: Iterable[str], default: str | None = None) -> str:
        """One of a closed list of words."""
        allowed = list(words)
        node = self._scalar(key, one_of(allowed), required=default is None)
        if node is not None and node.text in allowed:
            return node.text
        if node is not None:
            self.wrong(key, f"{_cut(node.text)!r} is not known", did_you_mean(node.text, allowed))
        return allowed[0] if default is None else default

    def choice(self, key: str, kind: type[_Choice], default: _Choice | None = None) -> _Choice:
        return kind(self.word(key, [str(member) for member in kind], None if default is None else str(default)))

    def value(self, key: str) -> Value:
        """A boolean, a number or text, by how it is written."""
        node = self._scalar(key, "a value", required=True)
        if node is None:
            return None
        value = plain_value(node)
        if value is None:
            self.wrong(
                key, f"{_cut(node.text)!r} may mean several things", f'true, false, a decimal number or "{_cut(node.text)}"'
            )
        return value

    def values(self, key: str) -> list[Value]:
        """A list of booleans, numbers or texts, by how they are written."""
        if not self.has(key):
            self._missing(key, "a list of values")
        values: list[Value] = []
        for node in self._list(key):
            value = plain_value(node) if isinstance(node, Scalar) else None
            if value is None:
                self.wrong(key, f"{_shown(node)} may mean several things", "true, false, decimal numbers or texts in quotes")
            else:
                values.append(value)
        return values

    def both(self, key: str) -> Text:
        """A text in both languages."""
        inner = self.branch(key)
        text = Text(zh=inner.text("zh"), en=inner.text("en"))
        inner.finish()
        return text

    def integers(self, key: str, *, low: int, high: int) -> frozenset[int]:
        """An optional list of whole numbers; empty where the key is missing."""
        numbers = []
        for node in self._list(key):
            number = parse_integer(node) if isinstance(node, Scalar) else None
            if number is None or not low <= number <= high:
                self.wrong(key, f"{_shown(node)} is not a whole number in range", f"whole numbers, {_between(low, high)}")
            else:
                numbers.append(number)
        return frozenset(numbers)

    def texts(self, key: str) -> list[str]:
        """An optional list of texts; empty where the key is missing."""
        texts = []
        for node in self._list(key):
            if isinstance(node, Scalar) and not node.plain:
                texts.append(node.text)
            else:
                self.wrong(key, f"{_shown(node)} is not a text in quotes", 'texts in quotes: ["...", "..."]')
        return texts

    # Inner mappings.

    def branch(self, key: str) -> "Branch":
        """The mapping under a key; a missing one is a mistake and comes back as a quiet empty branch."""
        if not self.has(key):
            self._missing(key, "key: value lines")
            return Branch(self._findings, None, self._path(key), self.line)
        return Branch(self._findings, self._entries[key].value, self._path(key))

    def optional(self, key: str) -> "Branch | None":
        """The mapping under a key, or None where the key is missing."""
        return self.branch(key) if self.has(key) else None

    def inner(self) -> Iterator[tuple[str, "Branch"]]:
        """Every entry of this mapping, each itself a mapping (`name:` alone counts as an empty one)."""
        for key, entry in self._entries.items():
            self._asked[key] = None
            value = entry.value
            empty = isinstance(value, Scalar) and value.plain and not value.text
            yield key, Branch(self._findings, MapNode(entry.line, {}) if empty else value, self._path(key))

    def scalars(self) -> Iterator[tuple[str, Scalar | None]]:
        """Every entry of this mapping, each a single value (None where it is not; `value(key)` then says so)."""
        for key, entry in self._entries.items():
            self._asked[key] = None
            yield key, entry.value if isinstance(entry.value, Scalar) else None

    def items(self, key: str) -> "Iterator[Branch]":
        """Every item of a list of mappings."""
        for number, node in enumerate(self._list(key)):
            yield Branch(self._findings, node, f"{self._path(key)}[{number}]")

    def _path(self, key: str) -> str:
        if not key:
            return self.where or "file"
        return f"{self.where}.{_cut(key)}" if self.where else _cut(key)

    def _missing(self, key: str, wanted: str) -> None:
        if not self._quiet and key not in self._blamed:
            self._blamed.add(key)
            self._findings.add(self.line, self._path(key), "missing", f"{key}: {wanted}")

    def _scalar(self, key: str, wanted: str, *, required: bool) -> Scalar | None:
        if not self.has(key):
            if required:
                self._missing(key, wanted)
            return None
        node = self._entries[key].value
        if isinstance(node, Scalar):
            return node
        if isinstance(node, Spoiled):
            self._blamed.add(key)
        else:
            self.wrong(key, f"{_shape(node)}, want {wanted}", wanted)
        return None

    def _list(self, key: str) -> tuple[Node, ...]:
        if not self.has(key):
            return ()
        node = self._entries[key].value
        if isinstance(node, ListNode):
            return node.items
        if isinstance(node, Spoiled):
            self._blamed.add(key)
        else:
            self.wrong(key, f"{_shape(node)}, want a list", "[first, second]")
        return ()


def plain_value(node: Scalar) -> Value:
    """true and false, decimal numbers, text; None where YAML readers disagree or the scalar is empty."""
    if not node.plain:
        return node.text
    if node.text in {"true", "false"}:
        return node.text == "true"
    integer = parse_integer(node)
    if integer is not None:
        return integer
    number = parse_number(node)
    if number is not None:
        return number
    return None if _NOT_TEXT.fullmatch(node.text) else node.text


def _between(low: float, high: float) -> str:
    if math.isinf(low) and math.isinf(high):
        return "a number"
    if math.isinf(high):
        return f"{low:g} or more"
    if math.isinf(low):
        return f"{high:g} or less"
    return f"{low:.16g} to {high:.16g}"


def _shape(node: Node) -> str:
    if isinstance(node, MapNode):
        return "keys with values"
    if isinstance(node, ListNode):
        return "a list"
    return _shown(node)


def _shown(node: Node) -> str:
    if not isinstance(node, Scalar):
        return "a list or mapping"
    return repr(_cut(node.text)) if node.text else "nothing"


def _cut(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
