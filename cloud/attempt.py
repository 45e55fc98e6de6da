"""One attempt of a loop that tries again after every error, and that must be stoppable all the same."""

import asyncio
from collections.abc import Coroutine
from typing import Any

__all__ = ["attempt"]


async def attempt(work: Coroutine[Any, Any, None]) -> None:
    """Run `work` in a task of its own and raise what it raises. Cancelled, it ends `work` first and is cancelled for certain.

    Awaited directly, `work` could hide the caller's cancellation: before Python 3.13 a TaskGroup whose child fails at
    that moment raises the child's error alone, and leaving a broken connection may raise an error of its own instead.
    A loop that retries after errors would then never end.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait([task])
        raise
    task.result()
