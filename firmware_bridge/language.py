"""What every language offers to whoever wants to look at a frame."""

from collections.abc import Callable

import msgspec

from firmware_bridge.cursor import Shown

__all__ = ["Language", "Record"]

Record = dict[str, object]
"""One frame as JSON can write it: field names in snake_case, numbers as numbers."""


class Language(msgspec.Struct, frozen=True, kw_only=True):
    """How to show the frames of one protocol: `describe` as a record, `explain` as fields with offsets; both raise ParseError.

    `spoken` names the first characters of frames that are text: such a line is taken as it is written, and not as hex.
    """

    describe: Callable[[bytes], Record]
    explain: Callable[[bytes], list[Shown]]
    spoken: tuple[str, ...] = ()
