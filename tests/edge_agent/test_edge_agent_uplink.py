"""The uplink against a real broker and a cloud that misbehaves: everything arrives, and the outbox ends empty."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from edge_agent_parts import T0, SmallCloud, readings, until

from edge_agent.config import OutboxLimits
from edge_agent.outbox.outbox import Outbox
from edge_agent.uplink.compression import decompress
from edge_agent.uplink.uplink import Uplink, UplinkSettings
from telemetry.clock import SystemClock
from telemetry.records import Command, CommandResult, Lane, Outcome
from telemetry.wire import GatewayStatus, decode_status


def result(name: str) -> CommandResult:
    return CommandResult(id=name, device="d1", outcome=Outcome.DONE, time_ns=T0)


class Gateway:
    """An outbox and its uplink, run by the test."""

    def __init__(self, outbox: Outbox, port: int, **more: float) -> None:
        self.outbox = outbox
        self.commands: list[Command] = []
        self.refusals: list[str] = []
        self.uplink = Uplink(
            UplinkSettings(
                gateway="gw1",
                broker=f"mqtt://127.0.0.1:{port}",
                boot_id="boot",
                agent_version="1",
                retransmit_s=0.4,
                hello_again_s=0.3,
                reconnect_first_s=0.1,
                reconnect_most_s=0.3,
                **more,  # type: ignore[arg-type]
            ),
            outbox,
            SystemClock(),
            devices=list,
            status=lambda online: GatewayStatus(gateway="gw1", online=online, at_ns=T0),
            on_command=self.commands.append,
            refuse=lambda source, reason, detail, raw: self.refusals.append(reason),
        )

    @asynccontextmanager
    async def connected(self) -> AsyncIterator["Gateway"]:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self.uplink.run())
            try:
                yield self
            finally:
                task.cancel()

    def empty(self) -> bool:
        return not any(account.depth for account in self.outbox.accounts.values())


@pytest.fixture
async def gateway(tmp_path: Path, mosquitto_port: int) -> AsyncIterator[Gateway]:
    outbox = await Outbox.open(tmp_path, "gw1", OutboxLimits(max_bytes=1 << 30), SystemClock())
    yield Gateway(outbox, mosquitto_port)
    await outbox.close()


@pytest.fixture
def cloud(mosquitto_port: int) -> SmallCloud:
    return SmallCloud(mosquitto_port)


pytestmark = pytest.mark.integration


async def fill(outbox: Outbox, batches: int, events: int = 3) -> None:
    for n in range(batches):
        await outbox.commit(readings(200, first=200 * n))
    if events:
        await outbox.commit([], [result(str(n)) for n in range(events)])


async def test_everything_arrives_once_acknowledged_and_the_outbox_is_empty(gateway: Gateway, cloud: SmallCloud) -> None:
    await fill(gateway.outbox, 10)
    async with cloud.running(), gateway.connected():
        await until(gateway.empty)
        await gateway.outbox.commit(readings(5))
        await until(gateway.empty)
    epoch = gateway.outbox.epoch
    assert set(cloud.readings) == {(epoch, seq) for seq in range(1, 2006)}
    assert set(cloud.events) == {(epoch, seq) for seq in range(1, 4)}
    assert gateway.uplink.counts.retransmissions == 0
    assert len(cloud.arrivals) == len(set(cloud.arrivals))


async def test_a_gateway_with_nothing_to_say_compares_its_books_all_the_same(
    tmp_path: Path, mosquitto_port: int, cloud: SmallCloud
) -> None:
    outbox = await Outbox.open(tmp_path, "gw1", OutboxLimits(max_bytes=1 << 30), SystemClock())
    gateway = Gateway(outbox, mosquitto_port, hello_every_s=0.5)
    async with cloud.running(), gateway.connected():
        await until(lambda: len(cloud.hellos) == 3)
    await outbox.close()
    assert cloud.readings == {}


async def test_the_hello_says_what_is_held(gateway: Gateway, cloud: SmallCloud) -> None:
    await fill(gateway.outbox, 2)
    async with cloud.running(), gateway.connected():
        await until(gateway.empty)
        gateway.uplink.announce()
        await until(lambda: len(cloud.hellos) == 2)
    first, second = cloud.hellos
    assert first.lanes[Lane.READINGS].first_unacked == 1
    assert first.lanes[Lane.READINGS].next_seq == 401
    assert second.lanes[Lane.READINGS].first_unacked == 401
    assert (first.gateway, first.epoch, first.boot_id) == ("gw1", gateway.outbox.epoch, "boot")


async def test_events_go_before_the_readings_that_were_there_first(gateway: Gateway, cloud: SmallCloud) -> None:
    await fill(gateway.outbox, 20)
    async with cloud.running(), gateway.connected():
        await until(gateway.empty)
    assert cloud.arrivals[0][0] is Lane.EVENTS


async def test_lost_and_shuffled_acknowledgements_only_cost_time(gateway: Gateway, cloud: SmallCloud) -> None:
    cloud.lose_acks, cloud.reorder = 0.3, True
    await fill(gateway.outbox, 8)
    async with cloud.running(), gateway.connected():
        await until(gateway.empty)
    assert len(cloud.readings) == 1600
    assert gateway.outbox.accounts[Lane.READINGS].acked == 1600


async def test_a_small_credit_is_kept_to(gateway: Gateway, cloud: SmallCloud) -> None:
    cloud.credit = 250
    await fill(gateway.outbox, 10, events=0)
    async with cloud.running(), gateway.connected():
        await until(gateway.empty)
    assert len(cloud.readings) == 2000


async def test_a_quarantined_record_does_not_hold_up_the_lane(gateway: Gateway, cloud: SmallCloud) -> None:
    cloud.quarantines = {7, 333}
    await fill(gateway.outbox, 3)
    async with cloud.running(), gateway.connected():
        await until(gateway.empty)
    account = gateway.outbox.accounts[Lane.READINGS]
    assert (account.acked, account.quarantined) == (598, 2)


async def test_a_cloud_that_comes_later_gets_everything(gateway: Gateway, cloud: SmallCloud) -> None:
    """The hello before it went to nobody; the next one is heard, and the backlog follows."""
    await fill(gateway.outbox, 3)
    async with gateway.connected():
        await until(lambda: gateway.uplink.connected)
        await asyncio.sleep(0.3)
        assert gateway.uplink.counts.batches_sent == 0
        async with cloud.running():
            gateway.uplink.announce()
            await until(gateway.empty)


async def test_a_cloud_that_restarts_in_the_middle_misses_nothing(gateway: Gateway, mosquitto_port: int) -> None:
    first, second = SmallCloud(mosquitto_port, credit=300), SmallCloud(mosquitto_port)
    await fill(gateway.outbox, 20)
    async with gateway.connected():
        async with first.running():
            await until(lambda: len(first.readings) >= 400)
        second.take_over(first)
        async with second.running():
            await until(gateway.empty)
    assert len(second.readings) == 4000


async def test_a_broker_that_goes_away_and_comes_back(
    tmp_path: Path, start_mosquitto: Callable[[], int], cloud: SmallCloud, gateway: Gateway
) -> None:
    """A connection cut in the middle of the backlog: here by a second client of the same name, which a broker puts first."""
    import aiomqtt

    await fill(gateway.outbox, 20)
    async with cloud.running(), gateway.connected():
        await until(lambda: len(cloud.readings) >= 200)
        async with aiomqtt.Client("127.0.0.1", cloud.port, identifier="gw-gw1"):
            pass
        await until(gateway.empty)
        await until(lambda: gateway.uplink.counts.connections >= 2)
    assert len(cloud.readings) == 4000


async def test_without_a_broker_it_waits_and_says_why(tmp_path: Path) -> None:
    outbox = await Outbox.open(tmp_path, "gw1", OutboxLimits(max_bytes=1 << 30), SystemClock())
    lonely = Gateway(outbox, 1)
    async with lonely.connected():
        await until(lambda: bool(lonely.uplink.last_error))
        assert not lonely.uplink.connected
    await outbox.close()


async def test_an_outbox_older_than_the_cloud_begins_a_new_epoch(gateway: Gateway, cloud: SmallCloud) -> None:
    """As after restoring the gateway's disk from an old image: the numbers it would give next are taken."""
    await fill(gateway.outbox, 2)
    old = gateway.outbox.epoch
    cloud.done(Lane.READINGS, old).add(1, 1000)
    async with cloud.running(), gateway.connected():
        await until(lambda: gateway.outbox.epoch != old)
        await until(gateway.empty)
    assert {seq for epoch, seq in cloud.readings if epoch == gateway.outbox.epoch} == set(range(1, 401))


async def test_commands_and_nonsense_come_down(gateway: Gateway, cloud: SmallCloud) -> None:
    import aiomqtt

    order = Command(id="c1", gateway="gw1", device="d1", action="on", args={}, actor="me", counter=1, issued_ns=T0, ttl_s=60)
    async with cloud.running(), gateway.connected():
        await until(lambda: bool(cloud.hellos))
        async with aiomqtt.Client("127.0.0.1", cloud.port) as client:
            await client.publish("gw/gw1/down/command", b"\xff\xff", qos=1)
            await client.publish("gw/gw1/down/ack", b"", qos=1)
        await cloud.command(order)
        await until(lambda: gateway.commands == [order])
    assert len(gateway.refusals) == 2


async def test_the_status_says_when_the_gateway_goes(gateway: Gateway, cloud: SmallCloud) -> None:
    async with cloud.running():
        async with gateway.connected():
            await until(lambda: bool(cloud.statuses) and decode_status(cloud.statuses[-1], decompress).online)
        await until(lambda: not decode_status(cloud.statuses[-1], decompress).online)


async def test_an_idle_uplink_turns_no_wheels(gateway: Gateway, cloud: SmallCloud) -> None:
    """Two seconds with nothing to do cost well under a tenth of a second of work."""
    import time

    async with cloud.running(), gateway.connected():
        await until(lambda: bool(cloud.hellos))
        await asyncio.sleep(0.3)
        before = time.process_time()
        await asyncio.sleep(1.0)
        assert time.process_time() - before < 0.2
