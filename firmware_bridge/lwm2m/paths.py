"""Where a value stands: object, object instance, resource, resource instance (LwM2M 1.1 Core, clause 7.2)."""

from firmware_bridge.errors import ParseError
from telemetry.reason import Reason

__all__ = ["MAX_ID", "Path", "format_path", "parse_path"]

MAX_ID = 65535
"""Stands for "no instance" in links, and is never an identifier of its own (LwM2M 1.1 Core, clause 7.1)."""

Path = tuple[int, ...]
"""Up to four identifiers, the object first; none is the root."""


def parse_path(text: str) -> Path:
    """`/3/0/9` as numbers. ParseError: bad_field (not numbers, too deep), out_of_range (an identifier of 65535 or more)."""
    if text in {"", "/"}:
        return ()
    steps = text.removeprefix("/").removesuffix("/").split("/")
    if len(steps) > 4:
        raise ParseError(Reason.BAD_FIELD, f"a path of {len(steps)} steps, want at most 4")
    return tuple(_identifier(step) for step in steps)


def _identifier(step: str) -> int:
    if not (step.isascii() and step.isdecimal()) or (len(step) > 1 and step.startswith("0")):
        raise ParseError(Reason.BAD_FIELD, f"{step[:20]!r} in a path, want a number")
    if len(step) > 5 or int(step) >= MAX_ID:
        raise ParseError(Reason.OUT_OF_RANGE, f"{step[:20]} in a path, want at most {MAX_ID - 1}")
    return int(step)


def format_path(path: Path) -> str:
    """`/3/0/9`; the root is `/`."""
    return "/" + "/".join(str(step) for step in path)
