"""A serial line over a pty: what the driver makes of frames, noise, silence and a cable that is pulled."""

import asyncio
import gc

import edge_drivers_peers as peers
import pytest

from edge_agent.config import DeviceConfig, LinkConfig
from edge_agent.drivers import Driver, SetupError, make_driver
from edge_agent.link_kinds import DriverName, SerialOptions
from firmware_bridge.serial_layout import encode_frame
from telemetry.clock import SystemClock
from telemetry.reason import Reason

NODE = DeviceConfig(id="node-5", profile="node", address="5")
TALKS = peers.serial_profile()
ASKED = peers.serial_profile(poll=b"\xa5\x5a\x06\x00")
GOOD = encode_frame(TALKS, 5, {"people_count": 258, "battery_pct": 90.0})
#         start len  addr people   battery sum  end: a5+5a+09+05+01+02+5a = 16a
WRITTEN = bytes.fromhex("a55a 09 05 0102 5a 6a 0d")


def serial_link(path: str, *devices: DeviceConfig, profile=TALKS) -> Driver:
    link = LinkConfig(name="line", driver=DriverName.SERIAL, devices=devices or (NODE,), options=SerialOptions(port=path))
    return make_driver(link, {"node": profile}, SystemClock())


@pytest.fixture
def pty():
    line = peers.Pty()
    yield line
    if line.fileno >= 0:
        line.unplug()


async def test_a_frame_spoken_unasked_becomes_a_reading(pty) -> None:
    inlet = peers.Notebook()
    assert GOOD == WRITTEN, "the frame as a person worked it out by hand"
    async with peers.running(serial_link(pty.path), inlet):
        await asyncio.sleep(0.05)
        pty.write(WRITTEN)
        await peers.eventually(lambda: inlet.heard)
    assert inlet.heard[0].device == "node-5"
    assert inlet.heard[0].decoded.values == {"people_count": 258, "battery_pct": 90.0}
    assert not inlet.refused


@pytest.mark.parametrize(
    ("stream", "readings", "reasons"),
    [
        pytest.param(b"\x00\xff\x13" + GOOD, 1, {Reason.BAD_START}, id="noise before a frame costs no frame"),
        pytest.param(GOOD + GOOD[:5], 1, {Reason.TRUNCATED}, id="a frame cut short is told once the line is quiet"),
        pytest.param(
            GOOD[:-2] + b"\x00\x0d" + GOOD, 1, {Reason.BAD_CHECKSUM}, id="a damaged frame does not take the next one along"
        ),
        pytest.param(b"\xa5\x5a\x20" + GOOD, 1, {Reason.TRUNCATED}, id="a length that lies does not swallow the frame behind it"),
        pytest.param(bytes(range(256)) * 40 + GOOD, 1, {Reason.BAD_START}, id="a shouting line is still listened to"),
        pytest.param(encode_frame(TALKS, 9, {}) + GOOD, 1, {Reason.UNKNOWN_DEVICE}, id="a unit nobody listed"),
    ],
)
async def test_what_is_no_frame_is_counted_and_costs_nothing_beside_it(pty, stream, readings, reasons) -> None:
    inlet = peers.Notebook()
    async with peers.running(serial_link(pty.path), inlet):
        await asyncio.sleep(0.05)
        for start in range(0, len(stream), 512):
            pty.write(stream[start : start + 512])
            await asyncio.sleep(0.005)
        await peers.eventually(lambda: len(inlet.heard) >= readings and inlet.reasons() >= reasons)
        await asyncio.sleep(0.15)
    assert len(inlet.heard) == readings
    assert inlet.heard[0].decoded.values["people_count"] == 258
    assert reasons <= inlet.reasons() <= reasons | {Reason.BAD_LENGTH, Reason.OVERSIZED, Reason.BAD_START}


async def test_any_cut_of_the_stream_gives_the_same_readings(pty) -> None:
    inlet = peers.Notebook()
    async with peers.running(serial_link(pty.path), inlet):
        await asyncio.sleep(0.05)
        for byte in GOOD * 3:
            pty.write(bytes([byte]))
            await asyncio.sleep(0.002)
        await peers.eventually(lambda: len(inlet.heard) == 3)
    assert not inlet.refused


async def test_polled_units_are_asked_one_at_a_time_and_a_dead_one_costs_little(monkeypatch) -> None:
    """Unit 6 is dead; its neighbour keeps speaking."""
    monkeypatch.setattr("edge_agent.drivers.serial_line._ANSWER_S", 0.2)
    inlet = peers.Notebook()
    both = [DeviceConfig(id=f"node-{n}", profile="node", address=str(n)) for n in (5, 6)]

    def answer(question: bytes) -> bytes:
        assert question[:3] == b"\xa5\x5a\x06"
        assert question[4] == sum(question[:4]) & 0xFF
        return encode_frame(ASKED, 5, {"people_count": 1}) if question[3] == 5 else b""

    async with peers.bus(answer) as line, peers.running(serial_link(line.pty.path, *both, profile=ASKED), inlet):
        await peers.eventually(lambda: len(inlet.of("node-5")) >= 40, within_s=12)
        dead = sum(question[3] == 6 for question in line.requests)
    assert Reason.TIMEOUT in inlet.reasons("node-6")
    assert not inlet.reasons("node-5")
    assert dead <= 7
    assert not inlet.of("node-6")


async def test_an_answer_under_anothers_number_is_nobodys_reading() -> None:
    """Units 5 and 9 have each other's number: what they say cannot be believed."""
    other = DeviceConfig(id="node-9", profile="node", address="9")
    inlet = peers.Notebook()
    async with (
        peers.bus(lambda question: encode_frame(ASKED, 14 - question[3], {"people_count": 1})) as line,
        peers.running(serial_link(line.pty.path, NODE, other, profile=ASKED), inlet),
    ):
        await peers.eventually(
            lambda: {"node-5", "node-9"} <= {source for source, reason, *_ in inlet.refused if reason is Reason.WRONG_UNIT}
        )
    assert not inlet.heard


async def test_a_port_that_is_not_there_is_tried_again_until_it_is(tmp_path, pty, caplog) -> None:
    inlet, path = peers.Notebook(), tmp_path / "ttyUSB0"
    driver = serial_link(str(path))
    async with peers.running(driver, inlet):
        await peers.eventually(lambda: inlet.refused)
        assert not driver.health().up
        path.symlink_to(pty.path)
        await peers.eventually(lambda: driver.health().up)
        pty.write(GOOD)
        await peers.eventually(lambda: inlet.heard)
        path.unlink()
        pty.unplug()
        await peers.eventually(lambda: not driver.health().up)
        again = peers.Pty()
        path.symlink_to(again.path)
        await peers.eventually(lambda: driver.health().up)
        again.write(GOOD)
        await peers.eventually(lambda: len(inlet.heard) == 2)
    again.unplug()
    gc.collect()
    assert inlet.reasons() == {Reason.UNREACHABLE}
    assert not [record for record in caplog.records if record.name == "asyncio"], "no task ended in an error of its own"


async def test_a_busy_agent_slows_the_line_down_and_loses_nothing(pty) -> None:
    inlet = peers.Notebook()
    inlet.gate = asyncio.Event()
    async with peers.running(serial_link(pty.path), inlet):
        await asyncio.sleep(0.05)
        for _ in range(40):
            pty.write(GOOD * 10)
            await asyncio.sleep(0.002)
        await peers.eventually(lambda: inlet.under_way >= 256)
        await asyncio.sleep(0.1)
        assert inlet.most_under_way == 256, "bounded"
        inlet.gate.set()
        await peers.eventually(lambda: len(inlet.heard) == 400)


def test_a_device_that_does_not_fit_the_line_is_told() -> None:
    with pytest.raises(SetupError, match="want a unit number"):
        serial_link("/dev/null", DeviceConfig(id="d", profile="node", address="300"))
    with pytest.raises(SetupError, match="which the catalog does not have"):
        serial_link("/dev/null", DeviceConfig(id="d", profile="nodes", address="3"))
