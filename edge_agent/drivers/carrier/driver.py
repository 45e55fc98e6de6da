"""Carriers' platforms (OneNET, CTWing) over HTTP: the receiver of what they push for the devices behind them.

A push is answered 200 only once everything in it is committed. Anything else makes the platform push again.
"""

import asyncio
from collections.abc import Mapping

from aiohttp import web

from device_profiles.model import Profile
from edge_agent.config import LinkConfig
from edge_agent.drivers.base import Deliveries, Listener, SetupError
from edge_agent.drivers.carrier.pushes import Pushes, stations_of
from edge_agent.heard import Inlet
from edge_agent.link_kinds import CarrierOptions
from telemetry.clock import Clock
from telemetry.reason import Reason

__all__ = ["CarrierDriver"]

_MOST_CONNECTIONS = 256
_FIRST_S = 30.0
"""How long a connection may take until its first request has been answered; whoever is slower holds a place for nothing."""
_KEEPALIVE_S = 75.0
_SHUTDOWN_S = 0.2
"""How long what is under way may take when the agent stops."""


class CarrierDriver(Listener):
    """One HTTP listener for one platform. OneNET's pushes are signed with the token in `secret_file`; CTWing signs nothing, so
    there the secret is the last part of the address that the platform pushes to. Neither is ever shown."""

    def __init__(self, link: LinkConfig, catalog: Mapping[str, Profile], clock: Clock) -> None:
        if not isinstance(link.options, CarrierOptions):
            raise SetupError(f"link {link.name}: driver carrier wants a host, a port and a platform")
        super().__init__(link, clock, f"{link.options.host}:{link.options.port}")
        self._options = link.options
        self._stations = stations_of(link, catalog)

    faults = (OSError, ValueError)

    async def serve(self, inlet: Inlet, tasks: asyncio.TaskGroup) -> None:
        await self._serve(Deliveries(inlet, tasks, self._tally), await self._secret())

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
