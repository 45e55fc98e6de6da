"""The MQTT subscriber against a real mosquitto."""

import asyncio
import json
import subprocess
from collections.abc import Callable

import aiomqtt
import edge_drivers_peers as peers
import pytest

from device_profiles.model import CommandSpec, Profile
from device_profiles.quantities import MetricType, Text
from device_profiles.wires import Wire
from device_profiles.wires.documents import DocumentField, TimeField, TimeUnit
from device_profiles.wires.items import ItemField
from device_profiles.wires.mqtt import Form, MqttTopic, MqttWire, Presence, Several
from device_profiles.wires.mqtt_orders import Answer, PublishOrder
from edge_agent.config import DeviceConfig, LinkConfig
from edge_agent.drivers import Driver, SetupError, make_driver
from edge_agent.drivers.mqtt.client import Receipts
from edge_agent.heard import Verdict
from edge_agent.link_kinds import DriverName, MqttOptions
from telemetry.clock import SECOND_NS, SystemClock
from telemetry.raw_frames import RawFrame
from telemetry.reason import Reason
from telemetry.records import Command, Outcome

pytestmark = pytest.mark.integration

SAID = json.dumps({"level": 3, "open": False, "ts": 1_750_000_000}).encode()


def link(port: int, profile: Profile, *addresses: str, client_id: str = "") -> Driver:
    devices = tuple(
        DeviceConfig(id=f"counter-{number}", profile=profile.name, address=address)
        for number, address in enumerate(addresses, start=1)
    )
    options = MqttOptions(broker=f"mqtt://127.0.0.1:{port}", client_id=client_id)
    config = LinkConfig(name="own", driver=DriverName.MQTT, devices=devices, options=options)
    return make_driver(config, {profile.name: profile}, SystemClock())


def mqtt_link(port: int, topic: str, address: str = "c1") -> Driver:
    return link(port, peers.mqtt_profile(topic=topic), address)


LEVEL = peers.metric("water_level_cm", unit="cm")
OPEN = peers.metric("cover_open", MetricType.BOOLEAN)
ONLINE = peers.metric("device_online", MetricType.BOOLEAN)


def profile_of(wire: MqttWire, *commands: CommandSpec) -> Profile:
    return peers.profile("counter", Wire(mqtt=wire), LEVEL, OPEN, ONLINE, commands=commands)


def field(metric: str, *path: str | int, **words: object) -> DocumentField:
    return DocumentField(metric=metric, path=path, words=words)  # type: ignore[arg-type]  # the values are plain


# One topic, one document


async def test_a_document_on_the_devices_topic_becomes_a_reading_and_the_rest_is_counted(mosquitto_port) -> None:
    inlet, driver = peers.Notebook(), mqtt_link(mosquitto_port, "d1/{address}/state")
    async with peers.running(driver, inlet), aiomqtt.Client("127.0.0.1", mosquitto_port) as device:
        await peers.eventually(lambda: driver.health().up)
        await device.publish("d1/c1/state", b"{not json", qos=1)
        await device.publish("d1/c2/state", SAID, qos=1)
        await device.publish("d1/c1/state", b"\xff\xfe", qos=1)
        await device.publish("d1/c1/state", SAID, qos=1)
        await peers.eventually(lambda: inlet.heard)
    (heard,) = inlet.heard
    assert heard.decoded.values == {"water_level_cm": 3.0, "cover_open": False}
    assert heard.decoded.time_ns == 1_750_000_000 * SECOND_NS
    assert heard.frames == (RawFrame("json", SAID),)
    assert [(who, why) for who, why, _, _ in inlet.refused] == [
        ("counter-1", Reason.NOT_JSON),
        ("own", Reason.UNKNOWN_DEVICE),
        ("counter-1", Reason.NOT_JSON),
    ]


async def test_mosquitto_pub_speaks_to_the_agent_as_a_device_does(
    mosquitto_port: int, need_server: Callable[[str, str], str]
) -> None:
    program = need_server("mosquitto_pub", "mosquitto-clients")
    inlet, driver = peers.Notebook(), mqtt_link(mosquitto_port, "d1b/{address}")
    async with peers.running(driver, inlet):
        await peers.eventually(lambda: driver.health().up)
        said = ["-h", "127.0.0.1", "-p", str(mosquitto_port), "-q", "1", "-t", "d1b/c1", "-m", SAID.decode()]
        await asyncio.to_thread(subprocess.run, [program, *said], check=True, timeout=10)
        await peers.eventually(lambda: inlet.heard)
    assert inlet.heard[0].decoded.values == {"water_level_cm": 3.0, "cover_open": False}
    assert not inlet.refused


async def test_a_retained_message_counts_only_when_it_tells_its_time(mosquitto_port) -> None:
    inlet, driver = peers.Notebook(), mqtt_link(mosquitto_port, "d2/{address}")
    async with aiomqtt.Client("127.0.0.1", mosquitto_port) as device:
        await device.publish("d2/c1", b'{"level": 1}', qos=1, retain=True)
        async with peers.running(driver, inlet):
            await peers.eventually(lambda: inlet.refused)
            await device.publish("d2/c1", SAID, qos=1, retain=True)
            await peers.eventually(lambda: inlet.heard)
    assert inlet.reasons() == {Reason.LATE}


# Forms and topics


async def test_one_device_speaks_on_several_topics_in_several_forms(mosquitto_port) -> None:
    wire = MqttWire(
        topics=(
            MqttTopic(
                topic="f1/{address}/SENSOR",
                fields=(field("water_level_cm", "SR04", "Distance"),),
                time=TimeField(path=("Time",), unit=TimeUnit.ISO8601, zone_minutes=480),
            ),
            MqttTopic(topic="f1/{address}/LID", form=Form.PLAIN, fields=(field("cover_open", ON=True, OFF=False),)),
        )
    )
    inlet, driver = peers.Notebook(), link(mosquitto_port, profile_of(wire), "bin1")
    async with peers.running(driver, inlet), aiomqtt.Client("127.0.0.1", mosquitto_port) as device:
        await peers.eventually(lambda: driver.health().up)
        await device.publish("f1/bin1/SENSOR", b'{"Time":"2026-11-20T10:40:00","SR04":{"Distance":41.2}}', qos=1)
        await device.publish("f1/bin1/LID", b"ON", qos=1)
        await device.publish("f1/bin1/LID", b"AJAR", qos=1)
        await peers.eventually(lambda: len(inlet.heard) == 3)
    level, lid, ajar = (heard.decoded for heard in inlet.heard)
    assert (level.values, level.time_ns) == ({"water_level_cm": 41.2}, 1_795_142_400 * SECOND_NS)
    assert lid.values == {"cover_open": True}
    assert (ajar.values, ajar.flaws["cover_open"].reason) == ({"cover_open": None}, Reason.NOT_IN_ENUM)


async def test_many_devices_in_one_payload_are_told_apart_and_a_stranger_is_counted(mosquitto_port) -> None:
    several = Several(path=("bins",), identity=("mac",))
    wire = MqttWire(topics=(MqttTopic(topic="f2/street", fields=(field("water_level_cm", "cm"),), each=several),))
    inlet, driver = peers.Notebook(), link(mosquitto_port, profile_of(wire), "a1", "a2")
    payload = {"bins": [{"mac": "a2", "cm": 20}, {"mac": "zz", "cm": 9}, {"cm": 1}, {"mac": "a1", "cm": 10}]}
    async with peers.running(driver, inlet), aiomqtt.Client("127.0.0.1", mosquitto_port) as device:
        await peers.eventually(lambda: driver.health().up)
        await device.publish("f2/street", json.dumps(payload), qos=1)
        await peers.eventually(lambda: len(inlet.heard) == 2)
    assert {heard.device: heard.decoded.values["water_level_cm"] for heard in inlet.heard} == {"counter-1": 10, "counter-2": 20}
    assert [why for _, why, _, _ in inlet.refused] == [Reason.UNKNOWN_DEVICE] * 2


async def test_a_senml_pack_becomes_one_reading_for_each_of_its_times(mosquitto_port) -> None:
    items = (ItemField(metric="water_level_cm", item="level"), ItemField(metric="cover_open", item="open"))
    topic = MqttTopic(topic="f3/{address}", form=Form.SENML, items=items, base="urn:dev:os:32473-{address}:")
    inlet, driver = peers.Notebook(), link(mosquitto_port, profile_of(MqttWire(topics=(topic,))), "w7")
    pack = [
        {"bn": "urn:dev:os:32473-w7:", "bt": 1795142400, "n": "level", "v": 31.5},
        {"n": "open", "vb": False},
        {"n": "level", "v": 30.0, "t": -60},
        {"n": "nobody asked", "v": 1},
    ]
    async with peers.running(driver, inlet), aiomqtt.Client("127.0.0.1", mosquitto_port) as device:
        await peers.eventually(lambda: driver.health().up)
        await device.publish("f3/w7", json.dumps(pack), qos=1)
        await device.publish("f3/w7", json.dumps([{"n": "urn:dev:os:32473-else:level", "v": 1}]), qos=1)
        await peers.eventually(lambda: len(inlet.heard) == 2 and inlet.refused)
    told = [(heard.decoded.time_ns, heard.decoded.values) for heard in inlet.heard]
    assert told == [
        (1_795_142_340 * SECOND_NS, {"water_level_cm": 30.0}),
        (1_795_142_400 * SECOND_NS, {"water_level_cm": 31.5, "cover_open": False}),
    ]
    assert inlet.reasons() == {Reason.UNKNOWN_DEVICE}


# Presence


PRESENT = MqttWire(
    topics=(MqttTopic(topic="p1/{address}", fields=(field("cover_open", "open"),)),),
    presence=(Presence(topic="p1/{address}/availability", path=("state",)), Presence(topic="p1/bridge/state", path=("state",))),
    online="device_online",
)


async def test_a_last_will_makes_a_device_absent_and_its_metric_false(mosquitto_port) -> None:
    wire = MqttWire(presence=(Presence(topic="p0/{address}/LWT", online="Online", offline="Offline"),), online="device_online")
    inlet, driver = peers.Notebook(), link(mosquitto_port, profile_of(wire), "c1")
    will = aiomqtt.Will("p0/c1/LWT", b"Offline", qos=1, retain=True)
    async with peers.running(driver, inlet):
        device = aiomqtt.Client("127.0.0.1", mosquitto_port, will=will)
        await device.__aenter__()
        await device.publish("p0/c1/LWT", b"Online", qos=1, retain=True)
        await peers.eventually(lambda: inlet.heard)
        device._client._sock_close()  # the power fails: no goodbye
        await peers.eventually(lambda: driver.health().absent == ("counter-1",))
        await peers.eventually(lambda: len(inlet.heard) == 2)
    assert [heard.decoded.values["device_online"] for heard in inlet.heard] == [True, False]


async def test_a_device_is_absent_while_its_own_word_or_its_bridges_says_so_and_retained_words_count(mosquitto_port) -> None:
    inlet, driver = peers.Notebook(), link(mosquitto_port, profile_of(PRESENT), "c1", "c2")
    async with aiomqtt.Client("127.0.0.1", mosquitto_port) as bridge:
        await bridge.publish("p1/bridge/state", b'{"state":"offline"}', qos=1, retain=True)
        await bridge.publish("p1/c1/availability", b'{"state":"online"}', qos=1, retain=True)
        async with peers.running(driver, inlet):
            await peers.eventually(lambda: driver.health().absent == ("counter-1", "counter-2"))
            await bridge.publish("p1/bridge/state", b'{"state":"online"}', qos=1, retain=True)
            await peers.eventually(lambda: driver.health().absent == ())
            await bridge.publish("p1/c2/availability", b"offline", qos=1)
            await peers.eventually(lambda: driver.health().absent == ("counter-2",))
            await bridge.publish("p1/c2/availability", b"", qos=1)
            await peers.eventually(lambda: driver.health().absent == ())
            await bridge.publish("p1/c2/availability", b"perhaps", qos=1)
            await peers.eventually(lambda: inlet.refused)
        for topic in ("p1/bridge/state", "p1/c1/availability"):
            await bridge.publish(topic, b"", qos=1, retain=True)
    assert inlet.reasons() == {Reason.NOT_IN_ENUM}
    assert inlet.of("counter-2")[-1].decoded.values == {"device_online": False}


async def test_one_topic_may_tell_presence_and_values_alike(mosquitto_port) -> None:
    wire = MqttWire(
        topics=(MqttTopic(topic="p3/{address}", fields=(field("cover_open", "open"),)),),
        presence=(Presence(topic="p3/{address}", online="up", offline="down", path=("is",)),),
        online="device_online",
    )
    inlet, driver = peers.Notebook(), link(mosquitto_port, profile_of(wire), "c1")
    async with peers.running(driver, inlet), aiomqtt.Client("127.0.0.1", mosquitto_port) as device:
        await peers.eventually(lambda: driver.health().up)
        await device.publish("p3/c1", b'{"is":"up","open":true}', qos=1)
        await peers.eventually(lambda: len(inlet.heard) == 2)
    assert [heard.decoded.values for heard in inlet.heard] == [{"device_online": True}, {"cover_open": True}]


# Orders


def order(answer: Answer | None) -> CommandSpec:
    publish = PublishOrder(topic="o1/cmnd/{address}/POWER", words={0: "OFF", 1: "ON"}, answer=answer)
    return CommandSpec(name="switch", title=Text("开关", "Switch"), argument="on", low=0, high=1, publish=publish)


def command(**args: float | str) -> Command:
    return Command(
        id="k1", gateway="gw", device="counter-1", action="switch", args=args, actor="op", counter=1, issued_ns=1, ttl_s=60
    )


async def obey(port: int, topic: str, answer: str, says: bytes, ready: asyncio.Event) -> bytes:
    async with aiomqtt.Client("127.0.0.1", port) as device:
        await device.subscribe(topic, qos=1)
        ready.set()
        message = await anext(aiter(device.messages))
        await device.publish(answer, b'{"Wifi":{}}', qos=1)  # says nothing of the order
        await device.publish(answer, b'{"POWER":"OFF"}', qos=1) if says != b"{not json" else None  # the state before
        await device.publish(answer, says, qos=1)
        return bytes(message.payload)


@pytest.mark.parametrize(
    ("says", "outcome", "reason"),
    [
        pytest.param(b'{"POWER":"ON"}', Outcome.DONE, None, id="the device says what it was told"),
        pytest.param(b'{"POWER":"OFF"}', Outcome.FAILED, Reason.CONFLICT, id="the device says something else"),
        pytest.param(b"{not json", Outcome.UNKNOWN, Reason.TIMEOUT, id="the device says nothing that can be read"),
    ],
)
async def test_an_order_ends_by_what_the_device_answers(mosquitto_port, says: bytes, outcome: Outcome, reason: object) -> None:
    answer = Answer(topic="o1/stat/{address}/RESULT", path=("POWER",), timeout_s=0.5)
    wire = MqttWire(topics=(MqttTopic(topic="o1/{address}", fields=(field("cover_open", "open"),)),))
    inlet, driver = peers.Notebook(), link(mosquitto_port, profile_of(wire, order(answer)), "c1")
    device = DeviceConfig(id="counter-1", profile="counter", address="c1")
    async with peers.running(driver, inlet):
        await peers.eventually(lambda: driver.health().up)
        ready = asyncio.Event()
        obeying = asyncio.create_task(obey(mosquitto_port, "o1/cmnd/c1/POWER", "o1/stat/c1/RESULT", says, ready))
        await ready.wait()
        result = await driver.command(command(on=1), device)
        assert await obeying == b"ON"
    assert (result.outcome, result.reason) == (outcome, reason)
    assert not inlet.refused


async def test_an_order_without_an_answer_is_never_called_done_and_a_wrong_one_not_sent(mosquitto_port) -> None:
    wire = MqttWire(topics=(MqttTopic(topic="o2/{address}", fields=(field("cover_open", "open"),)),))
    inlet, driver = peers.Notebook(), link(mosquitto_port, profile_of(wire, order(None)), "c1")
    device = DeviceConfig(id="counter-1", profile="counter", address="c1")
    assert (await driver.command(command(on=1), device)).reason is Reason.UNREACHABLE
    async with peers.running(driver, inlet):
        await peers.eventually(lambda: driver.health().up)
        assert (await driver.command(command(on=1), device)).outcome is Outcome.UNKNOWN
        assert (await driver.command(command(on=2), device)).reason is Reason.OUT_OF_RANGE
        assert (await driver.command(command(on="x"), device)).reason is Reason.WRONG_TYPE
        assert (await driver.command(command(), device)).reason is Reason.MISSING


# Acknowledgement, load, and brokers that fail


async def test_what_was_not_committed_comes_again_to_an_agent_with_a_name(mosquitto_port) -> None:
    profile = peers.mqtt_profile(topic="a1/{address}")
    killed, stopped = peers.Notebook(), link(mosquitto_port, profile, "c1", client_id="gw-again")
    killed.gate = asyncio.Event()
    async with aiomqtt.Client("127.0.0.1", mosquitto_port) as device:
        async with peers.running(stopped, killed):
            await peers.eventually(lambda: stopped.health().up)
            await device.publish("a1/c1", SAID, qos=1)
            await peers.eventually(lambda: killed.under_way == 1)
        await device.publish("a1/c1", b'{"level": 4, "ts": 1750000060}', qos=1)
        inlet, driver = peers.Notebook(), link(mosquitto_port, profile, "c1", client_id="gw-again")
        async with peers.running(driver, inlet):
            await peers.eventually(lambda: len(inlet.heard) == 2)
        again, third = peers.Notebook(), link(mosquitto_port, profile, "c1", client_id="gw-again")
        async with peers.running(third, again):
            await peers.eventually(lambda: third.health().up)
            await device.publish("a1/c1", b'{"level": 5}', qos=1)
            await peers.eventually(lambda: again.heard)
    assert killed.heard == []
    assert [heard.decoded.values["water_level_cm"] for heard in inlet.heard] == [3.0, 4.0]
    assert [heard.decoded.values["water_level_cm"] for heard in again.heard] == [5.0]


class Ledger:
    """A client that writes down what it is told to acknowledge."""

    def __init__(self) -> None:
        self.acknowledged: list[int] = []

    def acknowledge(self, message: aiomqtt.Message) -> None:
        self.acknowledged.append(message.mid)


async def test_acknowledgements_go_out_in_the_order_in_which_the_messages_came() -> None:
    ledger, gates = Ledger(), [asyncio.Event() for _ in range(4)]
    receipts = Receipts(ledger)  # type: ignore[arg-type]  # all that it asks of a client

    async def commit(gate: asyncio.Event) -> Verdict:
        await gate.wait()
        return Verdict.COMMITTED

    async with asyncio.TaskGroup() as tasks:
        for number, gate in enumerate(gates, start=1):
            message = aiomqtt.Message(f"t/{number}", b"", 1, False, number, None)
            receipts.take(message).follow([tasks.create_task(commit(gate))])
        receipts.take(aiomqtt.Message("t/5", b"", 1, False, 5, None)).follow([])  # refused: nothing to wait for
        for number in (3, 2):
            gates[number - 1].set()
            await asyncio.sleep(0)
        assert ledger.acknowledged == []
        gates[0].set()
        await peers.eventually(lambda: ledger.acknowledged == [1, 2, 3])
        receipts.closed = True  # the connection is gone: its packet numbers mean nothing any more
        gates[3].set()
    assert ledger.acknowledged == [1, 2, 3]


async def test_a_busy_agent_lets_the_broker_keep_what_is_acknowledged_and_counts_what_is_not(mosquitto_port) -> None:
    inlet, driver = peers.Notebook(), mqtt_link(mosquitto_port, "d3/{address}")
    inlet.gate = asyncio.Event()
    async with peers.running(driver, inlet), aiomqtt.Client("127.0.0.1", mosquitto_port) as device:
        await peers.eventually(lambda: driver.health().up)
        for _ in range(100):
            await device.publish("d3/c1", SAID, qos=1)
        await peers.eventually(lambda: inlet.under_way == 20)
        await asyncio.sleep(0.1)
        assert inlet.most_under_way == 20  # mosquitto's own limit: the other eighty are still the broker's
        for _ in range(1400):
            await device.publish("d3/c1", SAID, qos=0)
        await peers.eventually(lambda: driver.health().overflows > 0)
        assert inlet.most_under_way == 256
        inlet.gate.set()
        await peers.eventually(lambda: len(inlet.heard) + driver.health().overflows == 1500)
    assert inlet.reasons() == {Reason.QUEUE_FULL}


async def test_a_broker_that_comes_late_is_found(start_mosquitto) -> None:
    port = peers.free_port()
    inlet, driver = peers.Notebook(), mqtt_link(port, "d4/{address}")
    async with peers.running(driver, inlet):
        await peers.eventually(lambda: Reason.UNREACHABLE in inlet.reasons())
        assert not driver.health().up


async def test_a_broker_that_hangs_up_is_called_again() -> None:
    """A peer that takes the connection and says nothing, then closes."""
    inlet, calls = peers.Notebook(), 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        await reader.read(100)

    async with peers.serving(serve) as port, peers.running(mqtt_link(port, "d5/{address}"), inlet):
        await peers.eventually(lambda: calls >= 2, within_s=14)
    assert Reason.UNREACHABLE in inlet.reasons()


def test_an_address_with_a_wildcard_is_told() -> None:
    with pytest.raises(SetupError, match=r"without \+ and #"):
        mqtt_link(1, "d/{address}", address="+")
