"""One platform's pushes: who may push, what is said of which device, and what it is answered."""

import asyncio
import hmac
import weakref
from collections.abc import Mapping

import msgspec
from aiohttp import ClientError, web

from device_profiles.model import Profile
from device_profiles.wires.carrier import CarrierWire
from edge_agent.config import DeviceConfig, LinkConfig
from edge_agent.drivers.base import Deliveries, SetupError, Tally, profile_of
from edge_agent.heard import Heard, Verdict
from firmware_bridge.carriers import ctwing, onenet
from firmware_bridge.carriers.messages import Life, Message, Report
from firmware_bridge.carriers.reports import decode_reports
from firmware_bridge.documents import MAX_BYTES
from firmware_bridge.errors import ParseError
from telemetry.reason import Reason

__all__ = ["PATH", "Pushes", "Station", "stations_of"]

PATH = "/push"
_MOST_UNDER_WAY = 64
"""Pushes being read and committed at once; above this the platform is told to come back."""
_BODY_S = 10.0
"""How long a body may take to come."""
_ACCEPTED = 200

_STATUS: Mapping[Reason, int] = {
    Reason.NOT_AUTHENTICATED: 401,
    Reason.OVERSIZED: 413,
    Reason.UNKNOWN_DEVICE: 404,
    Reason.NOT_FOUND: 404,
    Reason.INVALID: 422,
    Reason.TIMEOUT: 408,
}
"""By reason; 400 for every other."""


class Station(msgspec.Struct, frozen=True, kw_only=True):
    """One device behind the platform."""

    device: DeviceConfig
    profile: Profile
    wire: CarrierWire


def stations_of(link: LinkConfig, catalog: Mapping[str, Profile]) -> dict[str, Station]:
    """The link's devices by their number at the platform, or IMEI; SetupError where a profile does not fit."""
    return {device.address: _station(link, device, profile_of(link, device, catalog)) for device in link.devices}


def _station(link: LinkConfig, device: DeviceConfig, profile: Profile) -> Station:
    if profile.wire.carrier is None:
        raise SetupError(f"link {link.name}, device {device.id}: profile {profile.name} is not pushed by carriers")
    return Station(device=device, profile=profile, wire=profile.wire.carrier)


class Pushes:
    """Answers requests: 200 once everything of a push is committed, or held back by policy, or nothing of it was a reading.

    400 for what cannot be read, 401 for a wrong signature or secret, 404 for another address and for a push of devices
    that nobody listed, 408 for a body that does not come, 413 for one too long, 422 where no value could be used, 503 while
    too many are under way.
    """

    def __init__(self, platform: str, secret: str, stations: Mapping[str, Station], deliveries: Deliveries, tally: Tally) -> None:
        self._platform = platform
        self._secret = secret
        self._stations = stations
        self._deliveries = deliveries
        self._tally = tally
        self._under_way = 0
        self.answered: weakref.WeakSet[asyncio.BaseTransport] = weakref.WeakSet()
        """Connections that have had an answer."""

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """The answer to one request."""
        peer = request.remote or "unknown"
        if self._under_way >= _MOST_UNDER_WAY:
            self._tally.overflows += 1
            return web.Response(status=503, headers={"Retry-After": "5"})
        self._under_way += 1
        try:
            return await self._answer(request, peer)
        except ParseError as error:
            self._deliveries.refuse(peer, error.reason, error.detail)
            return web.Response(status=_STATUS.get(error.reason, 400), text=f"{error.reason}: {error.detail}"[:200])
        finally:
            self._under_way -= 1
            if request.transport is not None:
                self.answered.add(request.transport)

    async def _answer(self, request: web.BaseRequest, peer: str) -> web.StreamResponse:
        if not self._is_here(request.path):
            guess = request.path.startswith(PATH)
            raise ParseError(Reason.NOT_AUTHENTICATED if guess else Reason.NOT_FOUND, "a push to an address that is not ours")
        if request.method == "GET" and self._platform == "onenet":
            return web.Response(body=onenet.echo(request.rel_url.raw_query_string, self._secret), content_type="text/plain")
        if request.method != "POST":
            return web.Response(status=405, headers={"Allow": "POST"})
        return web.Response(status=await self._take(self._read(await _body(request)), peer))

    def _is_here(self, path: str) -> bool:
        """OneNET signs what it pushes; for CTWing, which does not, the secret is part of the address."""
        wanted = PATH if self._platform == "onenet" or not self._secret else f"{PATH}/{self._secret}"
        return hmac.compare_digest(path.encode("utf-8", "replace"), wanted.encode())

    def _read(self, body: bytes) -> tuple[Message, ...]:
        return onenet.verified_push(body, self._secret) if self._platform == "onenet" else ctwing.parse_push(body)

    async def _take(self, messages: tuple[Message, ...], peer: str) -> int:
        """Commit what devices said; the status that answers for all of it."""
        received_ns = self._deliveries.inlet.clock.wall_ns()
        self._note_presence(messages)
        by_station: dict[str, list[Report]] = {}
        refused: set[Reason] = set()
        for report in (message for message in messages if isinstance(message, Report)):
            station = self._who(report)
            if station is None:
                name = report.device_id or report.imei or "of no name"
                refused.add(self._refuse(peer, Reason.UNKNOWN_DEVICE, f"device {name[:80]} is not on this link"))
            elif report.app_data is not None and not report.points:
                detail = f"{len(report.app_data)} bytes that the platform hands on unread"
                refused.add(self._refuse(station.device.id, Reason.UNKNOWN_MESSAGE, detail, report.app_data))
            else:
                by_station.setdefault(station.device.address, []).append(report)
        verdicts = await self._hand_over(by_station, received_ns)
        if Verdict.COMMITTED in verdicts or Verdict.HELD_BACK in verdicts:
            return _ACCEPTED
        if verdicts:
            return _STATUS[Reason.INVALID]
        return _STATUS.get(min(refused), 400) if refused else _ACCEPTED

    async def _hand_over(self, by_station: Mapping[str, list[Report]], received_ns: int) -> list[Verdict]:
        under_way = []
        for address, reports in by_station.items():
            station = self._stations[address]
            for decoded in decode_reports(station.profile, station.wire.items, reports):
                heard = Heard(device=station.device.id, profile=station.profile, received_ns=received_ns, decoded=decoded)
                under_way.append(await self._deliveries.hand_over(heard))
        return [await task for task in under_way]

    def _note_presence(self, messages: tuple[Message, ...]) -> None:
        """A device that the platform says is offline is absent until it says something."""
        for message in messages:
            station = self._who(message)
            if station is not None and (isinstance(message, Report) or (isinstance(message, Life) and message.online)):
                self._tally.absent.discard(station.device.id)
            elif station is not None and isinstance(message, Life) and message.online is False:
                self._tally.absent.add(station.device.id)

    def _who(self, message: Message) -> Station | None:
        names = (name for name in (message.device_id, message.imei) if name is not None)
        return next((self._stations[name] for name in names if name in self._stations), None)

    def _refuse(self, source: str, reason: Reason, detail: str, raw: bytes = b"") -> Reason:
        self._deliveries.refuse(source, reason, detail, raw)
        return reason


async def _body(request: web.BaseRequest) -> bytes:
    """The whole body. ParseError: oversized, timeout, truncated."""
    body = bytearray()
    try:
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        async with asyncio.timeout(_BODY_S):
            async for part in request.content.iter_any():
                body += part
                if len(body) > MAX_BYTES:
                    raise ParseError(Reason.OVERSIZED, f"a body of more than {MAX_BYTES} bytes", MAX_BYTES)
    except TimeoutError as error:
        raise ParseError(Reason.TIMEOUT, f"a body that did not come within {_BODY_S:.0f} s") from error
    except (OSError, ClientError) as error:
        raise ParseError(Reason.TRUNCATED, "the connection ended within a body") from error
    return bytes(body)
