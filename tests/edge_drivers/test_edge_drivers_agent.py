"""All six drivers in one real agent, with the flagship profiles, each against a peer of its own on this machine."""

import asyncio
import contextlib
import json
import time
from collections.abc import Mapping
from pathlib import Path

import aiomqtt
import edge_drivers_peers as peers
import pytest
from aiocoap import Context, Message
from aiocoap.numbers import codes

from device_profiles.model import Profile
from device_profiles.shelf import load_catalog
from device_profiles.wires.modbus import RegisterArea
from edge_agent.agent import Agent
from edge_agent.config import AgentConfig, DeviceConfig, LinkConfig
from edge_agent.link_kinds import Admit, CoapOptions, DriverName, Jt808Options, ModbusTcpOptions, MqttOptions, SerialOptions
from firmware_bridge.documents import encode_document
from firmware_bridge.jt808.frames import encode_frame as encode_jt808
from firmware_bridge.jt808.location import encode_values
from firmware_bridge.modbus.frames import parse_rtu, rtu_frame, tcp_frame
from firmware_bridge.modbus.pdus import Function, ReadReply, ReadRequest, build_reply, parse_request
from firmware_bridge.modbus.registers import encode_registers
from firmware_bridge.serial.layout import encode_frame

pytestmark = pytest.mark.integration

CATALOG = load_catalog()
_AREA = {
    Function.READ_COILS: RegisterArea.COIL,
    Function.READ_DISCRETE_INPUTS: RegisterArea.DISCRETE,
    Function.READ_HOLDING_REGISTERS: RegisterArea.HOLDING,
    Function.READ_INPUT_REGISTERS: RegisterArea.INPUT,
}
LAMP = encode_registers(CATALOG["lamp_loop"], {"voltage_a_v": 229.5, "frequency_hz": 50.0, "relay_1_on": True, "dimming_pct": 80})
AIR = encode_registers(CATALOG["toilet_air_modbus"], {"nh3_ppm": 2.5, "fan_on": False})


def answer(memory: Mapping[RegisterArea, Mapping[int, int | bool]], pdu: bytes) -> bytes:
    """A register device's reply to a read; what is not in its memory reads as 0."""
    request = parse_request(pdu)
    assert isinstance(request, ReadRequest)
    held = memory.get(_AREA[request.function], {})
    values = tuple(held.get(request.address + i, 0) for i in range(request.count))
    return build_reply(ReadReply(function=request.function, values=values))


def rtu_answer(frame: bytes) -> bytes:
    request = parse_rtu(frame)
    memory = {1: LAMP, 2: AIR}.get(request.unit)
    return b"" if memory is None else rtu_frame(request.unit, answer(memory, request.pdu))


async def serve_tcp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        head = await reader.readexactly(7)
        pdu = await reader.readexactly(int.from_bytes(head[4:6], "big") - 1)
        writer.write(tcp_frame(int.from_bytes(head[:2], "big"), head[6], answer(LAMP, pdu)))


def serial_answer(question: bytes) -> bytes:
    profile = CATALOG["toilet_node_serial"]
    return encode_frame(profile, question[2], {"nh3_ppm": 1.25, "temperature_c": 21.5})


def link(name: str, driver: DriverName, options: object, *devices: tuple[str, str, str]) -> LinkConfig:
    listed = tuple(DeviceConfig(id=one, profile=profile, address=address) for one, profile, address in devices)
    return LinkConfig(name=name, driver=driver, devices=listed, options=options)  # type: ignore[arg-type]


def cover_document(profile: Profile) -> bytes:
    assert profile.wire.coap is not None
    wire = profile.wire.coap
    document = encode_document(profile, wire.fields, wire.time, {"cover_open": True}, time.time_ns())
    assert isinstance(document, dict)
    assert len(wire.identity) == 1
    return json.dumps(document | {wire.identity[0]: "cover-address"}).encode()


async def test_six_drivers_bring_their_devices_into_one_agent(tmp_path: Path, mosquitto_port: int) -> None:
    async with peers.serving(serve_tcp) as tcp_port, peers.bus(rtu_answer) as bus, peers.bus(serial_answer) as line:
        links = (
            link("tcp", DriverName.MODBUS_TCP, ModbusTcpOptions(host="127.0.0.1", port=tcp_port), ("lamp-tcp", "lamp_loop", "1")),
            link(
                "rtu",
                DriverName.MODBUS_RTU,
                SerialOptions(port=bus.pty.path),
                ("lamp-rtu", "lamp_loop", "1"),
                ("air", "toilet_air_modbus", "2"),
            ),
            link("line", DriverName.SERIAL, SerialOptions(port=line.pty.path), ("node", "toilet_node_serial", "3")),
            link("nb", DriverName.COAP, CoapOptions(port=0), ("cover", "cover_nbiot", "cover-address")),
            link(
                "own",
                DriverName.MQTT,
                MqttOptions(broker=f"mqtt://127.0.0.1:{mosquitto_port}"),
                ("counter", "toilet_counter_mqtt", "wc-9"),
            ),
            link(
                "fleet",
                DriverName.JT808,
                Jt808Options(port=0, admit=Admit.ANY, default_profile="vehicle_terminal", require_auth=False),
            ),
        )
        broker = f"mqtt://127.0.0.1:{peers.free_port()}"
        agent = Agent(AgentConfig(gateway="gw-test", data_dir=tmp_path, broker=broker, links=links))
        task = asyncio.ensure_future(agent.run())
        try:
            await asyncio.wait_for(agent.ready.wait(), 10)
            await asyncio.wait_for(asyncio.gather(*(driver.started.wait() for driver in agent.drivers.values())), 10)
            await peers.eventually(lambda: agent.drivers["own"].health().up)
            await speak(agent, mosquitto_port)
            wanted = {"lamp-tcp", "lamp-rtu", "air", "node", "cover", "counter", "jt808-13800138000"}
            await peers.eventually(lambda: heard(agent) == wanted)
            await peers.eventually(lambda: agent.counts().committed >= len(wanted))
            assert not agent.driver_restarts
            assert not agent.counts().refused
        finally:
            before = time.monotonic()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        assert time.monotonic() - before < 5


def heard(agent: Agent) -> set[str]:
    return {device for driver in agent.drivers.values() for device in driver.health().devices}


async def speak(agent: Agent, mosquitto_port: int) -> None:
    """The devices that speak first: a cover, a counter, a vehicle; each answered once its reading is on disk."""
    device = await Context.create_client_context(transports=["simple6"])
    host, port = agent.drivers["nb"].ports[0]
    cover = CATALOG["cover_nbiot"]
    assert cover.wire.coap is not None
    uri = f"coap://{host}:{port}/{cover.wire.coap.path.strip('/')}"
    post = Message(code=codes.POST, payload=cover_document(cover), uri=uri, content_format=50)
    assert (await device.request(post).response).code == codes.CHANGED
    await device.shutdown()

    async with aiomqtt.Client("127.0.0.1", mosquitto_port) as counter:
        said = {"ts": time.time_ns() // 1_000_000, "total": {"in": 10, "out": 4}, "inside": 6}
        await counter.publish("toilet/wc-9/count", json.dumps(said), qos=1)

    reader, writer = await asyncio.open_connection(*agent.drivers["fleet"].ports[0])
    body = encode_values(CATALOG["vehicle_terminal"], {"latitude_deg": 31.2, "longitude_deg": 121.5}, time.time_ns())
    writer.write(encode_jt808(0x0200, "13800138000", 1, body))
    assert (await asyncio.wait_for(reader.readexactly(20), 5))[1:3] == b"\x80\x01"
    writer.close()
    await writer.wait_closed()
