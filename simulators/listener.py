"""A TCP server whose connections end when it does."""

import asyncio
import contextlib
import logging
import socket
import struct
from collections.abc import Awaitable, Callable

__all__ = ["Address", "Handler", "Listener", "close_quietly", "keep_small", "parse_address", "reset"]

log = logging.getLogger(__name__)

Address = tuple[str, int]
"""Host and port."""

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

_PORT_MAX = 65535
_READER_LIMIT = 65536
_SEGMENT = 1400


def parse_address(text: str) -> Address:
    """`HOST:PORT` (IPv6 in square brackets, port 0 to 65535); ValueError says what was wanted."""
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isascii() and port.isdigit() and int(port) <= _PORT_MAX):
        raise ValueError(f"{text!r}: want HOST:PORT, for example 127.0.0.1:7611")
    return host.removeprefix("[").removesuffix("]"), int(port)


def reset(writer: asyncio.StreamWriter) -> None:
    """Break a connection with a TCP reset, as a modem that loses power does; what was not yet sent is gone."""
    with contextlib.suppress(OSError):  # the socket may be gone already, which is as good
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def keep_small(sock: socket.socket, size: int) -> None:
    """Before it connects or listens: near `size` bytes of buffer in the kernel, and segments no longer than a real link's.

    Without the latter, segments of 64 KiB on the loopback address would not fit into such a window. 0 changes nothing.
    """
    if size:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, _SEGMENT)


async def close_quietly(writer: asyncio.StreamWriter) -> None:
    """Close a connection whether or not the other side is still there."""
    writer.close()
    try:
        await writer.wait_closed()
    except OSError as error:
        log.debug("connection ended badly", extra={"event": "sim.connection_ended", "error": str(error)})


class Listener:
    """Serves `handle` for each connection between `start` and `stop`; use it as an async context manager.

    What `handle` raises as OSError or as an end of stream is the world's way of hanging up and ends that connection only.
    `buffer_bytes` keeps what the kernel and the reader hold of each connection near that size, in segments as on a real
    link; 0 leaves both as they are.
    """

    def __init__(self, handle: Handler, host: str = "127.0.0.1", port: int = 0, *, buffer_bytes: int = 0) -> None:
        self._handle = handle
        self._wanted: Address = (host, port)
        self._buffer_bytes = buffer_bytes
        self._server: asyncio.Server | None = None
        self._shut: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.address: Address = (host, port)

    async def start(self) -> Address:
        """Bind and serve; the bound host and port. OSError where the port cannot be had."""
        return await self._open(self._bind(self._wanted))

    def shut(self) -> None:
        """Refuse new connections and keep the port; those there are go on. Harmless when it is shut."""
        if self._server is not None and self._shut is None:
            self._server.close()
            # Bound and not listening: nobody else can take the port, and whoever calls it is refused.
            self._shut = self._bind(self.address)

    async def reopen(self) -> None:
        """Take connections again at the same port. Harmless when it is open."""
        shut, self._shut = self._shut, None
        if shut is not None:
            await self._open(shut)

    async def _open(self, bound: socket.socket) -> Address:
        limit = self._buffer_bytes or _READER_LIMIT
        self._server = await asyncio.start_server(self._serve, sock=bound, limit=limit)
        host, port, *_ = bound.getsockname()
        self.address = (host, port)
        return self.address

    def _bind(self, address: Address) -> socket.socket:
        host, port = address
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        bound = socket.socket(family, socket.SOCK_STREAM)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            keep_small(bound, self._buffer_bytes)
            bound.bind((host, port))
            bound.settimeout(0)
        except OSError:
            bound.close()
            raise
        return bound

    async def stop(self) -> None:
        """Close the port and every connection, and wait until they are gone."""
        if self._server is not None:
            self._server.close()
        if self._shut is not None:
            self._shut.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def drop_all(self) -> None:
        """Hang up on everybody who is connected; the port stays open."""
        for task in self._tasks:
            task.cancel()

    async def __aenter__(self) -> "Listener":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 (a connection callback always runs in a task)
        self._tasks.add(task)
        try:
            await self._handle(reader, writer)
        except (OSError, EOFError) as error:
            log.debug("peer hung up", extra={"event": "sim.peer_hung_up", "error": str(error)})
        except asyncio.CancelledError:
            reset(writer)
        finally:
            self._tasks.discard(task)
            # It is closed all the same where the program ends meanwhile; a cancelled callback would be told as an error.
            with contextlib.suppress(asyncio.CancelledError):
                await close_quietly(writer)
