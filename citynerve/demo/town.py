"""The one-machine city: everything wired together, run for a while, brought home and counted."""

import asyncio
import contextlib
import secrets
import signal
import socket
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from citynerve.demo.accounts import Accounts, Cases, Notifications, Readings
from citynerve.demo.broker import broker
from citynerve.demo.crew import Crew
from citynerve.demo.receiver import WebhookReceiver
from citynerve.demo.screen import Show
from citynerve.demo.story import Story
from citynerve.messages import language, say
from citynerve.rule_engine import gateway_engine
from cloud.config import ApiConfig, CloudConfig
from cloud.notify.config import ChannelConfig, ChannelKind, Language
from cloud.public.config import SAMPLE, PublicConfig, read_toilets
from cloud.run import Cloud
from device_profiles.shelf import load_catalog
from edge_agent.agent import Agent
from edge_agent.config import AgentConfig, load_config
from simulators.city import City
from simulators.links import Endpoints, links_toml
from simulators.scenario import Scenario, load_scenario, shipped
from telemetry.clock import SystemClock
from telemetry.records import Lane

__all__ = ["Plan", "PortTakenError", "run_town"]

_GATEWAY = "gw-demo"
_DRAIN_S = 20.0
_COUNT_EVERY_S = 0.5
_USUAL_PORT = 8808


class PortTakenError(OSError):
    """Somebody else listens on the port that was asked for."""

    def __init__(self, port: int) -> None:
        super().__init__(f"port {port} is taken")
        self.port = port


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run of the demo is to be: `seconds` None runs until it is stopped, `data_dir` None keeps nothing, `port`
    None takes the usual one or, where that is taken, a free one."""

    seconds: float | None = None
    broker: str | None = None
    data_dir: Path | None = None
    port: int | None = 0
    scenario: Path | None = None


async def run_town(plan: Plan, show: Show) -> Accounts:
    """Runs the city as planned and returns its accounts.

    BrokerUnreachableError when the named broker does not answer, PortTakenError when the named port is not free.
    """
    port = _free_port(plan.port)
    scenario = load_scenario(plan.scenario or shipped("small_city"))
    story = Story(show, SystemClock(), load_catalog(), {device.id: device.profile for device in scenario.devices})
    secret = secrets.token_hex(16)
    with _folder(plan.data_dir) as folder:
        async with broker(plan.broker) as address, WebhookReceiver(secret, story.on_message) as phone:
            show.tell(say("demo.starting", what=say("demo.broker", address=address)))
            cloud = Cloud(_cloud_config(folder, address, port, phone.url, secret, _toilets(plan)), rules=gateway_engine())
            city = City(scenario, Endpoints(broker=address))
            await city.start_servers()
            agent = Agent(_agent_config(folder, address, city))
            return await _Town(scenario, cloud, agent, city, phone, story, show).live(plan.seconds)


class _Town:
    """The parts of one run: started in the order in which each finds the one that it speaks to."""

    def __init__(  # noqa: PLR0917 - the parts themselves
        self, scenario: Scenario, cloud: Cloud, agent: Agent, city: City, phone: WebhookReceiver, story: Story, show: Show
    ) -> None:
        self._kinds = Counter(str(device.kind) for device in scenario.devices)
        self._cloud = cloud
        self._agent = agent
        self._city = city
        self._phone = phone
        self._story = story
        self._show = show

    async def live(self, seconds: float | None) -> Accounts:
        """Starts everything, waits, then stops in the order of a reading's way so that nothing is left on it."""
        async with asyncio.TaskGroup() as group:
            cloud = group.create_task(self._cloud.run(), name="cloud")
            await self._started("cloud", self._cloud.ready)
            url = "http://{}:{}/".format(*self._cloud.http)
            watching = [
                group.create_task(self._story.watch_cloud(self._cloud.feed), name="story"),
                group.create_task(Crew(url).work(self._cloud.feed), name="crew"),
                group.create_task(self._story.watch_city(self._city), name="incidents"),
            ]
            agent = group.create_task(self._agent.run(), name="agent")
            await self._started("agent", self._agent.ready)
            city = group.create_task(self._city.run(await self._endpoints()), name="city")
            watching.append(group.create_task(self._keep_counting(), name="counting"))
            self._show.tell(say("demo.starting", what=say("demo.city", count=self._kinds.total())))
            self._show.ready(url)

            await _until_stopped(seconds)
            self._show.tell(say("demo.stopping"))
            await self._agent.hush()
            await _end(city)
            await self._bring_home()
            accounts = await self._accounts()
            for task in (*watching, agent, cloud):
                await _end(task)
        self._show.count(accounts)
        return accounts

    async def _started(self, what: str, ready: asyncio.Event) -> None:
        self._show.tell(say("demo.starting", what=say(f"demo.{what}")))
        await ready.wait()

    async def _endpoints(self) -> Endpoints:
        """Where the agent's listeners turned out to listen."""
        listeners = {}
        for name, driver in self._agent.drivers.items():
            await driver.started.wait()
            if driver.ports:
                listeners[name] = driver.ports[0]
        return Endpoints(listeners=listeners, broker=self._city.endpoints.broker)

    async def _keep_counting(self) -> None:
        while True:
            self._show.count(await self._accounts())
            await asyncio.sleep(_COUNT_EVERY_S)

    async def _bring_home(self) -> None:
        """Waits until the cloud has everything that was committed and the crew has every message; not for ever."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_S):
                await self._agent.drained()
                while not (await self._accounts()).settled:  # noqa: ASYNC110 - several parts, none of which knows the others
                    await asyncio.sleep(0.1)

    async def _accounts(self) -> Accounts:
        edge, cloud = self._agent.status(), await self._cloud.counts()
        lane, devices = edge.lanes[Lane.READINGS], self._city.accounts().values()
        return Accounts(
            readings=Readings(
                spoken=sum(account.spoken for account in devices),
                resent=sum(account.resent for account in devices),
                produced=edge.counts.heard,
                held_back=edge.counts.held_back,
                refused=edge.counts.refused,
                committed=edge.counts.committed,
                acked=lane.acked + lane.quarantined,
                stored=cloud.stored_readings,
                quarantined=lane.quarantined,
                lost_declared=lane.lost,
            ),
            transitions=edge.counts.transitions,
            transitions_stored=cloud.transitions,
            cases=Cases(opened=cloud.cases_opened, closed=cloud.cases_closed),
            notifications=Notifications(
                sent=cloud.notifications_sent, failed=cloud.notifications_failed, received=self._phone.received
            ),
            latency_ms=self._story.latency,
            devices=dict(self._kinds),
        )


def _free_port(wanted: int | None) -> int:
    """The port to listen on; asked before anything starts, so that a newcomer gets a sentence and not a trace."""
    port = _USUAL_PORT if wanted is None else wanted
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if wanted is None:
                return 0
            raise PortTakenError(port) from error
    return port


def _toilets(plan: Plan) -> PublicConfig | None:
    """The small city has two toilets; another scenario has other devices."""
    return PublicConfig(toilets=read_toilets(SAMPLE)) if plan.scenario is None else None


def _cloud_config(  # noqa: PLR0917 - what differs from run to run
    folder: Path, address: str, port: int, phone: str, secret: str, public: PublicConfig | None
) -> CloudConfig:
    secret_file = folder / "webhook.secret"
    secret_file.touch(mode=0o600)
    secret_file.write_text(secret, "utf-8")
    crew = ChannelConfig(
        name="crew", kind=ChannelKind.WEBHOOK, lang=Language(language()), url=phone, secret_file=str(secret_file)
    )
    return CloudConfig(data_dir=folder / "cloud", broker=address, api=ApiConfig(port=port), channels=(crew,), public=public)


def _agent_config(folder: Path, address: str, city: City) -> AgentConfig:
    """Written as a file and read back: the agent is configured as on any gateway, and a newcomer can look at how."""
    path = folder / "edge.toml"
    head = f'gateway = "{_GATEWAY}"\ndata_dir = "edge"\nbroker = "{address}"\nstatus_s = 5.0\n\n'
    path.write_text(head + links_toml(city.agent_links()), "utf-8")
    return load_config(path)


@contextlib.contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept
        return
    with tempfile.TemporaryDirectory(prefix="citynerve-demo-") as name:
        yield Path(name)


async def _until_stopped(seconds: float | None) -> None:
    """Returns after `seconds`, or when somebody asks for an end."""
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stopped.wait()


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
