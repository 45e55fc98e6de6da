"""How far a long piece of work is: a bar where a person looks on, one line every ten seconds where nobody does."""

import sys
import time
from types import TracebackType
from typing import Final, Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

__all__ = ["Told"]

_EVERY_S: Final = 10.0


class Told:
    """A context. `total` is in any unit, `rows` and `refused` are counted beside it; `quiet` tells nothing."""

    def __init__(
        self, what: str, total: int, *, quiet: bool = False, out: TextIO | None = None, every_s: float = _EVERY_S
    ) -> None:
        self._what = what
        self._total = max(total, 1)
        self._out = out or sys.stderr
        self._quiet = quiet
        self._every_s = every_s
        self._began = self._told = time.monotonic()
        self._bar: Progress | None = None
        if not quiet and self._out.isatty():
            shape = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
            self._bar = Progress(*shape, console=Console(file=self._out), transient=True)
            self._task = self._bar.add_task(what, total=self._total)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def tell(self, done: int, rows: int, refused: int = 0) -> None:
        """`done` of the total, and what came of it so far."""
        now = time.monotonic()
        rate = rows / max(now - self._began, 1e-3)
        beside = f"{rows} rows, {rate:.0f}/s" + (f", {refused} refused" if refused else "")
        if self._bar is not None:
            self._bar.update(self._task, completed=min(done, self._total), description=f"{self._what}: {beside}")
        elif not self._quiet and now - self._told >= self._every_s:
            self._told = now
            share = min(done / self._total, 1.0)
            left_s = (now - self._began) * (1 - share) / share if share else 0.0
            print(f"{self._what}: {share:.0%}, {beside}, about {left_s:.0f} s left", file=self._out, flush=True)
