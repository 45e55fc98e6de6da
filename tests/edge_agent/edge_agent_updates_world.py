"""One simulated bootloader behind each of its four languages, whose power, line and gateway fail where a test says."""

import asyncio
from collections.abc import Callable
from functools import cache
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_agent.backoff import Backoff
from edge_agent.updates.base import SilentError, Updatable
from edge_agent.updates.jt808 import TerminalUpdate
from edge_agent.updates.lwm2m import ResourcesUpdate
from edge_agent.updates.modbus_files import RecordsUpdate
from edge_agent.updates.runner import Prove, run_update
from edge_agent.updates.serial_prompt import PromptUpdate
from edge_agent.updates.transfer import Port
from firmware_bridge.errors import ParseError
from firmware_bridge.update.manifest import HEADER_BYTES, Manifest, check_image, digest_of
from firmware_bridge.update.package import Package, check_header, sign_package
from firmware_bridge.update.session import Ending, Limits
from simulators.devices.firmware.bootloader import Bootloader
from simulators.devices.firmware.faces import Object5, Prompt, RecordFiles, Terminal
from simulators.devices.firmware.flash import Power, PowerCutError
from telemetry.reason import Reason

__all__ = ["KEY", "WAYS", "GatewayCutError", "World", "package_of"]

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(32))
WAYS = ("records", "terminal", "object5", "prompt")
_T = TypeVar("_T")


def package_of(
    version: int,
    *,
    size: int = 2501,
    model: str = "lamp_loop",
    hardware: str = "B",
    key: Ed25519PrivateKey = KEY,
    chunk_bytes: int = 256,
    release: str = "",
) -> Package:
    image = bytes((version * 37 + len(release) + at * at) % 256 for at in range(size))
    manifest = Manifest(
        model=model,
        hardware=hardware,
        release=release or f"{version}.0",
        version=version,
        size=size,
        sha256=digest_of(image),
        chunk_bytes=chunk_bytes,
    )
    return sign_package(manifest, image, key)


@cache
def _sound(slot: bytes) -> Manifest | None:
    try:
        manifest = check_header(slot[:HEADER_BYTES], KEY.public_key())
        check_image(manifest, slot[HEADER_BYTES : HEADER_BYTES + manifest.size])
    except ParseError:
        return None
    return manifest


class GatewayCutError(Exception):
    """The gateway's power went away: nothing of the session is left."""


class World:
    """A device at version 3 with one way to it. `power_cuts`: after how many flash writes the power fails, one after the
    other; `lost`: contacts whose answer is lost; `gateway_cuts`: contacts within which the gateway dies, first before the
    device hears, with a negative number after it."""

    def __init__(
        self,
        way: str,
        *,
        power_cuts: tuple[int, ...] = (),
        lost: frozenset[int] = frozenset(),
        gateway_cuts: frozenset[int] = frozenset(),
        confirmed: int = 3,
    ) -> None:
        self.way = way
        self.device = Bootloader(KEY.public_key(), package_of(confirmed), room_bytes=8000)
        self.contacts = 0
        self.pieces_written = 0
        self._cuts = list(power_cuts)
        self._lost = lost
        self._gateway_cuts = gateway_cuts
        self._highest = confirmed
        self.device.flash.power = self._next_power()
        self._new_faces()

    def contact(self, work: Callable[[], _T]) -> _T:
        """Let the device do `work`, unless something fails at this contact."""
        self.contacts += 1
        if self.contacts in self._gateway_cuts:
            raise GatewayCutError
        try:
            result = work()
        except PowerCutError:
            self._power_up()
            raise SilentError(Reason.TIMEOUT, "no answer") from None
        except ParseError as error:
            raise SilentError(Reason.DEVICE_EXCEPTION, str(error)) from error
        self.check()
        if -self.contacts in self._gateway_cuts:
            raise GatewayCutError
        if self.contacts in self._lost:
            raise SilentError(Reason.TIMEOUT, "the answer was lost")
        return result

    def check(self) -> None:
        """What runs is signed, whole, and never older than anything that was ever confirmed. Looks at the flash itself."""
        record = self.device.flash.record()
        found = (_sound(bytes(slot)) for slot in self.device.flash.slots)
        sound = {manifest.version: manifest for manifest in found if manifest is not None}
        assert sound[self.device.running.version] == self.device.running
        self._highest = max(self._highest, record.counter)
        assert self.device.running.version >= self._highest
        assert record.counter == self._highest

    def updatable(self, package: Package) -> Updatable:
        """A gateway's view of the device, without a memory."""
        match self.way:
            case "records":
                return RecordsUpdate(_Files(self), package)
            case "terminal":
                return TerminalUpdate(_Terminal(self), package, "CITYN")
            case "object5":
                return ResourcesUpdate(_Resources(self), package)
            case _:
                return PromptUpdate(_Wire(self), package, answer_s=0.001, slow_s=0.001, quiet_s=0.001, clear_s=0.0001)

    async def update(self, package: Package, prove: Prove | None = None, limits: Limits | None = None) -> Ending:
        """One session; GatewayCutError where the gateway dies."""
        return await run_update(self.updatable(package), prove=prove, limits=limits, pauses=Backoff(0, 0))

    def _power_up(self) -> None:
        while True:
            self.device.flash.power = self._next_power()
            try:
                self.device.boot()
            except PowerCutError:
                continue
            self._new_faces()
            self.check()
            return

    def _next_power(self) -> Power:
        return Power(self._cuts.pop(0) if self._cuts else None)

    def _new_faces(self) -> None:
        self.records = RecordFiles(self.device)
        self.terminal = Terminal(self.device)
        self.results: list[int] = []
        self.object5 = Object5(self.device)
        self.prompt = Prompt(self.device)


class _Files:
    def __init__(self, world: World) -> None:
        self._world = world

    async def read(self, file: int, record: int, count: int) -> tuple[int, ...]:
        return self._world.contact(lambda: self._world.records.read(file, record, count))

    async def write(self, file: int, record: int, words: tuple[int, ...]) -> None:
        if file >= 16:
            self._world.pieces_written += 1
        self._world.contact(lambda: self._world.records.write(file, record, words))


class _Terminal:
    PACKET = 900

    def __init__(self, world: World) -> None:
        self._world = world

    async def send_upgrade(self, kind: int, maker: str, version: str, data: bytes) -> bool:
        assert (kind, maker) == (0, "CITYN")
        parts = [data[at : at + self.PACKET] for at in range(0, len(data), self.PACKET)]
        taken = [self._packet(number, len(parts), part) for number, part in enumerate(parts, 1)]
        return all(taken)

    def _packet(self, number: int, total: int, part: bytes) -> bool:
        return self._world.contact(lambda: self._world.terminal.packet(number, total, part))

    async def upgrade_result(self) -> int:
        self._log_in()
        if not self._world.results:
            raise SilentError(Reason.TIMEOUT, "no 0x0108")
        return self._world.results.pop()

    async def release(self) -> str:
        self._log_in()
        return self._world.contact(lambda: self._world.device.running.release)

    def _log_in(self) -> None:
        result = self._world.contact(self._world.terminal.logged_in)
        if result is not None:
            self._world.results.append(result)


class _Resources:
    BLOCK = 512

    def __init__(self, world: World) -> None:
        self._world = world

    async def read(self, path: str) -> int | str:
        self._world.contact(self._world.object5.registered)
        return self._world.contact(lambda: self._world.object5.read(path))

    async def write(self, path: str, data: bytes) -> None:
        assert path == "/5/0/0"
        for at in range(0, len(data), self.BLOCK):
            self._block(data[at : at + self.BLOCK], first=at == 0, last=at + self.BLOCK >= len(data))

    def _block(self, data: bytes, *, first: bool, last: bool) -> None:
        self._world.contact(lambda: self._world.object5.block(data, first=first, last=last))

    async def execute(self, path: str) -> None:
        self._world.contact(lambda: self._world.object5.execute(path))


class _Wire(Port):
    """A serial line straight into the prompt: what fails on it is silence."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._said = b""

    async def read(self, within_s: float) -> bytes:
        if not self._said:
            self._said = self._heard(self._world.prompt.quiet)
        said, self._said = self._said, b""
        if not said:
            await asyncio.sleep(min(within_s, 0.001))  # nothing will come
        return said

    async def write(self, data: bytes) -> None:
        if data:
            self._said += self._heard(lambda: self._world.prompt.feed(data))

    def say_last(self, data: bytes) -> None:
        self._heard(lambda: self._world.prompt.feed(data))

    def _heard(self, work: Callable[[], bytes]) -> bytes:
        try:
            return self._world.contact(work)
        except SilentError:
            return b""
