"""Record what an agent hears on the wire: a relay before its port that writes a wire log."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from simulators.listener import Address
from simulators.relay import TcpRelay, UdpRelay
from simulators.wire_log import LogTap
from telemetry.clock import Clock, SystemClock

__all__ = ["record"]


async def record(
    listen: Address,
    target: Address,
    out: Path,
    *,
    udp: bool = False,
    clock: Clock | None = None,
    started: Callable[[Address, LogTap], None] | None = None,
) -> None:
    """Relay between devices that call `listen` and the agent at `target`, appending to `out`, until cancelled.

    `started` is told the bound address (for port 0) and the tap, whose counts go on growing. OSError where the port or
    the file cannot be had.
    """
    with out.open("a", encoding="utf-8") as lines:
        tap = LogTap(lines, clock or SystemClock(), "udp" if udp else "tcp")
        relay = (
            UdpRelay(target, tap, host=listen[0], port=listen[1])
            if udp
            else TcpRelay(target, tap, host=listen[0], port=listen[1])
        )
        address = await relay.start()
        if started is not None:
            started(address, tap)
        try:
            await (relay.run() if isinstance(relay, UdpRelay) else asyncio.get_running_loop().create_future())
        finally:
            await relay.stop()
