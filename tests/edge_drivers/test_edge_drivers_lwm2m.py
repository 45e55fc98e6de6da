"""The LwM2M server over loopback UDP, before a client written datagram by datagram."""

import asyncio
from collections import Counter

import cbor2
import edge_drivers_peers as peers
import pytest
from edge_drivers_lwm2m import CLOCK, COVER, COVER_LINKS, LAMP, LAMP_LINKS, Node, link, order, path_of
from msgspec.structs import replace

from edge_agent.config import DeviceConfig
from edge_agent.drivers.base import SetupError
from edge_agent.drivers.lwm2m.sending import Patience
from firmware_bridge.coap import CoapMessage
from firmware_bridge.lwm2m.messages import ACCEPT, CONTENT_FORMAT, OBSERVE, URI_QUERY, number_option, option_number, option_texts
from telemetry.clock import SECOND_NS
from telemetry.raw_frames import RawFrame
from telemetry.reason import Reason
from telemetry.records import Outcome

pytestmark = pytest.mark.usefixtures("quick_ticks")

QUICK = Patience(first_s=0.05, factor=1.0, repeats=1, answer_s=0.3)
OPEN = b'[{"bn":"/3408/0/","n":"2","v":47},{"n":"3","vb":false}]'
CLOSED = b'[{"bn":"/3408/0/","n":"2","v":1},{"n":"3","vb":true}]'
DEVICE, RADIO = b'[{"n":"/3/0/9","v":78}]', b'[{"n":"/4/0/2","v":-108}]'


@pytest.fixture
def quick_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_agent.drivers.lwm2m.driver._TICK_S", 0.05)


def values(inlet: peers.Notebook, device: str = "cover-1") -> dict[str, object]:
    return {name: value for heard in inlet.of(device) for name, value in heard.decoded.values.items()}


async def watched(node: Node) -> CoapMessage:
    """Register as a cover and agree to be observed; what observes the cover itself."""
    await node.register(COVER.address, COVER_LINKS)
    observed = await node.be_watched(CLOSED, DEVICE, RADIO)
    return next(each for each in observed if path_of(each) == "/3408/0")


async def test_a_device_that_registers_is_asked_to_tell_of_the_instances_that_its_profile_reads() -> None:
    inlet, driver = peers.Notebook(), link(COVER)
    async with peers.running(driver, inlet):
        with Node(driver) as node:
            location = await node.register(COVER.address, COVER_LINKS)
            asked = []
            for payload in (CLOSED, DEVICE, RADIO):
                times = await node.hear()
                assert (times.code, option_texts(times, URI_QUERY)) == ("0.03", ["pmax=86400"])
                await node.answer(times, "2.04")
                observe = await node.hear()
                assert (observe.type, observe.code, option_number(observe, OBSERVE)) == ("CON", "0.01", 0)
                assert option_number(observe, ACCEPT) == 110
                asked.append(path_of(observe))
                await node.answer(observe, "2.05", payload, 110, observe=1)
            await peers.eventually(lambda: len(inlet.heard) == 3)
            assert asked == ["/3408/0", "/3/0", "/4/0"]
            assert values(inlet) == {"tilt_deg": 1, "cover_open": False, "battery_pct": 78, "rsrp_dbm": -108}
            assert (await node.ask(node.post(location))).code == "2.04"
            assert await node.silence(), "what is observed is not asked for again"
    assert [heard.frames for heard in inlet.heard] == [(RawFrame("senml-json", said),) for said in (CLOSED, DEVICE, RADIO)]
    # The profile reads a temperature, too; this cover has none.
    assert inlet.refused == [("cover-1", Reason.MISSING, "it registers no /3303/0", b"")]
    assert len(location.split("/")[1]) == 12


async def test_a_confirmable_notification_is_acknowledged_after_its_commit_and_read_once() -> None:
    inlet, driver = peers.Notebook(), link(COVER)
    async with peers.running(driver, inlet):
        with Node(driver) as node:
            observed = await watched(node)
            await peers.eventually(lambda: len(inlet.heard) == 3)
            inlet.gate = asyncio.Event()
            told = node.told(observed, 2, OPEN)
            await node.say(told)
            await node.say(told)
            assert await node.silence(), "not before it is committed"
            inlet.gate.set()
            acknowledged = await node.hear()
            assert (acknowledged.type, acknowledged.code, acknowledged.message_id) == ("ACK", "0.00", told.message_id)
            assert (await node.ask(told)).type == "ACK", "its acknowledgement was lost: it is said again"
            assert await node.silence()
    assert [heard.decoded.values["cover_open"] for heard in inlet.heard if "cover_open" in heard.decoded.values] == [False, True]


async def test_an_older_notification_is_acknowledged_and_not_read_and_a_stranger_token_is_reset() -> None:
    inlet, driver = peers.Notebook(), link(COVER)
    async with peers.running(driver, inlet):
        with Node(driver) as node:
            observed = await watched(node)
            assert (await node.ask(node.told(observed, 5, OPEN))).type == "ACK"
            assert (await node.ask(node.told(observed, 4, CLOSED))).type == "ACK"
            strange = node.told(observed, 6, CLOSED)
            reset = await node.ask(replace(strange, token=b"no"))
            assert (reset.type, reset.message_id) == ("RST", strange.message_id)
    assert values(inlet)["cover_open"] is True
    assert {Reason.LATE, Reason.WRONG_TRANSACTION} <= inlet.reasons("cover-1")


async def test_who_is_not_listed_may_not_register_and_is_counted() -> None:
    inlet, driver = peers.Notebook(), link(COVER)
    async with peers.running(driver, inlet):
        with Node(driver) as node:
            assert (await node.ask(node.post("rd", "ep=somebody", "lwm2m=1.1", payload=COVER_LINKS))).code == "4.03"
            assert (await node.ask(node.post("rd/1"))).code == "4.04"
            assert (await node.ask(node.post("bs", "ep=somebody"))).code == "4.04"
            assert (await node.ask(node.post("dp", payload=DEVICE, form=110))).code == "4.03"
            assert await node.silence()
    assert Counter(reason for _, reason, _, _ in inlet.refused) == {Reason.UNKNOWN_DEVICE: 3, Reason.UNKNOWN_MESSAGE: 1}
    assert "'somebody'" in inlet.refused[0][2]
    assert not inlet.heard


async def test_a_device_that_was_switched_off_registers_and_is_observed_anew() -> None:
    inlet, driver = peers.Notebook(), link(COVER)
    async with peers.running(driver, inlet):
        with Node(driver) as node:
            before = await watched(node)
        with Node(driver) as node:  # another port, message ids from the start
            after = await watched(node)
            assert after.token != before.token
            assert (await node.ask(node.told(after, 2, OPEN))).type == "ACK"
            assert (await node.ask(node.told(before, 9, CLOSED))).type == "RST"
    assert values(inlet)["cover_open"] is True


async def test_a_device_that_counts_its_messages_from_the_same_number_again_is_observed_anew_all_the_same() -> None:
    inlet, driver = peers.Notebook(), link(LAMP)
    async with peers.running(driver, inlet):
        with Node(driver) as node:
            said = node.post("rd", f"ep={LAMP.address}", "lwm2m=1.1", payload=LAMP_LINKS, form=40)
            first = await node.ask(said)
            await node.be_watched(b'[{"n":"/3416/0/3","v":0}]')
            again = await node.ask(said)
            assert (again.code, again.options) == ("2.01", first.options)
            (observed,) = await node.be_watched(b'[{"n":"/3416/0/3","v":50}]')
            assert (await node.ask(node.told(observed, 2, b'[{"n":"/3416/0/3","v":60}]'))).type == "ACK"
    assert [heard.decoded.values["dimming_pct"] for heard in inlet.heard] == [0, 50, 60]


async def test_an_observation_goes_on_from_another_address() -> None:
    inlet, driver = peers.Notebook(), link(COVER, LAMP)
    async with peers.running(driver, inlet):
        with Node(driver) as old, Node(driver) as new, Node(driver) as other:
            location = await old.register(COVER.address, COVER_LINKS)
            observed = (await old.be_watched(CLOSED, DEVICE, RADIO))[0]
            new.message_id = 500
            assert (await new.ask(new.told(observed, 2, OPEN))).type == "ACK", "known by its token before it updates"
            assert (await new.ask(new.post(location))).code == "2.04"
            # The network gives the address that it left to another.
            assert (await old.ask(old.post("rd", f"ep={LAMP.address}", "lwm2m=1.1", payload=b"</3/0>"))).code == "2.01"
            assert (await new.ask(new.told(observed, 3, CLOSED))).type == "ACK"
            assert await other.silence(0.05)
    assert [heard.decoded.values.get("cover_open") for heard in inlet.of("cover-1") if "cover_open" in heard.decoded.values] == [
        False, True, False
    ]  # fmt: skip
    assert not inlet.of("lamp-1")


async def test_a_sleeping_device_is_ordered_when_it_speaks_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firmware_bridge.lwm2m.registrations.AWAKE_S", 0.2)
    inlet, driver = peers.Notebook(), link(LAMP)
    async with peers.running(driver, inlet):
        with Node(driver) as node:
            location = await node.register(LAMP.address, LAMP_LINKS, "lwm2m=1.1", "lt=3600", "Q")
            await node.be_watched(b'[{"n":"/3416/0/3","v":0}]')
            await asyncio.sleep(0.25)
            dimmed = asyncio.ensure_future(driver.command(order("dim", level=60), LAMP))
            reset = asyncio.ensure_future(driver.command(order("reset_lamp_hours"), LAMP))
            assert await node.silence(0.2)
            await node.say(node.post(location))
            assert (await node.hear()).code == "2.04"
            asked = await node.hear()
            assert (asked.code, path_of(asked), option_number(asked, CONTENT_FORMAT)) == ("0.03", "/3416/0/1", 11542)
            assert asked.payload == bytes.fromhex("c1 01 3c")  # TLV: a resource, id 1, 60
            await node.answer(asked, "2.04")
            asked = await node.hear()
            assert (asked.code, path_of(asked), asked.payload) == ("0.02", "/3416/0/16", b"")
            await node.answer(asked, "2.04")
            assert [(await each).outcome for each in (dimmed, reset)] == [Outcome.DONE, Outcome.DONE]


async def test_an_instance_is_read_when_it_is_ordered() -> None:
    inlet, driver = peers.Notebook(), link(LAMP)
    async with peers.running(driver, inlet):
        with Node(driver) as node:
            await node.register(LAMP.address, LAMP_LINKS)
            await node.be_watched(b'[{"n":"/3416/0/3","v":0}]')
            ending = asyncio.ensure_future(driver.command(order("read_now"), LAMP))
            asked = await node.hear()
            assert (asked.code, path_of(asked), option_number(asked, OBSERVE)) == ("0.01", "/3416/0", None)
            await node.answer(asked, "2.05", b'[{"n":"/3416/0/3","v":40}]', 110)
            assert (await ending).outcome is Outcome.DONE
            await peers.eventually(lambda: values(inlet, "lamp-1") == {"dimming_pct": 40})


async def test_an_order_waits_for_a_device_that_is_not_registered_as_long_as_it_is_good() -> None:
    inlet, driver = peers.Notebook(), link(LAMP)
    async with peers.running(driver, inlet):
        with Node(driver) as node:
            soon = asyncio.ensure_future(driver.command(order("switch_on", ttl_s=1), LAMP))
            later = asyncio.ensure_future(driver.command(order("switch_off"), LAMP))
            result = await soon
            assert (result.outcome, result.reason) == (Outcome.EXPIRED, Reason.EXPIRED)
            await node.register(LAMP.address, LAMP_LINKS)
            asked = await node.hear()
            assert (path_of(asked), asked.payload) == ("/3416/0/1", bytes.fromhex("c1 01 00"))
            await node.answer(asked, "2.04")
            assert (await later).outcome is Outcome.DONE


async def test_no_more_than_sixteen_orders_wait_for_one_device() -> None:
    driver = link(LAMP)
    async with peers.running(driver, peers.Notebook()):
        waiting = [asyncio.ensure_future(driver.command(order("switch_on"), LAMP)) for _ in range(16)]
        await asyncio.sleep(0)
        result = await driver.command(order("switch_on"), LAMP)
        assert (result.outcome, result.reason) == (Outcome.REFUSED, Reason.QUEUE_FULL)
        for each in waiting:
            each.cancel()
        await asyncio.wait(waiting)
        again = asyncio.ensure_future(driver.command(order("switch_on"), LAMP))
        await asyncio.sleep(0.01)
        assert not again.done(), "who gave up makes room"
        again.cancel()


@pytest.mark.parametrize(
    ("action", "args", "code", "outcome", "reason"),
    [
        pytest.param("dim", {"level": 60}, "4.04", Outcome.FAILED, Reason.DEVICE_EXCEPTION, id="the device says no"),
        pytest.param("dim", {"level": 101}, None, Outcome.REFUSED, Reason.OUT_OF_RANGE, id="more than the profile allows"),
        pytest.param("dim", {}, None, Outcome.REFUSED, Reason.MISSING, id="no level"),
        pytest.param("dance", {}, None, Outcome.REFUSED, Reason.UNKNOWN_COMMAND, id="no such command"),
        pytest.param("dim", {"level": 60}, "RST", Outcome.FAILED, Reason.DEVICE_EXCEPTION, id="the device resets"),
        pytest.param("dim", {"level": 60}, "silence", Outcome.UNKNOWN, Reason.TIMEOUT, id="no answer: nobody knows"),
        pytest.param("dim", {"level": 60}, "ack", Outcome.UNKNOWN, Reason.TIMEOUT, id="an acknowledgement and no answer"),
        pytest.param("dim", {"level": 60}, "again", Outcome.UNKNOWN, Reason.INTERRUPTED, id="it registers anew meanwhile"),
    ],
)
async def test_an_order_that_is_not_done_says_why(action, args, code, outcome, reason) -> None:
    inlet, driver = peers.Notebook(), link(LAMP, patience=QUICK)
    async with peers.running(driver, inlet):
        with Node(driver) as node:
            await node.register(LAMP.address, LAMP_LINKS)
            await node.be_watched(b'[{"n":"/3416/0/3","v":0}]')
            ending = asyncio.ensure_future(driver.command(order(action, **args), LAMP))
            if code is not None:
                asked = await node.hear()
                match code:
                    case "RST" | "ack":
                        empty = replace(asked, type="RST" if code == "RST" else "ACK", code="0.00", token=b"", options=())
                        await node.say(replace(empty, payload=b""))
                    case "again":
                        await node.say(node.post("rd", f"ep={LAMP.address}", "lwm2m=1.1", payload=LAMP_LINKS))
                    case "silence":
                        pass
                    case _:
                        await node.answer(asked, code)
            result = await ending
    assert (result.outcome, result.reason) == (outcome, reason)


async def test_a_device_that_does_not_know_the_format_is_written_to_in_plain_text() -> None:
    driver = link(LAMP)
    async with peers.running(driver, peers.Notebook()):
        with Node(driver) as node:
            await node.register(LAMP.address, b'</>;rt="oma.lwm2m";ct=112,' + LAMP_LINKS)
            await node.be_watched(cbor2.dumps([{0: "/3416/0/3", 2: 0}]), form=112)
            ending = asyncio.ensure_future(driver.command(order("dim", level=60), LAMP))
            asked = await node.hear()
            assert (option_number(asked, CONTENT_FORMAT), cbor2.loads(asked.payload)) == (112, [{0: "/3416/0/1", 2: 60}])
            await node.answer(asked, "4.15")
            asked = await node.hear()
            assert (option_number(asked, CONTENT_FORMAT), asked.payload) == (0, b"60")
            await node.answer(asked, "2.04")
            assert (await ending).outcome is Outcome.DONE


async def test_an_instance_that_a_device_does_not_tell_of_any_more_is_observed_again_at_its_update(monkeypatch) -> None:
    monkeypatch.setattr("edge_agent.drivers.lwm2m.asking._OVERDUE", 0.1 / 300)  # the lamp is to tell every 300 s
    inlet, driver = peers.Notebook(), link(LAMP)
    async with peers.running(driver, inlet):
        with Node(driver) as node:
            location = await node.register(LAMP.address, LAMP_LINKS)
            (first,) = await node.be_watched(b'[{"n":"/3416/0/3","v":0}]')
            assert (await node.ask(node.post(location))).code == "2.04"
            await asyncio.sleep(0.15)
            assert (await node.ask(node.post(location))).code == "2.04"
            (again,) = await node.be_watched(b'[{"n":"/3416/0/3","v":50}]')
            assert (await node.ask(node.told(again, 2, b'[{"n":"/3416/0/3","v":60}]'))).type == "ACK"
            assert (await node.ask(node.told(first, 3, b'[{"n":"/3416/0/3","v":99}]'))).type == "RST", "the new one stands alone"
    assert [heard.decoded.values["dimming_pct"] for heard in inlet.heard] == [0, 50, 60]


async def test_a_device_that_falls_silent_is_let_be_until_it_speaks() -> None:
    inlet, driver = peers.Notebook(), link(COVER, patience=QUICK)
    async with peers.running(driver, inlet):
        with Node(driver) as node:
            location = await node.register(COVER.address, COVER_LINKS)
            first, again = await node.hear(), await node.hear()
            assert first == again, "sent once more, as it was"
            await peers.eventually(lambda: driver._server is not None and driver._server._asking.timeouts == 1)
            assert await node.silence(0.3)
            await node.say(node.post(location))
            assert (await node.hear()).code == "2.04"
            observed = await node.be_watched(CLOSED, DEVICE, RADIO)
            assert {path_of(each) for each in observed} == {"/3408/0", "/3/0", "/4/0"}
            await peers.eventually(lambda: len(inlet.heard) == 3)


@pytest.mark.parametrize(
    ("payload", "form"),
    [
        pytest.param(b'[{"bn":"/3408/0/","n":"2","v":47},{"n":"3","vb":false},{"n":"77","v":1}]', 110, id="SenML JSON"),
        pytest.param(cbor2.dumps([{-2: "/3408/0/", 0: "2", 2: 47}, {0: "3", 4: False}]), 112, id="SenML CBOR"),
    ],
)
async def test_a_send_is_answered_after_its_commit_and_read_once(payload, form) -> None:
    inlet, driver = peers.Notebook(), link(COVER)
    async with peers.running(driver, inlet):
        with Node(driver) as node:
            await node.register(COVER.address, b"</3/0>", "lwm2m=1.1", "lt=3600", "b=U")
            await node.be_watched(DEVICE)
            inlet.gate = asyncio.Event()
            sent = node.post("dp", payload=payload, form=form)
            await node.say(sent)
            await node.say(sent)
            assert await node.silence()
            inlet.gate.set()
            assert (await node.hear()).code == "2.04"
            assert (await node.ask(sent)).code == "2.04"
            assert (await node.ask(node.post("dp", payload=b"[", form=110))).code == "4.00"
            assert (await node.ask(node.post("dp", payload=b"[]"))).code == "4.00"
    assert (values(inlet)["tilt_deg"], values(inlet)["cover_open"]) == (47, True)
    assert len(inlet.heard) == 2


async def test_a_history_becomes_one_reading_for_each_time() -> None:
    inlet, driver = peers.Notebook(), link(COVER)
    history = b'[{"bn":"/3408/0/2","bt":1795142400,"v":3},{"v":9,"t":-60},{"n":"","v":1,"t":-120}]'
    async with peers.running(driver, inlet):
        with Node(driver) as node:
            observed = await watched(node)
            assert (await node.ask(node.told(observed, 2, history))).type == "ACK"
    told = [(heard.decoded.time_ns, heard.decoded.values["tilt_deg"]) for heard in inlet.heard[3:]]
    assert told == [((1795142400 - ago) * SECOND_NS, tilt) for ago, tilt in ((120, 1), (60, 9), (0, 3))]


async def test_tlv_of_lwm2m_1_0_is_read() -> None:
    inlet, driver = peers.Notebook(), link(COVER)
    async with peers.running(driver, inlet):
        with Node(driver) as node:
            await node.register(COVER.address, b"</3408/0>", "lwm2m=1.0", "lt=3600", "b=UQ")
            # LwM2M 1.0, 6.4.3: resource 2 of one byte 2f, resource 3 of one byte 00
            await node.be_watched(bytes.fromhex("c1 02 2f c1 03 00"), form=11542)
            await peers.eventually(lambda: inlet.heard)
    assert values(inlet) == {"tilt_deg": 47, "cover_open": True}


async def test_a_lifetime_that_is_over_ends_the_registration() -> None:
    inlet, driver = peers.Notebook(), link(COVER)
    async with peers.running(driver, inlet):
        with Node(driver) as node:
            location = await node.register(COVER.address, b"", "lwm2m=1.1", "lt=1")
            await peers.eventually(lambda: Reason.EXPIRED in inlet.reasons("cover-1"))
            assert driver.health().absent == ("cover-1",)
            assert (await node.ask(node.post(location))).code == "4.04"


def block(message: CoapMessage, option: int, number: int, *, more: bool, payload: bytes) -> CoapMessage:
    """A part of 16 bytes (RFC 7959, clause 2.2: the exponent 0)."""
    return replace(message, options=(*message.options, number_option(option, number << 4 | more << 3)), payload=payload)


async def test_a_registration_in_blocks_is_put_together() -> None:
    inlet, driver = peers.Notebook(), link(COVER)
    async with peers.running(driver, inlet):
        with Node(driver) as node:
            parts = [COVER_LINKS[at : at + 16] for at in range(0, len(COVER_LINKS), 16)]
            answers = []
            for number, part in enumerate(parts):
                said = node.post("rd", f"ep={COVER.address}", "lwm2m=1.1", form=40)
                said = block(said, 27, number, more=number < len(parts) - 1, payload=part)
                answers.append(await node.ask(said))
                if number == 1:
                    assert (await node.ask(said)).code == "2.31", "a part that comes again"
            assert [each.code for each in answers] == ["2.31"] * (len(parts) - 1) + ["2.01"]
            assert option_number(answers[1], 27) == 1 << 4 | 8
            assert len(await node.be_watched(CLOSED, DEVICE, RADIO)) == 3
            lost = block(node.post("rd", f"ep={COVER.address}", "lwm2m=1.1"), 27, 5, more=True, payload=bytes(16))
            assert (await node.ask(lost)).code == "4.08"
    assert Reason.REASSEMBLY_LIMIT in inlet.reasons("cover-1")


async def test_an_answer_and_a_notification_in_blocks_are_read_whole() -> None:
    inlet, driver = peers.Notebook(), link(LAMP)
    pack = b'[{"n":"/3416/0/3","v":60}]'
    async with peers.running(driver, inlet):
        with Node(driver) as node:
            await node.register(LAMP.address, LAMP_LINKS)
            times = await node.hear()
            await node.answer(times, "2.04")
            observe = await node.hear()
            told = replace(node.told(observe, 1, b""), type="ACK", message_id=observe.message_id)
            await node.say(block(told, 23, 0, more=True, payload=pack[:16]))
            rest = await node.hear()
            assert (option_number(rest, 23), option_number(rest, OBSERVE), path_of(rest)) == (1 << 4, None, "/3416/0")
            assert rest.token != observe.token
            last = replace(told, token=rest.token, message_id=rest.message_id)
            await node.say(block(last, 23, 1, more=False, payload=pack[16:]))
            await peers.eventually(lambda: inlet.heard)
            assert values(inlet, "lamp-1") == {"dimming_pct": 60}
            # What is observed goes on under its first token; a notification that is too long is read.
            await node.say(block(node.told(observe, 2, b""), 23, 0, more=True, payload=pack[:16]))
            heard = [await node.hear(), await node.hear()]
            read = next(each for each in heard if each.code == "0.01")
            assert {each.type for each in heard} == {"ACK", "CON"}
            await node.answer(read, "2.05", pack.replace(b"60", b"70"), 110)
            await peers.eventually(lambda: values(inlet, "lamp-1") == {"dimming_pct": 70})
            # A part that does not follow is no answer.
            await node.say(block(node.told(observe, 3, b""), 23, 0, more=True, payload=pack[:16]))
            read = next(each for each in [await node.hear(), await node.hear()] if each.code == "0.01")
            wrong = replace(told, token=read.token, message_id=read.message_id)
            await node.say(block(wrong, 23, 3, more=True, payload=pack[:16]))
            await peers.eventually(lambda: Reason.REASSEMBLY_LIMIT in inlet.reasons("lamp-1"))


async def test_noise_and_options_of_another_time_are_survived() -> None:
    inlet, driver = peers.Notebook(), link(COVER)
    async with peers.running(driver, inlet):
        with Node(driver) as node:
            for size in range(100):
                await node.say(bytes(range(size)))
            register = node.post("rd", f"ep={COVER.address}", "lwm2m=1.1")
            protected = replace(register.options[0], number=9, raw=b"")  # OSCORE (RFC 8613): critical, and not known here
            assert (await node.ask(replace(register, options=(*register.options, protected)))).code == "4.02"
            await watched(node)
            await peers.eventually(lambda: len(inlet.heard) == 3)
    assert Reason.UNSUPPORTED_VERSION in inlet.reasons()


async def test_while_too_much_is_being_committed_a_device_is_asked_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_agent.drivers.lwm2m.intake._MOST_UNDER_WAY", 1)
    inlet, driver = peers.Notebook(), link(COVER)
    async with peers.running(driver, inlet):
        with Node(driver) as node:
            observed = await watched(node)
            await peers.eventually(lambda: len(inlet.heard) == 3)
            inlet.gate = asyncio.Event()
            first, second = node.told(observed, 2, OPEN), node.told(observed, 3, CLOSED)
            await node.say(first)
            await peers.eventually(lambda: inlet.under_way == 1)
            await node.say(second)
            assert (await node.ask(node.post("dp", payload=DEVICE, form=110))).code == "5.03"
            inlet.gate.set()
            assert (await node.hear()).message_id == first.message_id
            assert (await node.ask(second)).message_id == second.message_id, "its repeat is taken"
    assert driver.health().overflows == 2


def test_a_profile_that_does_not_fit_is_told_before_anything_listens() -> None:
    with pytest.raises(SetupError, match="lamp_loop does not speak LwM2M"):
        link(DeviceConfig(id="x", profile="lamp_loop", address="x"))
    assert CLOCK.wall_ns() > 0
