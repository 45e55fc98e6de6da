"""Serves the console's bundle: the page for its routes, hashed assets for ever, everything else not at all.

The security headers are those of the application it is mounted into (`cloud.api.headers`); the page is built so that a
content policy of `default-src 'self'` holds: no inline script or style, no eval, no foreign host.
"""

import re
from pathlib import Path
from typing import Final

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, HTMLResponse, Response

__all__ = ["BUNDLE", "CREW", "PAGES", "WALL", "mount_console"]

BUNDLE: Final = Path(__file__).parent / "dist"

PAGES: Final = ("/", "/devices/{id}", "/alarms", "/cases", "/cases/{id}", "/gateways", "/admin", "/admin/{id}")
"""The routes of the page; console/src/lib/places.ts knows the same, which a test holds."""

CREW: Final = "/crew"
"""The crew's page, an entry of its own: a phone loads nothing of the desk's."""

WALL: Final = "/wall"
"""The wall's page, an entry of its own: it runs for months, and its chart is nobody else's."""

_ENTRIES: Final = {CREW: "crew.html", WALL: "wall.html"}

# Not from the machine's mime tables: a wrong one for .js leaves the page blank.
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".png": "image/png",
    ".webmanifest": "application/manifest+json",
}
_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_FOR_EVER: Final = "public, max-age=31536000, immutable"
_ASK_AGAIN: Final = "no-cache"
_LOOSE: Final = ("favicon.svg", "licenses.txt", "crew.webmanifest", "crew-worker.js", "crew-192.png", "crew-512.png")

_MISSING: Final = """<!doctype html>
<html lang="zh-CN"><head><meta charset="utf-8"><title>citynerve</title></head><body>
<h1>控制台尚未构建</h1><p>请运行 <code>make console</code>，然后刷新本页。接口不受影响：
<a href="/api/openapi.json">/api/openapi.json</a></p>
<h1 lang="en">The console has not been built</h1>
<p lang="en">Run <code>make console</code>, then reload this page. The API works without it:
<a href="/api/openapi.json">/api/openapi.json</a></p>
</body></html>
"""


def mount_console(app: FastAPI, bundle: Path = BUNDLE) -> None:
    """Add the page's routes to `app`, after its own. `bundle` is the built folder; while it holds no index.html the
    pages answer 503 and say `make console`, and they work as soon as it has been built."""

    async def page(request: Request) -> Response:
        entry = bundle / _ENTRIES.get(request.url.path, "index.html")
        if not entry.is_file():
            return HTMLResponse(_MISSING, status_code=503, headers={"Cache-Control": "no-store"})
        return _file(request, entry, _ASK_AGAIN)

    async def asset(request: Request) -> Response:
        return _file(request, bundle / "assets" / request.path_params["name"], _FOR_EVER)

    async def loose(request: Request) -> Response:
        return _file(request, bundle / request.url.path.lstrip("/"), _ASK_AGAIN)

    for path in (*PAGES, *_ENTRIES):
        app.add_api_route(path, page, methods=["GET", "HEAD"], include_in_schema=False)
    app.add_api_route("/assets/{name}", asset, methods=["GET", "HEAD"], include_in_schema=False)
    for name in _LOOSE:
        app.add_api_route(f"/{name}", loose, methods=["GET", "HEAD"], include_in_schema=False)


def _file(request: Request, path: Path, caching: str) -> Response:
    """The file, or its .gz sibling where the client takes one; 404 for what is not a file of the bundle."""
    kind = _TYPES.get(path.suffix)
    if kind is None or not _NAME.fullmatch(path.name) or not path.is_file():
        raise HTTPException(404, "no such file in the console")
    headers = {"Cache-Control": caching, "Vary": "Accept-Encoding"}
    packed = path.with_name(path.name + ".gz")
    if "gzip" in request.headers.get("accept-encoding", "") and packed.is_file():
        return FileResponse(packed, media_type=kind, headers=headers | {"Content-Encoding": "gzip"})
    return FileResponse(path, media_type=kind, headers=headers)
