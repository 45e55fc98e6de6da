"""A YAML file as nodes that know their lines, with none of YAML's surprises.

The parser's events are taken as they come, so that nothing is converted behind the author's back: whether `on`,
`010` or `1:30` is a word or a number is decided by who asks for it (see `device_profiles.branch`). Refused here:
files over 256 KiB, text that is not UTF-8, nesting deeper than 16, anchors, aliases, tags, duplicate keys, keys that are
not plain words, and a second document.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import yaml

from device_profiles.mistakes import Findings

__all__ = ["ListNode", "MapNode", "Node", "Scalar", "Spoiled", "line_at", "parse_yaml", "read_yaml"]

MAX_BYTES = 256 * 1024
MAX_DEPTH = 16

# libyaml is an order of magnitude faster and not in every build of PyYAML; both give the same events.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Scalar(msgspec.Struct, frozen=True):
    """A word, number or text as written; `plain` when it stood without quotes."""

    line: int
    text: str
    plain: bool


class Spoiled(msgspec.Struct, frozen=True):
    """A node that was refused already: whoever reads it says nothing more about it."""

    line: int


class MapNode(msgspec.Struct, frozen=True):
    line: int
    entries: Mapping[str, "Entry"]


class ListNode(msgspec.Struct, frozen=True):
    line: int
    items: "tuple[Node, ...]"


Node = Scalar | Spoiled | MapNode | ListNode


class Entry(msgspec.Struct, frozen=True):
    """One key with its value; `line` is the key's."""

    line: int
    value: Node


class _TooDeepError(Exception):
    def __init__(self, line: int, where: str) -> None:
        super().__init__(where)
        self.line = line
        self.where = where


def read_yaml(path: Path, findings: Findings) -> Node:
    """The file's root node. What cannot be read is noted in `findings`, and the part (or all) comes back as Spoiled."""
    text = _read_text(path, findings)
    return Spoiled(1) if text is None else parse_yaml(text, findings)


def parse_yaml(text: str, findings: Findings) -> Node:
    """The root node of `text`; never raises for what an author can write."""
    try:
        return _Builder(text, findings).document()
    except _TooDeepError as error:
        findings.add(error.line, error.where, f"nested deeper than {MAX_DEPTH}", "a flatter structure")
    except yaml.MarkedYAMLError as error:
        # At the end of the text the parser stands a line behind the last one.
        line = min(getattr(error.problem_mark, "line", 0), text.count("\n")) + 1
        findings.add(line, "file", f"not YAML: {error.problem or error.context}", "valid YAML")
    except yaml.YAMLError as error:
        findings.add(1, "file", f"not YAML: {str(error).splitlines()[0]}", "valid YAML")
    return Spoiled(1)


def line_at(node: Node, *path: str) -> int:
    """The line of the key at the end of `path`, or of as much of the path as there is."""
    line = node.line
    for key in path:
        entry = node.entries.get(key) if isinstance(node, MapNode) else None
        if entry is None:
            break
        node, line = entry.value, entry.line
    return line


def _read_text(path: Path, findings: Findings) -> str | None:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        findings.add(1, "file", f"cannot be read: {error.strerror}", "a readable file of this name")
        return None
    if len(data) > MAX_BYTES:
        findings.add(1, "file", f"larger than {MAX_BYTES // 1024} KiB", "a smaller file")
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        findings.add(line, "file", f"byte {error.start} is not UTF-8", "UTF-8 text")
        return None


def _line(event: yaml.Event) -> int:
    return getattr(event.start_mark, "line", 0) + 1


class _Builder:
    """Nodes from parser events, one document."""

    def __init__(self, text: str, findings: Findings) -> None:
        self._events: Iterator[yaml.Event] = yaml.parse(text, Loader=_LOADER)
        self._findings = findings

    def document(self) -> Node:
        root: Node | None = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent) and root is not None:
                self._findings.add(_line(event), "file", "a second document starts here", "one document in one file")
                break
            if isinstance(event, yaml.NodeEvent):
                root = self._node(event, "", 0)
        if root is None:
            self._findings.add(1, "file", "empty", "a profile")
            return Spoiled(1)
        return root

    def _node(self, event: yaml.Event, where: str, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise _TooDeepError(_line(event), where)
        refused = self._refuse_tricks(event, where or "file")
        if isinstance(event, yaml.MappingStartEvent):
            return self._map(event, where, depth)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(event, where, depth)
        if refused or not isinstance(event, yaml.ScalarEvent):
            return Spoiled(_line(event))
        return Scalar(_line(event), event.value, plain=event.style is None or event.style == "")

    def _refuse_tricks(self, event: yaml.Event, where: str) -> bool:
        if isinstance(event, yaml.AliasEvent):
            self._findings.add(_line(event), where, f"alias *{getattr(event, 'anchor', '')}", "the value itself")
            return True
        anchor, tag = getattr(event, "anchor", None), getattr(event, "tag", None)
        if anchor:
            self._findings.add(_line(event), where, f"anchor &{anchor}", "the value without an anchor")
        if tag not in {None, "!"}:
            self._findings.add(_line(event), where, f"tag {tag}", "the value without a tag")
            return True
        return False

    def _map(self, start: yaml.Event, where: str, depth: int) -> MapNode:
        entries: dict[str, Entry] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._node(event, where, depth + 1)
            text = key.text if isinstance(key, Scalar) else ""
            below = f"{where}.{text}" if where else text
            value = self._node(next(self._events), below, depth + 1)
            if not isinstance(key, Scalar):
                if not isinstance(key, Spoiled):
                    self._findings.add(key.line, where or "file", "a key that is a list or mapping", "a word as the key")
            elif text in entries:
                first = entries[text].line
                self._findings.add(key.line, below, f"second {text!r}, the first is in line {first}", "each key once")
            else:
                entries[text] = Entry(key.line, value)
        return MapNode(_line(start), entries)

    def _list(self, start: yaml.Event, where: str, depth: int) -> ListNode:
        items: list[Node] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, f"{where}[{len(items)}]", depth + 1))
        return ListNode(_line(start), tuple(items))
