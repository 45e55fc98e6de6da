"""The query options of 18-088, 9.3, read and checked for the kind of entity that they are about."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import unquote_plus

import msgspec

from cloud.sensorthings.errors import StaError, invalid, unsupported
from cloud.sensorthings.evaluate import wanted_links
from cloud.sensorthings.expression import read_filter, read_orderby
from cloud.sensorthings.model import ID, SELF, SETS, Kind
from cloud.sensorthings.tree import Node, Ordering

__all__ = ["MOST_PAGE", "PAGE", "Options", "read_options", "read_pairs"]

PAGE: Final = 100
MOST_PAGE: Final = 1000
_MOST_EXPANDS: Final = 20
_DEEPEST: Final = 5
_LONGEST: Final = 8_000
_MOST_SKIP: Final = 10**9
_LATER: Final = frozenset({"$search", "$format", "$apply", "$compute", "$levels", "$index", "$schemaversion", "$id"})
_NUMBER: Final = re.compile(r"\d{1,19}", re.ASCII)


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of one set. `top` None: as many as a page holds. `after`: go on behind this number."""

    kind: Kind
    filter: Node | None = None
    orderby: tuple[Ordering, ...] = ()
    top: int | None = None
    skip: int = 0
    count: bool = False
    select: frozenset[str] | None = None
    expand: Mapping[str, "Options"] = {}
    data_array: bool = False
    after: int | None = None
    said: tuple[tuple[str, str], ...] = ()
    """As it came, for the address of the next page."""

    @property
    def page(self) -> int:
        """How many entities one answer has at most."""
        return PAGE if self.top is None else min(self.top, MOST_PAGE)


def read_pairs(query: str) -> list[tuple[str, str]]:
    """The options of an address, decoded: a + is a space, as in any form. StaError (400) for what is no UTF-8."""
    if len(query) > _LONGEST:
        raise invalid(f"a query of {len(query)} characters: want at most {_LONGEST}")
    pairs = []
    for part in query.split("&"):
        if part:
            name, _, value = part.partition("=")
            pairs.append((_decoded(name), _decoded(value)))
    return pairs


def _decoded(text: str) -> str:
    try:
        return unquote_plus(text, errors="strict")
    except UnicodeDecodeError:
        raise invalid(f"{text[:64]!r}: want percent-encoded UTF-8") from None


def read_options(kind: Kind, pairs: Sequence[tuple[str, str]], depth: int = 0) -> Options:
    """The options for this kind; StaError (400, 501) for one that cannot be taken, named."""
    said: dict[str, str] = {}
    for name, value in pairs:
        if name in _LATER:
            raise unsupported(f"{name}: is not supported")
        if name not in _READERS:
            raise invalid(f"{name[:64]!r}: there is no such option; want one of {', '.join(_READERS)}")
        if name in said:
            raise invalid(f"{name}: is said twice")
        said[name] = value
    found: dict[str, object] = {}
    for name, value in said.items():
        field, read = _READERS[name]
        try:
            found[field] = read(kind, value, depth)
        except StaError as error:
            raise StaError(error.status, error.reason, f"{name}: {error.detail}") from None
    return msgspec.structs.replace(Options(kind=kind, said=tuple(said.items())), **found)


def _filter(kind: Kind, text: str, _depth: int) -> Node:
    node = read_filter(text)
    wanted_links(kind, node)
    return node


def _orderby(kind: Kind, text: str, _depth: int) -> tuple[Ordering, ...]:
    orderings = read_orderby(text)
    wanted_links(kind, *(ordering.by for ordering in orderings))
    return orderings


def _whole(_kind: Kind, text: str, _depth: int) -> int:
    if not _NUMBER.fullmatch(text):
        raise invalid(f"{text[:32]!r}: want a whole number, 0 or more")
    return int(text)


def _skip(kind: Kind, text: str, depth: int) -> int:
    return min(_whole(kind, text, depth), _MOST_SKIP)


def _count(_kind: Kind, text: str, _depth: int) -> bool:
    if text not in {"true", "false"}:
        raise invalid(f"{text[:32]!r}: want true or false")
    return text == "true"


def _select(kind: Kind, text: str, _depth: int) -> frozenset[str]:
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if "/" in name:
            raise unsupported(f"{name[:64]!r}: a part of a property cannot be selected")
        if name not in {"id", ID, SELF, *kind.properties, *kind.links}:
            raise invalid(f"{kind.name} have no {name[:64]!r}; want some of {', '.join((ID, *kind.properties, *kind.links))}")
    return frozenset(ID if name == "id" else name for name in names)


def _expand(kind: Kind, text: str, depth: int) -> Mapping[str, Options]:
    if depth >= _DEEPEST:
        raise invalid(f"expanded {depth + 1} deep: want at most {_DEEPEST}")
    found: dict[str, Options] = {}
    for item in _split(text, ","):
        head, _, inner = item.partition("(")
        if inner and not inner.endswith(")"):
            raise invalid(f"{item[:64]!r}: want ) at its end")
        link, _, beyond = head.strip().partition("/")
        if link not in kind.links:
            raise invalid(f"{kind.name} have no link {link[:64]!r}; want some of {', '.join(kind.links)}")
        if link in found and not beyond:
            raise invalid(f"{link}: is expanded twice")
        target = SETS[kind.links[link].to]
        # Datastreams/Observations(...) is Datastreams($expand=Observations(...)).
        pairs = [("$expand", beyond + item[len(head) :])] if beyond else _inner(inner[:-1])
        options = read_options(target, pairs, depth + 1)
        found[link] = _joined(found[link], options) if link in found else options
    if len(found) > _MOST_EXPANDS:
        raise invalid(f"{len(found)} links: want at most {_MOST_EXPANDS}")
    return found


def _joined(first: Options, second: Options) -> Options:
    if first.expand.keys() & second.expand.keys():
        raise invalid(f"{', '.join(sorted(first.expand.keys() & second.expand.keys()))}: is expanded twice")
    return msgspec.structs.replace(first, expand={**first.expand, **second.expand})


def _inner(text: str) -> list[tuple[str, str]]:
    pairs = []
    for part in _split(text, ";"):
        name, equals, value = part.strip().partition("=")
        if not equals:
            raise invalid(f"{part[:64]!r}: want $option=value")
        pairs.append((name, value))
    return pairs


def _split(text: str, sign: str) -> Iterator[str]:
    """The parts between signs that stand outside brackets and quotes; StaError where these do not match."""
    depth, quoted, start = 0, False, 0
    for at, character in enumerate(text):
        if character == "'":
            quoted = not quoted
        elif not quoted:
            depth += (character == "(") - (character == ")")
            if depth < 0:
                raise invalid(f"character {at + 1}: a ) too many")
            if character == sign and depth == 0:
                yield text[start:at]
                start = at + 1
    if quoted or depth:
        raise invalid(f"character {len(text) + 1}: the end: want {chr(39) if quoted else ')'}")
    if text[start:].strip() or sign == ",":
        yield text[start:]


def _format(kind: Kind, text: str, depth: int) -> bool:
    if text not in {"dataArray", "default"}:
        raise unsupported(f"{text[:32]!r}: want dataArray")
    if text == "dataArray" and (kind.name != "Observations" or depth):
        raise invalid("dataArray is for a list of Observations")
    return text == "dataArray"


_Read = Callable[[Kind, str, int], object]

_READERS: Final[Mapping[str, tuple[str, _Read]]] = {
    "$filter": ("filter", _filter),
    "$count": ("count", _count),
    "$orderby": ("orderby", _orderby),
    "$skip": ("skip", _skip),
    "$top": ("top", _whole),
    "$expand": ("expand", _expand),
    "$select": ("select", _select),
    "$resultFormat": ("data_array", _format),
    "$skiptoken": ("after", _whole),
}
"""In the order in which they take effect (18-088, 9.3.1)."""
