"""Awaiting what may hide a cancellation, without losing it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["attempt"]

_T = TypeVar("_T")


async def attempt(work: Coroutine[Any, Any, _T]) -> _T:
    """Run `work` in a task of its own; its result or its error. Cancelled, it ends `work` first and is cancelled for certain.

    Awaited directly, `work` could hide the caller's cancellation, and a loop around it would never end: before Python
    3.12 `asyncio.wait_for`, which libraries are built on, returns a result that came at that moment; before 3.13 a
    TaskGroup raises the error of a child that failed at that moment; and leaving a broken connection may raise another.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # looked at: the end is what was asked for
        raise
    return task.result()
