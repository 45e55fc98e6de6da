"""SL 651 over TCP, and UDP where it is wanted: the listener that hydrology stations dial (rain, levels, flows).

A station is known by its address, which the head and the body of a report must agree on. A report is answered only once
every reading of it is committed: ESC, stay online, or EOT, go and save power (table 10). A keep-alive is not answered. What has
a wrong CRC, address or password is counted and not answered.

What a centre says between the packets of one message (mode M3) is not in the sources at hand. A station that goes on by
itself is not disturbed; when nothing comes for a while, one that may be waiting is told to go on (ACK), and one whose last
packet came to send again (NAK).
"""

import asyncio
import contextlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from device_profiles.model import Profile
from edge_agent.config import LinkConfig
from edge_agent.drivers.base import Driver, SetupError
from edge_agent.drivers.stations.datagrams import datagrams
from edge_agent.drivers.stations.dialogue import Caller, Dialogue, Reply, Station, StationLimits, known_stations
from edge_agent.drivers.stations.listener import StationDriver
from edge_agent.heard import Verdict
from edge_agent.link_kinds import HydrologyOptions
from firmware_bridge.errors import ParseError
from firmware_bridge.sl651.frames import ACK, EOT, ESC, ETX, NAK, Frame, Sl651Framer, without_password
from firmware_bridge.sl651.metrics import decode_report, zone_of
from firmware_bridge.sl651.packets import Reassembler
from firmware_bridge.sl651.record import body_of
from firmware_bridge.sl651.reports import answer
from firmware_bridge.sl651.tables import FUNCTIONS
from telemetry.clock import SECOND_NS, Clock
from telemetry.raw_frames import RawFrame
from telemetry.reason import Reason

__all__ = ["sl651"]

_KEEP_ALIVE = 0x2F
_REPORTS = range(0x30, 0x37)
"""What a station says by itself: reports of test, uniform series, time, event and hour, by hand, and pictures."""


def sl651(link: LinkConfig, catalog: Mapping[str, Profile], clock: Clock, limits: StationLimits | None = None) -> Driver:
    """The driver of a link with SL 651 stations; SetupError where a profile does not speak SL 651."""
    options = link.options
    if not isinstance(options, HydrologyOptions):
        raise SetupError(f"link {link.name}: driver sl651 wants a host and a port")
    stations = known_stations(link, catalog, "sl651")
    goodbye = ESC if options.stay_online else EOT
    driver = _DatagramDriver if options.udp else StationDriver
    return driver(link, options, clock, limits or StationLimits(), lambda caller: _Dialogue(stations, goodbye, caller))


class _DatagramDriver(StationDriver[Frame]):
    """The listener with a UDP port of the same number beside its TCP port."""

    def beside(self, make: Callable[[str], Dialogue[Frame]]) -> contextlib.AbstractAsyncContextManager[None]:
        return datagrams(self.ports[0], make, self.limits, self._tally)


class _Dialogue(Dialogue[Frame]):
    """What is said on one connection, by one station or a relay of many."""

    def __init__(self, stations: Mapping[str, Station], goodbye: int, caller: Caller) -> None:
        super().__init__(Sl651Framer(), caller)
        self._stations = stations
        self._goodbye = goodbye
        self._reassembler = Reassembler(max_messages=8, max_bytes=512 * 1024)
        self._waiting: dict[tuple[str, int, int], tuple[Frame, bool]] = {}
        self._frame = RawFrame("sl651", b"")

    @property
    def lingers(self) -> bool:
        return bool(self._waiting)

    def shown(self, raw: bytes) -> bytes:
        """Frames without their passwords; of noise, which may be a frame with a damaged start, nothing."""
        if raw[:2] == b"\x7e\x7e":
            return raw[:8] + b"\0\0" + raw[10:]
        return raw[:13] + b"****" + raw[17:] if raw[:1] == b"\x01" else b""

    async def take(self, frame: Frame, received_ns: int) -> Sequence[Reply]:
        station = self._station(frame)
        self._frame = RawFrame("sl651", without_password(frame.raw))
        whole = self._reassembler.add(frame, self.clock.monotonic_ns())
        for given_up in self._reassembler.expire(self.clock.monotonic_ns()):
            self.refuse(given_up.reason, given_up.detail)
        if frame.packet is not None:
            key = (frame.station, frame.function, frame.packet[0])
            _, ended = self._waiting.get(key, (frame, False))
            self._waiting[key] = (frame, ended or frame.end == ETX)
            self._waiting = {key: told for key, told in self._waiting.items() if self._reassembler.missing(*key)}
        return [] if whole is None else await self._message(whole, station, received_ns)

    async def overdue(self, *, ended: bool = False) -> Sequence[Reply]:
        """Say once, to each station that stopped within a message, to go on or to send it again. Packets are cut anywhere:
        what came of a message is of no use alone."""
        waiting, self._waiting = self._waiting, {}
        return [] if ended else [self._say(frame, NAK if last_came else ACK) for frame, last_came in waiting.values()]

    def _station(self, frame: Frame) -> Station:
        station = self._stations.get(frame.station)
        if not frame.up:
            raise ParseError(Reason.BAD_FIELD, f"a centre's frame, function {frame.function:02X}, want one of a station")
        if station is None:
            raise ParseError(Reason.UNKNOWN_DEVICE, f"station {frame.station}")
        if self.secret is not None and not hmac.compare_digest(self.secret.upper().encode(), frame.password.encode()):
            raise ParseError(Reason.NOT_AUTHENTICATED, f"station {frame.station}: a password that is not this link's")
        self.greet(station)
        return station

    async def _message(self, frame: Frame, station: Station, received_ns: int) -> Sequence[Reply]:
        if frame.function == _KEEP_ALIVE:
            return []
        body = body_of(frame)
        if body.station is not None and body.station.upper() != frame.station:
            raise ParseError(Reason.WRONG_UNIT, f"station {frame.station} reports as {body.station[:16]}")
        for flaw in body.flaws:
            self.refuse(flaw.reason, f"{_named(frame)}: {flaw.detail}")
        decoded = decode_report(station.profile, body)
        if not decoded:
            self.refuse(Reason.UNKNOWN_METRIC, f"{_named(frame)}: no element that profile {station.profile.name} names")
        verdicts = await self.hand_over(station, decoded, received_ns, self._frame)
        wanted = frame.function in _REPORTS
        return [self._say(frame, self._goodbye, verdicts, body.serial)] if wanted else []

    def _say(
        self, frame: Frame, end: int, verdicts: tuple["asyncio.Task[Verdict]", ...] = (), serial: int | None = None
    ) -> Reply:
        zone = zone_of(self._stations[frame.station].profile)
        now = datetime.fromtimestamp(self.clock.wall_ns() / SECOND_NS, UTC).astimezone(zone)
        return Reply(data=answer(frame, serial or 0, now.strftime("%Y-%m-%dT%H:%M:%S"), end=end), verdicts=verdicts)


def _named(frame: Frame) -> str:
    return f"function {frame.function:02X} {FUNCTIONS.get(frame.function, 'reserved')}"
