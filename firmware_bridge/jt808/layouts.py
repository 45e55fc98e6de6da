"""The parts that bodies of JT/T 808 are made of: fields in a row, lists, parts of one revision; readers over a cursor.

A reader fills `fields` as it goes, so that what was read before a fault stays.
"""

from collections.abc import Callable

from firmware_bridge.cursor import Cursor

__all__ = ["Fields", "Reader", "by_version", "chain", "counted", "kept", "one", "plain", "while_left"]

Fields = dict[str, object]
Reader = Callable[[Cursor, int, Fields], None]


def plain(*layout: tuple[str, str]) -> Reader:
    """A body of fields in a row. Kinds: b, w, d (BYTE, WORD, DWORD), t (text to the end), c (text behind its length),
    x (hex to the end), `h6`, `t20` (so many bytes as hex or text)."""

    def read(cursor: Cursor, _: int, fields: Fields) -> None:
        for name, kind in layout:
            fields[name] = one(cursor, name, kind)

    return read


def one(cursor: Cursor, name: str, kind: str) -> object:
    width = {"b": 1, "w": 2, "d": 4}.get(kind)
    if width is not None:
        return cursor.number(name, width)
    match kind[0]:
        case "c":
            return cursor.counted_text(name)
        case "t":
            return cursor.text(name, int(kind[1:]) if kind[1:] else None)
        case _:
            return cursor.hex(name, int(kind[1:]) if kind[1:] else cursor.left)


def counted(name: str, count: str, *layout: tuple[str, str]) -> Reader:
    """A count (kind b, w or d) and as many entries of `layout`."""

    def read(cursor: Cursor, version: int, fields: Fields) -> None:
        entries: list[object] = []
        fields[f"{name}_count"] = total = cursor.number(f"{name}_count", {"b": 1, "w": 2, "d": 4}[count])
        fields[name] = entries
        for _ in cursor.times(total):
            if len(layout) == 1:
                entries.append(one(cursor, *layout[0]))
                continue
            entry: Fields = {}
            entries.append(entry)
            plain(*layout)(cursor, version, entry)

    return read


def chain(*readers: Reader) -> Reader:
    def read(cursor: Cursor, version: int, fields: Fields) -> None:
        for reader in readers:
            reader(cursor, version, fields)

    return read


def by_version(older: Reader, modern: Reader) -> Reader:
    return lambda cursor, version, fields: (modern if version == 2019 else older)(cursor, version, fields)


def while_left(reader: Reader) -> Reader:
    """A part that may be left off."""

    def read(cursor: Cursor, version: int, fields: Fields) -> None:
        if cursor.left:
            reader(cursor, version, fields)

    return read


def kept(name: str, reader: Reader) -> Reader:
    """`reader`'s part, and the same bytes once more as hex under `name`: they stay whatever the reader makes of them."""

    def read(cursor: Cursor, version: int, fields: Fields) -> None:
        fields[name] = cursor.data[cursor.at :].hex()
        reader(cursor, version, fields)

    return read
