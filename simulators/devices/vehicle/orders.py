"""What a simulated terminal does when the platform tells it something, and how it answers.

Layouts straight from the tables of JT/T 808-2013 and -2019, apart from the product's codec. A terminal knows the orders that its
profile names, and says "not supported" to all others; the plain `vehicle` knows none.
"""

import struct
from collections.abc import Collection, Mapping
from typing import Protocol

import msgspec

from simulators.devices.vehicle.bodies import ATTRIBUTES, GENERAL_ANSWER, general_answer_body
from simulators.devices.vehicle.fences import Fences
from telemetry.records import Value

__all__ = ["Firmware", "Installed", "Surface", "TerminalOrders", "Told", "order_ids"]

_OK, _FAILED, _WRONG, _UNSUPPORTED = range(4)
_UPGRADE = 0x8108
_ORDER_IDS: Mapping[str, int] = {
    "text": 0x8300, "locate": 0x8201, "track": 0x8202, "confirm_alarms": 0x8203, "parameter": 0x8103,
    "read_parameters": 0x8104, "read_parameter": 0x8106, "attributes": 0x8107, "control": 0x8105, "lock_doors": 0x8500,
    "unlock_doors": 0x8500, "link_test": 0x8204, "transparent": 0x8900, "circle_fence": 0x8600, "delete_circle_fence": 0x8601,
    "rectangle_fence": 0x8602, "delete_rectangle_fence": 0x8603, "polygon_fence": 0x8604, "delete_polygon_fence": 0x8605,
    "route_fence": 0x8606, "delete_route_fence": 0x8607,
}  # fmt: skip
_FENCES = range(0x8600, 0x8608)
_REPORT_S, _MAX_SPEED = 0x0029, 0x0055
_RESTART = 4
_TEXTS, _PARAMETERS = 10, 200


def order_ids(orders: Collection[str]) -> frozenset[int]:
    """The messages that carry these orders, and the upgrade where there is any: who takes orders takes firmware."""
    ids = {_ORDER_IDS[order] for order in orders if order in _ORDER_IDS}
    return frozenset(ids | {_UPGRADE} if ids else ids)


class Firmware(Protocol):
    """What becomes of an upgrade's packets."""

    def packet(self, number: int, total: int, data: bytes) -> bool:
        """Packet `number` of `total`, from 1; whether it is taken."""
        ...

    def logged_in(self) -> int | None:
        """The platform has taken a login: the result that 0x0108 then tells, None where there is none to tell."""
        ...


class Installed:
    """Firmware that is only counted: what came whole is installed at the next login."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self._result: int | None = None

    def packet(self, number: int, total: int, data: bytes) -> bool:
        if number == 1:
            self.parts = []
        if number != len(self.parts) + 1:
            return False
        self.parts.append(data)
        if number == total:
            self._result = _OK
        return True

    def logged_in(self) -> int | None:
        result, self._result = self._result, None
        return result


class Told(msgspec.Struct, frozen=True):
    """What the terminal says to an order, as (message id, body), and whether it starts anew afterwards."""

    answers: tuple[tuple[int, bytes], ...]
    restarts: bool = False


class Surface(Protocol):
    """The vehicle, as far as orders reach it."""

    def place(self) -> bytes:
        """A location body of now."""
        ...

    def hold(self, metric: str, value: Value) -> None:
        """A metric keeps this value from now on."""
        ...

    def let_go(self, metric: str) -> None:
        """A metric moves freely again."""
        ...


class TerminalOrders:
    """The memory of one terminal: parameters, texts, fences, firmware. Bounded, whatever it is told."""

    def __init__(self, known: frozenset[int], version: int, terminal_id: str, surface: Surface) -> None:
        self.fences = Fences(version)
        self.firmware: Firmware = Installed()
        self.release = "1.0"
        self.texts: list[str] = []
        self.parameters: dict[int, bytes] = {_REPORT_S: struct.pack(">I", 30), _MAX_SPEED: struct.pack(">I", 80)}
        self._known, self._modern = known, version == 2019
        self._terminal_id = terminal_id
        self._surface = surface
        self._release_offered = self.release
        self._told_report = False

    @property
    def report_s(self) -> float | None:
        """How often to report, where the platform has said so."""
        return float(struct.unpack(">I", self.parameters[_REPORT_S])[0]) if self._told_report else None

    @property
    def max_speed_kmh(self) -> int:
        """What the terminal takes for too fast."""
        return int(struct.unpack(">I", self.parameters[_MAX_SPEED])[0])

    def hear(self, message_id: int, serial: int, body: bytes, packet: tuple[int, int] | None = None) -> Told:
        """Do what the message says. `packet` is (total, number) for a part of a longer one."""
        if message_id not in self._known:
            return _general(serial, message_id, _UNSUPPORTED)
        if message_id == _UPGRADE:
            return self._upgrade(serial, body, packet or (1, 1))
        if packet is not None and packet[0] > 1:
            return _general(serial, message_id, _WRONG)  # no other order is long enough to be worth a buffer
        if message_id in _FENCES:
            return _general(serial, message_id, _OK if self.fences.tell(message_id, body) else _WRONG)
        try:
            return self._obey(message_id, serial, body)
        except (struct.error, IndexError, UnicodeDecodeError):
            return _general(serial, message_id, _WRONG)

    def _obey(self, message_id: int, serial: int, body: bytes) -> Told:
        match message_id:
            case 0x8201:
                return Told(((0x0201, struct.pack(">H", serial) + self._surface.place()),))
            case 0x8104:
                return self._tell_parameters(serial, list(self.parameters))
            case 0x8106:
                return self._tell_parameters(serial, struct.unpack_from(f">{body[0]}I", body, 1))
            case 0x8107:
                return Told(((ATTRIBUTES, self._attributes()),))
            case 0x8500:
                self._surface.hold("doors_locked", bool(body[-1] & 1))
                return Told(((0x0500, struct.pack(">H", serial) + self._surface.place()),))
            case 0x8103:
                self._set_parameters(body)
            case 0x8203:
                self._confirm(struct.unpack(">HI", body)[1])
            case 0x8300:
                self.texts = [*self.texts[1 - _TEXTS :], body[2 if self._modern else 1 :].decode("gbk")]
            case 0x8105:
                known = body[0] == _RESTART
                return _general(serial, message_id, _OK if known else _UNSUPPORTED, restarts=known)
            case _:
                pass  # heard, and nothing to do for it
        return _general(serial, message_id, _OK)

    def _tell_parameters(self, serial: int, numbers: Collection[int]) -> Told:
        known = [(number, self.parameters[number]) for number in numbers if number in self.parameters]
        items = b"".join(struct.pack(">IB", number, len(value)) + value for number, value in known)
        return Told(((0x0104, struct.pack(">HB", serial, len(known)) + items),))

    def _set_parameters(self, body: bytes) -> None:
        at = 1
        values: dict[int, bytes] = {}
        for _ in range(body[0]):
            number, size = struct.unpack_from(">IB", body, at)
            values[number] = body[at + 5 : at + 5 + size]
            if len(values[number]) != size or (number in {_REPORT_S, _MAX_SPEED} and size != 4):
                raise struct.error("a value of another size")
            at += 5 + size
        if len({*self.parameters, *values}) > _PARAMETERS:
            raise struct.error("no room")
        self.parameters |= values
        self._told_report = self._told_report or _REPORT_S in values

    def _confirm(self, alarms: int) -> None:
        for bit, metric in ((0, "sos"), (20, "area_crossed"), (27, "illegal_ignition"), (28, "illegal_displacement")):
            if alarms >> bit & 1:
                self._surface.let_go(metric)

    def _attributes(self) -> bytes:
        """0x0107: a goods vehicle's terminal; maker 5, model 20 (30), id 7 (30), ICCID, versions, GPS and BDS, LTE."""
        model, own = (30, 30) if self._modern else (20, 7)
        texts = b"CNSIM" + b"SIM-808".ljust(model, b"\0") + self._terminal_id.encode().ljust(own, b"\0")[:own]
        release = self.release.encode()
        head = struct.pack(">H", 1 << 2) + texts + bytes.fromhex("89860000000000000808")
        return head + b"\x021A" + bytes((len(release),)) + release + b"\x03\x20"

    def _upgrade(self, serial: int, body: bytes, packet: tuple[int, int]) -> Told:
        """Packets in order. The first begins with kind, maker 5, counted version and size."""
        total, number = packet
        data = body
        if number == 1:
            if len(body) < 7 or len(body) < 11 + body[6]:
                return _general(serial, _UPGRADE, _WRONG)
            self._release_offered = body[7 : 7 + body[6]].decode("gbk", errors="replace")
            data = body[11 + body[6] :]
        taken = self.firmware.packet(number, total, data)
        return _general(serial, _UPGRADE, _OK if taken else _FAILED, restarts=taken and number == total)

    def logged_in(self) -> bytes | None:
        """The 0x0108 that is due after a login; None where none is."""
        result = self.firmware.logged_in()
        if result is None:
            return None
        if result == _OK:
            self.release = self._release_offered
        return bytes((0, result))


def _general(serial: int, message_id: int, result: int, *, restarts: bool = False) -> Told:
    return Told(((GENERAL_ANSWER, general_answer_body(serial, message_id, result)),), restarts)
