"""Photos: kept whole under their own hash or not at all, told by their first bytes, never more than there is room for."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.evidence import EvidenceError, EvidenceFolder, Photo, media_type_of
from cloud.relational.engine import reading
from cloud.relational.tables import evidence
from telemetry.reason import Reason

JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(range(256)) * 40
PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 100
WEBP = b"RIFF\x24\x00\x00\x00WEBPVP8 " + b"\x00" * 100
SVG = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"


async def pieces(data: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


async def cut(data: bytes) -> AsyncIterator[bytes]:
    yield data[: len(data) // 2]
    raise ConnectionResetError("the line is gone")


async def put(engine: AsyncEngine, folder: EvidenceFolder, data: bytes, size: int = 1000) -> Photo:
    return await folder.put(engine, pieces(data, size), uploaded_by="li.wei", now_ns=7)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """The folder, which is there only once something was put into it."""
    return tmp_path / "evidence"


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def leave(file: Path) -> None:
    file.parent.mkdir()
    file.write_bytes(JPEG[:100])


async def ids(engine: AsyncEngine) -> list[str]:
    async with reading(engine) as conn:
        return sorted((await conn.scalars(select(evidence.c.id))).all())


@pytest.mark.parametrize(("data", "kind"), [(JPEG, "image/jpeg"), (PNG, "image/png"), (WEBP, "image/webp")])
async def test_a_photo_is_kept_byte_for_byte_under_its_hash(
    cloud_engine: AsyncEngine, photos: Path, data: bytes, kind: str
) -> None:
    folder = EvidenceFolder(photos)
    photo = await put(cloud_engine, folder, data)
    assert photo == Photo(hashlib.sha256(data).hexdigest(), kind, len(data))
    async with reading(cloud_engine) as conn:
        found, path = await folder.find(conn, photo.id)
        row = (await conn.execute(select(evidence))).one()
    assert (found, path.read_bytes()) == (photo, data)
    assert (row.uploaded_by, row.at_ns) == ("li.wei", 7)
    assert names(photos) == [photo.id]


async def test_the_same_bytes_sent_twice_are_one_photo(cloud_engine: AsyncEngine, photos: Path) -> None:
    folder = EvidenceFolder(photos)
    assert await put(cloud_engine, folder, JPEG, 13) == await put(cloud_engine, folder, JPEG, 4096)
    assert len(await ids(cloud_engine)) == 1


async def test_what_breaks_off_in_the_middle_leaves_nothing(cloud_engine: AsyncEngine, photos: Path) -> None:
    folder = EvidenceFolder(photos)
    with pytest.raises(ConnectionResetError):
        await folder.put(cloud_engine, cut(JPEG), uploaded_by="", now_ns=7)
    assert (names(photos), await ids(cloud_engine)) == ([], [])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(SVG, Reason.INVALID, id="a drawing that can hold a program"),
        pytest.param(b"GIF89a" + bytes(100), Reason.INVALID, id="another kind of picture"),
        pytest.param(b"", Reason.INVALID, id="nothing"),
        pytest.param(b"\xff\xd8", Reason.INVALID, id="less than the first bytes of a photo"),
        pytest.param(JPEG + bytes(20_000), Reason.OVERSIZED, id="more bytes than a photo may have"),
    ],
)
async def test_what_is_no_photo_or_too_large_is_refused_and_counted(
    cloud_engine: AsyncEngine, photos: Path, data: bytes, reason: Reason
) -> None:
    told: list[Reason] = []
    folder = EvidenceFolder(photos, photo_bytes=20_000, told=lambda why, _: told.append(why))
    with pytest.raises(EvidenceError) as refused:
        await put(cloud_engine, folder, data)
    assert refused.value.reason is reason
    assert (names(photos), await ids(cloud_engine)) == ([], [])
    async with reading(cloud_engine) as conn:
        assert (await folder.account(conn)).refused == {reason.value: 1}
    assert told == [reason]


async def test_a_full_folder_says_so_and_takes_what_it_has_already(cloud_engine: AsyncEngine, photos: Path) -> None:
    folder = EvidenceFolder(photos, most_bytes=len(JPEG) + len(PNG) - 1)
    first = await put(cloud_engine, folder, JPEG)
    with pytest.raises(EvidenceError, match="no room") as refused:
        await put(cloud_engine, folder, PNG)
    assert refused.value.reason is Reason.STORE_UNAVAILABLE
    assert await put(cloud_engine, folder, JPEG) == first
    assert names(photos) == [first.id]
    async with reading(cloud_engine) as conn:
        account = await folder.account(conn)
    assert (account.photos, account.bytes, account.refused) == (1, len(JPEG), {"store_unavailable": 1})


async def test_what_an_earlier_run_was_receiving_is_cleared_away(cloud_engine: AsyncEngine, photos: Path) -> None:
    leave(photos / "tmpabc.part")
    photo = await put(cloud_engine, EvidenceFolder(photos), PNG)
    assert names(photos) == [photo.id]


async def test_a_photo_without_its_file_is_not_there(cloud_engine: AsyncEngine, photos: Path) -> None:
    folder = EvidenceFolder(photos)
    photo = await put(cloud_engine, folder, PNG)
    (photos / photo.id).unlink()
    async with reading(cloud_engine) as conn:
        with pytest.raises(EvidenceError) as refused:
            await folder.find(conn, photo.id)
    assert refused.value.reason is Reason.NOT_FOUND
    await put(cloud_engine, folder, PNG)
    assert (photos / photo.id).read_bytes() == PNG


@given(st.binary(min_size=0, max_size=12))
def test_no_bytes_but_those_of_the_three_kinds_are_a_photo(head: bytes) -> None:
    kinds = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png"}
    wanted = next((kind for start, kind in kinds.items() if head.startswith(start)), None)
    if head[:4] == b"RIFF" and head[8:] == b"WEBP":
        wanted = "image/webp"
    assert media_type_of(head) == wanted
