"""An event loop whose time is counted, not waited for: the same seed gives the same run, to the byte.

When nothing is ready the loop jumps to its next timer. Work for executors is done on the loop itself, later by a drawn
delay, in order for each executor. There are no threads, no sockets and no clock, and sets of tasks have one order.
"""

import asyncio
import itertools
import random
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any
from weakref import WeakKeyDictionary

__all__ = ["SimClock", "VanishedError", "VirtualLoop"]

T0 = 1_760_000_000_000_000_000
"""Wall time at the start of every run: 2025-10-09T08:53:20Z."""


class VanishedError(BaseException):
    """Raised inside work whose process is gone: nobody will ever see a result. Not an Exception: nothing may handle it."""


class VirtualLoop(asyncio.BaseEventLoop):
    """`now` is the virtual time in seconds; `work_s` draws how long a piece of an executor's work takes."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.now = 0.0
        self.chance = chance
        self.work_s: Callable[[], float] = lambda: chance.expovariate(500)
        self.after_work: Callable[[], None] = lambda: None
        """Called after each piece of an executor's work."""
        self._selector = _Jump(self)
        self._clock_resolution = 1e-9
        self._busy_until: WeakKeyDictionary[Executor, float] = WeakKeyDictionary()
        numbers = itertools.count(1)
        self.set_task_factory(lambda loop, coro, **named: _Task(coro, loop=loop, number=next(numbers), **named))

    def time(self) -> float:
        return self.now

    def run_in_executor(self, executor: Executor | None, func: Callable[..., Any], *args: Any) -> "asyncio.Future[Any]":
        future: asyncio.Future[Any] = self.create_future()
        at = self.now + self.work_s()
        if executor is not None:
            at = max(at, self._busy_until.get(executor, 0.0))
            self._busy_until[executor] = at
        self.call_at(at, self._work, future, func, args)
        return future

    def _work(self, future: "asyncio.Future[Any]", func: Callable[..., Any], args: tuple[Any, ...]) -> None:
        if future.cancelled():
            return
        try:
            result = func(*args)
        except VanishedError:
            return  # the future stays open, as its process is no more
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits
            future.set_exception(error)
        else:
            future.set_result(result)
        self.after_work()

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none: nothing comes from outside."""

    def _write_to_self(self) -> None:
        """Nobody sleeps who would have to be woken."""


class _Jump:
    """Stands where a selector would wait."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("every task waits and no timer runs: this would hang for ever")
        self._loop.now += max(0.0, timeout)
        return []

    def close(self) -> None:
        """Nothing to let go of."""


class _Task(asyncio.Task):  # type: ignore[type-arg]
    """Hashed by its number: a TaskGroup cancels the members of a set, and must do so in the same order each time."""

    def __init__(self, coro: Any, *, number: int, **named: Any) -> None:
        self._number = number
        super().__init__(coro, **named)

    def __hash__(self) -> int:
        return self._number


class SimClock:
    """A `telemetry.clock.Clock` on the loop's time; `wrong_ns` is how far the wall clock is off."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._booted_ns = 0
        self.wrong_ns = 0

    def reboot(self) -> None:
        """The monotonic clock begins anew."""
        self._booted_ns = round(self._loop.now * 1e9)

    def monotonic_ns(self) -> int:
        return round(self._loop.now * 1e9) - self._booted_ns

    def wall_ns(self) -> int:
        return max(1, T0 + self.wrong_ns + round(self._loop.now * 1e9))
