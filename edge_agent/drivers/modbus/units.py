"""What the driver knows of each unit on a line: its requests, prepared once, and which of them are due."""

from collections.abc import Mapping, Sequence

import msgspec

from device_profiles.model import Profile
from device_profiles.wires.modbus import ModbusWire, RegisterArea, RegisterField
from edge_agent.config import DeviceConfig, LinkConfig
from edge_agent.drivers.base import SetupError, profile_of
from edge_agent.drivers.modbus.reply import Request
from firmware_bridge.modbus.pdus import Function, ReadRequest, build_request
from firmware_bridge.modbus.plan import ReadBlock, plan_reads
from firmware_bridge.modbus.reader import RegisterReader

__all__ = ["READ", "Plan", "Unit", "make_units"]

READ: Mapping[RegisterArea, Function] = {
    RegisterArea.COIL: Function.READ_COILS,
    RegisterArea.DISCRETE: Function.READ_DISCRETE_INPUTS,
    RegisterArea.HOLDING: Function.READ_HOLDING_REGISTERS,
    RegisterArea.INPUT: Function.READ_INPUT_REGISTERS,
}

_PATIENCE = 3
"""Rounds in a row in which a block brought nothing, though its unit spoke, after which it is left out."""
_MOST_LEFT_OUT = 64
"""Rounds that such a block is left out at most."""


class Plan(msgspec.Struct, frozen=True):
    """What one round reads: the requests of each block, and what makes their replies metrics."""

    requests: tuple[tuple[ReadBlock, Request], ...]
    reader: RegisterReader


class _Sulking(msgspec.Struct):
    """A block that brought nothing `failures` times in a row, and the rounds for which it is still left out."""

    failures: int = 0
    rounds: int = 0


class Unit:
    """One device on the line. Registers of several periods are read in the rounds in which theirs is due, all of these by one
    plan; the shortest period is the unit's own."""

    def __init__(self, device: DeviceConfig, profile: Profile, wire: ModbusWire) -> None:
        self.device = device
        self.profile = profile
        self.wire = wire
        self.number = int(device.address)
        self.turnaround_s = wire.turnaround_ms / 1000
        self.periods_s = wire.periods_s
        self.period_s = self.periods_s[0]
        self._due_s = [0.0] * len(self.periods_s)
        self._plans: dict[tuple[bool, ...], Plan] = {}
        self._sulking: dict[ReadBlock, _Sulking] = {}

    def plan(self, now_s: float) -> Plan:
        """What the round at `now_s` of the loop's clock reads; the longer periods go on from here."""
        # Half of the shortest period early is in time: the next round would be later by as much.
        due = tuple(at <= now_s + self.period_s / 2 for at in self._due_s)
        for place, period_s in enumerate(self.periods_s):
            if due[place]:
                self._due_s[place] = now_s + period_s
        due = (True, *due[1:])
        if due not in self._plans:
            self._plans[due] = self._make(due)
        return self._plans[due]

    def asks_for(self, block: ReadBlock) -> bool:
        """Whether a block is asked for in this round, or left out since it never brings anything."""
        sulking = self._sulking.get(block)
        if sulking is None or sulking.rounds == 0:
            return True
        sulking.rounds -= 1
        return False

    def note(self, block: ReadBlock, *, silent: bool) -> None:
        """Whether a block that was asked for was passed over in silence by a unit that spoke otherwise."""
        if not silent:
            self._sulking.pop(block, None)
            return
        sulking = self._sulking.setdefault(block, _Sulking())
        sulking.failures += 1
        if sulking.failures >= _PATIENCE:
            sulking.rounds = min(2 ** (sulking.failures - _PATIENCE + 1), _MOST_LEFT_OUT)

    def _make(self, due: Sequence[bool]) -> Plan:
        periods_s = {period_s for period_s, its_turn in zip(self.periods_s, due, strict=True) if its_turn}
        fields = [field for field in self.wire.registers if (field.poll_s or self.wire.poll_s) in periods_s]
        return self._prepare(fields)

    def _prepare(self, fields: Sequence[RegisterField]) -> Plan:
        blocks = plan_reads(self.wire, fields)
        requests = tuple((block, Request.of(self.number, _read_pdu(block))) for block in blocks)
        return Plan(requests, RegisterReader(self.profile, blocks, fields))


def make_units(link: LinkConfig, catalog: Mapping[str, Profile]) -> tuple[Unit, ...]:
    """The units of a link; SetupError where a device does not fit it."""
    return tuple(_unit(link, device, catalog) for device in link.devices)


def _unit(link: LinkConfig, device: DeviceConfig, catalog: Mapping[str, Profile]) -> Unit:
    profile = profile_of(link, device, catalog)
    where = f"link {link.name}, device {device.id}"
    if profile.wire.modbus is None:
        raise SetupError(f"{where}: profile {profile.name} does not speak Modbus")
    if not (device.address.isascii() and device.address.isdigit() and 0 < int(device.address) <= 247):
        raise SetupError(f"{where}: address {device.address!r}, want a unit number from 1 to 247")
    return Unit(device, profile, profile.wire.modbus)


def _read_pdu(block: ReadBlock) -> bytes:
    return build_request(ReadRequest(function=READ[block.area], address=block.address, count=block.count))
