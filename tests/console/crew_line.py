"""An application served to a page, and the line between the two, which a test cuts where it hurts."""

import asyncio
import threading
import time
from typing import NoReturn

import uvicorn
from fastapi import FastAPI

__all__ = ["Line", "Served"]


class Served:
    """An application on a free loopback port, in a thread of its own; a context manager that gives the port."""

    def __init__(self, app: FastAPI) -> None:
        self._server = uvicorn.Server(
            uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", timeout_graceful_shutdown=1)
        )
        self._thread = threading.Thread(target=self._server.run, name="crew-mock", daemon=True)

    def __enter__(self) -> int:
        self._thread.start()
        until = time.monotonic() + 10
        while not self._server.started:
            if time.monotonic() > until:
                raise TimeoutError("the mock did not start within 10 s")
            time.sleep(0.01)
        port: int = self._server.servers[0].sockets[0].getsockname()[1]
        return port

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(10)


class Line:
    """What lies between the page and the cloud: a relay on a port of its own, that a test cuts and mends.

    `cut_photo_after`: that many bytes of the next photo get through, then the line is cut. `lose_answer_to`: the next request
    that begins with it arrives, then the line is cut before its answer does. (Cut, not only broken: on a connection that
    breaks Chromium itself sends once more.) `hold`: no answer comes while it is set.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._down = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="line", daemon=True)
        self.cut_photo_after = 0
        self.lose_answer_to = b""
        self.hold = False
        self.cuts = 0
        self.url = ""

    def __enter__(self) -> "Line":
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def cut(self) -> None:
        """Nothing gets through from now on; what is on the way is lost."""
        self._down = True
        self._loop.call_soon_threadsafe(self._abort_all)

    def mend(self) -> None:
        self._down = False

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._relay, "127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        self._loop.run_forever()
        server.close()
        self._abort_all()
        pending = asyncio.all_tasks(self._loop)
        for task in pending:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
        self._loop.close()

    def _abort_all(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    def _break(self) -> NoReturn:
        self.cuts += 1
        self._down = True
        self._abort_all()
        raise ConnectionResetError

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._down:
            writer.transport.abort()
            return
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._port)
        both = {writer, up_writer}
        self._writers |= both
        deaf = asyncio.Event()
        try:
            await asyncio.gather(self._up(reader, up_writer, deaf), self._back(up_reader, writer, deaf))
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._writers -= both
            for each in both:
                each.transport.abort()

    async def _up(self, reader: asyncio.StreamReader, to: asyncio.StreamWriter, deaf: asyncio.Event) -> None:
        left: int | None = None
        while data := await reader.read(16_384):
            if self.lose_answer_to and data.startswith(self.lose_answer_to):
                self.lose_answer_to = b""
                deaf.set()
            if self.cut_photo_after and data.startswith(b"POST /api/evidence"):
                left, self.cut_photo_after = self.cut_photo_after, 0
            to.write(data if left is None else data[:left])
            await to.drain()
            if left is not None:
                left -= len(data)
                if left <= 0:
                    self._break()
        to.transport.abort()

    async def _back(self, reader: asyncio.StreamReader, to: asyncio.StreamWriter, deaf: asyncio.Event) -> None:
        while data := await reader.read(65_536):
            if deaf.is_set():
                self._break()
            while self.hold:  # noqa: ASYNC110 - a test's own thread ends it
                await asyncio.sleep(0.02)
            to.write(data)
            await to.drain()
        to.transport.abort()
