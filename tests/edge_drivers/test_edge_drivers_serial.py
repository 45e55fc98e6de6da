"""A serial line over a pty: what the driver makes of frames, noise, silence and a cable that is pulled."""

import asyncio
import gc

import edge_drivers_peers as peers
import pytest

from device_profiles.model import Profile
from device_profiles.quantities import MetricType
from device_profiles.wires import Wire
from device_profiles.wires.serial import LineChecksum, LineField, LineLayout, LineMessage, Place, SerialWire
from edge_agent.config import DeviceConfig, LinkConfig
from edge_agent.drivers import Driver, SetupError, make_driver
from edge_agent.link_kinds import DriverName, SerialOptions
from firmware_bridge.serial.layout import encode_frame
from telemetry.clock import SystemClock
from telemetry.raw_frames import RawFrame
from telemetry.reason import Reason

NODE = DeviceConfig(id="node-5", profile="node", address="5")
TALKS = peers.serial_profile()
ASKED = peers.serial_profile(poll=b"\xa5\x5a\x06\x00", timeout_s=0.2)
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
    assert (inlet.heard[0].frames, inlet.heard[0].source) == ((RawFrame("node", WRITTEN),), pty.path)
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


async def test_polled_units_are_asked_one_at_a_time_and_a_dead_one_costs_little() -> None:
    """Unit 6 is dead; its neighbour keeps speaking."""
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


SCALE = LineLayout(
    start=b"$",
    separator=",",
    address=Place(index=1),
    checksum=LineChecksum(kind="xor8", mark="*", since=1),
    messages=(LineMessage(tag="W", fields=(LineField(metric="people_count", place=Place(index=2)),)),),
)


def scale(**wire: object) -> Profile:
    spoken = SerialWire(layout=SCALE, **({"poll_s": 0.05} | wire))  # type: ignore[arg-type]
    return peers.profile("node", Wire(serial=spoken), peers.metric("people_count", MetricType.INTEGER))


#              W ^ , ^ 0 ^ 5 ^ , ^ 4 ^ 2 = 54
LINE = b"$W,05,42*54\r\n"


async def test_a_line_of_text_spoken_unasked_becomes_a_reading(pty) -> None:
    inlet = peers.Notebook()
    async with peers.running(serial_link(pty.path, profile=scale()), inlet):
        await asyncio.sleep(0.05)
        for piece in (b"noise", LINE[:4], LINE[4:], LINE.replace(b"42", b"43"), LINE.replace(b"*54", b"*5"), LINE):
            pty.write(piece)
            await asyncio.sleep(0.01)
        await peers.eventually(lambda: len(inlet.heard) == 2)
    assert [heard.decoded.values for heard in inlet.heard] == [{"people_count": 42}] * 2
    assert inlet.reasons() == {Reason.BAD_START, Reason.BAD_CHECKSUM}


async def test_lines_are_asked_for_by_the_units_address() -> None:
    inlet = peers.Notebook()
    asked = scale(poll=b"#{address}?\r\n", poll_digits=2)
    async with (
        peers.bus(lambda question: question + LINE if question == b"#05?\r\n" else b"") as line,
        peers.running(serial_link(line.pty.path, profile=asked), inlet),
    ):
        await peers.eventually(lambda: len(inlet.heard) >= 2)
    assert {heard.device for heard in inlet.heard} == {"node-5"}


async def test_text_and_frames_share_a_line(pty) -> None:
    inlet = peers.Notebook()
    devices = (NODE, DeviceConfig(id="scale-5", profile="scale", address="5"))
    options = SerialOptions(port=pty.path)
    link = LinkConfig(name="line", driver=DriverName.SERIAL, devices=devices, options=options)
    async with peers.running(make_driver(link, {"node": TALKS, "scale": scale()}, SystemClock()), inlet):
        await asyncio.sleep(0.05)
        pty.write(GOOD + LINE + GOOD)
        await peers.eventually(lambda: len(inlet.heard) == 3)
    assert sorted(heard.device for heard in inlet.heard) == ["node-5", "node-5", "scale-5"]


# ICP DAS and Advantech modules: "#01" and a checksum asks module 1 for its channels, ">+025.12" answers without an address.
DCON = LineLayout(
    start=b">",
    end=b"\r",
    checksum=LineChecksum(kind="sum8"),
    messages=(LineMessage(tag="", fields=(LineField(metric="people_count", place=Place(at=1, size=7)),)),),
)


async def test_answers_that_say_no_address_are_those_of_whoever_was_asked() -> None:
    """Module 2 is dead, and what comes late from it is not taken for module 1's."""
    wire = SerialWire(layout=DCON, poll=b"#{address}", poll_digits=2, poll_checked=True, poll_s=0.1, timeout_s=0.2)
    profile = peers.profile("node", Wire(serial=wire), peers.metric("people_count"))
    modules = [DeviceConfig(id=f"module-{n}", profile="node", address=str(n)) for n in (1, 2, 3)]
    # Sums of the characters before, modulo 256.
    answers = {b"#0184\r": b">+025.1291\r", b"#0386\r": b">-000.508E\r"}
    inlet = peers.Notebook()

    def answer(question: bytes) -> bytes:
        if question == b"#0285\r":
            asyncio.get_running_loop().call_later(0.25, line.pty.write, answers[b"#0386\r"])
        return answers.get(question, b"")

    async with (
        peers.bus(answer) as line,
        peers.running(serial_link(line.pty.path, *modules, profile=profile), inlet),
    ):
        await peers.eventually(lambda: len(inlet.of("module-1")) >= 4 and len(inlet.of("module-3")) >= 4)
    assert {heard.decoded.values["people_count"] for heard in inlet.of("module-1")} == {25.12}
    assert {heard.decoded.values["people_count"] for heard in inlet.of("module-3")} == {-0.5}
    assert not inlet.of("module-2")
    assert Reason.UNKNOWN_DEVICE in inlet.reasons("line"), "an answer that nobody waits for"


def test_two_units_that_cannot_be_told_apart_are_told() -> None:
    again = DeviceConfig(id="again", profile="node", address="005")
    with pytest.raises(SetupError, match="both say address 5"):
        serial_link("/dev/null", NODE, again)


def test_a_device_that_does_not_fit_the_line_is_told() -> None:
    with pytest.raises(SetupError, match="want a unit number"):
        serial_link("/dev/null", DeviceConfig(id="d", profile="node", address="300"))
    with pytest.raises(SetupError, match="which the catalog does not have"):
        serial_link("/dev/null", DeviceConfig(id="d", profile="nodes", address="3"))
