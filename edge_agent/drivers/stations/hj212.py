"""HJ 212 over TCP: the listener that environment monitors dial (noise, oil fume, water quality, dust).

A station is known by its MN. Data is answered (9014) only once it is committed, and only where its Flag asks for that; so
are notices (9013). A message that no profile can use is counted and answered all the same: it would not be better the next
time. What has a wrong checksum, MN or password is counted and not answered. A station that asks for the time (1013, or 1011
without SystemTime) is told the gateway's.
"""

import hmac
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from device_profiles.model import Profile
from edge_agent.config import LinkConfig
from edge_agent.drivers.base import Driver, SetupError
from edge_agent.drivers.stations.dialogue import Caller, Dialogue, Reply, Station, StationLimits, known_stations
from edge_agent.drivers.stations.listener import StationDriver
from edge_agent.link_kinds import StationOptions
from firmware_bridge.errors import ParseError, Refused
from firmware_bridge.hj212.answers import answer_to
from firmware_bridge.hj212.encode import Head, encode_message, field_group
from firmware_bridge.hj212.frames import Frame, Hj212Framer, encode_frame
from firmware_bridge.hj212.metrics import decode_message, zone_of
from firmware_bridge.hj212.reassembly import Reassembler
from firmware_bridge.hj212.segment import Packet, parse_segment, without_secrets
from firmware_bridge.hj212.tables import COMMANDS, EXECUTION_CODES, REQUEST_CODES, Meaning
from firmware_bridge.hj212.times import format_qn
from telemetry.clock import SECOND_NS, Clock
from telemetry.raw_frames import RawFrame
from telemetry.reason import Reason

__all__ = ["hj212"]

_CALIBRATE, _TIME, _SET_TIME = "1013", "1011", "1012"
_RETURNS: Mapping[str, tuple[str, Mapping[int, Meaning]]] = {
    "9011": ("QnRtn", REQUEST_CODES),
    "9012": ("ExeRtn", EXECUTION_CODES),
}
"""Answers that tell how a request went: where, and what their codes mean."""
_SETTLED = frozenset({"9013", "9014", "9015", "9021"})
"""What is said in passing: confirmations of ours, heartbeats, logins of one vendor."""


def hj212(link: LinkConfig, catalog: Mapping[str, Profile], clock: Clock, limits: StationLimits | None = None) -> Driver:
    """The driver of a link with HJ 212 stations; SetupError where a profile does not speak HJ 212."""
    if not isinstance(link.options, StationOptions):
        raise SetupError(f"link {link.name}: driver hj212 wants a host and a port")
    stations = known_stations(link, catalog, "hj212")
    return StationDriver(link, link.options, clock, limits or StationLimits(), lambda caller: _Dialogue(stations, caller))


class _Dialogue(Dialogue[Frame]):
    """What is said on one connection, by one station or a relay of many."""

    def __init__(self, stations: Mapping[str, Station], caller: Caller) -> None:
        super().__init__(Hj212Framer(), caller)
        self._stations = stations
        self._reassembler = Reassembler(max_messages=8, max_bytes=256 * 1024)
        self._frame = RawFrame("hj212", b"")

    @property
    def lingers(self) -> bool:
        return self._reassembler.unfinished > 0

    def shown(self, raw: bytes) -> bytes:
        return without_secrets(raw)

    async def take(self, frame: Frame, received_ns: int) -> Sequence[Reply]:
        packet = parse_segment(frame.segment)
        self._frame = RawFrame("hj212", encode_frame(without_secrets(frame.segment)))
        self._station(packet)
        whole = self._reassembler.add(packet, self.clock.monotonic_ns())
        for given_up in self._reassembler.expire(self.clock.monotonic_ns()):
            self.refuse(given_up.reason, given_up.detail)
        if isinstance(whole, Refused):
            raise ParseError(whole.reason, whole.detail)
        return [] if whole is None else await self._message(whole, received_ns)

    async def overdue(self, *, ended: bool = False) -> Sequence[Reply]:
        """Packets of a message whose sender may wait for their answers before it sends the rest are taken as they are."""
        replies: list[Reply] = []
        now_ns = self.clock.monotonic_ns()
        settled = self._reassembler.settle(now_ns, 0 if ended else self.limits.linger_s, answer_wanted=True)
        settled += self._reassembler.settle(now_ns, 0 if ended else self.limits.quiet_s, answer_wanted=False)
        for message in settled:
            replies += await self._message(message, self.clock.wall_ns())
        return replies

    def _station(self, packet: Packet) -> Station:
        station = self._stations.get(packet.mn)
        if station is None:
            raise ParseError(Reason.UNKNOWN_DEVICE, f"MN {packet.mn[:32]!r}")
        if self.secret is not None and not hmac.compare_digest(self.secret.encode(), packet.pw.encode()):
            raise ParseError(Reason.NOT_AUTHENTICATED, f"MN {packet.mn}: a password that is not this link's")
        self.greet(station)
        return station

    async def _message(self, packet: Packet, received_ns: int) -> Sequence[Reply]:
        station = self._station(packet)
        command = COMMANDS.get(packet.cn)
        if packet.cn in _RETURNS:
            self._hear_return(packet)
            return []
        if packet.cn in _SETTLED:
            return []
        if packet.cn == _CALIBRATE:
            return [*_answers(packet), Reply(data=self._set_time(packet, station))]
        if packet.cn == _TIME:
            asked = packet.value("SystemTime") is None
            return [Reply(data=self._own_time(packet, station))] if asked else _answers(packet)
        if command is not None and command.carries_data:
            return await self._data(packet, station, received_ns)
        self.refuse(Reason.UNKNOWN_MESSAGE, f"CN {packet.cn} {'' if command is None else command.en}".strip())
        return _answers(packet)

    async def _data(self, packet: Packet, station: Station, received_ns: int) -> Sequence[Reply]:
        answers = _answers(packet)
        decoded = decode_message(station.profile, packet)
        if not decoded.values:
            detail = f"CN {packet.cn} {COMMANDS[packet.cn].en}: no factor that profile {station.profile.name} names"
            self.refuse(Reason.UNKNOWN_METRIC, detail)
            return answers
        verdicts = await self.hand_over(station, [decoded], received_ns, self._frame)
        return [Reply(data=answer.data, verdicts=verdicts) for answer in answers]

    def _hear_return(self, packet: Packet) -> None:
        """A station that could not do what it was told is counted."""
        name, meanings = _RETURNS[packet.cn]
        code = packet.value(name) or ""
        if code != "1":
            known = code.isascii() and code.isdigit() and len(code) <= 4 and meanings.get(int(code))
            self.refuse(Reason.DEVICE_EXCEPTION, f"{packet.cn} {name}={code[:12]}{f' {known.en}' if known else ''}")

    def _set_time(self, packet: Packet, station: Station) -> bytes:
        """1012: the order to take over the gateway's time. It is answered by 9011 and 9012 (table C.3)."""
        now = self._now()
        zone = zone_of(station.profile)
        qn = format_qn(now, zone)
        version = None if packet.flag is None else packet.version
        head = Head(st=packet.st, cn=_SET_TIME, pw=packet.pw, mn=packet.mn, qn=qn, version=version, answer_wanted=True)
        return encode_message(head, [*_instrument(packet), field_group("system_time", now, zone)])

    def _own_time(self, packet: Packet, station: Station) -> bytes:
        """1011 with the gateway's time. The standard has this question from above only; loggers ask it, too."""
        version = None if packet.flag is None else packet.version
        head = Head(st=packet.st, cn=_TIME, pw=packet.pw, mn=packet.mn, qn=packet.qn, version=version)
        return encode_message(head, [*_instrument(packet), field_group("system_time", self._now(), zone_of(station.profile))])

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self.clock.wall_ns() / SECOND_NS, UTC)


def _answers(packet: Packet) -> list[Reply]:
    """An answer to each packet of a message that wants one."""
    answers = (answer_to(each) for each in packet.parts or (packet,))
    return [Reply(data=answer) for answer in answers if answer is not None]


def _instrument(packet: Packet) -> list[list[tuple[str, str]]]:
    instrument = packet.value("PolId")
    return [] if not instrument else [[("PolId", instrument)]]
