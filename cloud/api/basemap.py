"""What the map is drawn on, served from here: a page asks no foreign host.

A file of PMTiles is served in ranges (RFC 9110, 14). Tiles from elsewhere are fetched by the server, with a key that no page
sees, and kept on disk: each for a month, the oldest let go of first where they are too many.
"""

import asyncio
import logging
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final

import aiohttp
from fastapi import APIRouter, FastAPI
from fastapi import Path as InPath
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response

from cloud.atlas.config import KEY, MapConfig

__all__ = ["TileProxy", "install"]

_log = logging.getLogger(__name__)

_MOST_BYTES: Final = 1 << 20
_MOST_ZOOM: Final = 22
_AT_ONCE: Final = 8
_TIMEOUT_S: Final = 10.0
_MONTH_S: Final = 30 * 86_400.0
_SWEEP_AFTER: Final = 500
"""Tiles written between two looks at how much there is."""
_CACHING: Final = "private, max-age=86400"
# By their first bytes, for what a server says of its own tiles is not always so.
_KINDS: Final = ((b"\x89PNG", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"RIFF", "image/webp"))


class TileProxy:
    """Tiles of another server, with a bounded cache in `folder`."""

    def __init__(self, config: MapConfig, folder: Path) -> None:
        """OSError where the key cannot be read."""
        self._address = config.xyz
        if config.key_file is not None:
            self._address = self._address.replace(KEY, config.key_file.read_text(encoding="utf-8").strip())
        self._folder = folder
        self._most_bytes = config.cache_mb << 20
        self._written = _SWEEP_AFTER
        self._fetching = asyncio.Semaphore(_AT_ONCE)
        folder.mkdir(parents=True, exist_ok=True)

    async def tile(self, z: int, x: int, y: int) -> bytes:
        """A picture, from the cache or from there; HTTPException 404 where they have none, 502 where they do not answer."""
        kept = self._folder / f"{z}-{x}-{y}"
        found = await asyncio.to_thread(_read, kept)
        if found is None:
            async with self._fetching:
                found = await self._fetch(z, x, y)
            await asyncio.to_thread(self._keep, kept, found)
        return found

    async def _fetch(self, z: int, x: int, y: int) -> bytes:
        address = self._address.replace("{z}", str(z)).replace("{x}", str(x)).replace("{y}", str(y))
        try:
            timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
            async with aiohttp.ClientSession(timeout=timeout) as session, session.get(address) as answer:
                status, content = answer.status, await answer.content.read(_MOST_BYTES + 1)
                while len(content) <= _MOST_BYTES and (more := await answer.content.read(_MOST_BYTES)):
                    content += more
        except (aiohttp.ClientError, TimeoutError) as error:
            # Not the error's own words: they may hold the address, and that holds the key.
            _log.warning("the basemap does not answer (%s)", type(error).__name__, extra={"event": "basemap.silent"})
            raise HTTPException(502, "the server of the basemap does not answer") from None
        if status == 404:
            raise HTTPException(404, "the basemap has no such tile")
        if status != 200 or len(content) > _MOST_BYTES or _kind(content) is None:
            _log.warning("the basemap answers %d, %d bytes", status, len(content), extra={"event": "basemap.refused"})
            raise HTTPException(502, f"the server of the basemap answers {status}")
        return content

    def _keep(self, kept: Path, content: bytes) -> None:
        with suppress(OSError):  # a full disk costs the cache, not the map
            part = kept.with_suffix(".part")
            part.write_bytes(content)
            part.replace(kept)
            self._written += 1
            if self._written >= _SWEEP_AFTER:
                self._written = 0
                self._sweep()

    def _sweep(self) -> None:
        held = sorted((entry.stat().st_mtime, entry.stat().st_size, entry) for entry in self._folder.iterdir())
        total = sum(size for _, size, _ in held)
        for _, size, entry in held:
            if total <= self._most_bytes:
                break
            entry.unlink(missing_ok=True)
            total -= size


def install(app: FastAPI, config: MapConfig, folder: Path) -> None:
    """Add the routes of the basemap to `app`, where there is one; `folder` is for what is kept of tiles from elsewhere."""
    router = APIRouter(include_in_schema=False)
    if config.pmtiles is not None:
        file = config.pmtiles

        async def whole_file() -> Response:
            if not file.is_file():
                raise HTTPException(404, "the file of the basemap is not there")
            return FileResponse(file, media_type="application/vnd.pmtiles", headers={"Cache-Control": _CACHING})

        router.add_api_route("/basemap/map.pmtiles", whole_file, methods=["GET", "HEAD"])
    elif config.xyz:
        proxy = TileProxy(config, folder)

        async def one_tile(
            z: Annotated[int, InPath(ge=0, le=_MOST_ZOOM)],
            x: Annotated[int, InPath(ge=0, lt=1 << _MOST_ZOOM)],
            y: Annotated[int, InPath(ge=0, lt=1 << _MOST_ZOOM)],
        ) -> Response:
            if x >> z or y >> z:
                raise HTTPException(404, "there is no such tile")
            content = await proxy.tile(z, x, y)
            return Response(content, media_type=_kind(content), headers={"Cache-Control": _CACHING})

        router.add_api_route("/basemap/{z}/{x}/{y}", one_tile, methods=["GET"])
    app.include_router(router)


def _read(kept: Path) -> bytes | None:
    """What is kept, while it is no older than a month."""
    try:
        if time.time() - kept.stat().st_mtime > _MONTH_S:
            return None
        return kept.read_bytes()
    except OSError:
        return None


def _kind(content: bytes) -> str | None:
    return next((kind for first, kind in _KINDS if content.startswith(first)), None)
