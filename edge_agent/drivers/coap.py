"""CoAP over UDP (RFC 7252): battery devices post their documents here and sleep again once they are answered."""

import asyncio
import logging
import socket
from collections.abc import Mapping

import msgspec
from aiocoap import Context, Message, resource
from aiocoap.numbers import codes

from device_profiles.model import Profile
from device_profiles.wires.coap import CoapWire
from edge_agent.config import DeviceConfig, LinkConfig
from edge_agent.drivers.base import Listener, SetupError, Tally, profile_of
from edge_agent.heard import Heard, Inlet, Verdict
from edge_agent.link_kinds import CoapOptions
from firmware_bridge.documents import JSON, decode_document, identity, parse_document
from firmware_bridge.errors import ParseError
from telemetry.clock import Clock
from telemetry.raw_frames import RawFrame
from telemetry.reason import Reason

__all__ = ["CoapDriver"]

_MOST_UNDER_WAY = 256
"""Requests being committed at once; above this a device is told to come back later."""
_RETRY_AFTER_S = 5


class _Station(msgspec.Struct, frozen=True, kw_only=True):
    device: DeviceConfig
    profile: Profile
    wire: CoapWire


class CoapDriver(Listener):
    """One CoAP listener. A post is answered 2.04 only once its reading is committed (or was held back by policy).

    4.00 for a document that cannot be read, 4.03 for one from nobody we know, 4.22 for one whose every value was
    refused, 5.03 while the agent is stopping or too busy; the reason and the detail are the diagnostic payload.
    """

    def __init__(self, link: LinkConfig, catalog: Mapping[str, Profile], clock: Clock) -> None:
        if not isinstance(link.options, CoapOptions):
            raise SetupError(f"link {link.name}: driver coap wants a host and a port")
        super().__init__(link, clock, f"{link.options.host}:{link.options.port}")
        self._options = link.options
        self._paths: dict[str, list[_Station]] = {}
        for device in link.devices:
            station = _station(link, device, catalog)
            self._paths.setdefault(station.wire.path.strip("/"), []).append(station)

    async def serve(self, inlet: Inlet, tasks: asyncio.TaskGroup) -> None:
        del tasks
        site = resource.Site()
        posts = [_Post(stations, inlet, self.name, self._tally) for stations in self._paths.values()]
        for path, post in zip(self._paths, posts, strict=True):
            site.add_resource(path.split("/"), post)
        host, port = await self._address()
        log = logging.getLogger(f"{__name__}.{self.name}")
        noise = _Noise(inlet, self.name, self._tally)
        log.addFilter(noise)
        context = await Context.create_server_context(site, bind=(host, port), transports=["udp6"], loggername=log.name)
        try:
            self.ports = ((self._options.host, _bound_port(context)),)
            self._tally.opened()
            self.started.set()
            await asyncio.get_running_loop().create_future()  # until cancelled
        finally:
            for post in posts:
                post.stopping = True
            self._tally.closed("stopped")
            await context.shutdown()
            log.removeFilter(noise)

    async def _address(self) -> tuple[str, int]:
        """Where to bind, as the IPv6 socket sees it: IPv4 addresses in their mapped form."""
        found = await asyncio.get_running_loop().getaddrinfo(self._options.host, self._options.port, type=socket.SOCK_DGRAM)
        family, _, _, _, (host, port, *_) = found[0]
        # aiocoap shares a port that is taken, and leaks the socket where it cannot: ask first, without sharing.
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((host, port))
        return (f"::ffff:{host}" if family == socket.AF_INET else str(host)), int(port)


class _Noise(logging.Filter):
    """Counts the datagrams that are no CoAP. aiocoap only logs them, each one, as often as somebody cares to shout."""

    def __init__(self, inlet: Inlet, link: str, tally: Tally) -> None:
        super().__init__()
        self._inlet = inlet
        self._link = link
        self._tally = tally

    def filter(self, record: logging.LogRecord) -> bool:
        if not str(record.msg).startswith("Ignoring unparsable message"):
            return True
        self._tally.refused += 1
        self._inlet.refuse(self._link, Reason.BAD_START, "a datagram that is no CoAP message")
        return False


class _Post(resource.Resource):  # type: ignore[misc]  # aiocoap is not typed
    """One path and the devices that post to it."""

    def __init__(self, stations: list[_Station], inlet: Inlet, link: str, tally: Tally) -> None:
        super().__init__()
        self.stopping = False
        self._inlet = inlet
        self._link = link
        self._tally = tally
        self._under_way = 0
        # Models that share a path may say who they are in different places.
        self._by_identity: dict[tuple[str | int, ...], dict[str, _Station]] = {}
        for station in stations:
            self._by_identity.setdefault(station.wire.identity, {})[station.device.address] = station

    async def render_post(self, request: Message) -> Message:
        if self.stopping or self._under_way >= _MOST_UNDER_WAY:
            self._tally.overflows += not self.stopping
            return Message(code=codes.SERVICE_UNAVAILABLE, payload=b"come back later", max_age=_RETRY_AFTER_S)
        self._under_way += 1
        try:
            return await self._take(request)
        finally:
            self._under_way -= 1

    async def _take(self, request: Message) -> Message:
        received_ns = self._inlet.clock.wall_ns()
        peer = request.remote.hostinfo
        content_format = JSON if request.opt.content_format is None else int(request.opt.content_format)
        try:
            document = parse_document(request.payload, content_format)
        except ParseError as error:
            return self._refuse(codes.BAD_REQUEST, peer, error.reason, str(error), request.payload)
        station = self._who(document)
        if station is None:
            return self._refuse(codes.FORBIDDEN, peer, Reason.UNKNOWN_DEVICE, self._claim(document), request.payload)
        try:
            decoded = decode_document(station.profile, station.wire.fields, station.wire.time, document)
        except ParseError as error:
            return self._refuse(codes.BAD_REQUEST, station.device.id, error.reason, str(error), request.payload)
        frame = RawFrame("json" if content_format == JSON else "cbor", request.payload)
        heard = Heard(
            device=station.device.id,
            profile=station.profile,
            received_ns=received_ns,
            decoded=decoded,
            frames=(frame,),
            source=peer,
        )
        return self._answer(await self._inlet.accept(heard), heard)

    def _answer(self, verdict: Verdict, heard: Heard) -> Message:
        match verdict:
            case Verdict.COMMITTED | Verdict.HELD_BACK:
                self._tally.hear(heard.device, heard.received_ns)
                return Message(code=codes.CHANGED)
            case Verdict.REFUSED:
                return Message(code=codes.UNPROCESSABLE_ENTITY, payload=b"no value could be used")

    def _who(self, document: object) -> _Station | None:
        for path, stations in self._by_identity.items():
            station = stations.get(identity(document, path) or "")
            if station is not None:
                return station
        return None

    def _claim(self, document: object) -> str:
        claims = [identity(document, path) for path in self._by_identity]
        return f"the document says {next((claim for claim in claims if claim), 'nobody')!r}, which is not on link {self._link}"

    def _refuse(self, code: codes.Code, source: str, reason: Reason, detail: str, payload: bytes) -> Message:
        self._tally.refused += 1
        self._inlet.refuse(source, reason, detail, payload)
        return Message(code=code, payload=f"{reason}: {detail}".encode()[:512])


def _bound_port(context: Context) -> int:
    # The one way to learn which port 0 became; the attributes on the way are public.
    interface = context.request_interfaces[0].token_interface.message_interface
    return int(interface.transport.get_extra_info("socket").getsockname()[1])


def _station(link: LinkConfig, device: DeviceConfig, catalog: Mapping[str, Profile]) -> _Station:
    profile = profile_of(link, device, catalog)
    if profile.wire.coap is None:
        raise SetupError(f"link {link.name}, device {device.id}: profile {profile.name} does not speak CoAP")
    return _Station(device=device, profile=profile, wire=profile.wire.coap)
