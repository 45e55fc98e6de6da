"""One gateway in one world: field, link, broker and what is behind it, and one fault that happens to it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import msgspec

from benchmarks.peers.field import Field, Told
from benchmarks.peers.program import Program
from benchmarks.servers import mosquitto
from simulators.faults import FaultyProxy, Impairment, Mode

__all__ = ["UNDER_WAY_S", "Fault", "Gateway", "Row", "Timing", "last_before", "run_world"]

UNDER_WAY_S = 3.0
"""What was read after the last reading that survived, and so shortly before the kill, was promised to nobody: the agent
commits its readings once a second, and on a busy machine a commit takes its time. The same is granted to every gateway."""
_QUIET_S = 20.0
"""A gateway of which nothing more has come for so long has sent what it has."""
_LOOK_S = 0.5


class Fault(StrEnum):
    """What happens. Only the link between gateway and broker, or the gateway's process, is ever touched."""

    NONE = "none"
    RESET = "link reset and refused"
    STALL = "silent stall, then reset"
    KILL = "kill -9 while connected"
    RESET_KILL = "link reset and refused, kill -9, restart"


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds before, of and after a fault."""

    before: float = 20.0
    fault: float = 30.0
    after: float = 40.0


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the readings of one world.

    `offered` is what the gateway read from the devices, told by the devices themselves; `missing` of them never arrived;
    `under_way` never arrived either and were the last before a kill (`UNDER_WAY_S`). Processor share is of one core.
    """

    gateway: str
    fault: Fault
    run: int
    offered: int
    arrived: int
    missing: int
    under_way: int
    duplicates: int
    requests_per_s: float
    cpu_pct: float
    rss_mb: float


class Gateway(Protocol):
    """One of the compared."""

    name: str
    program: Program
    arrived: set[Told]
    duplicates: int

    def configure(self, field_port: int, link_port: int) -> None:
        """Write the configuration."""
        ...

    async def begin(self, broker_port: int) -> None:
        """Start whatever has to run behind the broker."""
        ...

    async def listen(self, broker_port: int) -> None:
        """Count what arrives, until cancelled."""
        ...

    async def settle(self) -> None:
        """The last word on what has arrived."""
        ...


async def run_world(gateway: Gateway, folder: Path, fault: Fault, run: int, timing: Timing, *, units: int) -> Row:
    """Let one gateway live through one fault and count. Everything it starts is gone when this returns."""
    async with AsyncExitStack() as stack:
        broker_port = await _broker(stack, folder)
        field = Field(units)
        field_port = await field.start()
        stack.callback(field.stop)
        link = await stack.enter_async_context(FaultyProxy(("127.0.0.1", broker_port)))
        gateway.configure(field_port, link.address[1])
        await gateway.begin(broker_port)
        stack.push_async_callback(gateway.settle)
        async with asyncio.TaskGroup() as tasks:
            background = [tasks.create_task(gateway.listen(broker_port)), tasks.create_task(_watch(gateway.program))]
            await gateway.program.start()
            stack.push_async_callback(gateway.program.stop)
            killed_at, cost = await _suffer(gateway, link, field, fault, timing)
            offered = dict(field.told)
            await _drain(gateway, offered)
            for task in background:
                task.cancel()
    gone = {told: at for told, at in offered.items() if told not in gateway.arrived}
    under_way = 0 if killed_at is None else last_before(killed_at, offered, gone)
    return Row(
        gateway=gateway.name,
        fault=fault,
        run=run,
        offered=len(offered),
        arrived=len(offered) - len(gone),
        missing=len(gone) - under_way,
        under_way=under_way,
        duplicates=gateway.duplicates,
        requests_per_s=round(cost.requests / cost.seconds, 1),
        cpu_pct=round(100 * cost.cpu_s / cost.seconds, 1),
        rss_mb=round(gateway.program.rss_mb, 1),
    )


def last_before(killed_at: float, offered: dict[Told, float], gone: dict[Told, float]) -> int:
    """How many of what is gone were read after everything that survived, and shortly before the kill."""
    survived = max((at for told, at in offered.items() if at <= killed_at and told not in gone), default=0.0)
    return sum(max(survived, killed_at - UNDER_WAY_S) <= at <= killed_at for at in gone.values())


class _Cost(msgspec.Struct, frozen=True):
    seconds: float
    requests: int
    cpu_s: float


async def _suffer(gateway: Gateway, link: FaultyProxy, field: Field, fault: Fault, timing: Timing) -> tuple[float | None, _Cost]:
    """Before, fault, after; when the gateway was killed, and what it cost from the middle of `before` on."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(timing.before / 2)
    gateway.program.look()
    start_s, requests, cpu_s = loop.time(), field.requests, gateway.program.cpu_s
    await asyncio.sleep(timing.before / 2)
    killed_at = await _FAULTS[fault](gateway, link, timing.fault)
    await asyncio.sleep(timing.after)
    gateway.program.look()
    return killed_at, _Cost(loop.time() - start_s, field.requests - requests, gateway.program.cpu_s - cpu_s)


async def _nothing(_gateway: Gateway, _link: FaultyProxy, seconds: float) -> None:
    await asyncio.sleep(seconds)


async def _reset(_gateway: Gateway, link: FaultyProxy, seconds: float) -> None:
    await link.change(Impairment(mode=Mode.RESET))
    await asyncio.sleep(seconds)
    await link.change()


async def _stall(_gateway: Gateway, link: FaultyProxy, seconds: float) -> None:
    await link.change(Impairment(mode=Mode.SWALLOW))
    await asyncio.sleep(seconds)
    link.reset()
    await link.change()


async def _kill(gateway: Gateway, _link: FaultyProxy, _seconds: float) -> float:
    killed_at = asyncio.get_running_loop().time()
    await gateway.program.kill()
    await gateway.program.start()
    return killed_at


async def _reset_kill(gateway: Gateway, link: FaultyProxy, seconds: float) -> float:
    await link.change(Impairment(mode=Mode.RESET))
    await asyncio.sleep(seconds)
    killed_at = await _kill(gateway, link, seconds)
    await link.change()
    return killed_at


_FAULTS: dict[Fault, Callable[[Gateway, FaultyProxy, float], Awaitable[float | None]]] = {
    Fault.NONE: _nothing,
    Fault.RESET: _reset,
    Fault.STALL: _stall,
    Fault.KILL: _kill,
    Fault.RESET_KILL: _reset_kill,
}


async def _drain(gateway: Gateway, offered: dict[Told, float]) -> None:
    """Give what was read until now its time to arrive: until all of it has, or nothing of it came for a while."""
    left, quiet_s = len(offered), 0.0
    while left and quiet_s < _QUIET_S:
        await asyncio.sleep(_LOOK_S)
        before, left = left, len(offered.keys() - gateway.arrived)
        quiet_s = 0.0 if left < before else quiet_s + _LOOK_S


async def _watch(program: Program) -> None:
    while True:
        program.look()
        await asyncio.sleep(_LOOK_S)


async def _broker(stack: AsyncExitStack, folder: Path) -> int:
    """A broker of its own: started and stopped off the loop, since starting waits for its port."""
    server = mosquitto(folder)
    port = await asyncio.to_thread(server.__enter__)
    stack.push_async_callback(lambda: asyncio.to_thread(server.__exit__, None, None, None))
    return port
