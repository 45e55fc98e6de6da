"""The wire format is a promise to gateways already in the street: a change of format must break a test here."""

import contextlib
import itertools
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from telemetry import encoded, wire
from telemetry.reason import Reason
from telemetry.records import (
    Cause,
    ClockQuality,
    Command,
    CommandResult,
    Flaw,
    Lane,
    LossRecord,
    Origin,
    Outcome,
    Priority,
    Quality,
    Reading,
    Transition,
)

GOLDEN = Path(__file__).parent / "golden"
T = 1_763_600_000_000_000_000


def compress(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=3).compress(data)


def decompress(data: bytes, limit: int) -> bytes:
    try:
        with zstandard.ZstdDecompressor().stream_reader(data) as stream:
            out = stream.read(limit + 1)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error
    if len(out) > limit:
        raise ValueError(f"more than {limit} bytes")
    return out


def readings() -> list[Reading]:
    cover = {"tilt_deg": 1.5, "cover_open": False, "water_level_cm": 3, "firmware": "1.0.2"}
    return [
        Reading(device="cover-1", profile="cover_nbiot", profile_version=1, time_ns=T, received_ns=T + 5, values=cover),
        Reading(
            device="lamp-1",
            profile="lamp_loop",
            profile_version=2,
            time_ns=T + 1,
            received_ns=T + 6,
            values={"voltage_a_v": 229.5},
        ),
        Reading(
            device="cover-2",
            profile="cover_nbiot",
            profile_version=1,
            time_ns=T + 2,
            received_ns=T + 7,
            values=cover | {"tilt_deg": None, "water_level_cm": 9999},
            flaws={
                "tilt_deg": Flaw(Quality.BAD, Reason.NO_VALUE),
                "water_level_cm": Flaw(Quality.BAD, Reason.OUT_OF_RANGE),
            },
        ),
    ]


MESSAGES: dict[str, wire.Message] = {
    "readings": wire.group_readings("gw-1", "e1", 41, readings()),
    "events": wire.EventsBatch(
        gateway="gw-1",
        epoch="e1",
        first_seq=7,
        events=[
            Transition(
                alarm=f"cover-1/cover_open/{T}",
                origin=Origin.EDGE,
                n=1,
                device="cover-1",
                rule="cover_open",
                profile="cover_nbiot",
                profile_version=1,
                cause=Cause.RAISE,
                priority=Priority.CRITICAL,
                event_time_ns=T,
                recorded_ns=T + 9,
                actor="edge:gw-1",
                evidence={"cover_open": True, "tilt_deg": 62.5},
            ),
            LossRecord(
                lane=Lane.READINGS,
                epoch="e1",
                seq_from=1,
                seq_to=40,
                bytes=4096,
                time_from_ns=T,
                time_to_ns=T + 40,
                reason=Reason.OUTBOX_FULL,
            ),
            CommandResult(
                id="c-1", device="lamp-1", outcome=Outcome.REFUSED, time_ns=T, reason=Reason.EXPIRED, detail="61 s old"
            ),
        ],
    ),
    "hello": wire.Hello(
        gateway="gw-1",
        epoch="e1",
        boot_id="b1",
        agent_version="0.1.0",
        sent_ns=T,
        lanes={Lane.EVENTS: wire.LaneSpan(7, 10), Lane.READINGS: wire.LaneSpan(41, 44)},
        devices=[
            wire.DeviceDeclaration(
                device="cover-1",
                profile="cover_nbiot",
                profile_version=1,
                kind="manhole_cover",
                name="观前街 1 号井",
                position=(120.62, 31.31),
                component_code="3205080101000001",
            )
        ],
    ),
    "ack": wire.Ack(
        gateway="gw-1",
        epoch="e1",
        lane=Lane.READINGS,
        cumulative=43,
        ranges=[(45, 47)],
        quarantined=[(42, Reason.UNKNOWN_DEVICE)],
        credit=10_000,
        server_ns=T,
    ),
    "command": Command(
        id="c-1",
        gateway="gw-1",
        device="lamp-1",
        action="relay_1",
        args={"on": True},
        actor="user:li",
        counter=3,
        issued_ns=T,
        ttl_s=60,
    ),
    "status": wire.GatewayStatus(
        gateway="gw-1",
        online=True,
        at_ns=T,
        agent_version="0.1.0",
        epoch="e1",
        backlog={Lane.EVENTS: 0, Lane.READINGS: 12},
        oldest_unacked_ns=T - 1,
        outbox_bytes=4096,
        devices_expected=3,
        devices_heard=2,
        refusals={"bad_checksum": 4},
    ),
}

DECODERS = {
    "readings": wire.decode_readings,
    "events": wire.decode_events,
    "hello": wire.decode_hello,
    "ack": wire.decode_ack,
    "command": wire.decode_command,
    "status": wire.decode_status,
}


@pytest.mark.parametrize("name", MESSAGES, ids=[f"{name} keeps its bytes" for name in MESSAGES])
def test_golden(name: str) -> None:
    golden = bytes.fromhex((GOLDEN / f"{name}.hex").read_text())
    assert wire.encode(MESSAGES[name]).hex() == golden.hex()
    assert DECODERS[name](golden, decompress) == MESSAGES[name]


@pytest.mark.parametrize("name", [name for name in MESSAGES if name != "command"])
def test_gateways_of_the_first_release_are_still_understood(name: str) -> None:
    golden = bytes.fromhex((GOLDEN / "before_clocks" / f"{name}.hex").read_text())
    assert DECODERS[name](golden, decompress) == MESSAGES[name]


@pytest.mark.parametrize("name", MESSAGES)
def test_a_compressed_message_says_the_same(name: str) -> None:
    packed = wire.encode(MESSAGES[name], compress, above=0)
    assert packed[0] == wire.VERSION | 0x80
    assert DECODERS[name](packed, decompress) == MESSAGES[name]


def test_small_messages_are_not_compressed() -> None:
    assert wire.encode(MESSAGES["ack"], compress)[0] == wire.VERSION


PARTS = [
    (lane, low, high)
    for lane, first, last in ((Lane.READINGS, 41, 43), (Lane.EVENTS, 7, 9))
    for low in range(first, last + 1)
    for high in range(low, last + 1)
]


@pytest.mark.parametrize(("lane", "low", "high"), PARTS)
def test_a_part_of_a_batch_holds_the_same_records(lane: Lane, low: int, high: int) -> None:
    whole = wire.encode(MESSAGES[lane])
    cut = encoded.part(whole, lane, low, high)
    assert cut == encoded.part(whole, lane, low, high)
    assert records_of(lane, cut) == {seq: record for seq, record in records_of(lane, whole).items() if low <= seq <= high}
    with pytest.raises(ValueError, match="the batch begins at"):
        encoded.part(cut, lane, low, high + 1)


def records_of(lane: Lane, message: bytes) -> dict[int, Any]:
    if lane is Lane.EVENTS:
        events = wire.decode_events(message, decompress)
        return dict(enumerate(events.events, events.first_seq))
    batch = wire.decode_readings(message, decompress)
    return {batch.first_seq + offset: reading for group in batch.groups for offset, reading in group.readings()}


def test_an_event_that_nobody_can_read_can_be_cut_out() -> None:
    plain = msgspec.msgpack.decode(wire.encode(MESSAGES["events"])[1:])
    plain[3][1] = ["a kind of event from the future", 1, 2]
    broken = bytes((wire.VERSION,)) + msgspec.msgpack.encode(plain)
    with pytest.raises(wire.WireError) as caught:
        wire.decode_events(broken, decompress)
    told = encoded.envelope(broken, Lane.EVENTS, caught.value)
    assert (told.gateway, told.epoch, told.first_seq, told.count, told.reason) == ("gw-1", "e1", 7, 3, Reason.NOT_MSGPACK)
    assert len(wire.decode_events(encoded.part(broken, Lane.EVENTS, 7, 7), decompress).events) == 1
    assert len(wire.decode_events(encoded.part(broken, Lane.EVENTS, 9, 9), decompress).events) == 1
    with pytest.raises(wire.WireError):
        wire.decode_events(encoded.part(broken, Lane.EVENTS, 8, 8), decompress)


def test_a_batch_without_numbers_tells_only_its_error() -> None:
    error = wire.WireError(Reason.NOT_MSGPACK, "why")
    for lane in Lane:
        with pytest.raises(wire.WireError) as caught:
            encoded.envelope(b"\x01\x90", lane, error)
        assert caught.value is error


def test_a_restamped_batch_moves_the_gateways_own_times_only() -> None:
    by_device = Reading(
        device="bus-1",
        profile="vehicle_terminal",
        profile_version=1,
        time_ns=T,
        received_ns=T + 10**9,
        values={"speed_km_h": 3.0},
    )
    whole = wire.encode(wire.group_readings("gw-1", "e1", 1, [*readings(), by_device]))
    note = wire.ClockNote(boot_id="b1", quality=ClockQuality.CLOUD, shift_ns=-1000)
    moved = wire.decode_readings(encoded.restamped(whole, Lane.READINGS, note), decompress)
    assert moved.clock == note
    before, after = (
        records_of(Lane.READINGS, whole),
        {moved.first_seq + offset: reading for group in moved.groups for offset, reading in group.readings()},
    )
    for seq in (1, 2, 3):
        assert (after[seq].time_ns, after[seq].received_ns) == (before[seq].time_ns - 1000, before[seq].received_ns - 1000)
    assert (after[4].time_ns, after[4].received_ns) == (T, T + 10**9 - 1000)
    events = wire.decode_events(encoded.restamped(wire.encode(MESSAGES["events"]), Lane.EVENTS, note), decompress)
    raised, lost, result = events.events
    assert (raised.event_time_ns, raised.recorded_ns, lost.time_from_ns, result.time_ns) == (T - 1000, T + 9 - 1000, T, T - 1000)
    told = msgspec.structs.replace(raised, event_time_ns=T, recorded_ns=T + 10**9)
    batch = msgspec.structs.replace(MESSAGES["events"], events=[told])
    (moved_step,) = wire.decode_events(encoded.restamped(wire.encode(batch), Lane.EVENTS, note), decompress).events
    assert (moved_step.event_time_ns, moved_step.recorded_ns) == (T, T + 10**9 - 1000), "the device said when it was"


def test_a_digest_is_of_the_message_however_it_travelled() -> None:
    plain = wire.encode(MESSAGES["readings"])
    packed = wire.encode(MESSAGES["readings"], compress, above=0)
    assert packed != plain
    assert wire.uncompressed(packed, decompress) == wire.uncompressed(plain, decompress) == plain
    assert len(wire.digest(plain)) == 16


def test_readings_come_back_as_they_were_given() -> None:
    given_in = readings()
    batch = wire.group_readings("gw-1", "e1", 41, given_in)
    back = dict(pair for group in batch.groups for pair in group.readings())
    assert [back[offset] for offset in range(batch.count)] == given_in


def test_flaws_find_their_metric_again_when_readings_share_a_group() -> None:
    _, flawed = max(
        (pair for group in MESSAGES["readings"].groups for pair in group.readings()), key=lambda pair: len(pair[1].flaws)
    )
    assert flawed.quality("water_level_cm") is Quality.BAD
    assert flawed.quality("cover_open") is Quality.GOOD


def _broken(**changes: object) -> bytes:
    batch = MESSAGES["readings"]
    return wire.encode(msgspec.structs.replace(batch, **changes))


GROUP = MESSAGES["readings"].groups[0]
REFUSED = [
    pytest.param(b"", Reason.TRUNCATED, id="nothing at all"),
    pytest.param(b"\x02\x90", Reason.UNSUPPORTED_VERSION, id="a version from the future"),
    pytest.param(b"\x01\xc1", Reason.NOT_MSGPACK, id="bytes that are not MessagePack"),
    pytest.param(b"\x81garbage", Reason.NOT_MSGPACK, id="a compressed body that is not zstd"),
    pytest.param(b"\x81" + compress(bytes(wire.MAX_MESSAGE_BYTES + 1)), Reason.NOT_MSGPACK, id="a compressed bomb"),
    pytest.param(b"\x01" + bytes(wire.MAX_MESSAGE_BYTES), Reason.OVERSIZED, id="more than the limit"),
    pytest.param(_broken(count=4), Reason.BAD_FIELD, id="a count that the rows do not keep"),
    pytest.param(_broken(first_seq=0), Reason.BAD_FIELD, id="a first number of 0"),
    pytest.param(
        _broken(groups=[msgspec.structs.replace(GROUP, devices=())], count=2),
        Reason.BAD_FIELD,
        id="rows of devices that are not named",
    ),
    pytest.param(wire.encode(MESSAGES["ack"]), Reason.NOT_MSGPACK, id="another kind of message"),
]


@pytest.mark.parametrize(("payload", "reason"), REFUSED)
def test_what_is_not_a_readings_batch_is_refused_with_its_reason(payload: bytes, reason: Reason) -> None:
    with pytest.raises(wire.WireError) as caught:
        wire.decode_readings(payload, decompress)
    assert caught.value.reason is reason


ACK, HELLO, STATUS = MESSAGES["ack"], MESSAGES["hello"], MESSAGES["status"]
DEVICE = HELLO.devices[0]


def _with_device(**changes: object) -> wire.Message:
    return msgspec.structs.replace(HELLO, devices=[msgspec.structs.replace(DEVICE, **changes)])


def _changed(message: wire.Message, **changes: object) -> wire.Message:
    return msgspec.structs.replace(message, **changes)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("readings", _changed(MESSAGES["readings"], gateway="a/b"), id="readings of what is no gateway"),
        pytest.param("readings", _changed(MESSAGES["readings"], epoch="e" * 65), id="readings of an epoch without end"),
        pytest.param("readings", _changed(MESSAGES["readings"], first_seq=2**62), id="readings from beyond the last number"),
        pytest.param(
            "readings",
            _changed(MESSAGES["readings"], groups=[msgspec.structs.replace(GROUP, profile="p" * 65)], count=len(GROUP.rows)),
            id="readings of a profile without end",
        ),
        pytest.param("events", _changed(MESSAGES["events"], first_seq=2**62), id="events from beyond the last number"),
        pytest.param("events", _changed(MESSAGES["events"], epoch=""), id="events of no epoch"),
        pytest.param("events", _changed(MESSAGES["events"], events=[]), id="no events"),
        pytest.param("hello", _changed(HELLO, gateway=""), id="a hello of nobody"),
        pytest.param("hello", _changed(HELLO, boot_id="b" * 65), id="a boot id that is too long"),
        pytest.param("hello", _changed(HELLO, agent_version="1" * 65), id="a version that is too long"),
        pytest.param("hello", _changed(HELLO, lanes={Lane.EVENTS: wire.LaneSpan(0, 1)}), id="a lane that begins before 1"),
        pytest.param("hello", _changed(HELLO, lanes={Lane.EVENTS: wire.LaneSpan(1, 2**62)}), id="a lane without end"),
        pytest.param("hello", _changed(HELLO, devices=[DEVICE] * 20_001), id="more devices than one gateway may have"),
        pytest.param("hello", _with_device(device="a b"), id="a device whose name is no id"),
        pytest.param("hello", _with_device(profile="p" * 65), id="a device of a profile without end"),
        pytest.param("hello", _with_device(kind="k" * 65), id="a kind that is too long"),
        pytest.param("hello", _with_device(name="n" * 201), id="a device's title that is too long"),
        pytest.param("hello", _with_device(component_code="1" * 33), id="a component code that is too long"),
        pytest.param("ack", _changed(ACK, cumulative=-1), id="fewer records than none acknowledged"),
        pytest.param("ack", _changed(ACK, ranges=[(9, 8)]), id="a range that ends before it begins"),
        pytest.param("ack", _changed(ACK, ranges=[(9, 2**62)]), id="a range without end"),
        pytest.param("ack", _changed(ACK, quarantined=[(0, Reason.INVALID)]), id="a record before the first in quarantine"),
        pytest.param("ack", _changed(ACK, credit=2**62), id="credit without end"),
        pytest.param("status", _changed(STATUS, backlog={Lane.EVENTS: -1}), id="a backlog below nothing"),
        pytest.param("status", _changed(STATUS, outbox_bytes=2**62), id="an outbox without end"),
        pytest.param("status", _changed(STATUS, refusals={"r" * 65: 1}), id="a refusal's name that is too long"),
        pytest.param("status", _changed(STATUS, refusals={f"r{i}": 1 for i in range(257)}), id="too many kinds of refusal"),
    ],
)
def test_a_message_beyond_its_bounds_is_refused_as_a_bad_field(name: str, message: wire.Message) -> None:
    with pytest.raises(wire.WireError) as caught:
        DECODERS[name](wire.encode(message), decompress)
    assert caught.value.reason is Reason.BAD_FIELD


def test_a_record_beyond_its_bounds_makes_its_batch_a_bad_field() -> None:
    message = wire.encode(MESSAGES["events"]).replace(b"\xa6lamp-1", b"\xa6lamp/1")
    with pytest.raises(wire.WireError) as caught:
        wire.decode_events(message, decompress)
    assert caught.value.reason is Reason.BAD_FIELD


def test_an_encoded_message_is_compressed_once_and_only_where_it_is_long() -> None:
    plain = wire.encode(MESSAGES["hello"])
    assert wire.compressed(plain, compress) == plain
    packed = wire.compressed(plain, compress, above=len(plain) - 2)
    assert packed == wire.encode(MESSAGES["hello"], compress, above=0)
    assert wire.compressed(plain, compress, above=len(plain) - 1) == plain
    assert wire.compressed(packed, compress, above=0) == packed


@given(st.binary(max_size=300))
def test_any_bytes_are_decoded_or_refused_and_nothing_else(payload: bytes) -> None:
    for decode in DECODERS.values():
        with contextlib.suppress(wire.WireError):
            decode(payload, decompress)


@given(st.sets(st.integers(1, 60)))
def test_spans_cover_their_numbers_and_no_others(seqs: set[int]) -> None:
    ranges = wire.spans(seqs)
    assert {n for low, high in ranges for n in range(low, high + 1)} == seqs
    assert all(low[1] + 1 < high[0] for low, high in itertools.pairwise(ranges))
