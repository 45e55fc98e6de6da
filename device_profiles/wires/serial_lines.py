"""The text line of a device on a serial line: where it begins and ends, its checksum, and where its values stand."""

from collections.abc import Iterator, Mapping

import msgspec

from device_profiles.branch import Branch, plain_value
from device_profiles.quantities import Metric, MetricType, Scaling
from device_profiles.wires.fields import Row, check_number_fits, metric_fields, read_scaling, scaling_text
from device_profiles.wires.serial_binary import CHECKSUM_BYTES
from telemetry.records import Value

__all__ = ["LineChecksum", "LineField", "LineLayout", "LineMessage", "Place", "line_rows", "read_lines"]


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a value stands in a line: the part of that `index` between separators (0 is the first behind the start), behind
    the `key` it is named by, or `size` characters from the line's character `at` on."""

    index: int | None = None
    key: str = ""
    at: int | None = None
    size: int = 0

    def __str__(self) -> str:
        if self.index is not None:
            return f"part {self.index}"
        return self.key or f"characters {self.at} to {(self.at or 0) + self.size - 1}"


class LineField(msgspec.Struct, frozen=True, kw_only=True):
    """One metric in a line. A number is decimal, or hexadecimal with `hex`; `suffix` is the unit that the device prints
    behind it; `point_at` is the character that tells how many digits stand behind a point that is not sent. `words` turn
    texts into values, `none` are the texts for no value, beside an empty one. `places` are the decimals that the device
    prints."""

    metric: str
    place: Place
    hex: bool = False
    suffix: str = ""
    point_at: int | None = None
    places: int = 0
    words: Mapping[str, Value] = {}
    none: tuple[str, ...] = ()
    scaling: Scaling = Scaling()


class LineMessage(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of the lines whose first part is `tag`; of all lines where that is empty."""

    tag: str
    fields: tuple[LineField, ...]


class LineChecksum(msgspec.Struct, frozen=True, kw_only=True):
    """Hexadecimal digits before the end, `mark` before them: of the bytes from `since` to the one before the mark."""

    kind: str = "none"
    mark: str = ""
    since: int = 0


class LineLayout(msgspec.Struct, frozen=True, kw_only=True):
    """A line of ASCII text: start, parts between separators or fixed columns, checksum, end.

    `separator` " " takes any number of blanks for one; empty where values stand in columns. With `assign` every part is a
    key, that character, and a value. `size` is the length of every line in characters, start and end included, and `count`
    the number of its parts; 0 where lines differ.
    """

    start: bytes = b""
    end: bytes = b"\r\n"
    separator: str = ""
    assign: str = ""
    size: int = 0
    count: int = 0
    max_size: int = 256
    address: Place | None = None
    checksum: LineChecksum = LineChecksum()
    messages: tuple[LineMessage, ...] = ()

    @property
    def all_fields(self) -> tuple[LineField, ...]:
        return tuple(field for message in self.messages for field in message.fields)


MAX_LINE = 1024


def read_lines(branch: Branch, metrics: Mapping[str, Metric]) -> LineLayout:
    """The keys under `lines`."""
    layout = LineLayout(
        start=_ascii(branch, "start", ""),
        end=_ascii(branch, "end", "\r\n"),
        separator=_character(branch, "separator"),
        assign=_character(branch, "assign"),
        size=branch.integer("size", 0, low=0, high=MAX_LINE),
        count=branch.integer("count", 0, low=0, high=MAX_LINE),
        max_size=branch.integer("max_size", 256, low=2, high=MAX_LINE),
        checksum=_checksum(branch.optional("checksum")),
    )
    if not layout.end:
        branch.wrong("end", "a line must end", '"\\r\\n", or what ends the line')
    if layout.assign and not layout.separator and branch.is_sound("separator"):
        branch.wrong("assign", "stands without a separator", "separator: what stands between two keys")
    address = branch.optional("address")
    if address is not None:
        layout = msgspec.structs.replace(layout, address=_place(address, layout))
        address.finish()
    layout = msgspec.structs.replace(layout, messages=_messages(branch, layout, metrics))
    branch.finish()
    return layout


def _messages(branch: Branch, layout: LineLayout, metrics: Mapping[str, Metric]) -> tuple[LineMessage, ...]:
    several = branch.optional("messages")
    if several is None:
        tag = branch.text("tag", "")
        if tag and not layout.separator:
            branch.wrong("tag", "there are no parts", "separator, or the tag as part of start")
        return (LineMessage(tag=tag, fields=_fields(branch, layout, metrics)),)
    messages = []
    for tag, inner in several.inner():
        messages.append(LineMessage(tag=tag, fields=_fields(inner, layout, metrics)))
        inner.finish()
    if not layout.separator:
        branch.wrong("messages", "nothing tells them apart", "separator: the first part is the message's tag")
    return tuple(messages)


def _fields(branch: Branch, layout: LineLayout, metrics: Mapping[str, Metric]) -> tuple[LineField, ...]:
    fields = []
    for name, metric, inner in metric_fields(branch, "fields", metrics):
        fields.append(_field(name, metric, inner, layout))
        inner.finish()
    return tuple(fields)


def _field(name: str, metric: Metric | None, inner: Branch, layout: LineLayout) -> LineField:
    words = _words(inner, metric)
    is_text = metric is not None and metric.type is MetricType.STRING
    if metric is not None and not words and not is_text:
        check_number_fits(inner, metric)
    point = inner.integer("point_at", low=0, high=MAX_LINE) if inner.has("point_at") else None
    if point is not None and layout.separator:
        inner.wrong("point_at", "there are no columns", "no point_at")
    return LineField(
        metric=name,
        place=_place(inner, layout),
        hex=inner.flag("hex", default=False),
        suffix=inner.text("suffix", ""),
        point_at=point,
        places=inner.integer("places", 0, low=0, high=6),
        words=words,
        none=tuple(inner.texts("none")),
        scaling=read_scaling(inner, metric, None),
    )


def _place(branch: Branch, layout: LineLayout) -> Place:
    if layout.assign:
        return Place(key=branch.text("key"))
    if layout.separator:
        return Place(index=branch.integer("index", low=0, high=MAX_LINE))
    return Place(at=branch.integer("at", low=0, high=MAX_LINE), size=branch.integer("size", low=1, high=64))


def _words(inner: Branch, metric: Metric | None) -> dict[str, Value]:
    branch = inner.optional("words")
    words: dict[str, Value] = {}
    if branch is None:
        return words
    wanted = {MetricType.FLOAT: float, MetricType.INTEGER: int, MetricType.BOOLEAN: bool, MetricType.STRING: str}
    for word, node in branch.scalars():
        words[word] = branch.value(word)
        if metric is not None and node is not None and type(plain_value(node)) is not wanted[metric.type]:
            branch.wrong(word, f"{node.text!r} is not a value of a {metric.type} metric", f"a {metric.type}")
    return words


def _checksum(branch: Branch | None) -> LineChecksum:
    if branch is None:
        return LineChecksum()
    checksum = LineChecksum(
        kind=branch.word("kind", [kind for kind in CHECKSUM_BYTES if kind != "none"]),
        mark=branch.quoted("mark", ""),
        since=branch.integer("from", 0, low=0, high=MAX_LINE),
    )
    branch.finish()
    return checksum


def _ascii(branch: Branch, key: str, default: str) -> bytes:
    text = branch.quoted(key, default)
    if not text.isascii() or len(text) > 16:
        branch.wrong(key, f"{text[:40]!r} is not ASCII", "up to 16 ASCII characters in quotes")
        return b""
    return text.encode("ascii")


def _character(branch: Branch, key: str) -> str:
    text = branch.quoted(key, "")
    if len(text) > 1 or not text.isascii():
        branch.wrong(key, f"{text[:40]!r} is not one character", 'one ASCII character in quotes: ","')
        return ""
    return text


def line_rows(layout: LineLayout) -> Iterator[Row]:
    """The map as a person reads it."""
    for message in layout.messages:
        kind = f"{message.tag} " if message.tag else ""
        for field in message.fields:
            told = ["hex"] if field.hex else []
            told += [f"in {field.suffix}"] if field.suffix else []
            told += [f"point at character {field.point_at}"] if field.point_at is not None else []
            told += [f"{word!r} is {value}" for word, value in field.words.items()]
            told += [f"none at {', '.join(map(repr, field.none))}"] if field.none else []
            yield "serial", field.metric, f"{kind}{field.place}", ", ".join(filter(None, [*told, scaling_text(field.scaling)]))
