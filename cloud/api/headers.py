"""What stands around every request: security headers, whose page may post, how large a body may be."""

import re
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cloud.api.answers import problem_answer
from cloud.evidence import MAX_PHOTO_BYTES

__all__ = ["MAX_BODY_BYTES", "SECURITY", "BodyLimit", "OriginCheck", "SecurityHeaders"]

MAX_BODY_BYTES = 64 * 1024

# MapLibre makes its workers from blobs and its sprites from data and blob images; nothing comes from elsewhere.
_CSP = "; ".join(
    (
        "default-src 'self'",
        "worker-src 'self' blob:",
        "img-src 'self' data: blob:",
        "style-src 'self'",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)

SECURITY = {
    "Content-Security-Policy": _CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # The crew's page asks where it is and reads codes.
    "Permissions-Policy": "geolocation=(self), camera=(self), microphone=()",
}

_PHOTOS = "/api/evidence"
_OPEN311 = "/open311/"
# A visitor's report of a toilet may hold a photo, and its page bounds it.
_REPORTS = re.compile(r"/toilets/[a-z0-9-]+/report")
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class SecurityHeaders:
    """Adds the headers above to every answer, and no-store to those of the API, where a route does not say otherwise."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY.items():
                    headers.setdefault(name, value)
                if scope["path"].startswith("/api/"):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, with_headers)


class OriginCheck:
    """A page of another site may not make a browser post here: the Origin's host must be the request's own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in _SAFE:
            headers = Headers(scope=scope)
            origin = headers.get("origin")
            if origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower():
                detail = f"Origin {origin[:200]}: want this server's own"
                await problem_answer(403, "not_allowed", detail, instance=scope["path"])(scope, receive, send)
                return
        await self._app(scope, receive, send)


class BodyLimit:
    """Refuses bodies above 64 KiB, photos above 8 MiB, by what they say of themselves and by what really comes.

    The door of Open311 and the public pages bound their own, for their refusals have a form of their own.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(_OPEN311) or _REPORTS.fullmatch(scope["path"]):
            await self._app(scope, receive, send)
            return
        most = MAX_PHOTO_BYTES if scope["path"] == _PHOTOS else MAX_BODY_BYTES
        said = Headers(scope=scope).get("content-length", "0")
        if not said.isdigit() or int(said) > most:
            detail = f"body of {said[:20]} bytes: want at most {most}"
            await problem_answer(413, "oversized", detail, instance=scope["path"])(scope, receive, send)
            return
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > most:
                raise HTTPException(413, f"the body is longer than {most} bytes")
            return message

        await self._app(scope, counted, send)
