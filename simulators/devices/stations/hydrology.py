"""Hydrology stations on SL 651: rain gauges, underpass and drain gauges. They dial the gateway and send timed reports, extra
ones at once when something happens, and at each full hour one with the five-minute series of the hour before."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from device_profiles.model import Profile
from firmware_bridge.sl651.elements import BY_ASCII, Form
from firmware_bridge.sl651.frames import EOT, ESC, Frame, Sl651Framer
from firmware_bridge.sl651.metrics import element_values, zone_of
from firmware_bridge.sl651.record import body_of
from firmware_bridge.sl651.reports import Elements, Station, keep_alive, reports
from simulators.devices.base import Surroundings
from simulators.devices.stations.calling import CallingStation, Report
from simulators.listener import Address
from simulators.scenario import DeviceSpec
from telemetry.clock import SECOND_NS
from telemetry.records import Value

__all__ = ["HydrologyStation"]

_TIMED, _EXTRA, _HOUR = 0x32, 0x33, 0x34
_HOUR_NS = 3600 * SECOND_NS
_STEP_NS = 300 * SECOND_NS
_SERIES = 12
_RAIN, _RIVER = 0x50, 0x48


class HydrologyStation(CallingStation):
    """Reports in HEX/BCD; each is answered with its own serial number, ESC or EOT."""

    def __init__(
        self, spec: DeviceSpec, profile: Profile, around: Surroundings, target: Callable[[], Address], answer_s: float = 10.0
    ) -> None:
        super().__init__(spec, profile, around, target, answer_s)
        if profile.wire.sl651 is None:
            raise ValueError(f"{spec.id}: profile {profile.name} has no SL 651 wire")
        self._fields = profile.wire.sl651.items
        self._serial = 0
        self._hour: int | None = None

    def speak(self, now_ns: int) -> bytes:
        """A timed report as of `now_ns`."""
        return self._frame(_TIMED, {self._told(now_ns, 16): element_values(self.profile, self.values(now_ns))}, now_ns)

    def measure(self, now_ns: int, *, event: bool) -> Sequence[Report]:
        last, self._hour = self._hour, now_ns // _HOUR_NS
        if last is not None and last != self._hour:
            return [self.hour_report(now_ns)]
        return [self._report(_EXTRA if event else _TIMED, {now_ns: element_values(self.profile, self.values(now_ns))}, now_ns)]

    def hour_report(self, now_ns: int) -> Report:
        """What an hour that has just ended is told with: the values of now, and the series of the five minutes before."""
        first_ns = now_ns // _STEP_NS * _STEP_NS - (_SERIES - 1) * _STEP_NS
        series = self._series([self.values(first_ns + number * _STEP_NS) for number in range(_SERIES)])
        instants: dict[int, Elements] = {first_ns: series} if series else {}
        return self._report(_HOUR, instants | {now_ns: element_values(self.profile, self.values(now_ns))}, now_ns)

    def new_framer(self) -> Callable[[bytes], Sequence[object]]:
        return Sl651Framer().feed

    def hear(self, frame: object) -> tuple[str, bytes]:
        if not isinstance(frame, Frame) or frame.up or frame.end not in {ESC, EOT}:
            return "", b""
        return _key(frame.function, body_of(frame).serial or 0), b""

    def greeting(self) -> bytes:
        """A keep-alive (2F), which nobody answers."""
        now_ns = self.clock.wall_ns()
        return keep_alive(self._station(), self._next(), self._told(now_ns, 19))

    def _series(self, hour: Sequence[Mapping[str, Value]]) -> Elements:
        """The profile's five-minute series out of the values of an hour."""
        series: dict[str, list[float | None]] = {}
        for field in self._fields:
            element = BY_ASCII.get(field.item)
            if element is not None and element.form in {Form.RAIN, Form.LEVELS}:
                told = (values.get(field.metric) for values in hour)
                series[element.name] = [value / field.scaling.scale if isinstance(value, float) else None for value in told]
        return series

    def _report(self, function: int, instants: dict[int, Elements], now_ns: int) -> Report:
        frame = self._frame(function, {self._told(at, 16): values for at, values in instants.items()}, now_ns)
        return Report(frames=(frame,), key=_key(function, self._serial))

    def _frame(self, function: int, instants: dict[str, Elements], now_ns: int) -> bytes:
        return reports(self._station(), function, instants, serial=self._next(), sent=self._told(now_ns, 19))

    def _station(self) -> Station:
        rain = any(field.item.startswith("P") for field in self._fields)
        return Station(address=self.address_now(), station_class=_RAIN if rain else _RIVER)

    def _next(self) -> int:
        self._serial = self._serial % 0xFFFF + 1
        return self._serial

    def _told(self, at_ns: int, size: int) -> str:
        """Civil time where the station stands: to the minute with 16 characters, to the second with 19."""
        local = datetime.fromtimestamp(at_ns / SECOND_NS, UTC).astimezone(zone_of(self.profile))
        return local.isoformat(timespec="seconds")[:size]


def _key(function: int, serial: int) -> str:
    return f"{function:02X}/{serial}"
