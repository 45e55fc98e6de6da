"""What every driver has in common: the protocol, the account of a link, and how readings are handed over."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Protocol

import msgspec

from device_profiles.model import Profile
from edge_agent.backoff import Backoff
from edge_agent.config import DeviceConfig, LinkConfig
from edge_agent.heard import Heard, Inlet, Verdict
from edge_agent.link_kinds import ModbusTcpOptions, SerialOptions
from edge_agent.slots import Slots
from telemetry.clock import Clock
from telemetry.reason import Reason
from telemetry.records import Command, CommandResult, Outcome

__all__ = [
    "Deliveries",
    "Driver",
    "LinkDriver",
    "LinkHealth",
    "Listener",
    "SetupError",
    "Tally",
    "address_of",
    "profile_of",
    "reconnecting",
    "turn_down",
]


logger = logging.getLogger(__name__)


class SetupError(ValueError):
    """A link that cannot work as it is configured; names the link, the device and what was wanted."""


class LinkHealth(msgspec.Struct, frozen=True, kw_only=True):
    """How one link is doing. `devices` maps device id to the wall clock (ns) when it was last heard; `absent` are devices
    known to be gone (a last will, an availability); `up` means that the port is open, the peer connected or the listener
    bound; `detail` says the last thing that went wrong."""

    link: str
    driver: str
    up: bool
    detail: str = ""
    devices: Mapping[str, int] = {}
    heard: int = 0
    refused: int = 0
    polls: int = 0
    timeouts: int = 0
    connections: int = 0
    overflows: int = 0
    absent: tuple[str, ...] = ()


class Driver(Protocol):
    """The I/O of one link."""

    name: str
    """The link's name."""
    started: asyncio.Event
    """Set once `run` has opened what it can; for a listener, once it is bound."""
    ports: tuple[tuple[str, int], ...]
    """Where a listener is bound, as (host, port); empty for drivers that connect out."""

    async def run(self, inlet: Inlet) -> None:
        """Serve the link until cancelled. Reconnects by itself; the world's faults never come out of here."""
        ...

    async def command(self, command: Command, device: DeviceConfig) -> CommandResult:
        """Carry out one command; every way it can end is a result, none an exception."""
        ...

    def health(self) -> LinkHealth:
        """How the link is doing now."""
        ...


class Tally:
    """The running account behind a driver's `health()`."""

    def __init__(self, link: LinkConfig) -> None:
        self._link = link
        self._devices: dict[str, int] = {}
        self.up = False
        self.detail = ""
        self.heard = 0
        self.refused = 0
        self.polls = 0
        self.timeouts = 0
        self.connections = 0
        self.overflows = 0
        self.absent: set[str] = set()

    def hear(self, device: str, received_ns: int) -> None:
        """Count a reading of `device`."""
        self.heard += 1
        self._devices[device] = received_ns

    def opened(self) -> None:
        """The link works."""
        if not self.up:
            logger.info("link %s is up", self._link.name, extra={"event": "link.up", "link": self._link.name})
        self.up, self.detail = True, ""

    def closed(self, detail: str) -> None:
        """The link does not work, for the reason in `detail`."""
        if self.up:
            fields = {"event": "link.down", "link": self._link.name, "detail": detail}
            logger.info("link %s is down: %s", self._link.name, detail, extra=fields)
        self.up, self.detail = False, detail

    def health(self) -> LinkHealth:
        return LinkHealth(
            link=self._link.name,
            driver=self._link.driver.value,
            up=self.up,
            detail=self.detail,
            devices=dict(self._devices),
            heard=self.heard,
            refused=self.refused,
            polls=self.polls,
            timeouts=self.timeouts,
            connections=self.connections,
            overflows=self.overflows,
            absent=tuple(sorted(self.absent)),
        )


class LinkDriver:
    """What the drivers are made of: a name, an account, and no orders unless a language takes some."""

    def __init__(self, link: LinkConfig, clock: Clock) -> None:
        self.name = link.name
        self.started = asyncio.Event()
        self.ports: tuple[tuple[str, int], ...] = ()
        self._clock = clock
        self._tally = Tally(link)

    def health(self) -> LinkHealth:
        """How the link is doing now."""
        return self._tally.health()

    async def command(self, command: Command, device: DeviceConfig) -> CommandResult:
        """Carry out one command; every way it can end is a result, none an exception."""
        return turn_down(command, self._clock, Reason.UNKNOWN_COMMAND, f"{device.id} takes no commands")


class Listener(LinkDriver):
    """A driver that devices call, or that calls one peer: it serves until that fails, and begins again."""

    faults: tuple[type[Exception], ...] = (OSError,)
    """What the world may do to `serve`."""

    def __init__(self, link: LinkConfig, clock: Clock, where: str) -> None:
        super().__init__(link, clock)
        self._where = where
        """The address, for whoever reads what went wrong."""
        self._backoff = reconnecting()

    async def serve(self, inlet: Inlet, tasks: asyncio.TaskGroup) -> None:
        """Serve until cancelled or until it fails, by one of `faults`; what is begun in `tasks` outlives it."""
        raise NotImplementedError

    async def run(self, inlet: Inlet) -> None:
        """Serve the link until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    try:
                        await self.serve(inlet, tasks)
                    except self.faults as error:
                        problem = f"{self._where}: {error}"
                        self._tally.closed(problem)
                        self._tally.refused += 1
                        inlet.refuse(self.name, Reason.UNREACHABLE, problem)
                    await asyncio.sleep(self._backoff.next_s())
        finally:
            self._tally.closed("stopped")


class Deliveries:
    """Hands readings to the inlet so that a line need not stand still for each commit.

    At most `limit` readings are under way; whoever hands over the next one waits. Order is kept: the inlet is asked
    in the order of the calls.
    """

    def __init__(self, inlet: Inlet, tasks: asyncio.TaskGroup, tally: Tally, limit: int = 256) -> None:
        self.inlet = inlet
        self._tasks = tasks
        self._tally = tally
        self._room = Slots(limit)

    async def hand_over(self, heard: Heard) -> "asyncio.Task[Verdict]":
        """Start giving `heard` to the inlet; the task ends with its verdict."""
        await self._room.take()
        self._tally.hear(heard.device, heard.received_ns)
        task = self._tasks.create_task(self._accept(heard), name=f"accept {heard.device}")
        task.add_done_callback(lambda _: self._room.give_back())
        return task

    async def pass_on(self, heard: Heard) -> None:
        """Give the inlet what nobody awaits the verdict of: waits while there is no room, and for nothing else."""
        self._tally.hear(heard.device, heard.received_ns)
        await self._accept(heard)

    async def _accept(self, heard: Heard) -> Verdict:
        try:
            return await self.inlet.accept(heard)
        except (ValueError, TypeError) as error:
            # One reading that the outbox cannot encode must not take the link's other devices down with it.
            self.refuse(heard.device, Reason.INVALID, str(error))
            return Verdict.REFUSED

    def refuse(self, source: str, reason: Reason, detail: str, raw: bytes = b"") -> None:
        """Count something that could not be used, here and at the inlet."""
        self._tally.refused += 1
        self.inlet.refuse(source, reason, detail, raw)


def reconnecting() -> Backoff:
    """The pauses of a driver between two attempts to open its link."""
    return Backoff(first_s=0.2, most_s=30.0)


def profile_of(link: LinkConfig, device: DeviceConfig, catalog: Mapping[str, Profile]) -> Profile:
    """The device's profile; SetupError where the catalog has none of that name."""
    profile = catalog.get(device.profile)
    if profile is None:
        raise SetupError(f"link {link.name}, device {device.id}: profile {device.profile!r}, which the catalog does not have")
    return profile


def address_of(link: LinkConfig) -> str:
    """Where a link goes to, as `host:port` or the name of a port; empty where its driver listens for devices."""
    options = link.options
    if isinstance(options, SerialOptions):
        return options.port
    return f"{options.host}:{options.port}" if isinstance(options, ModbusTcpOptions) else ""


def turn_down(command: Command, clock: Clock, reason: Reason, detail: str) -> CommandResult:
    """The result of a command that was not even tried."""
    return CommandResult(
        id=command.id, device=command.device, outcome=Outcome.REFUSED, time_ns=clock.wall_ns(), reason=reason, detail=detail
    )
