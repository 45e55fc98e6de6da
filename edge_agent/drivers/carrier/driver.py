"""Carriers' platforms (OneNET, CTWing) over HTTP: the receiver of what they push for the devices behind them.

A push is answered 200 only once everything in it is committed. Anything else makes the platform push again.
"""

import asyncio
from collections.abc import Mapping

from aiohttp import web

from device_profiles.model import Profile
from edge_agent.config import DeviceConfig, LinkConfig
from edge_agent.drivers.base import Deliveries, LinkHealth, SetupError, Tally, reconnecting, turn_down
from edge_agent.drivers.carrier.pushes import Pushes, stations_of
from edge_agent.heard import Inlet
from edge_agent.link_kinds import CarrierOptions
from telemetry.clock import Clock
from telemetry.reason import Reason
from telemetry.records import Command, CommandResult

__all__ = ["CarrierDriver"]

_MOST_CONNECTIONS = 256
_FIRST_S = 30.0
"""How long a connection may take until its first request has been answered; whoever is slower holds a place for nothing."""
_KEEPALIVE_S = 75.0
_SHUTDOWN_S = 0.2
"""How long what is under way may take when the agent stops."""


class CarrierDriver:
    """One HTTP listener for one platform. OneNET's pushes are signed with the token in `secret_file`; CTWing signs nothing, so
    there the secret is the last part of the address that the platform pushes to. Neither is ever shown."""

    def __init__(self, link: LinkConfig, catalog: Mapping[str, Profile], clock: Clock) -> None:
        if not isinstance(link.options, CarrierOptions):
            raise SetupError(f"link {link.name}: driver carrier wants a host, a port and a platform")
        self.name = link.name
        self.started = asyncio.Event()
        self.ports: tuple[tuple[str, int], ...] = ()
        self._options = link.options
        self._clock = clock
        self._tally = Tally(link)
        self._stations = stations_of(link, catalog)

    def health(self) -> LinkHealth:
        return self._tally.health()

    async def command(self, command: Command, device: DeviceConfig) -> CommandResult:
        return turn_down(command, self._clock, Reason.UNKNOWN_COMMAND, f"{device.id} takes no commands")

    async def run(self, inlet: Inlet) -> None:
        backoff = reconnecting()
        try:
            async with asyncio.TaskGroup() as tasks:
                deliveries = Deliveries(inlet, tasks, self._tally)
                while True:
                    try:
                        await self._serve(deliveries, await self._secret())
                    except (OSError, ValueError) as error:
                        problem = f"{self._options.host}:{self._options.port}: {error}"
                        self._tally.closed(problem)
                        inlet.refuse(self.name, Reason.UNREACHABLE, problem)
                    await asyncio.sleep(backoff.next_s())
        finally:
            self._tally.closed("stopped")

    async def _secret(self) -> str:
        file = self._options.secret_file
        secret = "" if file is None else (await asyncio.to_thread(file.read_text, "utf-8")).strip()
        if not secret and (file is not None or self._options.platform == "onenet"):
            raise ValueError("secret_file holds no secret")
        return secret

    async def _serve(self, deliveries: Deliveries, secret: str) -> None:
        pushes = Pushes(self._options.platform, secret, self._stations, deliveries, self._tally)
        http = web.Server(pushes.answer, access_log=None, keepalive_timeout=_KEEPALIVE_S, auto_decompress=False)

        loop = asyncio.get_running_loop()

        def connected() -> asyncio.BaseProtocol:
            if len(http.connections) >= _MOST_CONNECTIONS:
                self._tally.overflows += 1
                return _TurnedAway()
            protocol = http()
            loop.call_later(_FIRST_S, hang_up, protocol)
            return protocol

        def hang_up(protocol: web.RequestHandler) -> None:
            transport = protocol.transport
            if transport is not None and transport not in pushes.answered:
                deliveries.refuse(self.name, Reason.TIMEOUT, f"a connection without a request for {_FIRST_S:.0f} s")
                transport.close()

        server = await loop.create_server(connected, self._options.host, self._options.port)
        try:
            self.ports = tuple((str(bound[0]), int(bound[1])) for bound in (s.getsockname() for s in server.sockets))
            self._tally.opened()
            self.started.set()
            await loop.create_future()  # until cancelled
        finally:
            server.close()
            await http.shutdown(_SHUTDOWN_S)


class _TurnedAway(asyncio.Protocol):
    """A connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()
