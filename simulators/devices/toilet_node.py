"""Public-toilet nodes on a serial line: the binary frames of their profile, asked for or unasked."""

import asyncio
from collections.abc import Sequence

from device_profiles.model import Profile
from device_profiles.wires.serial import SerialWire
from firmware_bridge.serial_layout import encode_frame, poll_frame
from simulators.actions import How
from simulators.devices.base import Device, Surroundings
from simulators.pty_line import PtyLine
from simulators.scenario import DeviceSpec

__all__ = ["SerialBus", "ToiletNode"]

_BUFFER = 512
_FLOOD_S, _WATCH_S = 0.02, 0.2
_FLOOD_BYTES = 24
_LATE_S = 3.0


class ToiletNode(Device):
    """One node; `spoken` counts the frames it put on the line."""

    def __init__(self, spec: DeviceSpec, profile: Profile, around: Surroundings) -> None:
        super().__init__(spec, profile, around)
        if profile.wire.serial is None:
            raise ValueError(f"{spec.id}: profile {profile.name} has no serial wire")
        self.wire: SerialWire = profile.wire.serial
        self.unit = int(spec.address)
        self.poll = poll_frame(self.wire, self.unit)

    def speak(self, now_ns: int) -> bytes:
        """The node's frame as of `now_ns`, undamaged."""
        return encode_frame(self.profile, self.unit, self.values(now_ns))


class SerialBus:
    """Nodes on one RS-485 pair, as one pty whose other end the agent opens."""

    def __init__(self, nodes: Sequence[ToiletNode]) -> None:
        self._nodes = nodes
        self._heard = bytearray()
        self.line = PtyLine()

    async def start(self) -> str:
        """Begin to listen; the path that the agent opens."""
        self.line.start()
        return self.line.path

    async def close(self) -> None:
        """Unplug the line."""
        self.line.close()

    async def run(self) -> None:
        """Answer polls, and speak unasked where the model does, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for node in self._nodes:
                group.create_task(self._chatter(node))
                if node.poll is None:
                    group.create_task(self._speak_unasked(node, group))
            while True:
                self._heard += await self.line.read()
                for node in self._asked():
                    node.account.requests += 1
                    self._speak(node, group)

    def _asked(self) -> list[ToiletNode]:
        """The nodes whose polls the line has brought, in order; what is no poll is forgotten in time."""
        found: list[tuple[int, ToiletNode]] = []
        for node in self._nodes:
            if node.poll is not None and (at := self._heard.find(node.poll)) >= 0:
                found.append((at, node))
                self._heard[at : at + len(node.poll)] = bytes(len(node.poll))
        del self._heard[:-_BUFFER]
        return [node for _, node in sorted(found, key=lambda pair: pair[0])]

    def _speak(self, node: ToiletNode, group: asyncio.TaskGroup) -> None:
        now_ns = node.clock.wall_ns()
        how, frame = node.misbehaves(now_ns), node.speak(now_ns)
        match how:
            case How.SILENT:
                return
            case How.NOISE:
                frame = node.noise.spoil(frame)
            case How.CUT:
                frame = frame[: len(frame) // 2]
            case How.WRONG_UNIT:
                frame = encode_frame(node.profile, (node.unit % 247) + 1, node.values(now_ns))
            case How.LATE | How.FLOOD | None:
                pass
        understood = how in {None, How.FLOOD}
        node.account.spoken += understood
        node.account.spoiled += not understood
        if how is How.LATE:
            group.create_task(self._write_later(frame))
        else:
            self.line.write(frame)

    async def _write_later(self, frame: bytes) -> None:
        await asyncio.sleep(_LATE_S)
        self.line.write(frame)

    async def _speak_unasked(self, node: ToiletNode, group: asyncio.TaskGroup) -> None:
        due = node.clock.monotonic_ns()
        while True:
            self._speak(node, group)
            due = node.following(due)
            await node.wait(due)

    async def _chatter(self, node: ToiletNode) -> None:
        """A node with a stuck transmitter talks into everybody's frames."""
        while True:
            floods = node.misbehaves(node.clock.wall_ns()) is How.FLOOD
            if floods:
                self.line.write(node.noise.garbage(_FLOOD_BYTES))
            await asyncio.sleep(_FLOOD_S if floods else _WATCH_S)
