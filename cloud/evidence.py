"""Photos of what was found and done (证据照片): the bytes in a folder, what is known of them in the table `evidence`.

A photo's id is the SHA-256 of its bytes and also the name of its file, so the same photo sent twice is kept once. What it
is is told by its first bytes, never by what the sender calls it; only JPEG (ISO/IEC 10918-1), PNG (its specification, 3rd
edition, clause 5.2) and WebP (RFC 9649, 2.4) are kept: a browser shows these without running anything. The bytes are
kept as they come, with whatever a camera wrote into them; the crew's page draws each photo anew before it sends it.
"""

import asyncio
import hashlib
import os
import tempfile
from collections import Counter
from collections.abc import AsyncIterable, Callable
from pathlib import Path
from typing import Final

import msgspec
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from cloud.relational.engine import reading, writing
from cloud.relational.tables import evidence
from telemetry.reason import Reason

__all__ = ["MAX_PHOTO_BYTES", "MAX_TOTAL_BYTES", "Account", "EvidenceError", "EvidenceFolder", "Photo", "media_type_of"]

MAX_PHOTO_BYTES: Final = 8 * 1024 * 1024
MAX_TOTAL_BYTES: Final = 20 * 1024**3
"""The product's own limit: some 60,000 photos as the crew's page sends them."""
_HEAD: Final = 12
_PART: Final = ".part"


class EvidenceError(ValueError):
    """A photo that is not kept, or is not there. `reason` is INVALID (it is none), OVERSIZED, STORE_UNAVAILABLE (the folder
    is full: it may be sent again when there is room) or NOT_FOUND."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Photo(msgspec.Struct, frozen=True):
    """A photo that is kept; `size` in bytes."""

    id: str
    media_type: str
    size: int


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """What the folder holds; `refused` counts by reason since the program began."""

    photos: int
    bytes: int
    most_bytes: int
    refused: dict[str, int]


def media_type_of(head: bytes) -> str | None:
    """The media type that the first 12 bytes of a file tell; None where it is none that is kept."""
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return None


class EvidenceFolder:
    """Keeps photos in `folder`, which is made where it is missing: `most_bytes` of them together, `photo_bytes` each.

    `told` hears of every refusal: the reason, and the sentence.
    """

    def __init__(
        self,
        folder: Path,
        *,
        most_bytes: int = MAX_TOTAL_BYTES,
        photo_bytes: int = MAX_PHOTO_BYTES,
        told: Callable[[Reason, str], None] = lambda reason, detail: None,
    ) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._photo_bytes = photo_bytes
        self._told = told
        self._refused: Counter[Reason] = Counter()
        self._tidy = False

    async def put(self, engine: AsyncEngine, chunks: AsyncIterable[bytes], *, uploaded_by: str, now_ns: int) -> Photo:
        """Keep the photo whose bytes come in `chunks`; on disk when this returns. EvidenceError where it is not kept.

        Whatever `chunks` raises comes out, and nothing of what came before is left.
        """
        try:
            return await self._put(engine, chunks, uploaded_by, now_ns)
        except EvidenceError as error:
            self._refused[error.reason] += 1
            self._told(error.reason, str(error))
            raise

    async def find(self, conn: AsyncConnection, photo: str) -> tuple[Photo, Path]:
        """The photo of this id, and its file. EvidenceError where there is none."""
        row = (await conn.execute(select(evidence).where(evidence.c.id == photo))).first()
        path = self._folder / photo
        if row is None or not await asyncio.to_thread(path.is_file):
            raise EvidenceError(Reason.NOT_FOUND, f"photo {photo}: there is none")
        return Photo(row.id, row.media_type, row.size), path

    async def account(self, conn: AsyncConnection) -> Account:
        """How much there is, and what was refused."""
        photos, held = (await conn.execute(select(func.count(), func.coalesce(func.sum(evidence.c.size), 0)))).one()
        refused = {reason.value: count for reason, count in sorted(self._refused.items())}
        return Account(photos=photos, bytes=int(held), most_bytes=self._most_bytes, refused=refused)

    async def _put(self, engine: AsyncEngine, chunks: AsyncIterable[bytes], uploaded_by: str, now_ns: int) -> Photo:
        async with reading(engine) as conn:
            await self._want_room(conn, 0)
        draft = await asyncio.to_thread(self._begin)
        try:
            async for chunk in chunks:
                await asyncio.to_thread(draft.write, chunk)
            photo = await asyncio.to_thread(draft.finish)
        finally:
            await asyncio.to_thread(draft.drop)
        # The file stands before the row that speaks of it; a file that lost its row meanwhile is the next sender's.
        try:
            async with writing(engine) as conn:
                if await conn.scalar(select(evidence.c.id).where(evidence.c.id == photo.id)) is None:
                    await self._want_room(conn, photo.size)
                    told = {"uploaded_by": uploaded_by, "at_ns": now_ns, **msgspec.structs.asdict(photo)}
                    await conn.execute(evidence.insert().values(**told))
        except EvidenceError:
            await asyncio.to_thread((self._folder / photo.id).unlink, missing_ok=True)
            raise
        return photo

    async def _want_room(self, conn: AsyncConnection, size: int) -> None:
        held = await conn.scalar(select(func.coalesce(func.sum(evidence.c.size), 0)))
        if int(held or 0) + max(size, 1) > self._most_bytes:
            detail = f"the photos take {held} bytes of {self._most_bytes}: no room for another; ask for a larger limit"
            raise EvidenceError(Reason.STORE_UNAVAILABLE, detail)

    def _begin(self) -> "_Draft":
        self._folder.mkdir(parents=True, exist_ok=True)
        if not self._tidy:
            # What an earlier run was receiving when it ended.
            for left in self._folder.glob(f"*{_PART}"):
                left.unlink(missing_ok=True)
            self._tidy = True
        return _Draft(self._folder, self._photo_bytes)


class _Draft:
    """A file under way. Its methods block: they are called in a thread, one after the other."""

    def __init__(self, folder: Path, most: int) -> None:
        handle, name = tempfile.mkstemp(suffix=_PART, dir=folder)
        self._file = os.fdopen(handle, "wb")
        self._path = Path(name)
        self._folder = folder
        self._most = most
        self._hash = hashlib.sha256()
        self._head = b""
        self._size = 0

    def write(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > self._most:
            raise EvidenceError(Reason.OVERSIZED, f"a photo of more than {self._most} bytes; draw it smaller")
        if len(self._head) < _HEAD:
            self._head += chunk[: _HEAD - len(self._head)]
            if len(self._head) == _HEAD:
                self._media_type()
        self._hash.update(chunk)
        self._file.write(chunk)

    def finish(self) -> Photo:
        """On disk under its own name."""
        photo = Photo(self._hash.hexdigest(), self._media_type(), self._size)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._path.replace(self._folder / photo.id)
        above = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(above)
        finally:
            os.close(above)
        return photo

    def drop(self) -> None:
        """Leave nothing behind that was not finished."""
        self._file.close()
        self._path.unlink(missing_ok=True)

    def _media_type(self) -> str:
        found = media_type_of(self._head)
        if found is None:
            raise EvidenceError(Reason.INVALID, f"begins with {self._head.hex()}: want a JPEG, PNG or WebP photo")
        return found
