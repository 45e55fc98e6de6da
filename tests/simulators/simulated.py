"""What the tests of simulated devices share: letting things happen to them, letting them live, and waiting."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from simulators.devices.base import Device, Runnable

__all__ = ["act", "alive", "until"]


def act(device: Device, do: str, **args: str | float) -> None:
    """Let something happen to a device now."""
    device.act(do, args, device.clock.wall_ns())


async def until(true: Callable[[], object]) -> None:
    """Returns when it is true; TimeoutError after some seconds."""
    async with asyncio.timeout(8):
        while not true():  # noqa: ASYNC110 (a test watches from outside)
            await asyncio.sleep(0.005)


@asynccontextmanager
async def alive(*runnables: Runnable) -> AsyncIterator[None]:
    """They live for as long as the context lasts."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(runnable.run()) for runnable in runnables]
        yield
        for task in tasks:
            task.cancel()
