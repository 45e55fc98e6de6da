"""The demo's own crew phone: a webhook that checks each message's signature and keeps what it said."""

import hashlib
import hmac
from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import web

__all__ = ["WebhookReceiver"]

_MAX_BODY = 64 * 1024


class WebhookReceiver:
    """Listens on a free loopback port; `received` counts the messages whose signature was right, each once."""

    def __init__(self, secret: str, on_message: Callable[[dict[str, Any]], None]) -> None:
        self._secret = secret.encode()
        self._on_message = on_message
        self._seen: set[str] = set()
        self._runner: web.AppRunner | None = None
        self.rejected = 0
        self.url = ""

    @property
    def received(self) -> int:
        """How many different messages came."""
        return len(self._seen)

    async def __aenter__(self) -> "WebhookReceiver":
        app = web.Application(client_max_size=_MAX_BODY)
        app.router.add_post("/crew", self._take)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}/crew"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        if not self._signed(request, body):
            self.rejected += 1
            return web.Response(status=401)
        message = msgspec.json.decode(body, type=dict[str, Any])
        # At least once is the sender's promise; a repeat carries the same key.
        identity = request.headers.get("Idempotency-Key", "")
        if identity not in self._seen:
            self._seen.add(identity)
            self._on_message(message)
        return web.json_response({"ok": True})

    def _signed(self, request: web.Request, body: bytes) -> bool:
        stamp = request.headers.get("X-Citynerve-Timestamp", "")
        wanted = hmac.new(self._secret, stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
        return hmac.compare_digest(f"sha256={wanted}", request.headers.get("X-Citynerve-Signature", ""))
