"""One uvicorn server inside the cloud's own loop: no signal handlers, a known port, a prompt end."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator

import uvicorn
from fastapi import FastAPI

__all__ = ["listen", "serve"]

_GRACE_S = 3


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket; port 0 takes a free one. OSError where the address is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio switches Nagle's delay off only where it is: 40 ms an answer otherwise.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(512)
    except OSError:
        bound.close()
        raise
    return bound


class _Server(uvicorn.Server):
    """Leaves signals to the program that holds the loop, and says when it is up."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()


async def serve(app: FastAPI, bound: socket.socket, stop: asyncio.Event, ready: Callable[[], None] = lambda: None) -> None:
    """Serve until `stop` is set, or until cancelled, which sets it; over within a few seconds either way.

    What the app has in `state.background` runs beside it, and may not fail.
    `bound` comes from `listen` and is closed at the end; `ready` is called once requests are answered. `stop` must be
    the one of the app's `Services`: it ends the event streams.
    """
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=_GRACE_S, server_header=False)
    server = _Server(config, ready)
    try:
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(server.serve(sockets=[bound]))
            stopping = tasks.create_task(stop.wait())
            beside = [tasks.create_task(run()) for run in getattr(app.state, "background", ())]
            try:
                await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                # Streams end first: uvicorn waits for open answers, and an event stream has no end of its own.
                stop.set()
                server.should_exit = True
                await asyncio.wait({serving}, timeout=_GRACE_S + 2)
                for task in beside:
                    task.cancel()
    finally:
        bound.close()
