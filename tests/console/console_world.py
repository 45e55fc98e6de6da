"""The real API over real stores, and the console beside it, served from a thread of its own for a browser.

The city is the one of the API's own tests: two gateways, a few devices, an alarm and its case. A test may write more into
the stores, publish news, or send readings; nothing here pretends.
"""

import asyncio
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

sys.path.append(str(Path(__file__).resolve().parents[1] / "cloud_api"))

from cloud_api_world import World, world

from cloud.public.config import PublicConfig

__all__ = ["ConsoleWorld"]


class ConsoleWorld:
    """A context manager that gives itself; `url` is where the console and the API are, `world` what is behind them."""

    def __init__(self, folder: Path, public: PublicConfig | None = None) -> None:
        self._folder = folder
        self._public = public
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="cloud", daemon=True)
        self.world: World

    @property
    def url(self) -> str:
        return self.world.base

    def run(self, work: Callable[[World], Awaitable[Any]]) -> Any:
        """What `work` gives, done in the thread of the API: `city.run(lambda w: w.get("/api/devices"))`."""

        async def done() -> Any:
            return await work(self.world)

        return asyncio.run_coroutine_threadsafe(done(), self._loop).result(60)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join(20)
        assert not self._thread.is_alive()

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._done = asyncio.Event()
        async with world(self._folder, console=True, public=self._public) as self.world:
            self._ready.set()
            await self._done.wait()
