"""Stations that call: one TCP listener for the languages in which a station says in every message who it is.

Strangers, silent peers and those that never finish a frame cost no more than a place for a while.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from edge_agent.config import LinkConfig
from edge_agent.drivers.base import Deliveries, Listener
from edge_agent.drivers.stations.dialogue import Caller, Dialogue, Session, StationLimits
from edge_agent.heard import Inlet
from edge_agent.link_kinds import StationOptions
from telemetry.clock import Clock
from telemetry.reason import Reason

__all__ = ["MakeDialogue", "StationDriver"]

_BACKLOG = 256
_SEND_BYTES = 32 * 1024
_KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 20, "TCP_KEEPCNT": 3}
"""Seconds and tries, where the system has them: a modem that lost its network says no good-bye, and a station may be silent
for an hour."""

FrameT = TypeVar("FrameT")

MakeDialogue = Callable[[Caller], Dialogue[FrameT]]


class StationDriver(Listener, Generic[FrameT]):
    """A listener and its connections; what one connection does never reaches another.

    With all places taken, the stranger that has waited longest to say who it is makes room; where there is none the new
    connection is closed at once and counted.
    """

    def __init__(
        self, link: LinkConfig, options: StationOptions, clock: Clock, limits: StationLimits, make: MakeDialogue[FrameT]
    ) -> None:
        super().__init__(link, clock, f"{options.host}:{options.port}")
        self._options = options
        self.limits = limits
        self._make = make
        self._sessions: dict[Session[FrameT], asyncio.StreamWriter] = {}

    async def serve(self, inlet: Inlet, tasks: asyncio.TaskGroup) -> None:
        secret = await _secret(self._options.password_file)
        server = await asyncio.start_server(
            self._on_connection(inlet, tasks, secret), self._options.host, self._options.port, backlog=_BACKLOG
        )
        try:
            self.ports = tuple((str(bound[0]), int(bound[1])) for bound in (s.getsockname() for s in server.sockets))
            async with self.beside(self.dialogue(inlet, tasks, secret)):
                self._tally.opened()
                self.started.set()
                await asyncio.get_running_loop().create_future()  # until cancelled
        finally:
            server.close()

    def beside(self, make: Callable[[str], Dialogue[FrameT]]) -> contextlib.AbstractAsyncContextManager[None]:
        """What else is open while the listener is; nothing, unless a language wants it."""
        del make
        return contextlib.nullcontext()

    def dialogue(self, inlet: Inlet, tasks: asyncio.TaskGroup, secret: str | None) -> Callable[[str], Dialogue[FrameT]]:
        """A function from a peer's address to a new dialogue with it."""

        def talk(peer: str) -> Dialogue[FrameT]:
            deliveries = Deliveries(inlet, tasks, self._tally, self.limits.outstanding)
            return self._make(Caller(peer=peer, secret=secret, deliveries=deliveries, clock=self._clock, limits=self.limits))

        return talk

    def _on_connection(
        self, inlet: Inlet, tasks: asyncio.TaskGroup, secret: str | None
    ) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
        talk = self.dialogue(inlet, tasks, secret)

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            peer = str((writer.get_extra_info("peername") or ("unknown",))[0])
            dialogue = talk(peer)
            if len(self._sessions) >= self.limits.connections and not self._make_room():
                self._tally.overflows += 1
                dialogue.refuse(Reason.QUEUE_FULL, f"more than {self.limits.connections} connections")
                writer.transport.abort()
                return
            self._tally.connections += 1
            _prepare(writer.get_extra_info("socket"))
            session = Session(dialogue, self.limits)
            self._sessions[session] = writer
            tasks.create_task(self._attend(session, reader, writer), name=f"{self.name} {peer}")

        return connected

    def _make_room(self) -> bool:
        """Hang up on the oldest connection on which no known station has spoken; whether there was one."""
        stranger = next((session for session in self._sessions if not session.greeted), None)
        if stranger is None:
            return False
        self._tally.overflows += 1
        self._sessions.pop(stranger).transport.abort()
        return True

    async def _attend(self, session: Session[FrameT], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await session.run(reader, writer)
        finally:
            self._sessions.pop(session, None)


def _prepare(sock: socket.socket) -> None:
    # Answers are some hundred bytes: a station that takes none shall not have megabytes of them kept for it.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BYTES)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE.items():
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


async def _secret(file: Path | None) -> str | None:
    """The password in a file; None where none is configured. OSError where it cannot be read or says nothing."""
    if file is None:
        return None
    try:
        secret = (await asyncio.to_thread(file.read_text, "utf-8")).strip()
    except UnicodeDecodeError as error:
        raise OSError(f"{file} is no UTF-8 text") from error
    if not secret:
        raise OSError(f"{file} is empty, want a password")
    return secret
