"""Each simulated device before a plain peer of its language, over real sockets and ptys."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import aiocoap
import aiocoap.resource
import aiomqtt
import pytest
from pymodbus import FramerType
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from simulated import act, alive, until

from device_profiles.model import Profile
from device_profiles.shelf import load_catalog
from firmware_bridge.documents import decode_document, identity, parse_document
from firmware_bridge.errors import ParseError
from firmware_bridge.jt808.frames import Frame, Jt808Framer, encode_frame
from firmware_bridge.jt808.location import decode_location, parse_location
from firmware_bridge.modbus.frames import crc16, parse_rtu, rtu_frame
from firmware_bridge.modbus.pdus import Function, ReadRequest, build_request
from firmware_bridge.modbus.plan import plan_reads
from firmware_bridge.modbus.registers import decode_registers
from firmware_bridge.serial.layout import decode_frame
from simulators.deeds import Kind
from simulators.devices.base import Surroundings
from simulators.devices.cover.cover import Cover
from simulators.devices.modbus.lines import ModbusTcpPort, RtuBus
from simulators.devices.modbus.unit import ModbusUnit
from simulators.devices.mqtt.device import MqttDevice
from simulators.devices.serial.node import SerialBus, SerialNode
from simulators.devices.vehicle.vehicle import Vehicle
from simulators.listener import Address, Listener
from simulators.scenario import DeviceSpec
from simulators.ways import Form
from telemetry.clock import SystemClock

# The CoAP library reaches 127.0.0.1 through an IPv6 socket, as ::ffff:127.0.0.1: loopback by another name.
pytestmark = [pytest.mark.integration, pytest.mark.allow_hosts(["127.0.0.1", "::1", "::ffff:127.0.0.1"])]

CATALOG = load_catalog()
CLOCK = SystemClock()


def spec(kind: Kind, profile: str, address: str, form: Form | None = None, interval_s: float = 3600) -> DeviceSpec:
    return DeviceSpec(
        id=f"{kind}-{address}",
        kind=kind,
        profile=profile,
        address=address,
        link="line",
        longitude=120.62,
        latitude=31.31,
        interval_s=interval_s,
        form=form,
    )


def around() -> Surroundings:
    return Surroundings(clock=CLOCK, seed=1, born_ns=CLOCK.wall_ns())


# Covers


class _Posts(aiocoap.resource.Resource):  # type: ignore[misc]  # the library has no types
    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[int, bytes]] = []
        self.answers: list[aiocoap.Code] = []

    async def render_post(self, request: aiocoap.Message) -> aiocoap.Message:
        self.heard.append((int(request.opt.content_format), bytes(request.payload)))
        return aiocoap.Message(code=self.answers.pop(0) if self.answers else aiocoap.CHANGED)


@asynccontextmanager
async def coap_server() -> AsyncIterator[tuple[_Posts, Address]]:
    posts, site = _Posts(), aiocoap.resource.Site()
    site.add_resource(["t", "cover"], posts)
    port = _free_port()
    context = await aiocoap.Context.create_server_context(site, bind=("127.0.0.1", port), transports=["udp6"])
    try:
        yield posts, ("127.0.0.1", port)
    finally:
        await context.shutdown()


def _free_port() -> int:
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cover(target: Address, form: Form, interval_s: float = 3600) -> Cover:
    return Cover(
        spec(Kind.COVER, "cover_nbiot", "861234567890101", form, interval_s),
        CATALOG["cover_nbiot"],
        around(),
        lambda: target,
        ack_timeout_s=0.2,
    )


def read_post(post: tuple[int, bytes]) -> tuple[str | None, dict[str, object]]:
    profile = CATALOG["cover_nbiot"]
    wire = profile.wire.coap
    assert wire is not None
    document = parse_document(post[1], post[0])
    return identity(document, wire.identity), dict(decode_document(profile, wire.fields, wire.time, document).values)


@pytest.mark.parametrize(("form", "content_format"), [(Form.JSON, 50), (Form.CBOR, 60)])
async def test_a_cover_reports_at_power_up_and_at_once_when_it_is_opened_and_closed(form: Form, content_format: int) -> None:
    async with coap_server() as (posts, address):
        device = cover(address, form)
        async with alive(device):
            await until(lambda: device.account.confirmed == 1)
            act(device, "open")
            await until(lambda: device.account.confirmed == 2)
            act(device, "close")
            await until(lambda: device.account.confirmed == 3)
    said = [read_post(post) for post in posts.heard]
    assert {who for who, _ in said} == {"861234567890101"}
    assert [values["cover_open"] for _, values in said] == [False, True, False]
    assert [values["frame_counter"] for _, values in said] == [1, 2, 3]
    assert said[1][1]["tilt_deg"] == 72
    assert {post[0] for post in posts.heard} == {content_format}
    assert device.account.spoken == 3


async def test_a_cover_keeps_a_report_that_the_server_could_not_take_and_posts_the_same_bytes_again() -> None:
    async with coap_server() as (posts, address):
        posts.answers = [aiocoap.SERVICE_UNAVAILABLE]
        device = cover(address, Form.CBOR)
        async with alive(device):
            await until(lambda: device.account.confirmed == 1)
    assert len(posts.heard) == 2
    assert posts.heard[0] == posts.heard[1]
    assert (device.account.spoken, device.account.resent) == (1, 1)


async def test_a_cover_does_not_repeat_what_the_server_refused() -> None:
    async with coap_server() as (posts, address):
        posts.answers = [aiocoap.BAD_REQUEST]
        device = cover(address, Form.CBOR)
        async with alive(device):
            await until(lambda: device.account.refused == 1)
            act(device, "tilt")
            await until(lambda: device.account.confirmed == 1)
    assert len(posts.heard) == 2


async def test_a_cover_that_nobody_hears_keeps_its_event_until_somebody_does() -> None:
    async with coap_server() as (_, address):
        pass
    device = cover(address, Form.JSON)
    async with alive(device):
        act(device, "open")
        await until(lambda: device.account.spoken >= 1)
        assert device.account.confirmed == 0
        site, posts = aiocoap.resource.Site(), _Posts()
        site.add_resource(["t", "cover"], posts)
        context = await aiocoap.Context.create_server_context(site, bind=address, transports=["udp6"])
        await until(lambda: device.account.confirmed >= 1)
        await context.shutdown()
    assert read_post(posts.heard[-1])[1]["cover_open"] is True


async def test_a_cover_on_its_heartbeat_keeps_its_beat() -> None:
    async with coap_server() as (posts, address):
        device = cover(address, Form.JSON, interval_s=0.1)
        started = asyncio.get_running_loop().time()
        async with alive(device):
            await until(lambda: len(posts.heard) >= 6)
        assert 0.45 <= asyncio.get_running_loop().time() - started < 2


async def test_a_cover_with_noise_sends_what_is_no_document_and_counts_it_apart() -> None:
    async with coap_server() as (posts, address):
        posts.answers = [aiocoap.BAD_REQUEST]
        device = cover(address, Form.CBOR)
        act(device, "misbehave", how="noise")
        async with alive(device):
            await until(lambda: device.account.refused == 1)
    with pytest.raises(ParseError):
        parse_document(posts.heard[0][1], posts.heard[0][0])
    assert (device.account.spoken, device.account.spoiled) == (0, 1)


# Modbus


def lamp(address: str = "1") -> ModbusUnit:
    return ModbusUnit(spec(Kind.LAMP_LOOP, "lamp_loop", address), CATALOG["lamp_loop"], around())


def air(address: str = "2") -> ModbusUnit:
    return ModbusUnit(spec(Kind.TOILET_AIR, "toilet_air_modbus", address), CATALOG["toilet_air_modbus"], around())


async def sweep(client: AsyncModbusTcpClient | AsyncModbusSerialClient, unit: int, profile: Profile) -> dict[str, object]:
    """Every metric of one unit, read the way the agent plans it, with a client library that is not ours."""
    assert profile.wire.modbus is not None
    blocks = {}
    for block in plan_reads(profile.wire.modbus):
        read = {
            "coil": client.read_coils,
            "discrete": client.read_discrete_inputs,
            "holding": client.read_holding_registers,
            "input": client.read_input_registers,
        }[str(block.area)]
        reply = await read(block.address, count=block.count, device_id=unit)
        assert not reply.isError(), reply
        blocks[block] = (reply.bits if block.area in {"coil", "discrete"} else reply.registers)[: block.count]
    return dict(decode_registers(profile, blocks).values)


async def test_a_lamp_loop_on_tcp_is_read_by_a_foreign_client_and_tells_of_a_lost_phase() -> None:
    unit = lamp()
    port = ModbusTcpPort([unit])
    async with port.listener:
        client = AsyncModbusTcpClient("127.0.0.1", port=port.listener.address[1], timeout=2)
        assert await client.connect()
        values = await sweep(client, 1, unit.profile)
        assert 220 < float(str(values["voltage_b_v"])) < 240
        assert (values["phase_lost"], values["control_mode"], values["loops_fitted"]) == (False, "remote", 2)
        act(unit, "lose_phase_b")
        values = await sweep(client, 1, unit.profile)
        assert (values["voltage_b_v"], values["phase_lost"]) == (0.0, True)
        assert unit.account.spoken == 2
        client.close()


async def test_a_lamp_loop_does_what_it_is_ordered_and_refuses_what_it_does_not_have() -> None:
    unit = lamp()
    port = ModbusTcpPort([unit])
    async with port.listener:
        client = AsyncModbusTcpClient("127.0.0.1", port=port.listener.address[1], timeout=2)
        assert await client.connect()
        assert not (await client.write_coil(0, value=False, device_id=1)).isError()
        assert not (await client.write_registers(0, [35], device_id=1)).isError()
        values = await sweep(client, 1, unit.profile)
        assert (values["relay_1_on"], values["dimming_pct"]) == (False, 35)
        codes = [
            (await client.write_coil(9, value=True, device_id=1)).exception_code,
            (await client.read_input_registers(500, count=2, device_id=1)).exception_code,
            (await client.read_input_registers(17, count=2, device_id=1)).exception_code,
            (await client.read_coils(0, count=1, device_id=77)).exception_code,
            (await client.report_device_id(device_id=1)).exception_code,
        ]
        assert codes == [2, 2, 2, 11, 1]
        client.close()


async def test_two_units_share_one_serial_bus_and_each_answers_for_itself() -> None:
    units = [lamp("1"), air("2")]
    bus = RtuBus(units)
    path = await bus.start()
    try:
        async with alive(bus):
            client = AsyncModbusSerialClient(path, framer=FramerType.RTU, baudrate=9600, timeout=1)
            assert await client.connect()
            for _ in range(2):
                assert (await sweep(client, 1, units[0].profile))["relay_1_on"] is True
                assert float(str((await sweep(client, 2, units[1].profile))["nh3_ppm"])) < 1.5
            assert not (await client.write_register(16, 1, device_id=2)).isError()
            assert (await sweep(client, 2, units[1].profile))["fan_on"] is True
            assert (await client.write_register(16, 9, device_id=2)).exception_code == 3
            client.close()
        assert [unit.account.spoken for unit in units] == [2, 3]
    finally:
        await bus.close()


@contextmanager
def opened(path: str) -> Iterator[int]:
    handle = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        yield handle
    finally:
        os.close(handle)


async def exchange(handle: int, question: bytes, quiet_s: float = 0.15) -> bytes:
    """What comes back until the line has been quiet."""
    if question:
        os.write(handle, question)
    answer, left = b"", quiet_s
    while left > 0:
        await asyncio.sleep(0.01)
        left -= 0.01
        with suppress(BlockingIOError):
            answer += os.read(handle, 4096)
    return answer


ASK_LAMP, ASK_AIR = (
    rtu_frame(unit, build_request(ReadRequest(function=Function.READ_INPUT_REGISTERS, address=0, count=2))) for unit in (1, 2)
)


async def test_a_bad_neighbour_on_the_bus_spoils_its_own_answers_and_nobody_elses() -> None:
    bad, good = lamp("1"), air("2")
    bus = RtuBus([bad, good])
    with opened(await bus.start()) as handle:
        async with alive(bus):
            plain = await exchange(handle, ASK_LAMP)
            assert parse_rtu(plain).unit == 1
            act(bad, "misbehave", how="wrong_unit")
            assert parse_rtu(await exchange(handle, ASK_LAMP)).unit == 2
            act(bad, "misbehave", how="silent")
            assert await exchange(handle, ASK_LAMP) == b""
            act(bad, "misbehave", how="cut")
            half = await exchange(handle, ASK_LAMP)
            assert len(half) == len(plain) // 2
            act(bad, "misbehave", how="noise")
            noisy = [await exchange(handle, ASK_LAMP) for _ in range(6)]
            assert any(len(n) < 4 or crc16(n[:-2]).to_bytes(2, "little") != n[-2:] for n in noisy)
            assert parse_rtu(await exchange(handle, ASK_AIR)).unit == 2
            act(bad, "behave")
            assert parse_rtu(await exchange(handle, ASK_LAMP)).unit == 1
    await bus.close()


async def test_noise_and_half_a_request_on_the_bus_do_not_cost_the_next_request() -> None:
    bus = RtuBus([lamp("1")])
    with opened(await bus.start()) as handle:
        async with alive(bus):
            assert await exchange(handle, b"\x00\xff\x13" + ASK_LAMP[:5]) == b""
            assert parse_rtu(await exchange(handle, ASK_LAMP)).unit == 1
            assert parse_rtu(await exchange(handle, b"\xff" + ASK_LAMP)).unit == 1
    await bus.close()


async def test_a_unit_that_floods_talks_without_being_asked() -> None:
    bad = lamp("1")
    bus = RtuBus([bad])
    with opened(await bus.start()) as handle:
        async with alive(bus):
            act(bad, "misbehave", how="flood")
            assert len(await exchange(handle, b"", quiet_s=0.4)) > 100
    await bus.close()


async def test_a_tcp_unit_that_is_cut_within_a_reply_ends_the_connection_and_serves_the_next() -> None:
    unit = lamp()
    port = ModbusTcpPort([unit])
    question = b"\0\1\0\0\0\6" + ASK_LAMP[:-2]
    async with port.listener:
        act(unit, "misbehave", how="cut")
        reader, writer = await asyncio.open_connection(*port.listener.address)
        writer.write(question)
        assert len(await reader.read()) == 6
        writer.close()
        act(unit, "behave")
        reader, writer = await asyncio.open_connection(*port.listener.address)
        writer.write(question)
        assert (await reader.readexactly(13))[:7] == b"\0\1\0\0\0\7\1"
        writer.close()


async def test_a_caller_that_does_not_speak_modbus_is_hung_up_on() -> None:
    port = ModbusTcpPort([lamp()])
    async with port.listener:
        reader, writer = await asyncio.open_connection(*port.listener.address)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        # The rest of what it said is unread, so the end may come as a reset.
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()


# Serial nodes


def node(address: str) -> SerialNode:
    return SerialNode(spec(Kind.TOILET_NODE, "toilet_node_serial", address), CATALOG["toilet_node_serial"], around())


async def test_toilet_nodes_answer_their_own_poll_and_no_other() -> None:
    nodes = [node("1"), node("2")]
    bus = SerialBus(nodes)
    with opened(await bus.start()) as handle:
        async with alive(bus):
            act(nodes[1], "occupy")
            answers = [await exchange(handle, polled.poll or b"") for polled in nodes]
            assert await exchange(handle, node("3").poll or b"") == b""
            assert await exchange(handle, b"\xaa\x55\x01") == b""
            answers.append(await exchange(handle, nodes[0].poll or b""))
    await bus.close()
    decoded = [decode_frame(nodes[0].profile, answer) for answer in answers]
    assert [address for address, _ in decoded] == [1, 2, 1]
    assert [d.values["cubicle_1_occupied"] for _, d in decoded] == [False, True, False]
    assert [n.account.spoken for n in nodes] == [2, 1]


async def test_a_line_that_nobody_reads_drops_bytes_and_goes_on() -> None:
    one = node("1")
    bus = SerialBus([one])
    with opened(await bus.start()) as handle:
        while bus.line.write(b"x" * 1000):
            pass
        assert bus.line.dropped_bytes > 0
        assert len(await exchange(handle, b"")) > 1000
        async with alive(bus):
            assert decode_frame(one.profile, await exchange(handle, one.poll or b""))[0] == 1
    await bus.close()


# Vehicles


class Platform:
    """A platform that remembers every frame and answers as told: register with a code, everything else with ok."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.raw: list[bytes] = []
        self.deaf = 0
        self.forgotten = 0
        self.listener = Listener(self._serve)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        framer = Jt808Framer()
        while data := await reader.read(65536):
            for frame in framer.feed(data):
                assert isinstance(frame, Frame), frame
                self.frames.append(frame)
                self.raw.append(frame.raw)
                if self.deaf:
                    self.deaf -= 1
                    continue
                writer.write(self._answer(frame))

    def _answer(self, frame: Frame) -> bytes:
        if frame.message_id == 0x0100:
            body = frame.serial.to_bytes(2, "big") + b"\0" + b"CODE-7"
            return encode_frame(0x8100, frame.phone, 1, body, frame.version)
        refused = frame.message_id == 0x0102 and self.forgotten > 0
        self.forgotten -= refused
        body = frame.serial.to_bytes(2, "big") + frame.message_id.to_bytes(2, "big") + bytes((refused,))
        return encode_frame(0x8001, frame.phone, 1, body, frame.version)

    def ids(self) -> list[int]:
        return [frame.message_id for frame in self.frames]


def vehicle(target: Callable[[], Address], form: Form, interval_s: float = 3600, answer_s: float = 5.0) -> Vehicle:
    address = "00000000013812340003" if form is Form.JT808_2019 else "013812340001"
    made = spec(Kind.VEHICLE, "vehicle_terminal", address, form, interval_s)
    return Vehicle(made, CATALOG["vehicle_terminal"], around(), target, answer_s=answer_s)


@pytest.mark.parametrize(("form", "version"), [(Form.JT808_2013, 2013), (Form.JT808_2019, 2019)])
async def test_a_vehicle_registers_authenticates_with_the_code_it_got_and_reports_where_it_is(form: Form, version: int) -> None:
    platform = Platform()
    async with platform.listener:
        device = vehicle(lambda: platform.listener.address, form)
        async with alive(device):
            await until(lambda: device.account.confirmed == 1)
            act(device, "sos")
            await until(lambda: device.account.confirmed == 2)
    assert platform.ids() == [0x0100, 0x0102, 0x0200, 0x0200]
    register, authenticate, first, second = platform.frames
    assert {frame.version for frame in platform.frames} == {version}
    assert {frame.length_ok for frame in platform.frames} == {True}
    assert len(register.body) == (4 + 11 + 30 + 30 + 1 if version == 2019 else 4 + 5 + 20 + 7 + 1) + len("苏E00001".encode("gbk"))
    assert authenticate.body[: 7 if version == 2019 else 6].endswith(b"CODE-7")
    here, alarm = (decode_location(device.profile, parse_location(frame.body)) for frame in (first, second))
    assert abs(float(str(here.values["longitude_deg"])) - 120.62) < 0.01
    assert abs(float(str(here.values["latitude_deg"])) - 31.31) < 0.01
    assert (here.values["sos"], alarm.values["sos"], here.flaws) == (False, True, {})
    assert here.time_ns is not None
    assert abs(here.time_ns - CLOCK.wall_ns()) < 10e9


async def test_a_vehicle_says_the_same_bytes_again_when_nobody_answers_and_each_reading_counts_once() -> None:
    platform = Platform()
    async with platform.listener:
        device = vehicle(lambda: platform.listener.address, Form.JT808_2013, answer_s=0.1)
        async with alive(device):
            await until(lambda: device.account.confirmed == 1)
            platform.deaf = 2
            act(device, "sos")
            await until(lambda: device.account.confirmed == 2)
    again = platform.raw[-3:]
    assert again[0] == again[1] == again[2]
    assert (device.account.spoken, device.account.resent) == (2, 2)


async def test_a_vehicle_that_leaves_a_blind_area_authenticates_again_and_catches_up_with_a_batch() -> None:
    platform = Platform()
    async with platform.listener:
        device = vehicle(lambda: platform.listener.address, Form.JT808_2013, interval_s=0.1)
        async with alive(device):
            await until(lambda: device.account.confirmed >= 1)
            act(device, "outage", for_s=0.5)
            await until(lambda: 0x0704 in platform.ids())
            await until(lambda: platform.ids().count(0x0200) >= 3)
    batch = next(frame for frame in platform.frames if frame.message_id == 0x0704)
    assert int.from_bytes(batch.body[:2], "big") >= 3
    assert batch.body[2] == 1
    assert platform.ids().count(0x0100) == 1
    assert platform.ids().count(0x0102) == 2
    assert device.account.overflow == 0
    assert device.account.spoken - device.account.confirmed <= 1


async def test_a_vehicle_whose_code_is_no_longer_good_registers_again_and_loses_nothing() -> None:
    platform = Platform()
    async with platform.listener:
        device = vehicle(lambda: platform.listener.address, Form.JT808_2013)
        async with alive(device):
            await until(lambda: device.account.confirmed == 1)
            platform.forgotten = 1  # as after a restart
            platform.listener.drop_all()
            act(device, "sos")
            await until(lambda: device.account.confirmed == 2)
    assert platform.ids() == [0x0100, 0x0102, 0x0200, 0x0102, 0x0100, 0x0102, 0x0200]
    assert device.account.spoken == 2


async def test_a_vehicle_says_that_it_does_not_support_what_it_is_told() -> None:
    platform = Platform()
    async with platform.listener:
        device = vehicle(lambda: platform.listener.address, Form.JT808_2013)
        async with alive(device):
            await until(lambda: device.account.confirmed == 1)
            platform._answer = lambda frame: (  # type: ignore[method-assign]
                Platform._answer(platform, frame) + encode_frame(0x8104, frame.phone, 9, b"")
                if frame.message_id == 0x0200
                else b""
            )
            act(device, "sos")
            await until(lambda: 0x0001 in platform.ids())
    assert platform.frames[-1].body == b"\x00\x09\x81\x04\x03"


# The people counter


async def test_a_people_counter_publishes_json_on_its_own_topic_and_at_once_when_a_crowd_gathers(mosquitto_port: int) -> None:
    profile = CATALOG["toilet_counter_mqtt"]
    made = spec(Kind.PEOPLE_COUNTER, "toilet_counter_mqtt", "gq-01")
    device = MqttDevice(made, profile, around(), lambda: f"mqtt://127.0.0.1:{mosquitto_port}")
    wire = profile.wire.mqtt
    assert wire is not None
    async with aiomqtt.Client("127.0.0.1", mosquitto_port) as agent:
        await agent.subscribe("toilet/gq-01/count", qos=1)
        async with alive(device), asyncio.timeout(8):
            first = await anext(aiter(agent.messages))
            act(device, "crowd")
            second = await anext(aiter(agent.messages))
            await until(lambda: device.account.confirmed == 2)
    documents = [parse_document(bytes(message.payload), 50) for message in (first, second)]  # type: ignore[arg-type]
    counts = [decode_document(profile, wire.fields, wire.topics[0].time, document) for document in documents]
    assert [c.values["people_inside"] for c in counts][1] == 64
    assert all(c.time_ns is not None and not c.flaws for c in counts)
    assert device.account.spoken == 2
