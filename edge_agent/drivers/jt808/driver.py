"""JT/T 808 over TCP: the listener that vehicle terminals dial."""

import asyncio
import socket
from collections.abc import Callable, Mapping

from device_profiles.model import Profile
from edge_agent.config import DeviceConfig, LinkConfig
from edge_agent.drivers.base import Deliveries, Listener, SetupError, turn_down
from edge_agent.drivers.jt808.answers import SessionLimits
from edge_agent.drivers.jt808.fleet import Fleet
from edge_agent.drivers.jt808.orders import carry_out
from edge_agent.drivers.jt808.session import Session
from edge_agent.drivers.jt808.upgrade import Upgrade
from edge_agent.heard import Inlet
from edge_agent.link_kinds import Jt808Options
from telemetry.clock import Clock
from telemetry.reason import Reason
from telemetry.records import Command, CommandResult

__all__ = ["Jt808Driver"]

_MOST_CONNECTIONS = 2000
_BACKLOG = 256
_SEND_BYTES = 32 * 1024


class Jt808Driver(Listener):
    """One listener and its connections; what one connection does never reaches another.

    A location is answered (0x8001) only once it is committed. `limits` bound each connection; above
    2,000 connections a new one is closed at once and counted.
    """

    def __init__(
        self, link: LinkConfig, catalog: Mapping[str, Profile], clock: Clock, limits: SessionLimits | None = None
    ) -> None:
        if not isinstance(link.options, Jt808Options):
            raise SetupError(f"link {link.name}: driver jt808 wants a host and a port")
        super().__init__(link, clock, f"{link.options.host}:{link.options.port}")
        self._options = link.options
        self._limits = limits or SessionLimits()
        self._fleet = Fleet(link, link.options, catalog)
        self._open = 0

    async def command(self, command: Command, device: DeviceConfig) -> CommandResult:
        """Carry out one of the profile's orders; it ends with the terminal's answer, and is unknown where none comes."""
        vehicle = self._fleet.known(device.address)
        spec = None if vehicle is None else vehicle.profile.commands.get(command.action)
        if vehicle is None or vehicle.device.id != device.id:
            return turn_down(command, self._clock, Reason.UNKNOWN_DEVICE, f"{device.id} is not on link {self.name}")
        if spec is None or spec.terminal is None:
            return turn_down(command, self._clock, Reason.UNKNOWN_COMMAND, f"{device.id} takes no {command.action!r}")
        return await carry_out(command, spec, self._fleet.desk.seat(device.address), self._clock)

    def upgrade(self, device: DeviceConfig, result_s: float = 900.0) -> Upgrade:
        """Upgrades of one terminal of this link; `result_s` is how long it may take to install, start anew and tell."""
        return Upgrade(self._fleet.desk, device.address, result_s)

    @property
    def reports(self) -> Mapping[str, int]:
        """How many reports beside places came, by the message's name."""
        return dict(self._fleet.desk.reports)

    async def serve(self, inlet: Inlet, tasks: asyncio.TaskGroup) -> None:
        server = await asyncio.start_server(
            self._on_connection(inlet, tasks), self._options.host, self._options.port, backlog=_BACKLOG
        )
        try:
            self.ports = tuple((str(bound[0]), int(bound[1])) for bound in (s.getsockname() for s in server.sockets))
            self._tally.opened()
            self.started.set()
            await asyncio.get_running_loop().create_future()  # until cancelled
        finally:
            server.close()

    def _on_connection(
        self, inlet: Inlet, tasks: asyncio.TaskGroup
    ) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            peer = str((writer.get_extra_info("peername") or ("unknown",))[0])
            deliveries = Deliveries(inlet, tasks, self._tally, self._limits.outstanding)
            if self._open >= _MOST_CONNECTIONS:
                self._tally.overflows += 1
                deliveries.refuse(peer, Reason.QUEUE_FULL, f"more than {_MOST_CONNECTIONS} connections")
                writer.transport.abort()
                return
            self._tally.connections += 1
            # Answers are 20 bytes: a terminal that takes none shall not have megabytes of them kept for it.
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BYTES)
            session = Session(self._fleet, deliveries, self._clock, peer, self._limits)
            tasks.create_task(self._attend(session, reader, writer), name=f"jt808 {peer}")

        return connected

    async def _attend(self, session: Session, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            await session.run(reader, writer)
        finally:
            self._open -= 1
