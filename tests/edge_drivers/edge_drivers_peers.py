"""What the driver tests share: a recording inlet, small profiles, and the far ends of lines."""

import asyncio
import contextlib
import os
import socket
import tty
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any

from device_profiles.model import CommandSpec, Profile, Reporting
from device_profiles.quantities import Metric, MetricType, NumberType, Scaling, Text
from device_profiles.wires import Wire
from device_profiles.wires.coap import CoapWire
from device_profiles.wires.documents import DocumentField, TimeField
from device_profiles.wires.jt808 import Jt808Wire
from device_profiles.wires.modbus import ModbusWire, RegisterArea, RegisterField
from device_profiles.wires.modbus_orders import RegisterOrder
from device_profiles.wires.mqtt import MqttTopic, MqttWire
from device_profiles.wires.serial import BinaryField, BinaryLayout, SerialWire
from edge_agent.config import DeviceConfig
from edge_agent.drivers import Driver
from edge_agent.heard import Heard, Verdict
from telemetry.clock import Clock, SystemClock
from telemetry.reason import Reason


class Notebook:
    """An inlet that writes everything down and answers what it is told to."""

    def __init__(self) -> None:
        self.clock: Clock = SystemClock()
        self.heard: list[Heard] = []
        self.refused: list[tuple[str, Reason, str, bytes]] = []
        self.admitted: list[DeviceConfig] = []
        self.verdict = Verdict.COMMITTED
        self.gate: asyncio.Event | None = None
        self.under_way = 0
        self.most_under_way = 0

    async def accept(self, heard: Heard) -> Verdict:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            if self.gate is not None:
                await self.gate.wait()
            self.heard.append(heard)
            return self.verdict
        finally:
            self.under_way -= 1

    def refuse(self, source: str, reason: Reason, detail: str, raw: bytes = b"") -> None:
        self.refused.append((source, reason, detail, raw))

    def admit(self, device: DeviceConfig) -> None:
        self.admitted.append(device)

    def of(self, device: str) -> list[Heard]:
        return [heard for heard in self.heard if heard.device == device]

    def reasons(self, source: str = "") -> set[Reason]:
        return {reason for who, reason, _, _ in self.refused if not source or who == source}


@contextlib.asynccontextmanager
async def running(driver: Driver, inlet: Notebook) -> AsyncIterator[Driver]:
    """The driver at work; its stop is clean and takes less than a second."""
    task = asyncio.create_task(driver.run(inlet))
    try:
        await eventually(lambda: driver.started.is_set() or task.done())
        if task.done():
            task.result()
        yield driver
    finally:
        loop = asyncio.get_running_loop()
        before = loop.time()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert loop.time() - before < 1.0, "a cancelled driver closes within a second"


async def eventually(true: Callable[[], object], within_s: float = 8.0) -> None:
    """Wait until `true()`; AssertionError when it does not come about."""
    try:
        async with asyncio.timeout(within_s):
            while not true():  # noqa: ASYNC110  # what is waited for has no event of its own
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"not within {within_s} s") from None


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Pty:
    """A pty pair in raw mode: `path` is the end that an agent opens, the methods are the device's end."""

    def __init__(self) -> None:
        self._master, slave = os.openpty()
        tty.setraw(slave)
        self.path = os.ttyname(slave)
        self._slave: int | None = slave
        os.set_blocking(self._master, False)

    def write(self, data: bytes) -> None:
        os.write(self._master, data)

    def read(self) -> bytes:
        try:
            return os.read(self._master, 4096)
        except OSError:
            return b""

    @property
    def fileno(self) -> int:
        return self._master

    def unplug(self) -> None:
        """The device end goes away: the open port reads an error, the path can no longer be opened."""
        for end in (self._slave, self._master):
            if end is not None and end >= 0:
                os.close(end)
        self._slave, self._master = None, -1


class Bus:
    """A Modbus RTU device end on a pty, answering each request as `answer(request) -> bytes` says."""

    def __init__(self, answer: Callable[[bytes], bytes | Sequence[bytes]]) -> None:
        self.pty = Pty()
        self.answer = answer
        self.requests: list[bytes] = []
        self.times: list[float] = []
        asyncio.get_running_loop().add_reader(self.pty.fileno, self._ready)

    def _ready(self) -> None:
        request = self.pty.read()
        if not request:
            return
        self.requests.append(request)
        self.times.append(asyncio.get_running_loop().time())
        reply = self.answer(request)
        for part in [reply] if isinstance(reply, bytes) else reply:
            if part:
                self.pty.write(part)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self.pty.fileno)
        self.pty.unplug()


@contextlib.asynccontextmanager
async def bus(answer: Callable[[bytes], bytes | Sequence[bytes]]) -> AsyncIterator[Bus]:
    line = Bus(answer)
    try:
        yield line
    finally:
        if line.pty.fileno >= 0:
            line.close()


def metric(name: str, kind: MetricType = MetricType.FLOAT, unit: str = "1") -> Metric:
    return Metric(name=name, type=kind, unit=unit, title=Text(name, name))


def profile(name: str, wire: Wire, *metrics: Metric, commands: Sequence[CommandSpec] = ()) -> Profile:
    return Profile(
        name=name,
        version=1,
        kind="test",
        title=Text(name, name),
        source="made for the tests",
        metrics={m.name: m for m in metrics},
        wire=wire,
        reporting=Reporting(interval_s=60.0),
        alarms={},
        matters={},
        commands={c.name: c for c in commands},
    )


def command(name: str, area: RegisterArea, address: int, *, argument: str, high: int, **place: Any) -> CommandSpec:
    """An order; `place` says how the number lies there (type, scaling, word_order)."""
    field = RegisterField(metric=argument, area=area, address=address, **place)
    return CommandSpec(
        name=name, title=Text("令", name), argument=argument, low=0, high=high, register=RegisterOrder(field=field)
    )


def modbus_profile(name: str = "loop", *, poll_s: float = 0.05, timeout_s: float = 0.15, turnaround_ms: int = 0) -> Profile:
    """Voltage in input register 0, current in holding register 100, contactor in coil 3: three requests a round."""
    wire = ModbusWire(
        registers=(
            RegisterField(metric="voltage_v", area=RegisterArea.INPUT, address=0, scaling=Scaling(scale=0.1)),
            RegisterField(metric="current_a", area=RegisterArea.HOLDING, address=100, scaling=Scaling(scale=0.01)),
            RegisterField(metric="contactor_closed", area=RegisterArea.COIL, address=3),
        ),
        poll_s=poll_s,
        timeout_s=timeout_s,
        turnaround_ms=turnaround_ms,
    )
    switch = command("switch", RegisterArea.COIL, 3, argument="closed", high=1)
    limit = command("limit", RegisterArea.HOLDING, 100, argument="level", high=1000)
    return profile(
        name,
        Wire(modbus=wire),
        metric("voltage_v", unit="V"),
        metric("current_a", unit="A"),
        metric("contactor_closed", MetricType.BOOLEAN),
        commands=(switch, limit),
    )


def air_profile(name: str = "air", *, poll_s: float = 0.05, timeout_s: float = 0.15) -> Profile:
    """Ammonia in holding register 0 and nothing else."""
    wire = ModbusWire(
        registers=(RegisterField(metric="nh3_ppm", area=RegisterArea.HOLDING, address=0, scaling=Scaling(scale=0.1)),),
        poll_s=poll_s,
        timeout_s=timeout_s,
    )
    return profile(name, Wire(modbus=wire), metric("nh3_ppm", unit="[ppm]"))


def serial_profile(name: str = "node", *, poll: bytes | None = None, poll_s: float = 0.05, timeout_s: float = 1.0) -> Profile:
    """a5 5a, length, address, people u16, battery u8, sum8, 0d."""
    layout = BinaryLayout(
        start=b"\xa5\x5a",
        end=b"\x0d",
        address_at=3,
        length_at=2,
        max_size=32,
        checksum="sum8",
        fields=(
            BinaryField(metric="people_count", at=4, type=NumberType.U16),
            BinaryField(metric="battery_pct", at=6, type=NumberType.U8),
        ),
    )
    return profile(
        name,
        Wire(serial=SerialWire(layout=layout, poll=poll, poll_address_at=3, poll_s=poll_s, timeout_s=timeout_s)),
        metric("people_count", MetricType.INTEGER),
        metric("battery_pct", unit="%"),
    )


_DOCUMENT = (
    DocumentField(metric="water_level_cm", path=("level",)),
    DocumentField(metric="cover_open", path=("open",)),
)
_DOCUMENT_METRICS = (metric("water_level_cm", unit="cm"), metric("cover_open", MetricType.BOOLEAN))


def coap_profile(name: str = "cover", path: str = "t/up") -> Profile:
    wire = CoapWire(path=path, fields=_DOCUMENT, time=TimeField(path=("ts",)), identity=("dev",))
    return profile(name, Wire(coap=wire), *_DOCUMENT_METRICS)


def mqtt_profile(name: str = "counter", topic: str = "sensors/{address}/state") -> Profile:
    wire = MqttWire(topics=(MqttTopic(topic=topic, fields=_DOCUMENT, time=TimeField(path=("ts",))),))
    return profile(name, Wire(mqtt=wire), *_DOCUMENT_METRICS)


def vehicle_profile(name: str = "vehicle") -> Profile:
    names = ("latitude", "longitude", "altitude_m", "speed_kmh", "course_deg")
    wire = Jt808Wire(fields={n: n for n in names}, status_bits={0: "acc_on"})
    return profile(name, Wire(jt808=wire), *(metric(n) for n in names), metric("acc_on", MetricType.BOOLEAN))


@contextlib.contextmanager
def pumped(near: Pty, far: Pty) -> Iterator[None]:
    """Two ptys joined at their device ends, as a null modem."""
    loop = asyncio.get_running_loop()
    loop.add_reader(near.fileno, lambda: far.write(near.read()))
    loop.add_reader(far.fileno, lambda: near.write(far.read()))
    try:
        yield
    finally:
        for end in (near, far):
            loop.remove_reader(end.fileno)
            end.unplug()


@contextlib.asynccontextmanager
async def serving(
    handler: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], port: int = 0
) -> AsyncIterator[int]:
    """A TCP server for one test: its port. Every connection is closed before the test ends."""
    writers: set[asyncio.StreamWriter] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await handler(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        writers.discard(writer)

    server = await asyncio.start_server(handle, "127.0.0.1", port)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for writer in writers:
            writer.close()
        await eventually(lambda: not writers)


@contextlib.asynccontextmanager
async def dialled(driver: Driver, takes: int = 0) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to the driver's listener; `takes` bounds what the kernel keeps of its answers."""
    with socket.socket() as end:
        if takes:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, takes)
        end.setblocking(False)
        await asyncio.get_running_loop().sock_connect(end, driver.ports[0])
        reader, writer = await asyncio.open_connection(sock=end.dup(), limit=takes or 2**16)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
