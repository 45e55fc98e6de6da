"""LwM2M devices that register, sleep, are asked and answer."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.coap import CoapMessage, parse_coap
from firmware_bridge.errors import ParseError, Refused
from firmware_bridge.lwm2m.blocks import MAX_BYTES, Assembly
from firmware_bridge.lwm2m.links import Link, Objects, encode_links, parse_links, parse_objects
from firmware_bridge.lwm2m.messages import (
    LOCATION_PATH,
    OBSERVE,
    URI_PATH,
    URI_QUERY,
    acknowledge,
    encode_coap,
    number_option,
    option_number,
    option_texts,
    reset,
    text_option,
)
from firmware_bridge.lwm2m.operations import Answered, Operation, Request
from firmware_bridge.lwm2m.registrations import AWAKE_S, Change, Registration, Registrations
from firmware_bridge.lwm2m.requests import Requests, fresh
from telemetry.reason import Reason

LAMP_LINKS = b'</>;rt="oma.lwm2m";ct=110,</1/0>,</3/0>,</3416>;ver=2.0,</3416/0>,</3416/1>'


def post(path: str, *query: str, payload: bytes = b"", message_id: int = 1, code: str = "0.02") -> CoapMessage:
    options = [text_option(URI_PATH, step) for step in path.strip("/").split("/")]
    options += [text_option(URI_QUERY, each) for each in query]
    return CoapMessage(type="CON", code=code, message_id=message_id, token=b"\x07", options=tuple(options), payload=payload)


def registered(table: Registrations, *query: str, now_s: float = 0) -> Registration:
    event = table.handle(post("rd", "ep=lamp-17", *query, payload=LAMP_LINKS, message_id=int(now_s) + 9), "10.0.0.1:5683", now_s)
    assert event.change is Change.REGISTERED
    assert event.registration is not None
    return event.registration


def answered(
    asked: CoapMessage, code: str, payload: bytes = b"", content_format: int | None = None, observe: int | None = None
) -> CoapMessage:
    options = [] if content_format is None else [number_option(12, content_format)]
    options += [] if observe is None else [number_option(OBSERVE, observe)]
    return CoapMessage(
        type="ACK", code=code, message_id=asked.message_id, token=asked.token, options=tuple(options), payload=payload
    )


# LwM2M 1.0, clause 5.3.1 and RFC 6690, clause 5.
def test_links_with_versions_quotes_and_an_alternate_path() -> None:
    objects = parse_objects(b'</lwm2m>;rt="oma.lwm2m";ct="110 112",</lwm2m/1/0>,</lwm2m/3>;ver=1.1,</lwm2m/3/0>,</other/1>')
    assert objects.paths == ((1, 0), (3,), (3, 0))
    assert (objects.versions, objects.root, objects.formats) == ({3: "1.1"}, "/lwm2m", (110, 112))
    assert parse_links(b'</s>;rt="a,b;c \\"d\\"";obs, </t>;sz=5') == (
        Link("/s", {"rt": 'a,b;c "d"', "obs": ""}),
        Link("/t", {"sz": "5"}),
    )
    assert parse_objects(b"").paths == ()


@pytest.mark.parametrize(
    ("text", "at"),
    [
        pytest.param(b"3/0", 0, id="no brackets"),
        pytest.param(b"</3/0>,", 6, id="a comma and nothing"),
        pytest.param(b'</3/0>;ver="1.1', 10, id="a quote that does not end"),
        pytest.param(b"</3/0></4>", 6, id="no comma"),
        pytest.param(b"</3\xff>", 3, id="not UTF-8"),
    ],
)
def test_broken_links_are_refused_with_their_place(text: bytes, at: int) -> None:
    with pytest.raises(ParseError) as error:
        parse_links(text)
    assert (error.value.reason, error.value.at) == (Reason.BAD_FIELD, at)


def test_links_have_bounds() -> None:
    for text in (b",".join([b"</3/0>"] * 513), b"<" + b"a" * 17_000 + b">"):
        with pytest.raises(ParseError) as error:
            parse_links(text)
        assert error.value.reason is Reason.OVERSIZED


@given(
    st.lists(st.tuples(st.integers(0, 65534), st.integers(0, 65534)), max_size=5, unique=True), st.sampled_from(["", "/lwm2m"])
)
def test_registered_objects_read_back(paths: list[tuple[int, int]], root: str) -> None:
    objects = Objects(paths=tuple(paths), versions={path[0]: "1.1" for path in paths[:1]}, root=root, formats=(110,))
    assert parse_objects(encode_links(objects)) == objects


@given(st.one_of(st.binary(max_size=40), st.text('</3>;,"\\=ab ', max_size=30).map(str.encode)))
def test_no_links_raise_anything_but_a_parse_error(data: bytes) -> None:
    with contextlib.suppress(ParseError):
        parse_objects(data)


options = st.lists(st.builds(lambda n, raw: (n, raw), st.integers(1, 2000), st.binary(max_size=300)), max_size=4)


@given(options, st.binary(max_size=8), st.binary(max_size=20))
def test_a_written_message_reads_back(pairs: list[tuple[int, bytes]], token: bytes, payload: bytes) -> None:
    made = [text_option(number, "") for number, _ in pairs]
    made = [type(each)(number=each.number, at=0, raw=raw) for each, (_, raw) in zip(made, pairs, strict=True)]
    message = CoapMessage(type="NON", code="2.05", message_id=515, token=token, options=tuple(made), payload=payload)
    again = parse_coap(encode_coap(message))
    assert [(o.number, o.raw) for o in again.options] == sorted(pairs, key=lambda pair: pair[0])
    assert (again.type, again.code, again.message_id, again.token, again.payload) == ("NON", "2.05", 515, token, payload)


def test_a_message_of_the_standard_is_written_as_it_is_printed() -> None:
    # RFC 7252, appendix A, figure 16: GET coap://server/temperature, message id 7d34.
    asked = CoapMessage(
        type="CON", code="0.01", message_id=0x7D34, token=b"", options=(text_option(URI_PATH, "temperature"),), payload=b""
    )
    assert encode_coap(asked).hex() == "40017d34bb74656d7065726174757265"


def test_a_device_registers_updates_and_leaves() -> None:
    table = Registrations()
    event = table.handle(post("rd", "ep=lamp-17", "lt=300", "lwm2m=1.0", "b=UQ", payload=LAMP_LINKS), "a", 0)
    lamp = event.registration
    assert lamp is not None
    assert (event.answer.code, event.answer.type, event.answer.token) == ("2.01", "ACK", b"\x07")
    assert option_texts(event.answer, LOCATION_PATH) == ["rd", lamp.location]
    assert (lamp.lifetime_s, lamp.queue_mode, lamp.version, lamp.expires_s) == (300, True, "1.0", 300)
    assert lamp.objects.paths[-1] == (3416, 1)
    event = table.handle(post(f"rd/{lamp.location}", "lt=600", "b=U", message_id=2), "b", 200)
    assert event.change is Change.UPDATED
    assert event.registration is table.get("lamp-17")
    assert event.registration is not None
    assert (event.registration.peer, event.registration.expires_s, event.registration.queue_mode) == ("b", 800, False)
    assert event.registration.objects == lamp.objects
    assert table.expire(799) == []
    event = table.handle(post(f"rd/{lamp.location}", message_id=3, code="0.04"), "b", 700)
    assert (event.answer.code, event.change, len(table)) == ("2.02", Change.LEFT, 0)
    assert table.handle(post(f"rd/{lamp.location}", message_id=4), "b", 701).answer.code == "4.04"


def test_a_registration_runs_out_and_cannot_be_updated_then() -> None:
    table = Registrations()
    lamp = registered(table, "lwm2m=1.1", "lt=60")
    assert table.handle(post(f"rd/{lamp.location}", message_id=2), "a", 60).reason is Reason.EXPIRED
    assert [each.endpoint for each in table.expire(60)] == ["lamp-17"]
    assert table.get("lamp-17") is None


@pytest.mark.parametrize(
    ("query", "payload", "code", "reason"),
    [
        pytest.param(("lwm2m=1.1",), b"", "4.00", Reason.BAD_FIELD, id="no name"),
        pytest.param(("ep=a", "lwm2m=9.0"), b"", "4.12", Reason.UNSUPPORTED_VERSION, id="a version of another time"),
        pytest.param(("ep=a",), b"", "4.12", Reason.UNSUPPORTED_VERSION, id="no version"),
        pytest.param(("ep=a", "lwm2m=1.1", "lt=-1"), b"", "4.00", Reason.BAD_FIELD, id="a negative lifetime"),
        pytest.param(("ep=a", "lwm2m=1.1", "b=X"), b"", "4.00", Reason.BAD_FIELD, id="an unknown binding"),
        pytest.param(("ep=a", "ep=b", "lwm2m=1.1"), b"", "4.00", Reason.BAD_FIELD, id="two names"),
        pytest.param(("ep=a", "lwm2m=1.1"), b"3/0", "4.00", Reason.BAD_FIELD, id="no links"),
    ],
)
def test_a_wrong_registration_is_answered_and_counted(query: tuple[str, ...], payload: bytes, code: str, reason: Reason) -> None:
    table = Registrations()
    event = table.handle(post("rd", *query, payload=payload), "a", 0)
    assert (event.answer.code, event.change, event.reason) == (code, Change.REFUSED, reason)
    assert (table.refused[reason], len(table)) == (1, 0)


def test_the_table_is_bounded_a_repeat_changes_nothing_and_a_name_registers_anew() -> None:
    table = Registrations(most=1, most_repeats=2)
    first = registered(table, "lwm2m=1.1")
    repeat = table.handle(post("rd", "ep=lamp-17", "lwm2m=1.1", payload=LAMP_LINKS, message_id=9), "10.0.0.1:5683", 5)
    assert (repeat.change, option_texts(repeat.answer, LOCATION_PATH)) == (Change.REPEATED, ["rd", first.location])
    assert table.handle(post("rd", "ep=other", "lwm2m=1.1"), "b", 6).answer.code == "5.03"
    again = registered(table, "lwm2m=1.1", "Q", now_s=300)
    assert (again.location != first.location, again.queue_mode, len(table)) == (True, True, 1)
    assert table.handle(post(f"rd/{first.location}", message_id=77), "a", 301).answer.code == "4.04"


def read(path: tuple[int, ...], until_s: float = 1e9, operation: Operation = Operation.READ) -> Request:
    return Request(operation=operation, path=path, until_s=until_s, format=110)


def test_a_read_is_sent_and_its_answer_found_by_its_token() -> None:
    lamp, requests = registered(Registrations(), "lwm2m=1.1"), Requests(first_token=0x0A0B0C0D)
    assert requests.ask(lamp, read((3416, 0, 3))) is None
    asked = requests.due(lamp, 1)
    assert asked is not None
    # Written by hand: CON GET, id 0c0d, token, /3416/0/3, Accept 110.
    assert encode_coap(asked).hex() == "44010c0d0a0b0c0d" + "b433343136" + "0130" + "0133" + "616e"
    assert requests.due(lamp, 1) is None  # one at a time
    assert requests.received("lamp-17", acknowledge(asked), 2) is None
    found = requests.received("lamp-17", answered(asked, "2.05", b'[{"n":"/3416/0/3","v":80}]', 110), 3)
    assert isinstance(found, Answered)
    assert [(each.path, each.value, each.unit) for each in found.readings] == [("/3416/0/3", 80, "%")]
    stranger = requests.received("lamp-17", answered(asked, "2.05", b"80", 0), 4)
    assert isinstance(stranger, Refused)
    assert stranger.reason is Reason.WRONG_TRANSACTION
    assert reset(asked).type == "RST"


def test_an_answer_that_cannot_be_read_keeps_its_bytes() -> None:
    lamp, requests = registered(Registrations(), "lwm2m=1.1"), Requests()
    for payload, content_format, reason in ((b"80", None, Reason.MISSING), (b"{", 110, Reason.NOT_JSON)):
        requests.ask(lamp, read((3416, 0, 3)))
        asked = requests.due(lamp, 1)
        assert asked is not None
        found = requests.received("lamp-17", answered(asked, "2.05", payload, content_format), 2)
        assert isinstance(found, Answered)
        assert found.refused is not None
        assert (found.refused.reason, found.refused.raw, found.readings) == (reason, payload, ())


def test_what_the_registry_does_not_allow_is_not_asked() -> None:
    lamp, requests = registered(Registrations(), "lwm2m=1.1"), Requests()
    for operation, path, reason in (
        (Operation.REPLACE, (3416, 0, 3), Reason.NOT_ALLOWED),
        (Operation.READ, (3416, 0, 16), Reason.NOT_ALLOWED),
        (Operation.EXECUTE, (3416, 0, 1), Reason.NOT_ALLOWED),
        (Operation.EXECUTE, (3416, 0), Reason.BAD_FIELD),
        (Operation.READ, (), Reason.BAD_FIELD),
    ):
        refusal = requests.ask(lamp, read(path, operation=operation))
        assert refusal is not None
        assert refusal.reason is reason
    assert requests.refused == {Reason.NOT_ALLOWED: 3, Reason.BAD_FIELD: 2}
    for operation, path in ((Operation.REPLACE, (3416, 0, 1)), (Operation.EXECUTE, (3, 0, 4)), (Operation.DISCOVER, (3416,))):
        assert requests.ask(lamp, read(path, operation=operation)) is None


def test_a_sleeping_device_is_asked_when_it_wakes_and_a_full_line_refuses() -> None:
    table, requests = Registrations(), Requests(most_waiting=2)
    lamp = registered(table, "lwm2m=1.1", "Q", "lt=9999")
    later = AWAKE_S + 1
    assert requests.ask(lamp, read((3, 0, 9), until_s=500)) is None
    assert requests.ask(lamp, read((3, 0, 13), until_s=5000)) is None
    refusal = requests.ask(lamp, read((3, 0)))
    assert refusal is not None
    assert refusal.reason is Reason.QUEUE_FULL
    assert requests.due(lamp, later) is None
    awake = table.handle(post(f"rd/{lamp.location}", message_id=2), "a", 1000).registration
    assert awake is not None
    asked = requests.due(awake, 1001)  # the first one's time was over
    assert asked is not None
    assert option_texts(asked, URI_PATH) == ["3", "0", "13"]
    assert requests.refused == {Reason.QUEUE_FULL: 1, Reason.EXPIRED: 1}
    assert [(name, each.path) for name, each in requests.expire(5000)] == [("lamp-17", (3, 0, 13))]
    table.heard("lamp-17", 2000)
    heard = table.get("lamp-17")
    assert heard is not None
    assert (heard.awake(2001), heard.expires_s) == (True, 1000 + 9999)


def test_an_observation_tells_new_values_and_drops_old_ones() -> None:
    lamp, requests = registered(Registrations(), "lwm2m=1.1"), Requests(most_observed=1)
    requests.ask(lamp, read((3418, 0, 4), operation=Operation.OBSERVE))
    refusal = requests.ask(lamp, read((3418, 0, 1), operation=Operation.OBSERVE))
    assert refusal is not None
    asked = requests.due(lamp, 0)
    assert asked is not None
    assert option_number(asked, OBSERVE) == 0

    def told(sequence: int | None, watts: str, now_s: float, code: str = "2.05") -> Answered | Refused | None:
        return requests.received("lamp-17", answered(asked, code, watts.encode(), 0, sequence), now_s)

    first = told(12, "60", 0)
    newer = told(13, "61", 1)
    older = told(12, "60", 2)
    after_a_restart = told(2, "62", 140)
    assert isinstance(first, Answered)
    assert isinstance(newer, Answered)
    assert isinstance(older, Refused)
    assert isinstance(after_a_restart, Answered)
    assert (first.notification, newer.notification, newer.readings[0].value) == (False, True, 61.0)
    assert (older.reason, after_a_restart.readings[0].value) == (Reason.LATE, 62.0)
    ended = told(None, "", 141, code="4.04")
    assert isinstance(ended, Answered)
    assert isinstance(told(20, "63", 142), Refused)


def test_an_observation_is_ended_under_its_own_token_and_with_the_registration() -> None:
    lamp, requests = registered(Registrations(), "lwm2m=1.1"), Requests()
    for _ in range(2):
        requests.ask(lamp, read((3418, 0, 4), operation=Operation.OBSERVE))
        asked = requests.due(lamp, 0)
        assert asked is not None
        requests.received("lamp-17", answered(asked, "2.05", b"60", 0, 1), 0)
    requests.ask(lamp, read((3418, 0, 4), operation=Operation.CANCEL))
    cancel = requests.due(lamp, 1)
    assert cancel is not None
    assert (cancel.token, option_number(cancel, OBSERVE)) == (asked.token, 1)
    assert [each.operation for each in requests.forget("lamp-17")] == [Operation.CANCEL]
    assert isinstance(requests.received("lamp-17", answered(cancel, "2.05", b"60", 0), 1), Refused)


def test_a_reset_ends_a_request() -> None:
    lamp, requests = registered(Registrations(), "lwm2m=1.1"), Requests()
    requests.ask(lamp, read((3, 0)))
    asked = requests.due(lamp, 0)
    assert asked is not None
    found = requests.received("lamp-17", reset(asked), 1)
    assert isinstance(found, Refused)
    assert (found.reason, requests.expire(1e10)) == (Reason.DEVICE_EXCEPTION, [])


@given(st.integers(0, 2**24 - 1), st.integers(1, 2**23 - 1))
def test_order_survives_the_number_starting_over(before: int, step: int) -> None:
    after = (before + step) % 2**24
    assert fresh(before, 0, after, 1)
    assert not fresh(after, 0, before, 1)
    assert fresh(after, 0, before, 129)


@given(st.binary(max_size=60))
def test_no_datagram_raises_out_of_the_session(data: bytes) -> None:
    table, requests, assembly = Registrations(), Requests(), Assembly()
    lamp = registered(table, "lwm2m=1.1")
    requests.ask(lamp, read((3, 0)))
    requests.due(lamp, 0)
    for raw in (data, b"\x44\x45\0\1\0\0\0\1" + data, b"\x40\x02\0\3\xb2rd" + data, b"\x40\x02\0\4\xb2rd\xd1\3" + data):
        try:
            message = parse_coap(raw)
            assembly.take(message, "a", 1)
        except ParseError:
            continue
        table.handle(message, "a", 1)
        requests.received("lamp-17", message, 1)


@given(st.binary(min_size=1, max_size=200), st.integers(0, 3), st.data())
def test_a_request_in_blocks_is_whole_again_whatever_comes_twice(payload: bytes, exponent: int, data: st.DataObject) -> None:
    size, assembly = 16 << exponent, Assembly()
    parts = [payload[at : at + size] for at in range(0, len(payload), size)]
    whole = None
    for number, part in enumerate(parts):
        option = number_option(27, number << 4 | (number < len(parts) - 1) << 3 | exponent)
        said = CoapMessage(type="CON", code="0.02", message_id=number, token=b"", options=(option,), payload=part)
        for _ in range(data.draw(st.integers(1, 3))):
            whole, answered = assembly.take(said, "a", 0)
            assert (whole is None) == (number < len(parts) - 1)
            assert answered is None or answered.code == "2.31"
    assert whole is not None
    assert whole.payload == payload


def test_requests_in_blocks_are_bounded() -> None:
    assembly = Assembly()

    def part(number: int, peer: str) -> str | None:
        option = number_option(27, number << 4 | 8 | 6)
        said = CoapMessage(type="CON", code="0.02", message_id=number, token=b"", options=(option,), payload=bytes(1024))
        answered = assembly.take(said, peer, 0)[1]
        return None if answered is None else answered.code

    codes = [part(number, "a") for number in range(MAX_BYTES // 1024 + 1)]
    assert (codes[-2], codes[-1]) == ("2.31", "4.13")
    assert [part(0, f"peer {number}") for number in range(17)] == ["2.31"] * 17
    assert part(1, "peer 0") == "4.08", "the oldest was forgotten"
