"""Commands from the cloud: at most once to the device, at least once an answer."""

import asyncio
import logging
from collections.abc import Mapping

from edge_agent.desk import Desk
from edge_agent.drivers import Driver
from edge_agent.outbox import Outbox
from telemetry.clock import SECOND_NS
from telemetry.reason import Reason
from telemetry.records import Command, CommandResult, Outcome

__all__ = ["CommandRoom"]

logger = logging.getLogger(__name__)

_CAPACITY = 64
_WORKERS = 4
_ACT_S = 30.0
"""The longest a device may take over one command."""


class CommandRoom:
    """Checks commands and hands them to the driver of their device.

    The counter is on disk before the device hears of the command: after a crash in between, the command is not acted
    on twice, and its repeat is refused as a duplicate.
    """

    def __init__(self, gateway: str, outbox: Outbox, desk: Desk, driver_of: Mapping[str, Driver]) -> None:
        self._gateway = gateway
        self._clock = desk.clock
        self._outbox = outbox
        self._desk = desk
        self._driver_of = driver_of
        self._queue: asyncio.Queue[Command] = asyncio.Queue(_CAPACITY)

    def take(self, command: Command) -> None:
        """Queue a command; one too many is refused and counted, and the cloud will miss its result."""
        try:
            self._queue.put_nowait(command)
        except asyncio.QueueFull:
            self._desk.refuse("cloud", Reason.QUEUE_FULL, f"command {command.id}: {_CAPACITY} are waiting already")

    async def run(self) -> None:
        """Carry out commands, a few at a time, until cancelled."""
        async with asyncio.TaskGroup() as workers:
            for number in range(_WORKERS):
                workers.create_task(self._work(), name=f"commands {number}")

    async def _work(self) -> None:
        while True:
            command = await self._queue.get()
            result = await self._carry_out(command)
            logger.info(
                "command %s: %s",
                command.id,
                result.outcome,
                extra={
                    "event": "command.result",
                    "command": command.id,
                    "device": command.device,
                    "outcome": result.outcome.value,
                },
            )
            await self._desk.record(command.device, result)

    async def _carry_out(self, command: Command) -> CommandResult:
        refusal = await self._refusal(command)
        if refusal is not None:
            outcome, reason, detail = refusal
            self._desk.refuse("cloud", reason, f"command {command.id}: {detail}")
            return self._result(command, outcome, reason, detail)
        device = self._desk.device(command.device)
        driver = self._driver_of.get(command.device)
        if device is None or driver is None:
            return self._result(command, Outcome.REFUSED, Reason.UNKNOWN_DEVICE, "no driver here speaks to it")
        try:
            async with asyncio.timeout(_ACT_S):
                return await driver.command(command, device)
        except TimeoutError:
            return self._result(command, Outcome.UNKNOWN, Reason.TIMEOUT, f"no answer within {_ACT_S:.0f} s")
        except Exception as error:  # a driver's fault is the command's result, not the agent's end
            logger.exception("command %s failed", command.id, extra={"event": "command.failed", "command": command.id})
            return self._result(command, Outcome.UNKNOWN, Reason.INTERRUPTED, f"{type(error).__name__}: {error}"[:200])

    async def _refusal(self, command: Command) -> tuple[Outcome, Reason, str] | None:
        """Why a command may not be acted on; None when it may, and its counter is then on disk."""
        if command.gateway != self._gateway:
            return Outcome.REFUSED, Reason.GATEWAY_MISMATCH, f"is for {command.gateway}"
        if self._clock.wall_ns() > command.issued_ns + command.ttl_s * SECOND_NS:
            return Outcome.EXPIRED, Reason.EXPIRED, f"was good for {command.ttl_s} s"
        if not await self._outbox.advance_counter(command.counter):
            return Outcome.REFUSED, Reason.DUPLICATE, f"counter {command.counter} is not above the last one"
        return None

    def _result(self, command: Command, outcome: Outcome, reason: Reason, detail: str) -> CommandResult:
        now_ns = self._clock.wall_ns()
        return CommandResult(id=command.id, device=command.device, outcome=outcome, time_ns=now_ns, reason=reason, detail=detail)
