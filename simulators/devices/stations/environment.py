"""Environment stations on HJ 212: noise, kitchen fume, water quality. They dial the gateway, ask for the time, and report what
their profile names: values of now, states of equipment, and of each period that has ended its statistics."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from device_profiles.model import Profile
from firmware_bridge.hj212.answers import encode_answer, site_answers
from firmware_bridge.hj212.encode import Group, Head, encode_message, encode_messages
from firmware_bridge.hj212.frames import Frame, Hj212Framer
from firmware_bridge.hj212.metrics import message_groups, zone_of
from firmware_bridge.hj212.segment import parse_segment
from firmware_bridge.hj212.times import format_qn
from simulators.devices.base import Surroundings
from simulators.devices.stations.calling import CallingStation, Report
from simulators.listener import Address
from simulators.scenario import DeviceSpec
from telemetry.clock import SECOND_NS

__all__ = ["EnvironmentStation"]

_PASSWORD = "123456"  # noqa: S105 (what every logger leaves the factory with)
_NOW = ("2011", "2021")
_PERIODS: Mapping[str, int] = {"2051": 600, "2061": 3600, "2031": 86400}
"""Seconds of the periods that statistics are of."""
_SYSTEMS: Mapping[str, str] = {"noise_station": "23", "oil_fume_monitor": "51", "water_quality_station": "32"}
"""ST by the profile's kind."""


class EnvironmentStation(CallingStation):
    """Every report wants an answer (9014) with its own QN."""

    def __init__(
        self, spec: DeviceSpec, profile: Profile, around: Surroundings, target: Callable[[], Address], answer_s: float = 10.0
    ) -> None:
        super().__init__(spec, profile, around, target, answer_s)
        if profile.wire.hj212 is None:
            raise ValueError(f"{spec.id}: profile {profile.name} has no HJ 212 wire")
        self._periods: dict[str, int] = {}
        self._latest_qn = ""

    def speak(self, now_ns: int) -> tuple[bytes, ...]:
        """What it measures as of `now_ns`, with a QN of that instant."""
        time = _civil(now_ns)
        groups = message_groups(self.profile, self.values(now_ns), "2011", time)
        return tuple(encode_messages(self._head("2011", format_qn(time, zone_of(self.profile))), groups))

    def measure(self, now_ns: int, *, event: bool) -> Sequence[Report]:
        time = _civil(now_ns)
        due = [(cn, time) for cn in _NOW]
        for cn, seconds in _PERIODS.items():
            period = self.body.age_s(now_ns) // seconds
            if period > self._periods.setdefault(cn, period):
                due.append((cn, time - timedelta(seconds=self.lasting(seconds))))
            self._periods[cn] = period
        values = self.values(now_ns)
        messages = ((cn, message_groups(self.profile, values, cn, since)) for cn, since in due)
        return [self._report(cn, groups, now_ns) for cn, groups in messages if len(groups) > 1]

    def new_framer(self) -> Callable[[bytes], Sequence[object]]:
        return Hj212Framer().feed

    def hear(self, frame: object) -> tuple[str, bytes]:
        if not isinstance(frame, Frame):
            return "", b""
        packet = parse_segment(frame.segment)
        if packet.cn == "9014":
            return packet.qn, b""
        return "", b"".join(encode_answer(answer, packet) for answer in site_answers(packet))

    def greeting(self) -> bytes:
        """It asks for the time (1013)."""
        return encode_message(self._head("1013", self._qn(self.clock.wall_ns())))

    def _report(self, cn: str, groups: Sequence[Group], now_ns: int) -> Report:
        qn = self._qn(now_ns)
        frames = encode_messages(self._head(cn, qn), groups)
        return Report(frames=tuple(frames), key=qn, answers=len(frames))

    def _qn(self, now_ns: int) -> str:
        """A number that no earlier message has: the time, or a millisecond behind the last one."""
        qn = format_qn(_civil(now_ns), zone_of(self.profile))
        if qn <= self._latest_qn:
            qn = f"{int(self._latest_qn) + 1:017d}"
        self._latest_qn = qn
        return qn

    def _head(self, cn: str, qn: str) -> Head:
        system = _SYSTEMS.get(self.profile.kind, "22")
        return Head(st=system, cn=cn, mn=self.address_now(), pw=_PASSWORD, qn=qn, answer_wanted=True)


def _civil(now_ns: int) -> datetime:
    return datetime.fromtimestamp(now_ns / SECOND_NS, UTC)
