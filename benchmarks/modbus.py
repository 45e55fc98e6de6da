"""What polling costs: five hundred devices and a bus, and the same devices polled by the ThingsBoard gateway.

The devices, the cloud's side of the broker and the clock are in this process; a gateway is a program of its own, of which
processor time and memory are read from the kernel. A machine that is busy with other work makes it slower, not dearer.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec

from benchmarks.modbus_agents import Arrived, OurGateway, PeerGateway
from benchmarks.modbus_field import REGISTERS, SerialField, TcpField, Told, missed
from benchmarks.peers.thingsboard import install
from benchmarks.servers import mosquitto

__all__ = ["Comparison", "PollFigures", "measure_against_thingsboard", "measure_modbus"]

_TCP_DEVICES, _TCP_PERIOD_S = 500, 5.0
_BUS_UNITS, _BUS_BAUD = 32, 9600
_SHARED_DEVICES, _SHARED_PERIOD_S = 240, 1.0
_WARM_S = 12.0
_SETTLE_S = 3.0
_LOOK_S = 0.5
_START_S = 60.0
_PEERS = Path(".peers/thingsboard")


class PollFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What one gateway did in `seconds`.

    `cpu_pct` is of one core, `cpu_us_per_reading` the same by what was read: on a machine that is too busy for it a gateway
    that leaves polls out does less, not better. `read` are the readings that the devices gave, by their own account,
    `arrived` those of them that came out of the broker, each once. `missed` are polls that were due and not made.
    `time_error_ms` is how far the time that a reading carries lies from when its device answered: the middle one and the
    worst. `own_times_pct` says in how many of a hundred the time is that of its own poll, nearer to it than to any other
    poll of the device.
    """

    gateway: str
    devices: int
    registers: int
    period_s: float
    seconds: float
    cpu_pct: float
    cpu_us_per_reading: float
    rss_mb: float
    read: int
    arrived: int
    missed: int
    time_error_p50_ms: float
    time_error_max_ms: float
    own_times_pct: float


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Both gateways on the same field, one after the other. `ratio` is the peer's processor time for a reading by ours,
    `ratio_of_shares` its share of a core by ours."""

    ours: PollFigures
    peer: PollFigures
    ratio: float
    ratio_of_shares: float


def measure_modbus(seconds: float) -> PollFigures:
    """500 devices with a connection each, and 32 units on a bus of 9600 baud, every 5 s."""
    with tempfile.TemporaryDirectory(prefix="citynerve-modbus-") as folder:
        gateway = OurGateway(Path(folder), _TCP_PERIOD_S)
        field = _Field(ports=_TCP_DEVICES, units=1, bus_units=_BUS_UNITS, period_s=_TCP_PERIOD_S)
        return asyncio.run(_measure(gateway, Path(folder), field, seconds))


def measure_against_thingsboard(seconds: float, say: Callable[[str], None]) -> Comparison:
    """240 units behind one port, read every second, by both gateways in turn.

    Installs the peer with pip where it is not there yet. Raises ServerMissingError without a broker.
    """
    programs = install(_PEERS.absolute())
    with tempfile.TemporaryDirectory(prefix="citynerve-modbus-") as folder:
        figures = []
        for name in ("ours", "peer"):
            where = Path(folder) / name
            where.mkdir()
            gateway: OurGateway | PeerGateway = OurGateway(where, _SHARED_PERIOD_S)
            if name == "peer":
                gateway = PeerGateway(programs, where, _SHARED_DEVICES, _SHARED_PERIOD_S)
            say(f"{gateway.name} ...")
            field = _Field(ports=1, units=_SHARED_DEVICES, bus_units=0, period_s=_SHARED_PERIOD_S)
            figures.append(asyncio.run(_measure(gateway, where, field, seconds)))
    ours, peer = figures
    return Comparison(
        ours=ours,
        peer=peer,
        ratio=round(peer.cpu_us_per_reading / max(ours.cpu_us_per_reading, 0.1), 1),
        ratio_of_shares=round(peer.cpu_pct / max(ours.cpu_pct, 0.01), 1),
    )


class _Field:
    """The devices of one measurement, on TCP and on a bus."""

    def __init__(self, *, ports: int, units: int, bus_units: int, period_s: float) -> None:
        self.period_s = period_s
        self.bus_units = bus_units
        self._units = units
        self._tcp = TcpField(ports, units)
        self._bus = SerialField(bus_units, _BUS_BAUD) if bus_units else None
        self.tcp_devices = ports * units

    async def start(self, stack: ExitStack) -> None:
        await self._tcp.start()
        stack.callback(self._tcp.stop)
        if self._bus is not None:
            await self._bus.start()
            stack.callback(self._bus.stop)

    def devices(self) -> list[tuple[int, int]]:
        return [(port, unit) for port in self._tcp.ports for unit in range(1, self._units + 1)]

    def serial(self) -> tuple[str, int, int] | None:
        return None if self._bus is None else (self._bus.path, _BUS_BAUD, self.bus_units)

    def told(self) -> list[Told]:
        """Every reading so far; the bus's devices are numbered after the others."""
        bus = [] if self._bus is None else self._bus.counters.told
        return [*self._tcp.counters.told, *(Told(self.tcp_devices + one.device, one.number, one.at_ns) for one in bus)]


async def _measure(gateway: OurGateway | PeerGateway, folder: Path, field: _Field, seconds: float) -> PollFigures:
    with ExitStack() as stack:
        broker_port = await asyncio.to_thread(stack.enter_context, mosquitto(folder))
        await field.start(stack)
        if isinstance(gateway, OurGateway):
            gateway.configure_field(broker_port, field.devices(), field.serial())
        else:
            gateway.configure(field.devices()[0][0], broker_port)
        async with asyncio.TaskGroup() as tasks:
            background = [tasks.create_task(gateway.listen(broker_port)), tasks.create_task(_watch(gateway))]
            await asyncio.sleep(_LOOK_S)
            await gateway.program.start()
            try:
                figures = await _window(gateway, field, seconds)
            finally:
                await gateway.program.stop()
                for task in background:
                    task.cancel()
    return figures


async def _window(gateway: OurGateway | PeerGateway, field: _Field, seconds: float) -> PollFigures:
    """Once every device is heard and the start is over, what happens within `seconds`."""
    everybody = field.tcp_devices + field.bus_units
    async with asyncio.timeout(_START_S + 4 * field.period_s):
        while len({one.device for one in field.told()}) < everybody:  # noqa: ASYNC110 - the devices have no event for it
            await asyncio.sleep(_LOOK_S)
    await asyncio.sleep(_WARM_S)
    gateway.program.look()
    began_ns, began_cpu_s = time.time_ns(), gateway.program.cpu_s
    await asyncio.sleep(seconds)
    gateway.program.look()
    until_ns, cpu_s = time.time_ns(), gateway.program.cpu_s - began_cpu_s
    await asyncio.sleep(_SETTLE_S)
    told = field.told()
    within = [one for one in told if began_ns <= one.at_ns < until_ns]
    errors_ms, own_pct = _times(within, told, gateway.read_at)
    return PollFigures(
        gateway=gateway.name,
        devices=everybody,
        registers=REGISTERS,
        period_s=field.period_s,
        seconds=round((until_ns - began_ns) / 1e9, 1),
        cpu_pct=round(100 * cpu_s / ((until_ns - began_ns) / 1e9), 2),
        cpu_us_per_reading=round(1e6 * cpu_s / max(len(within), 1), 1),
        rss_mb=round(gateway.program.rss_mb, 1),
        read=len(within),
        arrived=sum((one.device, one.number) in gateway.read_at for one in within),
        missed=missed(told, everybody, field.period_s, began_ns, until_ns),
        time_error_p50_ms=round(statistics.median(errors_ms), 1) if errors_ms else 0.0,
        time_error_max_ms=round(max(errors_ms, default=0.0), 1),
        own_times_pct=own_pct,
    )


def _times(within: Sequence[Told], told: Sequence[Told], read_at: Arrived) -> tuple[list[float], float]:
    """How far each reading's time is from its poll, in ms; and how many of a hundred are nearest to their own poll."""
    polls = {(one.device, one.number): one.at_ns for one in told}
    errors_ms: list[float] = []
    own = 0
    for one in within:
        said_ns = read_at.get((one.device, one.number))
        if said_ns is None:
            continue
        error_ns = abs(said_ns - one.at_ns)
        errors_ms.append(error_ns / 1e6)
        beside = [polls.get((one.device, one.number + step)) for step in (-1, 1)]
        own += all(error_ns < abs(said_ns - at_ns) for at_ns in beside if at_ns is not None)
    return errors_ms, round(100 * own / len(errors_ms), 2) if errors_ms else 0.0


async def _watch(gateway: OurGateway | PeerGateway) -> None:
    while True:
        gateway.program.look()
        await asyncio.sleep(_LOOK_S)
