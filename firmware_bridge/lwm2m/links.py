"""The objects that a device registers, in CoRE link format (RFC 6690, clause 2; LwM2M 1.1 Core, clauses 6.2.1 and 7.2).

`</lwm2m>;rt="oma.lwm2m";ct=110,</lwm2m/1/0>,</lwm2m/3>;ver=1.1,</lwm2m/3/0>`
"""

import re
from collections.abc import Sequence

import msgspec

from firmware_bridge.errors import ParseError
from firmware_bridge.lwm2m.paths import Path, format_path, parse_path
from telemetry.reason import Reason

__all__ = ["MAX_BYTES", "MAX_LINKS", "Link", "Objects", "encode_links", "parse_links", "parse_objects"]

MAX_BYTES = 16 * 1024
MAX_LINKS = 512
_LINK = re.compile(r" *<([^<>\x00-\x1f]{0,256})>")
_ATTRIBUTE = re.compile(r' *; *([!#$&+\-.^_`|~A-Za-z0-9]{1,32}\*?)(?: *= *(?:"((?:[^"\\]|\\.)*)"|([^ ",;<>\\\x00-\x1f]+)))?')
_VERSION = re.compile(r"\d{1,3}\.\d{1,3}")
_ROOT_TYPE = "oma.lwm2m"


class Link(msgspec.Struct, frozen=True):
    """One link and its attributes; an attribute without a value has an empty one."""

    target: str
    attributes: dict[str, str] = {}


class Objects(msgspec.Struct, frozen=True, kw_only=True):
    """What a device holds: paths of objects and their instances, versions of objects that say one, formats it speaks.

    `root` stands before every path of the device, empty where nothing does.
    """

    paths: tuple[Path, ...]
    versions: dict[int, str] = {}
    root: str = ""
    formats: tuple[int, ...] = ()


def parse_links(payload: bytes) -> tuple[Link, ...]:
    """The links in `payload`, none where it is empty. ParseError: oversized, bad_field (with the offset)."""
    if len(payload) > MAX_BYTES:
        raise ParseError(Reason.OVERSIZED, f"{len(payload)} bytes, want at most {MAX_BYTES}", MAX_BYTES)
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ParseError(Reason.BAD_FIELD, "not UTF-8", error.start) from error
    links: list[Link] = []
    at = 0
    while at < len(text):
        if len(links) == MAX_LINKS:
            raise ParseError(Reason.OVERSIZED, f"more than {MAX_LINKS} links", _bytes(text, at))
        link, at = _link(text, at)
        links.append(link)
    return tuple(links)


def _link(text: str, at: int) -> tuple[Link, int]:
    """The link at `at`, and where the next one begins."""
    found = _LINK.match(text, at)
    if found is None:
        raise ParseError(Reason.BAD_FIELD, "want a target in angle brackets", _bytes(text, at))
    at = found.end()
    attributes: dict[str, str] = {}
    while attribute := _ATTRIBUTE.match(text, at):
        name, quoted, plain = attribute.groups()
        attributes.setdefault(name, re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain or "")
        at = attribute.end()
    at += len(text[at:]) - len(text[at:].lstrip(" "))
    if at < len(text) and (text[at] != "," or at + 1 == len(text)):
        raise ParseError(Reason.BAD_FIELD, "want an attribute or the next link", _bytes(text, at))
    return Link(found[1], attributes), at + 1


def _bytes(text: str, at: int) -> int:
    return len(text[:at].encode())


def parse_objects(payload: bytes) -> Objects:
    """The objects of a registration; links that are no paths of LwM2M are left out. ParseError as `parse_links`."""
    links = parse_links(payload)
    top = next((link for link in links if _ROOT_TYPE in link.attributes.get("rt", "").split()), None)
    root = "" if top is None else top.target.rstrip("/")
    paths: dict[Path, None] = {}
    versions: dict[int, str] = {}
    for link in links:
        path = _path(link.target, root)
        if path is None:
            continue
        paths[path] = None
        if "ver" in link.attributes:
            if not _VERSION.fullmatch(link.attributes["ver"]):
                raise ParseError(Reason.BAD_FIELD, f"{link.target}: version {link.attributes['ver'][:20]!r}, want such as 1.1")
            versions[path[0]] = link.attributes["ver"]
    formats = (
        () if top is None else tuple(int(ct) for ct in top.attributes.get("ct", "").split() if re.fullmatch("[0-9]{1,5}", ct))
    )
    return Objects(paths=tuple(paths), versions=versions, root=root, formats=formats)


def _path(target: str, root: str) -> Path | None:
    if not target.startswith(root + "/"):
        return None
    try:
        path = parse_path(target.removeprefix(root))
    except ParseError:
        return None
    return path if len(path) in {1, 2} else None


def encode_links(objects: Objects) -> bytes:
    """The payload that `parse_objects` reads as `objects`; for simulators."""
    links = []
    if objects.root or objects.formats:
        formats = " ".join(map(str, objects.formats))
        plain = formats if len(objects.formats) == 1 else f'"{formats}"'
        links.append(f'<{objects.root or "/"}>;rt="{_ROOT_TYPE}"' + (f";ct={plain}" if formats else ""))
    links += _written(objects.paths, objects)
    return ",".join(links).encode()


def _written(paths: Sequence[Path], objects: Objects) -> list[str]:
    first = {path[0]: path for path in reversed(paths)}  # the version stands once, at the object's first link
    return [
        f"<{objects.root}{format_path(path)}>"
        + (f";ver={objects.versions[path[0]]}" if first[path[0]] == path and path[0] in objects.versions else "")
        for path in paths
    ]
