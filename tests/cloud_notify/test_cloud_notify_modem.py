"""The one way without internet: short messages through a modem, byte by byte and over a real pty.

PDUs were written by hand from 3GPP TS 23.040, not with the product's code.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cloud_notify_world import outbox, put, sending, until
from hypothesis import given
from hypothesis import strategies as st

from cloud.notify.config import ChannelConfig, ChannelKind
from cloud.notify.people import Person
from cloud.notify.results import Failure
from cloud.notify.sms_modem.dialog import TABLE, Dialog, Event, Phase, cms_failure
from cloud.notify.sms_modem.pdu import Report, parse_report, submits
from simulators.pty_line import PtyLine

NUMBER = "+8613800000000"
# SMSC of the SIM; SUBMIT, relative validity, report wanted; +86 138...; UCS-2; a day; four octets: 你好
HELLO = b"0031000D91683108000000F00008A7044F60597D"


def _report(reference: int, status: int) -> str:
    """SMSC 00, STATUS-REPORT, reference, the number, sent and done 2025-11-20 22:00:05 +08, TP-ST."""
    return f"0006{reference:02X}0D91683108000000F0" + "52110222005023" * 2 + f"{status:02X}"


def test_one_short_message_is_the_pdu_that_the_standard_draws() -> None:
    (part,) = submits(NUMBER, "你好", 7)
    assert (part.line, part.octets) == (HELLO, len(HELLO) // 2 - 1)


def test_a_national_number_of_odd_digits_is_filled_up() -> None:
    (part,) = submits("13800138000", "A", 7)
    assert part.line.startswith(b"0031000B813108108300F0" + b"0008A7020041")


def test_seventy_characters_are_one_message_and_one_more_makes_two() -> None:
    assert len(submits(NUMBER, "井" * 70, 7)) == 1
    first, second = submits(NUMBER, "井" * 71, 0xAB)
    assert first.line[:4] == second.line[:4] == b"0071"  # a header follows
    assert b"8C050003AB0201" + b"4E95" * 67 in first.line
    assert second.line.endswith(b"0E050003AB0202" + b"4E95" * 4)


@pytest.mark.parametrize(
    ("number", "text"), [("12a", "x"), ("", "x"), (NUMBER, ""), (NUMBER, "x" * 269)], ids=["letters", "none", "empty", "long"]
)
def test_what_is_no_message_is_refused(number: str, text: str) -> None:
    with pytest.raises(ValueError, match="want"):
        submits(number, text, 7)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=130))
def test_the_parts_hold_the_whole_text_and_split_no_character(text: str) -> None:
    read = ""
    parts = submits(NUMBER, text, 7)
    for part in parts:
        data = bytes.fromhex(part.line.decode())
        assert len(data) - 1 == part.octets
        user = data[16:][data[1] >> 6 and 6 :]
        assert data[15] == len(data[16:]) <= 140
        read += user.decode("utf-16-be")
    assert read == text


def test_a_status_report_names_its_message_and_what_became_of_it() -> None:
    assert parse_report(_report(42, 0)) == Report(42, 0)
    assert parse_report(_report(42, 0x46)) == Report(42, 0x46)


@pytest.mark.parametrize("line", ["", "zz", "00", "0006", _report(42, 0)[:-2], "00040D91683108000000F0", HELLO.decode()])
def test_what_is_no_status_report_is_none(line: str) -> None:
    assert parse_report(line) is None


def _set_up(dialog: Dialog) -> bytes:
    said = dialog.start()
    while dialog.phase is Phase.SETTING_UP:
        said = dialog.feed(b"\r\nOK\r\n")
    return said


def test_a_message_is_written_after_the_prompt_and_done_with_its_report() -> None:
    dialog = Dialog(submits(NUMBER, "你好", 7))
    assert _set_up(dialog) == b"AT+CMGS=19\r"
    assert dialog.feed(b"\r\n> ") == HELLO + b"\x1a"
    dialog.feed(b"\r\n+CMGS: 42\r\n\r\nOK\r\n")
    assert dialog.phase is Phase.REPORTING
    dialog.feed(b"+CDS: 26\r\n" + _report(41, 0).encode() + b"\r\n")
    assert dialog.phase is Phase.REPORTING
    dialog.feed(b"+CDS: 26\r\n" + _report(42, 0).encode() + b"\r\n")
    assert (dialog.phase, dialog.result().receipt, dialog.result().detail) == (Phase.DONE, "42", "on the phone")


@given(st.integers(1, 40))
def test_any_cut_of_what_the_modem_says_gives_the_same_dialog(size: int) -> None:
    dialog = Dialog(submits(NUMBER, "井" * 100, 7))
    _set_up(dialog)
    said = b"\r\n> \r\n+CMGS: 1\r\n\r\nOK\r\n\r\n> \r\n+CMGS: 2\r\n\r\nOK\r\n"
    for place in range(0, len(said), size):
        dialog.feed(said[place : place + size])
    assert (dialog.references, dialog.phase) == ([1, 2], Phase.REPORTING)


@given(st.binary(max_size=200))
def test_noise_never_makes_a_message_sent(noise: bytes) -> None:
    dialog = Dialog(submits(NUMBER, "你好", 7))
    dialog.start()
    dialog.feed(noise)
    assert dialog.phase is not Phase.DONE


@pytest.mark.parametrize(
    ("said", "failure"),
    [
        pytest.param(b"+CMS ERROR: 310\r\n", Failure.AUTH, id="no SIM"),
        pytest.param(b"+CMS ERROR: 304\r\n", Failure.FORMAT, id="a PDU that it does not like"),
        pytest.param(b"+CMS ERROR: 1\r\n", Failure.GONE, id="nobody has that number"),
        pytest.param(b"+CMS ERROR: 42\r\n", Failure.RATE, id="congestion"),
        pytest.param(b"+CMS ERROR: 332\r\n", Failure.UNKNOWN_AFTER_TIMEOUT, id="the network was silent"),
        pytest.param(b"+CMS ERROR: 500\r\n", Failure.NETWORK, id="it does not know itself"),
        pytest.param(b"ERROR\r\n", Failure.NETWORK, id="no reason at all"),
    ],
)
def test_a_refusal_has_its_class(said: bytes, failure: Failure) -> None:
    dialog = Dialog(submits(NUMBER, "你好", 7))
    _set_up(dialog)
    dialog.feed(b"> ")
    dialog.feed(said)
    assert (dialog.phase, dialog.result().failure) == (Phase.FAILED, failure)


def test_a_sim_that_wants_its_pin_is_a_persons_to_open() -> None:
    assert (cms_failure("+CME ERROR: 11"), cms_failure("+CME ERROR: 30")) == (Failure.AUTH, Failure.NETWORK)


def test_silence_before_the_last_octet_is_the_line_and_after_it_is_doubt() -> None:
    before, after = Dialog(submits(NUMBER, "你好", 7)), Dialog(submits(NUMBER, "你好", 7))
    _set_up(before)
    assert before.silent() == b"\x1b"
    _set_up(after)
    after.feed(b"> ")
    after.silent()
    assert (before.result().failure, after.result().failure) == (Failure.NETWORK, Failure.UNKNOWN_AFTER_TIMEOUT)


def test_a_second_part_that_fails_leaves_the_first_in_doubt() -> None:
    dialog = Dialog(submits(NUMBER, "井" * 100, 7))
    _set_up(dialog)
    dialog.feed(b"> ")
    dialog.feed(b"+CMGS: 1\r\nOK\r\n> ")
    dialog.feed(b"+CMS ERROR: 42\r\n")
    assert dialog.result().failure is Failure.UNKNOWN_AFTER_TIMEOUT


def test_a_report_that_the_network_has_given_up_says_so() -> None:
    dialog = Dialog(submits(NUMBER, "你好", 7))
    _set_up(dialog)
    dialog.feed(b"> ")
    dialog.feed(b"+CMGS: 42\r\nOK\r\n+CDS: 26\r\n" + _report(42, 0x46).encode() + b"\r\n")
    assert (dialog.result().failure, dialog.result().vendor_code) == (Failure.GONE, "ST 70")


def test_every_phase_is_reached_and_left_and_ends() -> None:
    reached = {Phase.SETTING_UP, Phase.REPORTING} | {after for after, _ in TABLE.values()}
    assert reached == set(Phase)
    assert {phase for phase, _ in TABLE} == set(Phase) - {Phase.DONE, Phase.FAILED}
    assert all((phase, Event.SILENT) in TABLE for phase in Phase if phase not in {Phase.DONE, Phase.FAILED})


class SimModem:
    """A modem on a pty that echoes until it is told not to, checks lengths, and numbers what it takes."""

    def __init__(self, line: PtyLine) -> None:
        self._line = line
        self.taken: list[str] = []
        self.refuse = b""
        self.mute = False
        self.status: int | None = 0

    async def run(self) -> None:
        buffer, wanted, echo = b"", 0, True
        while True:
            buffer += await self._line.read()
            while found := re.match(rb"\x1b*([^\r\x1a]*)([\r\x1a])", buffer):
                buffer = buffer[found.end() :]
                told, end = found[1].decode(), found[2]
                if echo and end == b"\r":
                    self._line.write(found[1] + b"\r")
                if end == b"\x1a":
                    self._take(told, wanted)
                elif told.startswith("AT+CMGS="):
                    wanted = int(told[8:])
                    self._line.write(b"\r\n> ")
                else:
                    echo = echo and told != "ATE0"
                    self._line.write(b"\r\nOK\r\n")

    def _take(self, pdu: str, wanted: int) -> None:
        if self.mute:
            return
        if self.refuse or len(pdu) // 2 - 1 != wanted:
            self._line.write(self.refuse or b"\r\n+CMS ERROR: 304\r\n")
            return
        self.taken.append(pdu)
        self._line.write(b"\r\n+CMGS: %d\r\n\r\nOK\r\n" % len(self.taken))
        if self.status is not None:
            self._line.write(b"\r\n+CDS: 26\r\n" + _report(len(self.taken), self.status).encode() + b"\r\n")


@contextlib.asynccontextmanager
async def _modem() -> AsyncIterator[tuple[SimModem, ChannelConfig]]:
    line = PtyLine()
    line.start()
    modem = SimModem(line)
    person = Person(name="zhang", address=NUMBER)
    try:
        async with asyncio.TaskGroup() as tasks:
            work = tasks.create_task(modem.run())
            yield modem, ChannelConfig(name="gsm", kind=ChannelKind.SMS_MODEM, device=line.path, people=(person,), timeout_s=0.5)
            work.cancel()
    finally:
        line.close()


def _text(pdus: list[str]) -> str:
    return "".join(bytes.fromhex(pdu)[22:].decode("utf-16-be") for pdu in pdus)


async def test_a_case_reaches_a_phone_through_a_modem_on_a_pty(tmp_path: Path) -> None:
    async with outbox(tmp_path) as engine, _modem() as (modem, channel):
        await put(engine, [channel])
        async with sending(engine, [channel]):
            (row,) = await until(engine, lambda found: found[0]["state"] != "pending")
    assert (row["state"], row["detail"]) == ("sent", "on the phone")
    assert row["receipt"] == ",".join(str(n + 1) for n in range(len(modem.taken)))
    assert len(modem.taken) > 1
    text = _text(modem.taken)
    assert text.startswith("【新案件·特急】井盖移位\n")
    assert text.endswith("https://city.example/n/" + row["token"])


@pytest.mark.parametrize(
    ("refuse", "mute", "state", "failure"),
    [
        pytest.param(b"\r\n+CMS ERROR: 310\r\n", False, "failed", "auth", id="without a SIM it is given up"),
        pytest.param(b"\r\n+CMS ERROR: 331\r\n", False, "pending", "network", id="without a network it is tried again"),
        pytest.param(b"", True, "pending", "unknown_after_timeout", id="without an answer nobody knows"),
    ],
)
async def test_a_modem_that_does_not_take_it(tmp_path: Path, refuse: bytes, mute: bool, state: str, failure: str) -> None:
    async with outbox(tmp_path) as engine, _modem() as (modem, channel):
        modem.refuse, modem.mute = refuse, mute
        await put(engine, [channel])
        async with sending(engine, [channel]):
            (row,) = await until(engine, lambda found: bool(found[0]["failure"]))
    assert (row["state"], row["failure"], modem.taken) == (state, failure, [])


async def test_a_port_that_is_not_there_is_the_line(tmp_path: Path) -> None:
    person = Person(name="zhang", address=NUMBER)
    channel = ChannelConfig(name="gsm", kind=ChannelKind.SMS_MODEM, device=str(tmp_path / "ttyUSB9"), people=(person,))
    async with outbox(tmp_path) as engine:
        await put(engine, [channel])
        async with sending(engine, [channel]):
            (row,) = await until(engine, lambda found: bool(found[0]["failure"]))
    assert (row["state"], row["failure"]) == ("pending", "network")
