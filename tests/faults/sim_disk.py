"""A gateway's disk: what is written is volatile until it is synced, and a power cut keeps what it likes of the rest.

An SQLite VFS passes every call on to real files and keeps, for each file, what was synced last and what was written
since. A cut of the power leaves the synced content and a random part of the other 512-byte sectors, some of them shorn.
"""

import itertools
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
from sim_loop import VanishedError

__all__ = ["SimDisk"]

_SECTOR = 512
_WRITTEN_BACK = 0.1
"""Nobody syncs the mark beside the database: the kernel writes it when it likes, here after so many of the syncs."""
_SHORN = 0.1
"""How many of the sectors that were under way are written in part only."""
_numbers = itertools.count(1)


class _Written:
    """One file: `durable` is what was last synced, None where the name itself was not."""

    def __init__(self, durable: bytes | None) -> None:
        self.durable = bytearray(durable) if durable is not None else None
        self.pending: list[tuple[int, bytes | None]] = []
        """Writes (offset, data) since; data None cuts the file off at the offset."""

    def sync(self) -> None:
        content = self.durable if self.durable is not None else bytearray()
        for offset, data in self.pending:
            _put(content, offset, data)
        self.durable = content
        self.pending = []

    def after_cut(self, chance: random.Random, keep: float) -> bytes | None:
        """What a power cut leaves when it keeps a share of about `keep` of the sectors that were not synced."""
        if self.durable is None and chance.random() >= keep:
            return None
        content = bytearray(self.durable or b"")
        for offset, data in self.pending:
            if data is None:
                if chance.random() < keep:
                    _put(content, offset, None)
                continue
            for start, piece in _sectors(offset, data):
                if chance.random() < keep:
                    shorn = keep < 1 and chance.random() < _SHORN
                    _put(content, start, piece[: chance.randrange(len(piece))] if shorn else piece)
        return bytes(content)


class SimDisk:
    """The disk of one gateway, in `folder`. `vfs` is the name to open databases by.

    Faults: `free` bytes that can still be written (None: no end), `failing_syncs` to come, `cut_in` operations until
    the power fails in the middle of one, after which `on_cut` is called.
    """

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.folder = folder
        self.vfs = f"sim-{next(_numbers)}"
        self.free: int | None = None
        self._reserve = 0
        self._mark = b""
        self.failing_syncs = 0
        self.cut_in: int | None = None
        self.keep = 1.0
        self.on_cut: Callable[[], None] = lambda: None
        self.off = False
        self._chance = chance
        self._files: dict[str, _Written] = {}
        self._image: dict[str, bytes | None] = {}
        self._driver = _Vfs(self.vfs, self)
        folder.mkdir(parents=True, exist_ok=True)

    def remove(self) -> None:
        """Take the VFS away again."""
        self._driver.unregister()

    # What the world does to it.

    def cut(self, keep: float) -> None:
        """The power fails now; `keep` 1 is a killed process on a machine that runs on."""
        if self.off:
            return
        self.off = True
        self._image = {
            name: written.after_cut(self._chance, keep) for name, written in self._files.items() if Path(name).exists()
        }
        mark = self.folder / "outbox.mark"
        if mark.exists() and self._chance.random() >= keep:
            self._image[str(mark)] = self._mark

    def power_on(self) -> None:
        """The files as the cut left them. Whoever had them open must have let go."""
        for name, content in self._image.items():
            if content is None:
                Path(name).unlink(missing_ok=True)
            else:
                Path(name).write_bytes(content)
        self._files, self._image = {}, {}
        self.off, self.cut_in, self.failing_syncs = False, None, 0

    def image(self) -> dict[str, bytes]:
        """A copy of the whole folder as it is now, to `restore` later."""
        return {path.name: path.read_bytes() for path in sorted(self.folder.iterdir()) if path.name != "outbox.lock"}

    def restore(self, image: dict[str, bytes]) -> None:
        """Put an earlier copy in the place of what is there; only while it is off."""
        for path in self.folder.iterdir():
            path.unlink()
        for name, content in image.items():
            (self.folder / name).write_bytes(content)
        self._files, self._image = {}, {}

    def rot(self, most_bits: int = 1) -> None:
        """Flip bits somewhere in the database; only while it is off and after `power_on` or `restore`."""
        path = self.folder / "outbox.db"
        content = bytearray(path.read_bytes())
        if not content:
            return  # nothing was synced yet, and nothing can rot
        for _ in range(self._chance.randint(1, most_bits)):
            content[self._chance.randrange(len(content))] ^= 1 << self._chance.randrange(8)
        path.write_bytes(content)

    # What SQLite does to it.

    def opened(self, name: str) -> None:
        path = Path(name)
        if name not in self._files or not path.exists():
            self._files[name] = _Written(path.read_bytes() if path.exists() else None)

    def writes(self, name: str, offset: int, data: bytes | None) -> bool:
        """Whether the real file is to be written, too."""
        self._step()
        if self.off:
            return False
        if self.free is not None:
            self._use(name, offset + len(data) if data is not None else offset, is_write=data is not None)
        self._files[name].pending.append((offset, data))
        return True

    def _use(self, name: str, end: int, *, is_write: bool) -> None:
        """Take what a file grows by from what is free; a reserve that somebody has let go of is free, too."""
        assert self.free is not None
        if self._reserve and not (self.folder / "outbox.reserve").exists():
            self.free, self._reserve = self.free + self._reserve, 0
        grows = end - Path(name).stat().st_size
        if is_write and grows > self.free:
            raise apsw.FullError("disk full")
        self.free -= max(grows, 0) if is_write else grows

    def fill(self, free: int) -> None:
        """From now on only `free` bytes are left; what is held in reserve comes on top for whoever lets go of it."""
        reserve = self.folder / "outbox.reserve"
        self.free, self._reserve = free, reserve.stat().st_size if reserve.exists() else 0

    def syncs(self, name: str) -> None:
        self._step()
        if self.off:
            return
        if self.failing_syncs:
            self.failing_syncs -= 1
            error = apsw.IOError("sync failed")
            error.extendedresult = apsw.SQLITE_IOERR_FSYNC
            raise error
        self._files[name].sync()
        mark = self.folder / "outbox.mark"
        if self._chance.random() < _WRITTEN_BACK and mark.exists():
            self._mark = mark.read_bytes()

    def deletes(self, name: str) -> bool:
        self._step()
        if self.off:
            return False
        self._files.pop(name, None)
        return True

    def _step(self) -> None:
        if self.cut_in is None or self.off:
            return
        self.cut_in -= 1
        if self.cut_in <= 0:
            self.cut(self.keep)
            self.on_cut()
            raise VanishedError


class _Vfs(apsw.VFS):
    def __init__(self, name: str, disk: SimDisk) -> None:
        self._disk = disk
        super().__init__(name, "")

    def xOpen(self, name: Any, flags: list[int]) -> "_File":  # noqa: N802 - SQLite's name
        return _File(self._disk, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 - SQLite's name
        if self._disk.deletes(filename):
            super().xDelete(filename, syncdir)


class _File(apsw.VFSFile):
    def __init__(self, disk: SimDisk, name: Any, flags: list[int]) -> None:
        self._disk = disk
        self._name = name.filename() if hasattr(name, "filename") else str(name)
        disk.opened(self._name)
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        if self._disk.writes(self._name, offset, bytes(data)):
            super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - SQLite's name
        if self._disk.writes(self._name, newsize, None):
            super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        self._disk.syncs(self._name)  # the real file needs none


def _put(content: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del content[offset:]
        return
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


def _sectors(offset: int, data: bytes) -> list[tuple[int, bytes]]:
    """The pieces of a write that lie in one sector each."""
    pieces = []
    start = offset
    while start < offset + len(data):
        end = min(offset + len(data), (start // _SECTOR + 1) * _SECTOR)
        pieces.append((start, data[start - offset : end - offset]))
        start = end
    return pieces
