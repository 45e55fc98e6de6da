"""JT/T 808 frames: flags, escapes, checksum, header, and the framer that cuts a connection into them."""

import json
from pathlib import Path

import pytest
from bridge_jt808_frames import (
    BRACKETED,
    HEARTBEAT_CHECKSUM_7E,
    LOCATIONS,
    NO_BODY_NO_CHECKSUM,
    SHORT_BODY,
    WRONG_CHECKSUM,
)
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.errors import ParseError, Refused
from firmware_bridge.jt808.frames import MAX_FRAME_BYTES, Frame, Jt808Framer, checksum, encode_frame, escape, parse_frame
from telemetry.reason import Reason

HEARTBEAT = bytes.fromhex(HEARTBEAT_CHECKSUM_7E)
CAPTURED = [bytes.fromhex(captured.hex) for captured in LOCATIONS.values()]
# Frames whose escapes are as the standard wants them, so that a connection may carry them.
ON_THE_WIRE = [raw for raw in CAPTURED if parse_frame(raw).escaped]


def test_the_standards_own_example_of_escaping() -> None:
    # JT/T 808-2013 and -2019, clause 4.4.2: 30 7e 08 7d 55 is sent as 7e 30 7d 02 08 7d 01 55 7e.
    assert escape(bytes.fromhex("307e087d55")) == bytes.fromhex("307d02087d0155")


def test_the_checksum_may_itself_be_a_flag_and_is_escaped_then() -> None:
    frame = parse_frame(HEARTBEAT)
    assert (frame.message_id, frame.phone, frame.serial, frame.body) == (2, "040021679287", 43, b"")
    assert encode_frame(2, "040021679287", 43, b"") == HEARTBEAT


@pytest.mark.parametrize(
    ("text", "reason", "at"),
    [
        pytest.param(WRONG_CHECKSUM, Reason.BAD_CHECKSUM, 22, id="a wrong checksum is refused at its own byte"),
        pytest.param(NO_BODY_NO_CHECKSUM, Reason.TRUNCATED, 13, id="twelve bytes are no header with a checksum"),
        pytest.param("0002", Reason.BAD_START, 0, id="no opening flag"),
        pytest.param("7e0002", Reason.TRUNCATED, 3, id="no closing flag"),
        pytest.param("7e", Reason.TRUNCATED, 1, id="one flag alone"),
        pytest.param("", Reason.BAD_START, 0, id="nothing at all"),
        pytest.param("7e00020000040021679287002b7d037e", Reason.BAD_ESCAPE, 13, id="7d 03 is no escape"),
        pytest.param(2 * HEARTBEAT_CHECKSUM_7E, Reason.BAD_ESCAPE, 15, id="two frames in a row are not one"),
        pytest.param(BRACKETED.hex(), Reason.UNKNOWN_MESSAGE, 0, id="a message in brackets is another language"),
        pytest.param("7e00020000040021679287002b7d7e", Reason.BAD_ESCAPE, 13, id="7d at the very end"),
    ],
)
def test_what_is_no_frame_is_refused_with_its_first_bad_byte(text: str, reason: Reason, at: int) -> None:
    with pytest.raises(ParseError) as refusal:
        parse_frame(bytes.fromhex(text))
    assert (refusal.value.reason, refusal.value.at) == (reason, at)


def test_the_offset_of_a_bad_checksum_counts_bytes_on_the_wire() -> None:
    body = b"\x7e\x7d\x7e"
    raw = bytearray(encode_frame(0x0900, "1", 1, body))
    raw[-2] ^= 1
    with pytest.raises(ParseError) as refusal:
        parse_frame(bytes(raw))
    assert refusal.value.at == len(raw) - 2


def test_a_length_that_disagrees_is_reported_and_the_flags_are_trusted() -> None:
    frame = parse_frame(bytes.fromhex(SHORT_BODY))
    assert (frame.declared_length, frame.body.hex(), frame.length_ok) == (5, "28080001", False)
    assert frame.packet == (26, 2)


def test_an_identity_that_is_no_decimal_number_is_kept_as_hex() -> None:
    # traccar, Jt808ProtocolEncoderTest: six bytes of an IMEI without its check digit.
    frame = parse_frame(bytes.fromhex("7e890000050b3a73ce2ff20000f0544553543b7e"))
    assert frame.phone == "0b3a73ce2ff2"


@pytest.mark.parametrize("captured", LOCATIONS.values(), ids=LOCATIONS.keys())
def test_captured_frames_say_whether_their_escapes_were_undone(captured: object) -> None:
    name = next(name for name, entry in LOCATIONS.items() if entry is captured)
    assert parse_frame(bytes.fromhex(LOCATIONS[name].hex)).escaped is ("undone" not in name)


def test_a_message_in_brackets_does_not_swallow_the_frame_behind_it() -> None:
    (bracketed, frame) = Jt808Framer().feed(BRACKETED + HEARTBEAT)
    assert isinstance(bracketed, Refused)
    assert (bracketed.reason, bracketed.raw) == (Reason.UNKNOWN_MESSAGE, BRACKETED)
    assert isinstance(frame, Frame)


def test_a_message_in_brackets_between_frames_is_told_at_its_bracket() -> None:
    framer = Jt808Framer()
    assert len(framer.feed(HEARTBEAT)) == 1
    assert [type(said) for said in framer.feed(BRACKETED)] == [Refused]
    assert [type(said) for said in framer.feed(HEARTBEAT)] == [Frame]


def test_an_open_bracket_without_an_end_is_noise_before_the_next_frame() -> None:
    (noise, frame) = Jt808Framer().feed(b"(abc" + HEARTBEAT)
    assert isinstance(noise, Refused)
    assert noise.reason is Reason.BAD_START
    assert isinstance(frame, Frame)


def test_two_frames_may_share_one_flag() -> None:
    assert [type(said) for said in Jt808Framer().feed(HEARTBEAT + HEARTBEAT[1:])] == [Frame, Frame]


def test_repeated_flags_between_frames_are_nothing() -> None:
    assert len(Jt808Framer().feed(b"\x7e\x7e" + HEARTBEAT + b"\x7e\x7e\x7e" + HEARTBEAT)) == 2


def test_a_frame_that_never_ends_is_given_up_and_the_next_one_read() -> None:
    said = Jt808Framer().feed(b"\x7e" + b"\x55" * (3 * MAX_FRAME_BYTES) + HEARTBEAT + HEARTBEAT)
    assert [said[0].reason if isinstance(said[0], Refused) else None, *map(type, said[1:])] == [Reason.OVERSIZED, Frame, Frame]


def test_a_quiet_line_ends_a_frame_that_was_begun() -> None:
    framer = Jt808Framer()
    assert framer.feed(HEARTBEAT[:6]) == []
    (refused,) = framer.idle()
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.raw) == (Reason.TRUNCATED, HEARTBEAT[:6])
    assert [type(said) for said in framer.feed(HEARTBEAT)] == [Frame]
    assert framer.idle() == []


def test_a_flag_that_closed_a_frame_may_open_the_next_one_after_a_pause() -> None:
    framer = Jt808Framer()
    assert [type(said) for said in framer.feed(HEARTBEAT)] == [Frame]
    assert framer.idle() == []
    assert [type(said) for said in framer.feed(HEARTBEAT[1:])] == [Frame]


def test_a_flag_within_a_frame_that_never_ended_opens_nothing_after_a_pause() -> None:
    framer = Jt808Framer()
    framer.feed(b"\x7e" + b"\x55" * MAX_FRAME_BYTES)
    framer.idle()
    (noise,) = framer.feed(b"tail\x7e")
    assert isinstance(noise, Refused)
    assert noise.reason is Reason.BAD_START


@given(st.data(), st.lists(st.sampled_from([*ON_THE_WIRE, HEARTBEAT, BRACKETED, b"\x7e", b"noise", b"\x00\xff"]), max_size=8))
def test_any_cut_of_the_stream_gives_the_same_messages(data: st.DataObject, pieces: list[bytes]) -> None:
    stream = b"".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    framer = Jt808Framer()
    said = [one for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True) for one in framer.feed(stream[start:end])]
    assert said + framer.idle() == (whole := Jt808Framer()).feed(stream) + whole.idle()


@given(st.binary(max_size=200), st.lists(st.sampled_from(ON_THE_WIRE), min_size=2, max_size=4))
def test_noise_before_a_frame_loses_at_most_that_frame(noise: bytes, frames: list[bytes]) -> None:
    said = [one for one in Jt808Framer().feed(noise + b"".join(frames)) if isinstance(one, Frame)]
    assert [frame.raw for frame in said[-len(frames) + 1 :]] == frames[1:]


@given(st.binary(max_size=300))
def test_any_bytes_at_all_are_refused_or_read_and_nothing_else_is_raised(raw: bytes) -> None:
    for candidate in (raw, b"\x7e" + raw + b"\x7e"):
        try:
            parse_frame(candidate)
        except ParseError as error:
            assert error.at is None or 0 <= error.at <= len(candidate)  # noqa: PT017 (either outcome is right)
    for said in Jt808Framer().feed(raw):
        assert isinstance(said, (Frame, Refused))


@given(st.lists(st.binary(max_size=4000), max_size=10))
def test_a_framer_holds_no_more_than_one_longest_frame(chunks: list[bytes]) -> None:
    framer = Jt808Framer()
    for chunk in chunks:
        framer.feed(chunk.replace(b"\x7e", b""))
        assert len(framer._segment) < MAX_FRAME_BYTES


@given(
    message_id=st.integers(0, 0xFFFF).filter(lambda number: number != 0x0100),
    phone=st.text("0123456789", min_size=1, max_size=12),
    serial=st.integers(0, 0xFFFF),
    body=st.binary(max_size=1023),
    version=st.sampled_from([2013, 2019]),
    packet=st.none() | st.tuples(st.integers(1, 0xFFFF), st.integers(1, 0xFFFF)),
)
def test_an_encoded_frame_reads_back(
    message_id: int, phone: str, serial: int, body: bytes, version: int, packet: tuple[int, int] | None
) -> None:
    raw = encode_frame(message_id, phone, serial, body, version, packet=packet)
    frame = parse_frame(raw)
    assert (frame.message_id, frame.serial, frame.body, frame.version, frame.packet) == (
        message_id,
        serial,
        body,
        version,
        packet,
    )
    assert frame.phone == phone.rjust(20 if version == 2019 else 12, "0")
    assert frame.length_ok
    assert frame.escaped
    assert Jt808Framer().feed(raw) == [frame]


def test_a_body_too_long_for_one_frame_is_not_encoded() -> None:
    with pytest.raises(ParseError) as refusal:
        encode_frame(0x0801, "1", 1, bytes(1024))
    assert refusal.value.reason is Reason.OVERSIZED


def test_a_phone_with_more_digits_than_the_header_is_not_encoded() -> None:
    with pytest.raises(ParseError):
        encode_frame(2, "1234567890123", 1, b"")


def test_the_checksum_is_the_xor_of_all_bytes() -> None:
    assert checksum(bytes.fromhex("00020000040021679287002b")) == 0x7E


def test_shared_framing_pairs(vectors: Path) -> None:
    for line in (vectors / "jt808_framing.jsonl").read_text().splitlines():
        pair = json.loads(line)
        said = Jt808Framer().feed(bytes.fromhex(pair["hex"]))
        if "unescaped_hex" in pair["expect"]:
            # The pair is no message, so its unescaped bytes can only be told by their checksum being wrong.
            assert isinstance(said[-1], Refused)
            assert said[-1].raw.hex() in pair["hex"]
        elif "ascii_frame" in pair["expect"]:
            assert [one.raw.decode() for one in said if isinstance(one, Refused)] == [pair["expect"]["ascii_frame"]]
        else:
            assert [f"{one.message_id:#06x}" for one in said if isinstance(one, Frame)] == [pair["derived"]["msg_id"]]
