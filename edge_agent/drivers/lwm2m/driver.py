"""LwM2M 1.0 and 1.1 over CoAP and UDP: the server that devices register at (OMA Lightweight M2M, Core and Transport).

Plain UDP only: DTLS with pre-shared keys is not available. A device's address, location and tokens are all that tell it
from another, so the port belongs into a private network (the carrier's APN), as with every device that speaks no DTLS.
"""

import asyncio
import socket
from collections.abc import Callable, Mapping
from typing import cast

from device_profiles.model import CommandSpec, Profile
from edge_agent.config import DeviceConfig, LinkConfig
from edge_agent.drivers.base import Deliveries, Listener, SetupError, turn_down
from edge_agent.drivers.lwm2m.clients import clients_of
from edge_agent.drivers.lwm2m.intake import Intake
from edge_agent.drivers.lwm2m.orders import Ending, Order
from edge_agent.drivers.lwm2m.resources import ClientResources
from edge_agent.drivers.lwm2m.sending import Patience
from edge_agent.drivers.lwm2m.server import Lwm2mServer
from edge_agent.heard import Inlet
from edge_agent.link_kinds import CoapOptions
from firmware_bridge.errors import ParseError
from firmware_bridge.lwm2m.operations import Answered, Request
from telemetry.clock import SECOND_NS, Clock
from telemetry.reason import Reason
from telemetry.records import Command, CommandResult, Outcome

__all__ = ["Lwm2mDriver"]

_TICK_S = 1.0
_RECEIVE_BYTES = 256 * 1024


class _Datagrams(asyncio.DatagramProtocol):
    """The socket. What cannot be sent is lost, as any datagram may be."""

    def __init__(self) -> None:
        self.server: Lwm2mServer | None = None
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if self.server is not None:
            self.server.take(data, f"{addr[0]}:{addr[1]}")

    def send(self, data: bytes, peer: str) -> None:
        host, _, port = peer.rpartition(":")
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(data, (host, int(port)))


class Lwm2mDriver(Listener):
    """One LwM2M server. Only devices of the link may register; the others get 4.03."""

    patient = True
    """Commands wait here for devices that sleep (`edge_agent.commands.Patient`)."""

    def __init__(self, link: LinkConfig, catalog: Mapping[str, Profile], clock: Clock, patience: Patience | None = None) -> None:
        if not isinstance(link.options, CoapOptions):
            raise SetupError(f"link {link.name}: driver lwm2m wants a host and a port")
        super().__init__(link, clock, f"{link.options.host}:{link.options.port}")
        self._options = link.options
        self._clients = clients_of(link, catalog)
        self._patience = patience or Patience()
        self._server: Lwm2mServer | None = None

    async def serve(self, inlet: Inlet, tasks: asyncio.TaskGroup) -> None:
        deliveries = Deliveries(inlet, tasks, self._tally)
        intake = Intake(deliveries, tasks)
        transport, datagrams = await asyncio.get_running_loop().create_datagram_endpoint(
            _Datagrams, local_addr=(self._options.host, self._options.port)
        )
        server = Lwm2mServer(self._clients, deliveries, intake, self._tally, self._clock, datagrams.send, self._patience)
        try:
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
            self.ports = ((self._options.host, int(transport.get_extra_info("sockname")[1])),)
            datagrams.server = self._server = server
            self._tally.opened()
            self.started.set()
            while True:
                await asyncio.sleep(_TICK_S)
                server.tick()
        finally:
            self._server = datagrams.server = None
            server.close()
            transport.close()

    def resources(self, device: DeviceConfig, within_s: float = 600.0) -> ClientResources:
        """The device's resources, for an update; a call gives up after `within_s`."""

        async def follow(build: Callable[[Order, int], Request]) -> tuple[Ending, Answered | None]:
            client = self._clients.get(device.address)
            if client is None or self._server is None:
                return Ending(Outcome.REFUSED, Reason.UNREACHABLE, f"{device.id} cannot be reached on link {self.name}"), None
            return await self._server.follow(client, build, within_s)

        return ClientResources(follow)

    async def command(self, command: Command, device: DeviceConfig) -> CommandResult:
        """Waits for a device that sleeps, as long as the command is good."""
        client = self._clients.get(device.address)
        spec = None if client is None else client.profile.commands.get(command.action)
        if client is None or spec is None or spec.resource is None:
            return turn_down(command, self._clock, Reason.UNKNOWN_COMMAND, f"{device.id} takes no {command.action!r}")
        try:
            value = _argument(spec, command)
        except ParseError as error:
            return turn_down(command, self._clock, error.reason, error.detail)
        if self._server is None:
            return turn_down(command, self._clock, Reason.UNREACHABLE, f"link {self.name} is down")
        good_ns = command.issued_ns + command.ttl_s * SECOND_NS - self._clock.wall_ns()
        ending = await self._server.carry_out(client, spec, value, max(0.0, good_ns / SECOND_NS))
        return CommandResult(
            id=command.id,
            device=command.device,
            outcome=ending.outcome,
            time_ns=self._clock.wall_ns(),
            reason=ending.reason,
            detail=ending.detail,
        )


def _argument(spec: CommandSpec, command: Command) -> float:
    """The number to write: the command's argument, or the one value that the profile allows. ParseError."""
    if not spec.argument:
        return spec.low
    given = command.args.get(spec.argument)
    if given is None:
        raise ParseError(Reason.MISSING, f"{command.action} without {spec.argument!r}")
    if not isinstance(given, (bool, int, float)):
        raise ParseError(Reason.WRONG_TYPE, f"{spec.argument} {given!r}, want a number")
    if not spec.low <= given <= spec.high:
        raise ParseError(Reason.OUT_OF_RANGE, f"{spec.argument} {given}, want {spec.low:g} to {spec.high:g}")
    return given
