"""The time that the agent lives by: the monotonic clock plus an offset, and who vouches for it.

The machine's wall clock is one witness among three. The kernel may say that a time source disciplines it, the cloud
says what time it is there whenever it answers a hello, and what the gateway saw before is a floor. A jump that nobody
vouches for never moves a time that somebody has vouched for. What was stamped before anybody did is not rewritten:
it carries the stamp of its segment, and once the true offset of this boot is known the outbox corrects it on the way out.
"""

import logging
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

import apsw
import msgspec

from edge_agent.adjtimex import Discipline
from edge_agent.outbox.clocks import ClockStamp
from telemetry.clock import SECOND_NS, Clock
from telemetry.reason import Reason
from telemetry.records import ClockQuality

__all__ = ["BUILT_NS", "Book", "ClockMemory", "ClockStatus", "Jump", "Timekeeper", "Voucher"]

logger = logging.getLogger(__name__)

BUILT_NS = 1_748_736_000 * SECOND_NS
"""2025-06-01T00:00:00Z: no release of this agent is older, so no true time is."""

_JUMP_NS = SECOND_NS
"""A clock that moves further than this against the monotonic one was set, not slewed; half of it is a word that agrees."""
_FOLLOW_NS = 5_000_000
"""A disciplined clock is followed in steps of this size: reading two clocks is not exact, and each step is a segment."""
_DISAGREE_NS = 300 * SECOND_NS
"""Kernel and cloud this far apart contradict one another: the contract's limit for times ahead of the cloud."""
_WANDER = 10_000
"""A free crystal is off by less than 100 ppm: one part in so many."""
_HOLDOVER_NS = 24 * 3600 * SECOND_NS
"""How long a time is good after the last one who vouched for it: a second or two of wander, rarely more."""
_ASK_NS = 3600 * SECOND_NS
"""How often the cloud is asked again while the kernel does not vouch; 0.36 s of wander at most in between."""
_SLOWEST_WORD_NS = 60 * SECOND_NS
"""An answer that took longer says too little."""
_REMEMBER_NS = 600 * SECOND_NS
_SEGMENTS = 8


class Voucher(StrEnum):
    """Who vouches for the agent's time."""

    KERNEL = "kernel"
    CLOUD = "cloud"
    PAST = "past"
    """The kernel or the cloud did, not long ago; the monotonic clock has carried it on."""
    NOBODY = "nobody"


class Book(Protocol):
    """Where stamps and offsets are kept: the outbox."""

    def set_stamp(self, stamp: ClockStamp) -> None: ...

    async def fix_clock(self, boot_id: str, offset_ns: int) -> None: ...


class Jump(msgspec.Struct, frozen=True, kw_only=True):
    """The machine's clock was set: when by the agent's time, how far, and whether the kernel vouched for it."""

    at_ns: int
    by_ns: int
    vouched: bool


class ClockStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The agent's time, as its status shows it.

    `machine_ahead_ns` is the machine's clock minus the agent's, `cloud_ahead_ns` the cloud's minus the agent's when it
    last said so. `disputed`: the kernel claims a disciplined clock and the cloud says another time.
    """

    quality: ClockQuality
    voucher: Voucher
    boot_id: str
    offset_ns: int
    offset_known: bool
    machine_ahead_ns: int
    cloud_ahead_ns: int | None
    disputed: bool
    jumps: int
    last_jump: Jump | None


class ClockMemory(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What outlives the agent: the newest time that somebody vouched for, and by which offset of which boot."""

    wall_ns: int
    monotonic_ns: int
    boot_id: str
    offset_ns: int
    quality: ClockQuality


class _Now(msgspec.Struct, frozen=True):
    monotonic_ns: int
    wall_ns: int

    @property
    def offset_ns(self) -> int:
        return self.wall_ns - self.monotonic_ns


class _Word(msgspec.Struct, frozen=True):
    """What the cloud said: its wall time minus this boot's monotonic one, good to half of `rtt_ns`."""

    offset_ns: int
    rtt_ns: int
    monotonic_ns: int


class _Segment(msgspec.Struct, frozen=True):
    """A stretch of monotonic time and the offset that was used in it."""

    offset_ns: int
    from_ns: int
    to_ns: int


def _unnoticed(source: str, reason: Reason, detail: str) -> None:
    logger.warning("%s: %s: %s", source, reason, detail, extra={"event": "clock.refused"})


class Timekeeper:
    """The agent's clock; every part of it takes this one. `stamp` says how far to trust it now.

    Call `tick` once a second, and `learn` with each answer of the cloud that says its time.
    """

    def __init__(self, machine: Clock, kernel: Discipline, boot_id: str) -> None:
        self._machine = machine
        self._kernel = kernel
        now = _read(machine)
        self.stamp = ClockStamp(boot_id=boot_id, quality=ClockQuality.UNSYNCED, offset_ns=now.offset_ns)
        self._voucher = Voucher.NOBODY
        self._vouched_ns: int | None = None
        """Monotonic, when somebody last vouched for the agent's time; None: nobody did in this boot."""
        self._word: _Word | None = None
        self._asked_ns = now.monotonic_ns
        self._floor_ns = BUILT_NS
        self._seen_ns = now.offset_ns
        """The machine's offset that has been accepted or flagged: what a jump is measured from."""
        self._began_ns = now.monotonic_ns
        self._past: deque[_Segment] = deque(maxlen=_SEGMENTS)
        self._true_ns: int | None = None
        self._is_written = False
        self._disputed = False
        self._jumps = 0
        self._last_jump: Jump | None = None
        self._remembered: ClockMemory | None = None
        self._book: Book | None = None
        self._refuse: Callable[[str, Reason, str], None] = _unnoticed
        self._settle(now)

    # The clock.

    def wall_ns(self) -> int:
        return max(1, self._machine.monotonic_ns() + self.stamp.offset_ns)

    def monotonic_ns(self) -> int:
        return self._machine.monotonic_ns()

    @property
    def is_vouched(self) -> bool:
        """Whether the agent's time may be held against a device's own."""
        return self.stamp.quality is not ClockQuality.UNSYNCED

    def present(self, wall_ns: int) -> int:
        """A time that was read from this clock a moment ago, in the offset that holds now.

        Between the arrival of bytes and their judgement the clock may have been put right.
        """
        now_ns, offset_ns = self._machine.monotonic_ns(), self.stamp.offset_ns
        if not self._past or self._began_ns <= wall_ns - offset_ns <= now_ns:
            return wall_ns
        for past in reversed(self._past):
            if past.from_ns <= wall_ns - past.offset_ns <= past.to_ns:
                return wall_ns - past.offset_ns + offset_ns
        return wall_ns

    # The witnesses.

    def attach(self, book: Book, refuse: Callable[[str, Reason, str], None]) -> None:
        """Tell the outbox of every stamp from now on, and `refuse` of every jump that nobody vouches for."""
        self._book, self._refuse = book, refuse
        book.set_stamp(self.stamp)

    async def tick(self) -> None:
        """Look at the machine's clock and the kernel's word."""
        now = _read(self._machine)
        self._watch(now)
        self._settle(now)
        await self._write()

    async def learn(self, server_ns: int, rtt_ns: int) -> None:
        """Take the cloud's word: its time when it answered, and how long the answer took.

        A time before this release was made, or one that took more than a minute, is no word.
        """
        now = _read(self._machine)
        if server_ns < BUILT_NS or not 0 <= rtt_ns <= _SLOWEST_WORD_NS:
            word = {"event": "clock.no_word", "server_ns": server_ns, "rtt_ns": rtt_ns}
            logger.info("no use for the cloud's time", extra=word)
            return
        self._word = _Word(server_ns + rtt_ns // 2 - now.monotonic_ns, rtt_ns, now.monotonic_ns)
        self._asked_ns = now.monotonic_ns
        self._watch(now)
        if not self._kernel_vouches(now):
            self._follow_word(now, self._word)
        self._settle(now)
        # Not before the cloud has spoken: a kernel that is wrong must not put its time on what was stamped by nobody's.
        if self._true_ns is None and self._voucher is not Voucher.NOBODY:
            self._true_ns = self.stamp.offset_ns
        await self._write()

    def asks(self) -> bool:
        """Whether to ask the cloud for its time now: once an hour, while the kernel does not vouch."""
        now_ns = self._machine.monotonic_ns()
        if self._voucher is Voucher.KERNEL or now_ns - self._asked_ns < _ASK_NS:
            return False
        self._asked_ns = now_ns
        return True

    # What outlives the agent.

    def recall(self, data: bytes) -> None:
        """Go on from what an earlier run remembered; msgspec.MsgspecError for what it never wrote.

        In the same boot its time is carried on. In any, an earlier time is not believed without the cloud.
        """
        memory = msgspec.msgpack.decode(data, type=ClockMemory)
        now = _read(self._machine)
        self._floor_ns = max(BUILT_NS, memory.wall_ns - _DISAGREE_NS)
        if self._voucher is Voucher.KERNEL and not self._kernel_vouches(now):
            self._vouched_ns = None
            self._begin(now, Voucher.NOBODY, ClockQuality.UNSYNCED, self.stamp.offset_ns)
        same_boot = memory.boot_id == self.stamp.boot_id and memory.monotonic_ns <= now.monotonic_ns
        if same_boot and self._voucher is Voucher.NOBODY:
            self._vouched_ns, self._true_ns, self._is_written = memory.monotonic_ns, memory.offset_ns, True
            self._begin(now, Voucher.PAST, memory.quality, memory.offset_ns)
        self._settle(now)

    def memory(self) -> bytes | None:
        """What to store now; None where nothing is new that `recall` would need."""
        if self._voucher not in {Voucher.KERNEL, Voucher.CLOUD} or self._vouched_ns is None:
            return None
        last, wall_ns = self._remembered, self._vouched_ns + self.stamp.offset_ns
        known = last is not None and (last.offset_ns, last.quality) == (self.stamp.offset_ns, self.stamp.quality)
        if known and last is not None and 0 <= wall_ns - last.wall_ns < _REMEMBER_NS:
            return None
        stamp = self.stamp
        self._remembered = ClockMemory(
            wall_ns=wall_ns,
            monotonic_ns=self._vouched_ns,
            boot_id=stamp.boot_id,
            offset_ns=stamp.offset_ns,
            quality=stamp.quality,
        )
        return msgspec.msgpack.encode(self._remembered)

    def status(self) -> ClockStatus:
        """What a person asks of a gateway's clock."""
        return ClockStatus(
            quality=self.stamp.quality,
            voucher=self._voucher,
            boot_id=self.stamp.boot_id,
            offset_ns=self.stamp.offset_ns,
            offset_known=self._true_ns is not None,
            machine_ahead_ns=_read(self._machine).offset_ns - self.stamp.offset_ns,
            cloud_ahead_ns=self._word.offset_ns - self.stamp.offset_ns if self._word else None,
            disputed=self._disputed,
            jumps=self._jumps,
            last_jump=self._last_jump,
        )

    # The judgement.

    def _kernel_vouches(self, now: _Now) -> bool:
        """Whether the kernel's claim is to be believed: not before the floor, unless the cloud says the same time."""
        if now.wall_ns < BUILT_NS or not self._kernel.vouches():
            return False
        return now.wall_ns >= self._floor_ns or (self._word is not None and not _contradicts(self._word, now))

    def _watch(self, now: _Now) -> None:
        """Notice a jump of the machine's clock, once."""
        vouched, by_ns = self._kernel_vouches(now), now.offset_ns - self._seen_ns
        if abs(by_ns) <= _JUMP_NS:
            # A slewed clock never jumps, however far it goes in a year.
            self._seen_ns = now.offset_ns if vouched else self._seen_ns
            return
        self._seen_ns = now.offset_ns
        self._jumps += 1
        self._last_jump = Jump(at_ns=self.wall_ns(), by_ns=by_ns, vouched=vouched)
        if not vouched:
            self._refuse("clock", Reason.CLOCK_UNSYNCED, f"the machine's clock jumped by {by_ns / SECOND_NS:+.3f} s")

    def _settle(self, now: _Now) -> None:
        """Who vouches now, and what that makes of the agent's time."""
        kernel = self._kernel_vouches(now)
        self._disputed = kernel and self._word is not None and _contradicts(self._word, now)
        if self._disputed:
            # What was stamped unsynced may go out as it is: it must not change afterwards.
            self._is_written = True
            self._begin(now, Voucher.NOBODY, ClockQuality.UNSYNCED, self.stamp.offset_ns)
        elif kernel:
            self._vouch(now, Voucher.KERNEL, ClockQuality.SYNCED, now.offset_ns)
        elif self._vouched_ns is not None and now.monotonic_ns - self._vouched_ns > _HOLDOVER_NS:
            self._begin(now, Voucher.NOBODY, ClockQuality.UNSYNCED, self.stamp.offset_ns)
        elif self._voucher is Voucher.KERNEL:
            self._begin(now, Voucher.PAST, self.stamp.quality, self.stamp.offset_ns)
        elif self._voucher is Voucher.NOBODY and self._word is not None:
            self._follow_word(now, self._word)
        elif self._vouched_ns is None and abs(now.offset_ns - self.stamp.offset_ns) > _JUMP_NS:
            self._begin(now, Voucher.NOBODY, ClockQuality.UNSYNCED, now.offset_ns)

    def _follow_word(self, now: _Now, word: _Word) -> None:
        """The cloud's word without the kernel's: the agent's time where it agrees, or the machine's, or else the cloud's."""
        if now.monotonic_ns - word.monotonic_ns > _HOLDOVER_NS:
            return
        held_ns, near_ns = self.stamp.offset_ns, max(_JUMP_NS // 2, word.rtt_ns)
        if self._vouched_ns is not None and abs(held_ns - word.offset_ns) <= near_ns:
            agrees = abs(now.offset_ns - held_ns) <= _JUMP_NS
            self._vouch(now, Voucher.CLOUD, ClockQuality.SYNCED if agrees else ClockQuality.CLOUD, held_ns)
        elif abs(now.offset_ns - word.offset_ns) <= near_ns:
            self._vouch(now, Voucher.CLOUD, ClockQuality.SYNCED, now.offset_ns)
        else:
            self._vouch(now, Voucher.CLOUD, ClockQuality.CLOUD, word.offset_ns)

    def _vouch(self, now: _Now, voucher: Voucher, quality: ClockQuality, offset_ns: int) -> None:
        self._vouched_ns = now.monotonic_ns
        if abs(offset_ns - self.stamp.offset_ns) <= _FOLLOW_NS:
            offset_ns = self.stamp.offset_ns
        self._begin(now, voucher, quality, offset_ns)

    def _begin(self, now: _Now, voucher: Voucher, quality: ClockQuality, offset_ns: int) -> None:
        """A new segment, where anything in it is new."""
        self._voucher, before = voucher, self.stamp
        after = ClockStamp(boot_id=before.boot_id, quality=quality, offset_ns=offset_ns)
        if after == before:
            return
        self._past.append(_Segment(before.offset_ns, self._began_ns, now.monotonic_ns))
        self._began_ns, self.stamp = now.monotonic_ns, after
        logger.info(
            "the agent's clock: %s, vouched for by %s",
            quality,
            voucher,
            extra={"event": "clock.segment", "by_s": (offset_ns - before.offset_ns) / SECOND_NS, "disputed": self._disputed},
        )
        if self._book is not None:
            self._book.set_stamp(after)

    async def _write(self) -> None:
        """Put the true offset of this boot on disk, once: what goes out twice must be the same twice."""
        if self._true_ns is None or self._is_written or self._book is None:
            return
        try:
            await self._book.fix_clock(self.stamp.boot_id, self._true_ns)
        except (apsw.Error, OSError) as error:
            logger.warning("the clock's offset is not on disk yet: %s", error, extra={"event": "clock.not_written"})
        else:
            self._is_written = True


def _contradicts(word: _Word, now: _Now) -> bool:
    """Whether the machine's clock and the cloud's word cannot both be right, by more than their age explains."""
    wander_ns = (now.monotonic_ns - word.monotonic_ns) // _WANDER
    return abs(now.offset_ns - word.offset_ns) > _DISAGREE_NS + word.rtt_ns // 2 + wander_ns


def _read(clock: Clock, tries: int = 3) -> _Now:
    """Both clocks at one instant; read again where the machine was busy with something else in between."""
    before_ns = clock.monotonic_ns()
    wall_ns = clock.wall_ns()
    after_ns = clock.monotonic_ns()
    if after_ns - before_ns > 1_000_000 and tries > 1:
        return _read(clock, tries - 1)
    return _Now((before_ns + after_ns) // 2, wall_ns)
