"""The lines that a series store would not take, exactly as they were sent, in a bounded folder beside the data.

    dead-letters/00000000000000000001.jsonl     one letter a line, named by its first letter's number
    dead-letters/00000000000000004711.jsonl     the newest

A letter's number only grows. When the newest file is full another is begun; when the folder is full its oldest file goes,
which the log says, and which the numbers show: what was written is the last number, what was forgotten all before the
first. The readings themselves are accounted for elsewhere (quarantine): a letter that cannot be written stops nobody.
"""

import logging
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from telemetry.reason import Reason

__all__ = ["DeadLetters", "Letter", "LetterPage"]

_log = logging.getLogger(__name__)
_FILES: Final = 4
_REMEMBERED: Final = 10_000  # what ingest writes again after a fault is the same letter


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """One refused line: `detail` is the server's words, (gateway, epoch, seq) the reading's number."""

    n: int
    at_ns: int
    gateway: str
    epoch: str
    seq: int
    reason: Reason
    detail: str
    line: str


class LetterPage(msgspec.Struct, frozen=True):
    """Letters, newest first; `next` is what to give as `before` for more, None at the end."""

    items: list[Letter]
    next: int | None
    written: int
    forgotten: int


_letters = msgspec.json.Decoder(Letter)


class DeadLetters:
    """The folder, made at the first letter. `unwritten` counts what the disk would not take."""

    def __init__(self, folder: Path, most_bytes: int = 16 * 1024 * 1024) -> None:
        self._folder = folder
        self._file_bytes = max(1, most_bytes // _FILES)
        self._known: OrderedDict[tuple[str, str, int], None] = OrderedDict()
        self._last: int | None = None
        self.unwritten = 0

    def put(self, *, at_ns: int, gateway: str, epoch: str, seq: int, reason: Reason, detail: str, line: str) -> None:
        """Keep one line; the same reading only once in a while. Never raises: a full disk is logged and counted."""
        key = (gateway, epoch, seq)
        if key in self._known:
            return
        self._known[key] = None
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        try:
            n = self._number() + 1
            letter = Letter(
                n=n, at_ns=at_ns, gateway=gateway, epoch=epoch, seq=seq, reason=reason, detail=detail[:2000], line=line
            )
            with self._file_for(n).open("ab") as file:
                file.write(msgspec.json.encode(letter) + b"\n")
            self._last = n
        except OSError as error:
            self._last = None  # part of a line may be there
            self.unwritten += 1
            if self.unwritten == 1:
                event = {"event": "series.dead_letter_unwritten"}
                _log.warning("%s: dead letters cannot be written: %s", self._folder, error.strerror, extra=event)

    def page(self, before: int | None = None, limit: int = 100) -> LetterPage:
        """Letters below number `before`, newest first. Reads files of bounded size; ask for it in a thread."""
        items: list[Letter] = []
        files = self._files()
        for file in reversed(files):
            if before is not None and int(file.stem) >= before:
                continue
            fitting = [letter for letter in _read(file) if before is None or letter.n < before]
            items += reversed(fitting)
            if len(items) > limit:
                break
        last = max((letter.n for letter in _read(files[-1])), default=int(files[-1].stem) - 1) if files else 0
        more = items[limit - 1].n if len(items) > limit else None
        return LetterPage(items[:limit], more, written=last, forgotten=int(files[0].stem) - 1 if files else 0)

    def _number(self) -> int:
        """The last number given. What a power cut left of a line is cut off, so that the next one is whole."""
        if self._last is None:
            files = self._files()
            self._last = _mend(files[-1]) if files else 0
        return self._last

    def _file_for(self, n: int) -> Path:
        files = self._files()
        if files and files[-1].stat().st_size < self._file_bytes:
            return files[-1]
        self._folder.mkdir(parents=True, exist_ok=True)
        for old in files[: max(0, len(files) - _FILES + 1)]:
            words = "%s: full; the letters %s and after it in %s are forgotten"
            _log.warning(words, self._folder, int(old.stem), old.name, extra={"event": "series.dead_letters_full"})
            old.unlink()
        return self._folder / f"{n:020}.jsonl"

    def _files(self) -> list[Path]:
        return sorted(file for file in self._folder.glob("*.jsonl") if file.stem.isdecimal())


def _read(file: Path) -> Iterator[Letter]:
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        return  # went while somebody read
    for line in data.splitlines():
        try:
            yield _letters.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue  # what a power cut left of a line


def _mend(file: Path) -> int:
    data = file.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        with file.open("r+b") as opened:
            opened.truncate(whole)
    return max((letter.n for letter in _read(file)), default=int(file.stem) - 1)
