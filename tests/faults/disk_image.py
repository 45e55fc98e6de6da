"""What is left on a disk when the power fails: a recorder of file operations, and the images they may leave behind.

`Recorder` stands between a program and its folder. SQLite's operations come through a VFS, those of Python's own files
through `os`. All of them land in one list, and between them the marks of what the program was told.

`Disk` plays such a list. Everything before a completed sync is on the platter. Of what came after it, any subset of the
512-byte sectors may be, and some of those only in part. Names are kept in order, as every journaling file system does,
but a name that was made after the last sync of its folder may be missing.
"""

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Any, NamedTuple
from unittest import mock

import apsw

__all__ = ["Disk", "Link", "Mark", "Op", "Recorder", "Rename", "Resize", "Sync", "SyncNames", "Unlink", "Write", "chance_of"]

SECTOR_BYTES = 512
_SHORN = 0.1
"""The share of the surviving sectors that were being written when the power went."""
_UNHEARD_OF = -1


class Write(NamedTuple):
    """Bytes, already cut at the borders of sectors: (offset, data)."""

    file: int
    pieces: tuple[tuple[int, bytes], ...]


class Resize(NamedTuple):
    """A file cut off, or made longer with zeros."""

    file: int
    size: int


class Sync(NamedTuple):
    """All that was done to a file before is durable."""

    file: int


class Link(NamedTuple):
    """A name for a file that had none."""

    name: str
    file: int


class Rename(NamedTuple):
    """A file gets another name; whatever had that name is gone."""

    old: str
    new: str


class Unlink(NamedTuple):
    """A name is gone."""

    name: str


class SyncNames(NamedTuple):
    """All names are durable as they are."""


class Mark(NamedTuple):
    """Not an operation: what the program was told, or was about to do, at this instant."""

    note: Any


Op = Write | Resize | Sync | Link | Rename | Unlink | SyncNames | Mark


def chance_of(seed: int | str) -> Random:
    """The same chances for the same seed."""
    return Random(seed)  # noqa: S311 - chance, not secrecy


def sectors(offset: int, data: bytes) -> tuple[tuple[int, bytes], ...]:
    """The parts of a write that a disk may keep or lose one by one."""
    first = SECTOR_BYTES - offset % SECTOR_BYTES
    starts = [0, *range(first, len(data), SECTOR_BYTES)]
    return tuple((offset + low, data[low:high]) for low, high in itertools.pairwise([*starts, len(data)]) if low < high)


class _File:
    """One file: what is durable, and what was done to it since."""

    def __init__(self) -> None:
        self.durable = bytearray()
        self.loose: list[tuple[int, bytes] | int] = []

    def sync(self) -> None:
        for change in self.loose:
            _change(self.durable, change)
        self.loose.clear()

    def after_cut(self, chance: Random) -> bytes | bytearray:
        if not self.loose:
            return self.durable
        image = bytearray(self.durable)
        for change in _survivors(self.loose, chance):
            _change(image, change)
        return image


def _change(content: bytearray, change: tuple[int, bytes] | int) -> None:
    if isinstance(change, int):
        del content[change:]
        content.extend(bytes(change - len(content)))
        return
    offset, data = change
    if offset > len(content):
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


def _survivors(changes: list[tuple[int, bytes] | int], chance: Random) -> Iterator[tuple[int, bytes] | int]:
    """A subset in order: none, all, a beginning, or each with one probability; a tenth of the sectors shorn."""
    style = chance.random()
    if style < 0.1:
        return
    share = 1.0 if style < 0.2 else chance.random()
    if style < 0.4:
        changes, share = changes[: chance.randint(0, len(changes))], 1.0
    for change in changes:
        if share < 1.0 and chance.random() >= share:
            continue
        if isinstance(change, tuple) and chance.random() < _SHORN:
            yield _shorn(change, chance)
        else:
            yield change


def _shorn(piece: tuple[int, bytes], chance: Random) -> tuple[int, bytes]:
    """The beginning of a sector's new bytes; behind it stay the old ones, or there is noise."""
    offset, data = piece
    cut = chance.randrange(len(data))
    return offset, data[:cut] + (chance.randbytes(len(data) - cut) if chance.random() < 0.5 else b"")


class Disk:
    """A disk on which recorded operations are played one after the other."""

    def __init__(self) -> None:
        self._files: dict[int, _File] = {}
        self._names: dict[str, int] = {}
        self._loose_names: list[Link | Rename | Unlink] = []

    def play(self, op: Op) -> None:
        """Do what was recorded."""
        match op:
            case Write(file, pieces):
                self._file(file).loose.extend(pieces)
            case Resize(file, size):
                self._file(file).loose.append(size)
            case Sync(file):
                self._file(file).sync()
            case Link() | Rename() | Unlink():
                self._loose_names.append(op)
            case SyncNames():
                self._names = self._named(len(self._loose_names))
                self._loose_names.clear()
            case Mark():
                pass

    def after_cut(self, chance: Random) -> dict[str, bytes | bytearray]:
        """One of the folders that may be found after a power cut right now; read it before the next `play`."""
        return {name: self._file(file).after_cut(chance) for name, file in self._named_after_cut(chance).items()}

    def untouched(self) -> dict[str, bytes]:
        """The folder as the program itself sees it."""
        found = {}
        for name, file in self._named(len(self._loose_names)).items():
            whole = bytearray(self._file(file).durable)
            for change in self._file(file).loose:
                _change(whole, change)
            found[name] = bytes(whole)
        return found

    def _file(self, file: int) -> _File:
        return self._files.setdefault(file, _File())

    def _named_after_cut(self, chance: Random) -> dict[str, int]:
        return self._named(chance.randint(0, len(self._loose_names))) if self._loose_names else self._names

    def _named(self, loose: int) -> dict[str, int]:
        names = dict(self._names)
        for op in self._loose_names[:loose]:
            match op:
                case Link(name, file):
                    names[name] = file
                case Rename(old, new):
                    if old in names:
                        names[new] = names.pop(old)
                case Unlink(name):
                    names.pop(name, None)
        return names


def _facts(about: os.stat_result) -> tuple[int, int]:
    return about.st_size, about.st_mtime_ns


class Recorder:
    """Writes down what is done to the files of one folder while `recording` lasts.

    Locks and shared memory are left out: they do not outlive a power cut.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ops: list[Op] = []
        self._numbers = itertools.count(1)
        self._by_name: dict[str, int] = {}
        self._by_sqlite: set[int] = set()
        self._seen: dict[int, tuple[int, int]] = {}
        """Size and time of change of files that are written past SQLite, as they were when last looked at."""

    def mark(self, note: object) -> None:
        """Note what the program knows at this instant."""
        self.look_around()
        self.ops.append(Mark(note))

    @contextmanager
    def recording(self, name: str) -> Iterator[str]:
        """Registers an apsw VFS called `name` and listens to `os` for as long as the context lasts.

        What is in the folder already is durable.
        """
        self.look_around()
        self.ops += [*(Sync(number) for number in self._by_name.values()), SyncNames()]
        vfs = _Vfs(name, self)
        try:
            with ExitStack() as stack:
                for call, heard in self._listeners():
                    stack.enter_context(mock.patch.object(os, call, heard))
                yield name
            self.look_around()
        finally:
            vfs.unregister()

    # What SQLite does.

    def opened(self, path: str, *, made: bool) -> int:
        """The number of a file that SQLite opens."""
        name = Path(path).name
        if made or name not in self._by_name:
            self._by_name[name] = next(self._numbers)
            self.ops.append(Link(name, self._by_name[name]))
        self._by_sqlite.add(self._by_name[name])
        return self._by_name[name]

    def deleted(self, path: str, *, synced: bool) -> None:
        """SQLite deleted a file, and synced the folder after it or not."""
        self.unlinked(path)
        if synced:
            self.ops.append(SyncNames())

    # What Python does.

    def look_around(self) -> None:
        """Note what was written past SQLite since the last look: such a file has no order of writes, only an end."""
        entries = [entry for entry in os.scandir(self.folder) if entry.is_file() and not entry.name.endswith((".lock", "-shm"))]
        for name in self._by_name.keys() - {entry.name for entry in entries}:
            self.unlinked(str(self.folder / name))
        for entry in entries:
            number = self._by_name.get(entry.name, _UNHEARD_OF)
            if number in self._by_sqlite:
                continue
            facts = _facts(entry.stat())
            if number == _UNHEARD_OF:
                number = self._by_name[entry.name] = next(self._numbers)
                self.ops.append(Link(entry.name, number))
            before = self._seen.get(number, (0, 0))
            if before != facts:
                self._seen[number] = facts
                # Of the same length it was written in place, as far as anybody can tell.
                self.ops += [Resize(number, 0)] if before[0] != facts[0] else []
                self.ops.append(Write(number, sectors(0, Path(entry.path).read_bytes())))

    def unlinked(self, path: str) -> None:
        """A name went away."""
        if self._inside(path) and self._by_name.pop(Path(path).name, None) is not None:
            self.ops.append(Unlink(Path(path).name))

    def renamed(self, old: str, new: str) -> None:
        """A file has another name now."""
        source, target = Path(old).name, Path(new).name
        if self._inside(old) and source in self._by_name:
            number = self._by_name[target] = self._by_name.pop(source)
            self.ops.append(Rename(source, target))
            if number in self._by_sqlite:
                # What was set aside may be opened past this recorder from now on.
                self._by_sqlite.remove(number)
                self._seen[number] = _facts(Path(new).stat())

    def synced(self, handle: int) -> None:
        """An open file, or the folder itself, was synced."""
        path = Path(f"/proc/self/fd/{handle}").readlink()
        if path == self.folder:
            self.ops.append(SyncNames())
        elif self._inside(path) and (number := self._by_name.get(path.name)) is not None:
            self.ops.append(Sync(number))

    def _inside(self, path: str | Path) -> bool:
        return Path(path).parent == self.folder

    def _listeners(self) -> list[tuple[str, Callable[..., object]]]:
        notes: dict[str, Callable[..., None]] = {
            "rename": self.renamed,
            "replace": self.renamed,
            "unlink": self.unlinked,
            "remove": self.unlinked,
            "fsync": self.synced,
            "fdatasync": self.synced,
        }
        return [(call, self._heard(getattr(os, call), note)) for call, note in notes.items()]

    def _heard(self, real: Callable[..., object], note: Callable[..., None]) -> Callable[..., object]:
        def heard(*arguments: Any) -> object:
            self.look_around()
            result = real(*arguments)
            note(*arguments)
            return result

        return heard


class _Vfs(apsw.VFS):
    """The machine's own file system, overheard."""

    def __init__(self, name: str, recorder: Recorder) -> None:
        self._recorder = recorder
        super().__init__(name, "unix")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's name
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        if path is None or Path(path).parent != self._recorder.folder:
            return apsw.VFSFile("unix", name, flags)  # a temporary file has no name
        made = not Path(path).exists()
        return _VfsFile(name, flags, self._recorder, path, made=made)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 - SQLite's name
        super().xDelete(filename, syncdir)
        if Path(filename).parent == self._recorder.folder:
            self._recorder.deleted(filename, synced=bool(syncdir))


class _VfsFile(apsw.VFSFile):
    """One of SQLite's files."""

    def __init__(self, name: Any, flags: list[int], recorder: Recorder, path: str, *, made: bool) -> None:
        super().__init__("unix", name, flags)
        self._ops = recorder.ops
        self._file = recorder.opened(path, made=made)
        # Like SQLite's own: the folder is synced with the first sync of a journal that was just made.
        self._names_due = made and bool(flags[0] & (apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL))

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        super().xWrite(data, offset)
        self._ops.append(Write(self._file, sectors(offset, bytes(data))))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - SQLite's name
        super().xTruncate(newsize)
        self._ops.append(Resize(self._file, newsize))

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        super().xSync(flags)
        self._ops.append(Sync(self._file))
        if self._names_due:
            self._names_due = False
            self._ops.append(SyncNames())
