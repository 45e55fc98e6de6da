"""How the demo shows itself: one live screen on a terminal, plain lines everywhere else."""

from collections import deque
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from citynerve.demo.accounts import Accounts
from citynerve.messages import say

__all__ = ["PlainLines", "Screen", "Show", "show_on"]

_HAPPENINGS = 14


class Show(Protocol):
    """Where the demo tells what happens."""

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...

    def tell(self, line: str) -> None:
        """One thing happened, in words."""
        ...

    def count(self, accounts: Accounts) -> None:
        """The counts as they stand."""
        ...

    def ready(self, url: str) -> None:
        """Everything runs, and this is where to look."""
        ...


def show_on(console: Console) -> Show:
    """The live screen where there is a terminal, plain lines where there is none."""
    return Screen(console) if console.is_terminal else PlainLines(console)


class PlainLines:
    """One line for each thing that happens; counts at the end only."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return

    def tell(self, line: str) -> None:
        self._console.print(f"{_time_of_day()}  {line}", markup=False, highlight=False, soft_wrap=True)

    def count(self, accounts: Accounts) -> None:
        return

    def ready(self, url: str) -> None:
        self.tell(say("demo.ready", url=url))


class Screen:
    """Counts above, the last happenings below, drawn over itself four times a second."""

    def __init__(self, console: Console) -> None:
        self._happenings: deque[str] = deque(maxlen=_HAPPENINGS)
        self._accounts = Accounts()
        self._url = ""
        self._live = Live(get_renderable=self._draw, console=console, refresh_per_second=4)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._live.__exit__(kind, error, trace)

    def tell(self, line: str) -> None:
        self._happenings.append(f"{_time_of_day()}  {line}")

    def count(self, accounts: Accounts) -> None:
        self._accounts = accounts

    def ready(self, url: str) -> None:
        self._url = url

    def _draw(self) -> Panel:
        happenings = Text("\n".join(self._happenings), no_wrap=True, overflow="ellipsis")
        body = Group(_counts(self._accounts, self._url), Text(), Text(say("demo.happenings"), style="bold"), happenings)
        return Panel(body, title=say("demo.title"), subtitle=say("demo.press"))


def _counts(accounts: Accounts, url: str) -> Table:
    r, ms = accounts.readings, accounts.latency_ms
    stations = {
        "produced": r.produced,
        "held": r.held_back,
        "committed": r.committed,
        "acked": r.acked,
        "stored": r.stored,
        "lost": r.lost_declared,
    }
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column()
    table.add_row(say("demo.console"), Text(url, style="bold underline"))
    table.add_row(say("demo.devices"), "  ".join(f"{kind} {n}" for kind, n in sorted(accounts.devices.items())))
    table.add_row(say("demo.readings"), "  ".join(f"{say(f'demo.{key}')} {n}" for key, n in stations.items()))
    table.add_row(say("demo.transitions"), str(accounts.transitions))
    table.add_row(say("demo.cases"), f"{accounts.cases.opened} / {accounts.cases.closed}")
    table.add_row(say("demo.notifications"), f"{accounts.notifications.sent} / {accounts.notifications.failed}")
    table.add_row(say("demo.latency"), f"{_milliseconds(ms.event_to_case_p50)} / {_milliseconds(ms.p99)}")
    return table


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"


def _time_of_day() -> str:
    return datetime.now().astimezone().strftime("%H:%M:%S %Z")
