"""XMODEM and YMODEM: packets written down from the reference, and both ends against each other over bad lines."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.errors import ParseError
from firmware_bridge.xmodem import CANCEL, NamedFile, Receiver, Sender, parse_packet, xmodem_steps, ymodem_steps
from telemetry.reason import Reason


def carried(sender: Sender, receiver: Receiver, rng: random.Random, rate: float) -> bytes:
    """Let both talk over a line that changes or loses a byte with `rate`; what the receiver handed over."""

    def line(data: bytes) -> bytes:
        out = bytearray()
        for byte in data:
            chance = rng.random()
            if chance < rate / 2:
                continue
            out.append(byte ^ 1 << rng.randrange(8) if chance < rate else byte)
        return bytes(out)

    taken = b""
    to_sender, to_receiver = line(receiver.start()), b""
    for _ in range(100_000):
        if (sender.done or sender.refused) and (receiver.done or receiver.refused):
            return taken
        to_receiver += line(sender.feed(to_sender))
        to_sender = line(receiver.feed(to_receiver))
        to_receiver = b""
        if not receiver.files:
            taken += receiver.take()
        if not to_sender:  # nobody speaks: the receiver's patience ends first
            to_sender = line(receiver.quiet())
            to_receiver = b"" if to_sender else line(sender.quiet())
    raise AssertionError("no end")


def test_the_first_packet_is_as_the_reference_draws_it() -> None:
    # Forsberg, 1988: SOH, number, its complement, 128 bytes padded with 1A, CRC with polynomial 1021 from 0, high byte first;
    # the CRC is worked out here bit by bit, apart from the codec.
    data = b"123456789".ljust(128, b"\x1a")
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ (0x1021 if crc & 0x8000 else 0)) & 0xFFFF
    sender = Sender(xmodem_steps(b"123456789"))
    assert sender.feed(b"C") == b"\x01\x01\xfe" + data + crc.to_bytes(2, "big")
    assert sender.feed(b"\x06") == b"\x04"
    assert sender.feed(b"\x15") == b"\x04"
    assert sender.feed(b"\x06") == b""
    assert sender.done


def test_a_receiver_that_asks_with_nak_gets_sums() -> None:
    sender = Sender(xmodem_steps(bytes(range(1, 129))))
    assert sender.feed(b"\x15") == b"\x01\x01\xfe" + bytes(range(1, 129)) + bytes((sum(range(1, 129)) & 0xFF,))


def test_packet_zero_of_a_batch_has_name_and_size() -> None:
    sender = Sender(ymodem_steps([NamedFile(name="foo.c", data=b"x" * 6347)]))
    packet = sender.feed(b"C")
    assert packet[:3] == b"\x01\x00\xff"
    assert packet[3:].startswith(b"foo.c\x006347\x00")
    assert sender.feed(b"\x06") == b""  # waits for the request for data
    assert sender.feed(b"C")[:3] == b"\x02\x01\xfe"


@pytest.mark.parametrize("size", [0, 1, 127, 128, 129, 1024, 1025, 40_000, 300_000])
@pytest.mark.parametrize("with_crc", [True, False])
def test_a_file_comes_through_with_its_padding(size: int, with_crc: bool) -> None:
    data = random.Random(size).randbytes(size)  # noqa: S311
    sender, receiver = Sender(xmodem_steps(data)), Receiver(with_crc=with_crc)
    got = carried(sender, receiver, random.Random(1), 0) + receiver.files[0].data  # noqa: S311
    assert got[:size] == data
    assert set(got[size:]) <= {0x1A}
    assert len(got) - size < 128
    assert sender.done
    assert receiver.done


def test_a_batch_comes_through_by_name_and_to_the_byte() -> None:
    files = [
        NamedFile(name="a.bin", data=b"\x1a" * 700),
        NamedFile(name="empty", data=b""),
        NamedFile(name="b", data=b"q" * 5000),
    ]
    sender, receiver = Sender(ymodem_steps(files)), Receiver(ymodem=True)
    answers = receiver.start()
    while not sender.done:
        answers = receiver.feed(sender.feed(answers))
    assert receiver.done
    assert receiver.files == files


@given(st.integers(0, 2**32), st.integers(0, 5000), st.sampled_from([0.0002, 0.001, 0.003]))
def test_over_a_bad_line_a_file_is_right_or_refused(seed: int, size: int, rate: float) -> None:
    rng = random.Random(seed)  # noqa: S311
    data = rng.randbytes(size)
    sender, receiver = Sender(xmodem_steps(data, 128)), Receiver()
    got = carried(sender, receiver, rng, rate)
    if receiver.done:
        assert (got + receiver.files[0].data)[:size] == data
    else:
        assert receiver.refused is not None


@given(st.binary(max_size=3000), st.lists(st.integers(1, 700), max_size=20), st.booleans())
def test_noise_never_harms_a_receiver(noise: bytes, cuts: list[int], ymodem: bool) -> None:
    receiver = Receiver(ymodem=ymodem, limit_bytes=2048)
    at = 0
    for cut in [*cuts, 3000]:
        receiver.feed(noise[at : at + cut])
        receiver.quiet()
        at += cut
    assert len(receiver.take()) <= 2048
    assert len(receiver._buffer) <= 2053


def test_a_file_above_the_limit_is_cancelled() -> None:
    sender, receiver = Sender(xmodem_steps(bytes(5000))), Receiver(limit_bytes=2048)
    answers = receiver.start()
    while not (receiver.refused or sender.done):
        answers = receiver.feed(sender.feed(answers))
    assert receiver.refused is not None
    assert receiver.refused.reason is Reason.OVERSIZED
    assert answers == CANCEL
    sender.feed(answers)
    assert sender.refused is not None
    assert sender.refused.reason is Reason.INTERRUPTED


def test_silence_ends_either_side() -> None:
    sender, receiver = Sender(xmodem_steps(b"x")), Receiver()
    for _ in range(11):
        sender.quiet()
        last = receiver.quiet()
    assert last == CANCEL
    assert sender.refused is not None
    assert receiver.refused is not None
    assert sender.refused.reason is receiver.refused.reason is Reason.TIMEOUT


def test_a_packet_that_came_twice_is_kept_once() -> None:
    sender, receiver = Sender(xmodem_steps(b"abc" * 100, 128)), Receiver()
    first = sender.feed(b"C")
    assert receiver.feed(first) == receiver.feed(first) == b"\x06"
    assert receiver.take() == (b"abc" * 100)[:128]


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        pytest.param(b"", Reason.TRUNCATED, id="nothing"),
        pytest.param(b"\x03", Reason.BAD_START, id="another start"),
        pytest.param(b"\x01\x01\xfe", Reason.TRUNCATED, id="cut short"),
        pytest.param(b"\x01\x01\xfd" + bytes(130), Reason.BAD_FIELD, id="a number that is not its complement's"),
        pytest.param(b"\x01\x01\xfe" + bytes(129) + b"\x01", Reason.BAD_CHECKSUM, id="a wrong CRC"),
        pytest.param(b"\x01\x01\xfe" + bytes(131), Reason.BAD_LENGTH, id="too long"),
    ],
)
def test_a_packet_is_refused_with_its_reason(packet: bytes, reason: Reason) -> None:
    with pytest.raises(ParseError) as refused:
        parse_packet(packet)
    assert refused.value.reason is reason


def test_any_flipped_bit_of_a_packet_is_found() -> None:
    packet = Sender(xmodem_steps(b"firmware")).feed(b"C")
    for bit in range(8 * len(packet)):
        damaged = bytearray(packet)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ParseError):
            parse_packet(bytes(damaged))
