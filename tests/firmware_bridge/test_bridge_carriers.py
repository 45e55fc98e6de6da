"""Pushes of OneNET and CTWing: what they say, whose they are, and how they are answered."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from fuzz_carriers import fuzz_one
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.carriers import ctwing, onenet
from firmware_bridge.carriers.body import MAX_POINTS
from firmware_bridge.carriers.messages import CommandState, Life, Other, Report
from firmware_bridge.carriers.record import LANGUAGES
from firmware_bridge.carriers.tunnel import TunnelFrame, encode_tunnel, parse_tunnel
from firmware_bridge.documents import MAX_BYTES
from firmware_bridge.errors import ParseError
from telemetry.reason import Reason

# A push of an NB-IoT water station through China Telecom's older platform, published with its code; the sum EA is right.
TUNNEL = bytes.fromhex(
    "6811D200050107D200040164D200280108D20023020005D20029020118D20025020003D20039020004D20043020002D200440105EA16"
)
LIFE = {"at": 1466133706841, "login_type": 10, "type": 2, "dev_id": 2016617, "status": 0}
POINT = {"at": 1466133706841, "type": 1, "ds_id": "temperature", "value": 42, "dev_id": 2016617}


def body(**said: object) -> bytes:
    return json.dumps(said).encode()


def refusal(parse: Any, *args: object) -> Reason:
    with pytest.raises(ParseError) as refused:
        parse(*args)
    return refused.value.reason


def entries(vectors: Path, name: str) -> list[dict[str, Any]]:
    lines = (vectors / f"{name}.jsonl").read_text("utf-8").splitlines()
    return [entry for entry in map(json.loads, lines) if entry["protocol"] == name]


UNSAID = {
    "device",  # a table's name in somebody's database
    "rsrp_note",
    "battery_pct",  # no source explains the ids of the tunnelled blocks
    "level_raw",
}


@pytest.mark.parametrize("name", ["onenet", "ctwing"])
def test_every_shared_push_reads_as_stated(vectors: Path, name: str) -> None:
    count = 0
    for entry in entries(vectors, name):
        got = LANGUAGES[name].describe(json.dumps(entry["json"]).encode())
        merged = {**got, **got.get("values", {}), "protocol": got.get("carried_by")}  # type: ignore[dict-item]
        for field, want in (entry["expect"] | entry.get("derived", {})).items():
            if field not in UNSAID:
                assert merged[field] == want, (field, entry)
                count += 1
    assert count >= {"onenet": 13, "ctwing": 20}[name]


def test_a_tunnelled_frame_reads_block_by_block_and_back() -> None:
    frame = parse_tunnel(TUNNEL)
    assert frame.blocks[:3] == ((5, b"\x07"), (4, b"\x64"), (0x28, b"\x08"))
    assert encode_tunnel(frame) == TUNNEL


@pytest.mark.parametrize(
    ("raw", "reason", "at"),
    [
        pytest.param(b"\x68\x11\x79", Reason.TRUNCATED, 3, id="too short for a frame"),
        pytest.param(b"\x69" + TUNNEL[1:], Reason.BAD_START, 0, id="another start"),
        pytest.param(TUNNEL[:-1] + b"\x17", Reason.BAD_FIELD, 53, id="another end"),
        pytest.param(TUNNEL[:-2] + b"\xeb\x16", Reason.BAD_CHECKSUM, 52, id="a wrong sum"),
        pytest.param(encode_tunnel(TunnelFrame(blocks=()))[:2] + b"\xd3\x4c\x16", Reason.BAD_FIELD, 2, id="no block"),
        pytest.param(b"\x68\x11\xd2\x00\x05\x02\x01\x53\x16", Reason.TRUNCATED, 2, id="a block that ends too late"),
    ],
)
def test_a_broken_tunnelled_frame_is_refused_at_its_byte(raw: bytes, reason: Reason, at: int) -> None:
    with pytest.raises(ParseError) as refused:
        parse_tunnel(raw)
    assert (refused.value.reason, refused.value.at) == (reason, at)


@given(st.lists(st.tuples(st.integers(0, 65535), st.binary(max_size=255)), max_size=6))
def test_tunnelled_blocks_survive_the_round_trip(blocks: list[tuple[int, bytes]]) -> None:
    frame = TunnelFrame(blocks=tuple(blocks))
    assert parse_tunnel(encode_tunnel(frame)) == frame


def test_the_signature_is_the_md5_of_token_nonce_and_message_in_base64() -> None:
    digest = hashlib.md5(b"tokennoncemsg", usedforsecurity=False).digest()
    assert onenet.sign("token", "nonce", "msg") == base64.b64encode(digest).decode()


@given(st.text(max_size=20), st.text(max_size=10), st.text(max_size=40))
def test_the_platforms_check_is_answered_by_its_message(token: str, nonce: str, msg: str) -> None:
    if not any("\ud800" <= char <= "\udfff" for char in token + nonce + msg):
        assert onenet.echo(onenet.verification_query(token, nonce, msg), token) == msg.encode()


def test_a_plus_of_the_signature_may_come_bare() -> None:
    nonce = next(str(n) for n in range(999) if "+" in onenet.sign("token", str(n), "m"))
    assert onenet.echo(f"msg=m&nonce={nonce}&signature={onenet.sign('token', nonce, 'm')}", "token") == b"m"


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        pytest.param(onenet.verification_query("another", "n", "m"), Reason.NOT_AUTHENTICATED, id="another token"),
        pytest.param("msg=m&nonce=n", Reason.MISSING, id="no signature"),
        pytest.param("msg=m&msg=m&nonce=n&signature=s", Reason.MISSING, id="two messages"),
        pytest.param("msg=" + "m" * 5000, Reason.OVERSIZED, id="a query without end"),
        pytest.param("a=1&" * 20, Reason.OVERSIZED, id="too many fields"),
        pytest.param("msg=m&nonce=n&signature=é", Reason.NOT_AUTHENTICATED, id="a signature of other letters"),
    ],
)
def test_a_check_that_is_not_the_platforms_is_not_answered(query: str, reason: Reason) -> None:
    assert refusal(onenet.echo, query, "token") is reason


def test_a_signed_push_is_taken_and_a_changed_one_is_not() -> None:
    push = onenet.signed_push([LIFE, POINT], "token", "n1")
    life, report = onenet.verified_push(push, "token")
    assert isinstance(life, Life)
    assert isinstance(report, Report)
    assert refusal(onenet.verified_push, push.replace(b"42", b"43"), "token") is Reason.NOT_AUTHENTICATED
    assert refusal(onenet.verified_push, push, "another") is Reason.NOT_AUTHENTICATED


def test_blanks_within_the_signed_message_may_be_signed_or_not() -> None:
    spaced = json.dumps(LIFE)
    assert ": " in spaced
    for signed in (spaced, spaced.replace(" ", "")):
        push = f'{{"msg": {spaced}, "msg_signature": "{onenet.sign("t", "n", signed)}", "nonce": "n"}}'
        assert len(onenet.verified_push(push.encode(), "t")) == 1


def test_a_push_without_a_signature_is_not_verified() -> None:
    assert refusal(onenet.verified_push, body(msg=LIFE), "token") is Reason.MISSING


def test_a_message_that_aes_hides_is_refused() -> None:
    push = onenet.signed_push("kXc0/rPmQ5+1J7==", "token", "n")
    assert refusal(onenet.verified_push, push, "token") is Reason.UNSUPPORTED_ENCRYPTION


def test_a_message_that_is_json_in_a_text_is_read() -> None:
    rule = json.dumps({"messageType": "lifeCycle", "deviceName": "d", "data": {"status": "offline"}})
    assert onenet.parse_push(body(msg=rule)) == (Life(kind="lifeCycle", device_id="d", online=False),)
    (message,) = onenet.verified_push(onenet.signed_push(json.dumps(LIFE), "token", "n"), "token")
    assert (message.device_id, message.time_ns) == ("2016617", 1_466_133_706_841_000_000)


@pytest.mark.parametrize(
    ("push", "want"),
    [
        pytest.param(
            body(msg={**LIFE, "status": 1}),
            Life(kind="lifecycle", device_id="2016617", online=True, time_ns=1466133706841000000, login="NB-IoT"),
            id="a device came",
        ),
        pytest.param(
            body(msg={"type": 2, "status": 7, "login_type": 8}),
            Life(kind="lifecycle", device_id=None, online=None, login="login type 8"),
            id="a state and a login that no source explains",
        ),
        pytest.param(
            body(msg={"type": 7, "dev_id": 1, "cmd_type": 2, "cmd_id": "a"}),
            CommandState(kind="cached command result", device_id="1", command_id="a", state="command type 2"),
            id="a command's state that no source explains",
        ),
        pytest.param(body(messageType="sceneLog", deviceName="d"), Other(kind="sceneLog", device_id="d"), id="a scene's log"),
    ],
)
def test_messages_of_onenet(push: bytes, want: object) -> None:
    assert onenet.parse_push(push) == (want,)


@pytest.mark.parametrize(
    ("push", "reason"),
    [
        pytest.param(b"[]", Reason.WRONG_TYPE, id="no object"),
        pytest.param(b"{", Reason.NOT_JSON, id="no JSON"),
        pytest.param(b'{"msg":' + b" " * MAX_BYTES + b"1}", Reason.OVERSIZED, id="too long"),
        pytest.param(body(a=1), Reason.UNKNOWN_MESSAGE, id="nothing that a push has"),
        pytest.param(body(msg=1), Reason.WRONG_TYPE, id="a number for a message"),
        pytest.param(body(msg={"type": 3}), Reason.UNKNOWN_MESSAGE, id="another type"),
        pytest.param(body(msg={"type": True}), Reason.UNKNOWN_MESSAGE, id="a truth for a type"),
        pytest.param(body(msg={"type": 1, "value": 1}), Reason.MISSING, id="a value without its stream"),
        pytest.param(body(msg={**POINT, "at": "soon"}), Reason.BAD_FIELD, id="a time in words"),
        pytest.param(body(msg={**POINT, "at": -1}), Reason.IMPLAUSIBLE_TIME, id="a time before 1970"),
        pytest.param(body(msg={**POINT, "at": 10**16}), Reason.IMPLAUSIBLE_TIME, id="a time that 64 bits do not hold"),
        pytest.param(body(msg=[LIFE, 1]), Reason.WRONG_TYPE, id="one of the messages is none"),
        pytest.param(body(msg=[1] * (MAX_POINTS + 1)), Reason.OVERSIZED, id="too many messages"),
        pytest.param(body(dp={"a": [{"v": 1}] * (MAX_POINTS + 1)}), Reason.OVERSIZED, id="too many points"),
        pytest.param(body(dp={"a": 1}), Reason.WRONG_TYPE, id="points that are no list"),
        pytest.param(body(messageType="notify", data={"params": {"a": {}}}), Reason.MISSING, id="a property without value"),
        pytest.param(body(messageType="new"), Reason.UNKNOWN_MESSAGE, id="another message of the rule engine"),
    ],
)
def test_what_is_no_push_of_onenet_is_refused(push: bytes, reason: Reason) -> None:
    assert refusal(onenet.parse_push, push) is reason


def test_values_of_a_nested_payload_are_told_by_path() -> None:
    payload = {"a": {"b": {"c": 1}, "d": [1, 2]}, "e": {}}
    (report,) = ctwing.parse_push(body(messageType="dataReport", timestamp="1000", payload=payload))
    assert isinstance(report, Report)
    assert [(point.path, point.value) for point in report.points] == [("a.b.c", 1), ("a.d", [1, 2]), ("e", {})]
    assert report.time_ns == 1_000_000_000


def test_each_service_of_the_older_platform_is_a_report_with_its_own_time() -> None:
    one = {"serviceId": "s1", "data": {"x": 1}, "eventTime": "20210908T104234Z"}
    two = {"serviceId": "s2", "data": {"y": 2}}
    first, second = ctwing.parse_push(body(notifyType="deviceDatasChanged", deviceId="d", services=[one, two]))
    assert isinstance(first, Report)
    assert isinstance(second, Report)
    assert (first.time_ns, first.service) == (1_631_097_754_000_000_000, "s1")
    assert (second.time_ns, second.service) == (None, "s2")
    (alone,) = ctwing.parse_push(body(notifyType="deviceDataChanged", deviceId="d", service=one))
    assert alone == Report(kind="deviceDataChanged", device_id="d", time_ns=first.time_ns, service="s1", points=first.points)


def test_a_simulated_devices_bytes_come_back() -> None:
    (report,) = ctwing.parse_push(ctwing.encode_app_data("d", 5, "AP8=", imei="862592051651472"))
    assert report == Report(kind="dataReport", device_id="d", imei="862592051651472", time_ns=5_000_000, app_data=b"\x00\xff")


@pytest.mark.parametrize(
    ("push", "reason"),
    [
        pytest.param(body(a=1), Reason.UNKNOWN_MESSAGE, id="no kind"),
        pytest.param(body(messageType="dataReport"), Reason.MISSING, id="no payload"),
        pytest.param(body(messageType="dataReport", payload="x"), Reason.WRONG_TYPE, id="a text for a payload"),
        pytest.param(body(messageType="dataReport", payload={"APPdata": "*"}), Reason.BAD_FIELD, id="no base64"),
        pytest.param(body(messageType="dataReport", payload={"APPdata": 5}), Reason.WRONG_TYPE, id="a number for base64"),
        pytest.param(
            body(messageType="dataReport", payload={str(n): n for n in range(MAX_POINTS + 1)}), Reason.OVERSIZED, id="many"
        ),
        pytest.param(body(messageType="commandResponse"), Reason.MISSING, id="no result"),
        pytest.param(body(notifyType="deviceAdded"), Reason.UNKNOWN_MESSAGE, id="another notice of the older platform"),
        pytest.param(body(notifyType="deviceDataChanged"), Reason.MISSING, id="no service"),
        pytest.param(
            body(notifyType="deviceDataChanged", service={"data": {}, "eventTime": "2021-09-08"}),
            Reason.BAD_FIELD,
            id="a time of another form",
        ),
    ],
)
def test_what_is_no_push_of_ctwing_is_refused(push: bytes, reason: Reason) -> None:
    assert refusal(ctwing.parse_push, push) is reason


def test_going_offline_and_what_no_source_explains() -> None:
    kind = "deviceOnlineOfflineReport"
    said = [ctwing.parse_push(body(messageType=kind, eventType=event))[0] for event in (0, 1, 2)]
    assert [message.online for message in said if isinstance(message, Life)] == [False, True, None]
    assert ctwing.parse_push(body(messageType="eventReport", deviceId=5)) == (Other(kind="eventReport", device_id="5"),)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    fuzz_one(data)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "at", "ds_id", "value", "v", "t", "data", "params", "serviceId", "serviceData", "APPdata", "eventTime"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(_JSON)
def test_any_document_is_read_or_refused(document: object) -> None:
    fuzz_one(json.dumps(document).encode())
