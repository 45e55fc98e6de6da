"""Commands from the cloud: at most once to the device, at least once an answer."""

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable
from zlib import crc32

import apsw

from edge_agent.desk import Desk
from edge_agent.drivers import Driver
from edge_agent.outbox.outbox import Outbox
from edge_agent.updates.room import ACTION, TurnedDownError, UpdateRoom, stored
from telemetry.clock import SECOND_NS
from telemetry.reason import Reason
from telemetry.records import Command, CommandResult, Outcome

__all__ = ["CommandRoom"]

logger = logging.getLogger(__name__)

_CAPACITY = 64
_LINES = 4
"""Devices are spread over so many lines; each line does one command at a time, so a device's commands keep their order."""
_ACT_S = 30.0
"""The longest a device may take over one command."""
_REMEMBERED = 256
_GRACE_S = 5.0
"""How much longer than a command is good a patient driver may take to say what came of it."""


@runtime_checkable
class Patient(Protocol):
    """A driver whose devices sleep: a command waits there until its device wakes, as long as it is good, and others' commands do
    not wait for it. The driver keeps the order of one device's commands."""

    patient: bool


class CommandRoom:
    """Checks commands in the order in which they come and hands them to the driver of their device.

    The counter is on disk before the device hears of the command: after a crash in between, the command is not acted
    on twice. A command that comes again (MQTT may repeat it) is counted and not answered a second time. An update takes its
    package from the folder `packages`, and is answered by `updates` when it ends.
    """

    def __init__(
        self,
        gateway: str,
        outbox: Outbox,
        desk: Desk,
        driver_of: Mapping[str, Driver],
        *,
        updates: UpdateRoom,
        packages: Path,
    ) -> None:
        self._gateway = gateway
        self._clock = desk.clock
        self._outbox = outbox
        self._desk = desk
        self._driver_of = driver_of
        self._updates = updates
        self._packages = packages
        self._queue: asyncio.Queue[Command] = asyncio.Queue(_CAPACITY)
        self._lines: list[asyncio.Queue[Command]] = [asyncio.Queue(_CAPACITY) for _ in range(_LINES)]
        self._known: deque[str] = deque(maxlen=_REMEMBERED)
        self._asleep = 0

    def take(self, command: Command) -> None:
        """Queue a command; one too many is refused and counted, and the cloud will miss its result."""
        try:
            self._queue.put_nowait(command)
        except asyncio.QueueFull:
            self._desk.refuse("cloud", Reason.QUEUE_FULL, f"command {command.id}: {_CAPACITY} are waiting already")

    async def run(self) -> None:
        """Carry out commands until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._check_all(), name="commands check")
            for number, line in enumerate(self._lines):
                tasks.create_task(self._work(line, tasks), name=f"commands line {number}")

    async def _check_all(self) -> None:
        while True:
            command = await self._queue.get()
            if command.id in self._known:
                self._desk.refuse("cloud", Reason.DUPLICATE, f"command {command.id} has come before")
                continue
            self._known.append(command.id)
            refusal = await self._refusal(command)
            if refusal is None:
                await self._lines[crc32(command.device.encode()) % _LINES].put(command)
            else:
                await self._answer(refusal)

    async def _work(self, line: "asyncio.Queue[Command]", tasks: asyncio.TaskGroup) -> None:
        while True:
            command = await line.get()
            expiry = self._expiry(command)
            if expiry is None and command.action == ACTION:
                await self._update(command)
            elif expiry is None and isinstance(self._driver_of.get(command.device), Patient):
                await self._leave_waiting(command, tasks)
            else:
                await self._answer(expiry or await self._carry_out(command, _ACT_S))

    async def _update(self, command: Command) -> None:
        """Begin an update. That it has begun is no result: the result comes at its end, hours later where the device sleeps."""
        try:
            load = stored(self._packages, str(command.args.get("package", "")))
            await self._updates.start(command.device, load, command.id)
        except TurnedDownError as refusal:
            await self._answer(self._result(command, Outcome.REFUSED, refusal.reason, refusal.detail))

    async def _leave_waiting(self, command: Command, tasks: asyncio.TaskGroup) -> None:
        """Let a command wait for its device, beside the line."""
        if self._asleep >= _CAPACITY:
            detail = f"{_CAPACITY} commands wait for devices that sleep"
            await self._answer(self._result(command, Outcome.REFUSED, Reason.QUEUE_FULL, detail))
            return
        self._asleep += 1
        tasks.create_task(self._wait_for_device(command), name=f"command {command.id}")

    async def _wait_for_device(self, command: Command) -> None:
        left_ns = command.issued_ns + command.ttl_s * SECOND_NS - self._clock.wall_ns()
        try:
            await self._answer(await self._carry_out(command, max(_ACT_S, left_ns / SECOND_NS + _GRACE_S)))
        finally:
            self._asleep -= 1

    async def _answer(self, result: CommandResult) -> None:
        logger.info(
            "command %s: %s",
            result.id,
            result.outcome,
            extra={"event": "command.result", "command": result.id, "device": result.device, "outcome": result.outcome.value},
        )
        if result.outcome in {Outcome.REFUSED, Outcome.EXPIRED} and result.reason is not None:
            self._desk.refuse("cloud", result.reason, f"command {result.id}: {result.detail}")
        await self._desk.record(result.device, result)

    async def _carry_out(self, command: Command, limit_s: float) -> CommandResult:
        device = self._desk.device(command.device)
        driver = self._driver_of.get(command.device)
        if device is None or driver is None:
            return self._result(command, Outcome.REFUSED, Reason.UNKNOWN_DEVICE, "no driver here speaks to it")
        try:
            async with asyncio.timeout(limit_s):
                return await driver.command(command, device)
        except TimeoutError:
            return self._result(command, Outcome.UNKNOWN, Reason.TIMEOUT, f"no answer within {limit_s:.0f} s")
        except Exception as error:  # a driver's fault is the command's result, not the agent's end
            logger.exception("command %s failed", command.id, extra={"event": "command.failed", "command": command.id})
            return self._result(command, Outcome.UNKNOWN, Reason.INTERRUPTED, f"{type(error).__name__}: {error}"[:200])

    async def _refusal(self, command: Command) -> CommandResult | None:
        """The answer to a command that may not be acted on; None when it may, and its counter is then on disk."""
        if command.gateway != self._gateway:
            return self._result(command, Outcome.REFUSED, Reason.GATEWAY_MISMATCH, f"is for {command.gateway}")
        expiry = self._expiry(command)
        if expiry is not None:
            return expiry
        try:
            is_new = await self._outbox.advance_counter(command.counter)
        except apsw.Error as error:
            return self._result(command, Outcome.REFUSED, Reason.STORE_UNAVAILABLE, f"its counter cannot be kept: {error}"[:200])
        if not is_new:
            detail = f"counter {command.counter} is not above the last one"
            return self._result(command, Outcome.REFUSED, Reason.DUPLICATE, detail)
        return None

    def _expiry(self, command: Command) -> CommandResult | None:
        if self._clock.wall_ns() <= command.issued_ns + command.ttl_s * SECOND_NS:
            return None
        return self._result(command, Outcome.EXPIRED, Reason.EXPIRED, f"was good for {command.ttl_s} s")

    def _result(self, command: Command, outcome: Outcome, reason: Reason, detail: str) -> CommandResult:
        now_ns = self._clock.wall_ns()
        return CommandResult(id=command.id, device=command.device, outcome=outcome, time_ns=now_ns, reason=reason, detail=detail)
