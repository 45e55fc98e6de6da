"""Plain serial devices: the frames or lines of their profile, asked for or unasked."""

import asyncio
from collections.abc import Sequence

from device_profiles.model import Profile
from device_profiles.wires.serial import SerialWire
from firmware_bridge.serial.frames import question, write_frame
from simulators.devices.base import Device, Surroundings
from simulators.devices.pty_bus import PtyBus
from simulators.scenario import DeviceSpec

__all__ = ["SerialBus", "SerialNode"]

_BUFFER = 512


class SerialNode(Device):
    """One device; `spoken` counts the frames it put on the line. One of several messages says them in turns."""

    def __init__(self, spec: DeviceSpec, profile: Profile, around: Surroundings) -> None:
        super().__init__(spec, profile, around)
        if profile.wire.serial is None:
            raise ValueError(f"{spec.id}: profile {profile.name} has no serial wire")
        self.wire: SerialWire = profile.wire.serial
        self.poll = question(self.wire, spec.address)
        self._turn = -1

    def speak(self, now_ns: int) -> bytes:
        """The device's next frame as of `now_ns`, undamaged."""
        self._turn = (self._turn + 1) % len(self.wire.layout.messages)
        return self.frame(now_ns, self.spec.address)

    def frame(self, now_ns: int, address: str) -> bytes:
        """The frame that `speak` said last, as of `now_ns` and in the name of `address`."""
        return write_frame(self.profile, address, self.values(now_ns), max(self._turn, 0))

    def another(self) -> str:
        """The address of somebody else."""
        return str(int(self.spec.address) % 247 + 1) if self.spec.address.isdigit() else f"{self.spec.address}X"


class SerialBus(PtyBus[SerialNode]):
    """Serial devices on one RS-485 pair."""

    def __init__(self, devices: Sequence[SerialNode]) -> None:
        super().__init__(devices)
        self._heard = bytearray()

    def begin(self, tasks: asyncio.TaskGroup) -> None:
        for node in self.devices:
            if node.poll is None:
                tasks.create_task(self._speak_unasked(node))

    def hear(self, data: bytes) -> None:
        self._heard += data
        for node in self._asked():
            node.account.requests += 1
            self._speak(node)

    def late_s(self, device: SerialNode) -> float:
        return 3 * device.wire.timeout_s

    def _asked(self) -> list[SerialNode]:
        """The nodes whose polls the line has brought, in order; what is no poll is forgotten in time."""
        found: list[tuple[int, SerialNode]] = []
        for node in self.devices:
            if node.poll is not None and (at := self._heard.find(node.poll)) >= 0:
                found.append((at, node))
                self._heard[at : at + len(node.poll)] = bytes(len(node.poll))
        del self._heard[:-_BUFFER]
        return [node for _, node in sorted(found, key=lambda pair: pair[0])]

    def _speak(self, node: SerialNode) -> None:
        now_ns = node.clock.wall_ns()
        node.account.spoken += self.put(node, node.speak(now_ns), lambda: node.frame(now_ns, node.another()))

    async def _speak_unasked(self, node: SerialNode) -> None:
        due = node.clock.monotonic_ns()
        while True:
            self._speak(node)
            due = node.following(due)
            await node.wait(due)
