"""How the accounts and the clock of a gateway read, in the language of whoever asks."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from citynerve.messages import say

if TYPE_CHECKING:
    from edge_agent.status import LaneStatus, LossStatus
    from edge_agent.timekeeper import ClockStatus
    from telemetry.records import Lane

__all__ = ["clock_lines", "outbox_lines", "size", "span", "when"]


def outbox_lines(
    lanes: "Mapping[Lane, LaneStatus]", losses: "list[LossStatus]", *, epoch: str, max_bytes: int, now_ns: int
) -> Iterator[str]:
    """The outbox, line by line: what it holds of what it may, each lane's account as a sum, what was declared lost."""
    held, kept = (sum(getattr(lane, what) for lane in lanes.values()) for what in ("bytes", "kept_bytes"))
    yield say("outbox.head", epoch=epoch)
    share = f"{held / max_bytes:.1%}"
    yield say("outbox.bytes", held=size(held), most=size(max_bytes), share=share, kept=size(kept))
    for name, lane in lanes.items():
        total = lane.acked + lane.quarantined + lane.lost + lane.backlog
        verdict = say("outbox.sum_right" if total == lane.next_seq - 1 else "outbox.sum_wrong")
        yield say("outbox.lane", lane=say(f"outbox.{name}"), backlog=f"{lane.backlog:,}", size=size(lane.bytes))
        counts = {what: f"{getattr(lane, what):,}" for what in ("acked", "quarantined", "lost", "backlog")}
        yield "  " + say("outbox.sum", **counts, total=f"{total:,}", next=f"{lane.next_seq:,}", verdict=verdict)
        if lane.oldest_ns is not None:
            yield "  " + say("outbox.oldest", at=when(lane.oldest_ns), age=span(now_ns - lane.oldest_ns))
    if losses:
        yield say("outbox.losses", count=len(losses))
    yield from (f"  {_loss_line(loss)}" for loss in losses)


def _loss_line(loss: "LossStatus") -> str:
    return say(
        "outbox.loss",
        at=when(loss.at_ns),
        lane=say(f"outbox.{loss.lane}"),
        first=f"{loss.seq_from:,}",
        last=f"{loss.seq_to:,}{'+' if loss.open_end else ''}",
        reason=loss.reason,
        since=when(loss.time_from_ns) if loss.time_from_ns else "?",
        until=when(loss.time_to_ns),
    )


def clock_lines(clock: "ClockStatus") -> Iterator[str]:
    """The clock: who vouches for it, what the others say, its last jump."""
    known = say("clock.offset_known" if clock.offset_known else "clock.offset_unknown")
    yield say("clock.state", quality=say(f"clock.{clock.quality}"), voucher=say(f"clock.by_{clock.voucher}"), offset=known)
    if clock.disputed:
        yield say("clock.disputed")
    machine = f"{clock.machine_ahead_ns / 1e9:+.3f}"
    cloud = "?" if clock.cloud_ahead_ns is None else f"{clock.cloud_ahead_ns / 1e9:+.3f}"
    yield say("clock.others", machine=machine, cloud=cloud)
    if clock.last_jump is not None:
        jump = clock.last_jump
        trust = say("clock.jump_vouched" if jump.vouched else "clock.jump_ignored")
        yield say("clock.jump", count=clock.jumps, at=when(jump.at_ns), by=f"{jump.by_ns / 1e9:+.3f}", trust=trust)


def when(time_ns: int) -> str:
    """A time of day with its zone, this machine's."""
    return datetime.fromtimestamp(time_ns / 1e9).astimezone().isoformat(sep=" ", timespec="seconds")


def span(ns: int) -> str:
    """A length of time in its two largest units."""
    seconds = abs(ns) // 10**9
    units = [("d", seconds // 86400), ("h", seconds // 3600 % 24), ("min", seconds // 60 % 60), ("s", seconds % 60)]
    first = next((index for index, (_, number) in enumerate(units) if number), len(units) - 1)
    text = " ".join(f"{number} {unit}" for unit, number in units[first : first + 2])
    return f"-{text}" if ns < 0 else text


def size(count: int) -> str:
    """Bytes, in a unit that keeps the number small."""
    number, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB"):
        if number < 1024:
            break
        number, unit = number / 1024, larger
    return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
