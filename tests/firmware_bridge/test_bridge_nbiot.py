"""Lines of NB-IoT modems, and the dialogue with one, whatever it says in between."""

import json
from collections.abc import Iterator
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest
from fuzz_nbiot import HEADS, fuzz_one
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.errors import ParseError, Refused
from firmware_bridge.nbiot.lines import MAX_LINE_BYTES, LineAssembler
from firmware_bridge.nbiot.machine import MAX_PAYLOAD_BYTES, MAX_QUEUE, Modem, ModemConfig, Received, Said, StateChanged, Write
from firmware_bridge.nbiot.record import LANGUAGE, record
from firmware_bridge.nbiot.sayings import SAYINGS, parse_saying
from firmware_bridge.nbiot.steps import BC26, BC95, PAUSES_S, TABLE, Event, State
from firmware_bridge.nbiot.timers import active_time_s, edrx_ms, periodic_update_s
from telemetry.reason import Reason

S = 1_000_000_000
PAYLOAD = bytes.fromhex("2020333435")

# Answers as logs of such modems have them (the shared dialogues of BC95, BC28 and BC26), with the addresses of RFC 5737.
BC95_SAYS = {
    "AT+CGSN=1": ["+CGSN:867726031076062", "OK"],
    "AT+CEREG?": ["+CEREG:1,1", "OK"],
    "AT+CSQ": ["+CSQ:18,99", "OK"],
    "AT+NUESTATS": ["Signal power:-758", "Total power:-706", "TX power:230", "Cell ID:3535136", "ECL:0", "SNR:132", "OK"],
    "AT+NSOCR": ["0", "OK"],
    "AT+NSOST": ["0,5", "OK", "+NSONMI:0,10"],
    "AT+NSORF": ["0,192.0.2.1,5683,10,00112233445566778899,0", "OK"],
}
BC26_SAYS = {
    "AT+CGSN=1": ["+CGSN: 867726031076062", "OK"],
    "AT+CEREG?": ["+CEREG: 1,5", "OK"],
    "AT+CSQ": ["+CSQ: 18,0", "OK"],
    "AT+QIOPEN": ["OK", "+QIOPEN: 0,0"],
    "AT+QISEND": ["OK", "SEND OK", '+QIURC: "recv",0,10,"00112233445566778899"'],
}
DIALOGUES = {"bc95": BC95_SAYS, "bc26": BC26_SAYS}
NOTICES = [
    "+CEREG:2",
    "+CEREG:0",
    "+CEREG:5",
    '+CEREG:1,"5B0A","0A4B1C2D",9',
    "+CSCON:0",
    "+CSCON:1",
    "+NPSMR:1",
    "+NSONMI:0,10",
    "+NSONMI:3,10",
    "+NSOCLI:0",
    "+NSOCLI:1",
    "+NSOSTR:0,1,1",
    "+NNMI",
    "+NSMI:SENT",
    '+QIURC: "closed",0',
    '+QIURC: "pdpdeact",1',
    "Neul",
    "REBOOT_CAUSE_APPLICATION_AT",
    "+CME ERROR: 159",
    "AT+CSQ",
    "+UNHEARD: 1",
    "noise",
]


def config(family: str = "bc95") -> ModemConfig:
    return ModemConfig(family=family, host="192.0.2.1", port=5683)


class Peer:
    """A modem by its recorded answers. `notice` is said before the line `at`, counted from the dialogue's first."""

    def __init__(self, says: dict[str, list[str]], notice: str = "", at: int = -1) -> None:
        self.says, self.notice, self.at = says, notice, at
        self.lines = 0
        self.held = 0
        self.commands: list[str] = []

    def answer(self, command: str) -> Iterator[bytes]:
        self.commands.append(command)
        lines = next((said for start, said in self.says.items() if command.startswith(start)), ["OK"])
        if command.startswith("AT+NSOST"):
            self.held += 1
        if command.startswith("AT+NSORF"):
            lines = lines if self.held else ["OK"]
            self.held = max(0, self.held - 1)
        for line in lines:
            if self.lines == self.at:
                yield f"\r\n{self.notice}\r\n".encode()
            self.lines += 1
            yield f"\r\n{line}\r\n".encode()


def converse(modem: Modem, peer: Peer, first: Iterator[Said], limit: int = 400) -> list[Said]:
    """Everything the machine said until there was nothing left to do."""
    told: list[Said] = []
    now = 0
    wire = list(first)
    for _ in range(limit):
        told += wire
        commands = [said.data.decode().strip() for said in wire if isinstance(said, Write)]
        wire = []
        for command in commands:
            wire += [said for chunk in peer.answer(command) for said in modem.feed(chunk, now)]
        if not commands:
            now = modem.due_ns if modem.due_ns is not None else now + S
            wire = list(modem.tick(now))
            if not wire and modem.due_ns is None:
                return told
    raise AssertionError(f"still {modem.state} after {limit} turns")


def started(modem: Modem) -> Iterator[Said]:
    yield from modem.start()
    yield from modem.send(PAYLOAD)


def received(told: list[Said]) -> list[bytes]:
    return [said.payload for said in told if isinstance(said, Received)]


def ready(family: str = "bc95") -> tuple[Modem, Peer]:
    modem, peer = Modem(config(family)), Peer(DIALOGUES[family])
    converse(modem, peer, modem.start())
    assert modem.state is State.READY
    return modem, peer


UNSAID = {"meaning"}  # told in other words


def test_every_shared_line_reads_as_stated(vectors: Path) -> None:
    count = 0
    for line in (vectors / "nbiot_at.jsonl").read_text("utf-8").splitlines():
        entry: dict[str, Any] = json.loads(line)
        got = record(entry["text"].encode())
        for field, want in (entry.get("derived", {}) | entry["expect"]).items():
            if field not in UNSAID:
                assert got[field] == want, (field, entry)
                count += 1
        assert LANGUAGE.explain(entry["text"].encode())
    assert count > 150


@pytest.mark.parametrize("family", DIALOGUES)
def test_a_datagram_goes_out_and_another_comes_in(family: str) -> None:
    modem, peer = Modem(config(family)), Peer(DIALOGUES[family])
    told = converse(modem, peer, started(modem))
    assert modem.state is State.READY
    assert received(told) == [bytes.fromhex("00112233445566778899")]
    assert not [said for said in told if isinstance(said, Refused)]
    assert (modem.facts["imei"], modem.facts["rssi_index"]) == ("867726031076062", 18)
    sent = {"bc95": "AT+NSOST=0,192.0.2.1,5683,5,2020333435", "bc26": "AT+QISEND=0,5,2020333435"}[family]
    assert peer.commands.count(sent) == 1


def positions() -> Iterator[tuple[str, int]]:
    for family, says in DIALOGUES.items():
        peer = Peer(says)
        modem = Modem(config(family))
        converse(modem, peer, started(modem))
        yield from ((family, at) for at in range(peer.lines))


@pytest.mark.parametrize("notice", NOTICES)
def test_a_notice_at_any_position_leaves_the_dialogue_its_end(notice: str) -> None:
    for family, at in positions():
        modem, peer = Modem(config(family)), Peer(DIALOGUES[family], notice, at)
        told = converse(modem, peer, started(modem))
        assert modem.state is State.READY, (family, at)
        assert any(command.endswith("5,2020333435") for command in peer.commands), (family, at)
        if not notice.startswith(("Neul", "REBOOT")):  # a restart forgets a datagram that was not fetched
            assert bytes.fromhex("00112233445566778899") in received(told), (family, at)
        assert not modem._queue


def test_every_notice_of_the_table_is_among_those_that_are_tried() -> None:
    tried = {parse_saying(notice).name for notice in NOTICES if notice != "noise" and not notice.startswith("AT")}
    assert tried >= {"NSONMI", "NSOCLI", "NSOSTR", "NNMI", "NSMI", "NPSMR", "CSCON", "QIURC", "CEREG", "BOOT", "ERROR"}


@given(st.data())
def test_any_cut_of_the_stream_gives_the_same_lines(data: st.DataObject) -> None:
    lines = ["+NSONMI:0,10", "OK", "0,192.0.2.1,5683,1,00,0"]
    stream = "".join(f"\r\n{line}\r\n" for line in lines).encode()
    cut = data.draw(st.integers(0, len(stream)))
    assembler = LineAssembler()
    assert [*assembler.feed(stream[:cut]), *assembler.feed(stream[cut:])] == lines


def test_noise_before_a_line_loses_no_more_than_that_line() -> None:
    assembler = LineAssembler()
    first, second, third = assembler.feed(b"\xff\x00\xfe+CSQ:1,99\r\n+CSQ:2,99\r\nOK\n")
    assert isinstance(first, Refused)
    assert (first.reason, second, third) == (Reason.BAD_FIELD, "+CSQ:2,99", "OK")


def test_a_line_without_end_is_refused_once_and_forgotten() -> None:
    assembler = LineAssembler()
    said = list(assembler.feed(b"x" * (3 * MAX_LINE_BYTES) + b"\r\nOK\r\n"))
    assert [line.reason if isinstance(line, Refused) else line for line in said] == [Reason.OVERSIZED, "OK"]
    assert [*assembler.feed(b"+CSQ"), *assembler.idle()] == [
        Refused(reason=Reason.TRUNCATED, detail="the modem went quiet within a line", raw=b"+CSQ")
    ]


def test_the_table_can_be_walked_everywhere_and_left_everywhere() -> None:
    reached = {State.OFF}
    while True:
        further = {after for (before, _), after in TABLE.items() if before in reached} - reached
        if not further:
            break
        reached |= further
    assert reached == set(State)
    assert {before for before, _ in TABLE} == set(State)
    assert {event for _, event in TABLE} == set(Event)


def test_every_state_can_come_to_rest() -> None:
    home = {State.OFF}
    while True:
        further = {before for (before, _), after in TABLE.items() if after in home} - home
        if not further:
            break
        home |= further
    assert home == set(State)


@pytest.mark.parametrize("family", [BC95, BC26], ids=["bc95", "bc26"])
def test_every_state_either_asks_or_pauses_or_rests(family: dict[State, Any]) -> None:
    assert {*family, *PAUSES_S, State.OFF, State.READY} == set(State)
    assert not family.keys() & PAUSES_S.keys()
    for state in family:
        outcomes = {event for before, event in TABLE if before is state}
        assert {Event.DONE, Event.REFUSED, Event.SILENT, Event.BOOTED, Event.STOP} <= outcomes


def test_a_silent_modem_is_reset_ever_more_rarely() -> None:
    modem = Modem(config())
    wire, now, resets = list(modem.start()), 0, []
    for _ in range(200):
        list(modem.feed(b"", now))
        assert modem.due_ns is not None
        now = modem.due_ns
        wire = list(modem.tick(now))
        resets += [now for said in wire if said == Write(b"AT+NRB\r\n")]
    pauses = [(after - before) // S - 30 for before, after in pairwise(resets)]
    assert pauses[:7] == [10, 20, 40, 80, 160, 320, 600]
    assert set(pauses[7:]) == {600}


def test_a_denied_network_is_asked_again_until_it_lets_the_modem_in() -> None:
    modem, peer = Modem(config()), Peer(BC95_SAYS | {"AT+CEREG?": ["+CEREG:1,3", "OK"]})
    wire = list(modem.start())
    told: list[Said] = []
    for turn in range(60):
        if turn == 40:
            peer.says = BC95_SAYS
        commands = [said.data.decode().strip() for said in wire if isinstance(said, Write)]
        wire = [said for command in commands for chunk in peer.answer(command) for said in modem.feed(chunk, turn * S)]
        if not commands and modem.due_ns is not None:
            wire = list(modem.tick(modem.due_ns))
        told += wire
    assert modem.state is State.READY
    assert sum(isinstance(said, StateChanged) and said.event is Event.NOT_YET for said in told) > 5


def test_an_optional_command_that_is_refused_is_passed_over_and_told() -> None:
    modem, peer = Modem(config()), Peer(BC95_SAYS | {"AT+CEDRXS": ["ERROR"]})
    told = converse(modem, peer, modem.start())
    assert modem.state is State.READY
    assert [said.reason for said in told if isinstance(said, Refused)] == [Reason.DEVICE_EXCEPTION] * 3


def test_a_payload_that_the_modem_will_not_take_comes_back_and_the_next_one_goes() -> None:
    modem, peer = ready()
    peer.says = {"AT+NSOST=0,192.0.2.1,5683,1,FF": ["+CME ERROR: 4"]} | BC95_SAYS
    told = converse(modem, peer, iter([*modem.send(b"\xff"), *modem.send(PAYLOAD)]))
    assert [said.raw for said in told if isinstance(said, Refused) and said.raw] == [b"\xff"]
    assert "AT+NRB" in peer.commands
    assert peer.commands.count("AT+NSOST=0,192.0.2.1,5683,5,2020333435") == 1
    assert modem.state is State.READY


def test_a_datagram_that_cannot_be_fetched_is_given_up() -> None:
    modem, peer = ready()
    peer.says, peer.held = BC95_SAYS | {"AT+NSORF": ["ERROR"]}, 9
    converse(modem, peer, modem.feed(b"\r\n+NSONMI:0,10\r\n", 0))
    assert modem.state is State.READY
    assert peer.commands.count("AT+NSORF=0,10") == 3


def test_datagrams_are_fetched_until_none_is_left() -> None:
    modem, _ = ready()
    rest = iter(["0,192.0.2.1,5683,1,AA,2", "0,192.0.2.1,5683,2,BBCC,0"])
    wire = [*modem.feed(b"\r\n+NSONMI:0,3\r\n", 0)]
    told = []
    for line in rest:
        assert wire[-1] in {Write(b"AT+NSORF=0,3\r\n"), Write(b"AT+NSORF=0,2\r\n")}
        wire = list(modem.feed(f"\r\n{line}\r\n\r\nOK\r\n".encode(), 5))
        told += received(wire)
    assert (told, modem.state) == ([b"\xaa", b"\xbb\xcc"], State.READY)


def test_a_late_ok_of_a_command_given_up_answers_no_other() -> None:
    modem, _ = ready()
    list(modem.send(PAYLOAD))
    list(modem.feed(b"\r\nOK\r\n", 0))
    assert modem.state is State.SENDING
    list(modem.feed(b"\r\n0,5\r\n\r\nOK\r\n", 0))
    assert modem.state is State.READY


def test_what_cannot_be_sent_is_refused_at_once() -> None:
    modem = Modem(config())
    reasons = [
        said.reason
        for payload in (b"", b"x" * (MAX_PAYLOAD_BYTES + 1))
        for said in modem.send(payload)
        if isinstance(said, Refused)
    ]
    assert reasons == [Reason.MISSING, Reason.OVERSIZED]
    assert not [said for _ in range(MAX_QUEUE) for said in modem.send(b"x")]
    (full,) = modem.send(b"y")
    assert isinstance(full, Refused)
    assert (full.reason, full.raw) == (Reason.QUEUE_FULL, b"y")


def test_stopping_closes_the_socket_and_keeps_what_was_not_sent() -> None:
    modem, peer = ready()
    list(modem.send(PAYLOAD))
    told = converse(modem, peer, modem.stop())
    assert peer.commands[-1] == "AT+NSOCL=0"
    assert isinstance(told[-1], StateChanged)
    assert modem.state is State.OFF
    converse(modem, peer, modem.start())
    assert peer.commands[-2:] == ["AT+NSOST=0,192.0.2.1,5683,5,2020333435", "AT+NSORF=0,10"]
    with pytest.raises(ValueError, match="start while ready"):
        modem.start()


def test_messages_of_the_platform_are_received_without_a_socket() -> None:
    modem, _ = ready()
    said = [*modem.feed(b"\r\n+NNMI:2,ABCD\r\n", 7), *modem.feed(b"\r\n+QLWDATARECV: 19,1,0,4,AAAA0000\r\n", 8)]
    assert said == [Received(payload=b"\xab\xcd", at_ns=7), Received(payload=bytes.fromhex("aaaa0000"), at_ns=8)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        pytest.param("", Reason.TRUNCATED, id="nothing"),
        pytest.param("hello", Reason.UNKNOWN_MESSAGE, id="no modem says this"),
        pytest.param("+CSQ:40,99", Reason.OUT_OF_RANGE, id="a signal beyond the scale"),
        pytest.param("+CSQ:a", Reason.BAD_FIELD, id="letters for a number"),
        pytest.param("+NNMI:3,ABCD", Reason.BAD_LENGTH, id="a length that lies"),
        pytest.param("+NNMI:1,ABC", Reason.NOT_HEX, id="half a byte"),
        pytest.param('+QIURC: "recv",0,2,AB', Reason.BAD_LENGTH, id="a length that lies on a BC26"),
        pytest.param("NUESTATS:CELL,1,2", Reason.BAD_LENGTH, id="half a cell"),
        pytest.param('AT+QLWSERV="1.2.3.4', Reason.BAD_FIELD, id="quotes that do not close"),
        pytest.param("PENDING=0,EVIL=1", Reason.UNKNOWN_MESSAGE, id="a count that no firmware has"),
        pytest.param("AT+NSORF=0,9\r\n0,1.2.3.4,1", Reason.BAD_LENGTH, id="half a datagram"),
        pytest.param("OK\r\n" * 65, Reason.OVERSIZED, id="too many lines"),
        pytest.param("+CSQ:1\x01", Reason.BAD_FIELD, id="a control character"),
    ],
)
def test_what_cannot_be_read_is_refused(line: str, reason: Reason) -> None:
    with pytest.raises(ParseError) as refused:
        record(line.encode())
    assert refused.value.reason is reason


def test_timers_read_as_the_standard_counts() -> None:
    # 3GPP TS 24.008, 10.5.7.3 and 10.5.7.4a: the examples that vendors print for NB-IoT.
    assert (active_time_s("00100100"), periodic_update_s("01000111"), edrx_ms("0010")) == (240, 252_000, 20_480)
    assert (active_time_s("11100000"), periodic_update_s("11100000")) == (None, None)
    for read, digits in product((active_time_s, periodic_update_s, edrx_ms), ("", "2", "0" * 9, "01100000x")):
        with pytest.raises(ParseError):
            read(digits)
    with pytest.raises(ParseError):
        edrx_ms("0000")


@pytest.mark.parametrize(
    ("lines", "want"),
    [
        pytest.param(
            '+CEREG: 5,1,"5B0A","0A4B1C2D",9,,,"00100100","01000111"',
            {"n": 5, "stat": 1, "tac_hex": "5B0A", "act": 9, "active_time_s": 240, "periodic_update_s": 252_000},
            id="the timers that the network granted, in answer",
        ),
        pytest.param(
            '+CEREG: 5,"5B0A","0A4B1C2D",9,,,"00100100","01000111"',
            {"line": "urc", "stat": 5, "registered": "roaming", "ci_hex": "0A4B1C2D", "active_time_s": 240},
            id="the same unasked",
        ),
        pytest.param('+CPSMS: 1,,,"01000111","00100100"', {"psm": True, "active_time_s": 240}, id="power saving in answer"),
        pytest.param('AT+CPSMS=1,,,"01000111","00100100"', {"psm": True, "periodic_update_s": 252_000}, id="asked for"),
        pytest.param("AT+CPSMS=0", {"line": "command", "psm": False}, id="switched off"),
        pytest.param(
            "+NSONMI:0,192.0.2.1,5683,2,ABCD", {"host": "192.0.2.1", "payload_hex": "ABCD"}, id="a notice with its bytes"
        ),
        pytest.param("ATI\r\nQuectel\r\nBC26\r\n\r\nOK", {"command": "ATI", "text": "BC26", "ok": True}, id="free text"),
        pytest.param("+CSQ: 99,99", {"rssi_index": 99, "rssi_dbm": None, "ber": None}, id="no signal known"),
        pytest.param('+NNMI: "recv",1', {"waiting": True}, id="a message to be fetched"),
        pytest.param('AT+MIPLADDOBJ=0,3303,1,"1",0,1', {"parameters": ["0", "3303", "1", '"1"', "0", "1"]}, id="MIPL, longer"),
        pytest.param("AT+NSORF=0,2\r\n0,192.0.2.1,5683,2,ABCD,7\r\n\r\nOK", {"remaining": 7, "len": 2}, id="a datagram"),
    ],
)
def test_lines_with_more_to_them(lines: str, want: dict[str, object]) -> None:
    assert want.items() <= record(lines.encode()).items()


def test_power_saving_is_asked_for_as_configured() -> None:
    modem = Modem(
        ModemConfig(family="bc28", host="192.0.2.1", port=1, active_time="00100100", periodic_update="01000111", edrx="0101")
    )
    peer = Peer(BC95_SAYS)
    converse(modem, peer, modem.start())
    assert 'AT+CPSMS=1,,,"01000111","00100100"' in peer.commands
    assert 'AT+CEDRXS=1,5,"0101"' in peer.commands


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"family": "bc1"}, id="an unknown family"),
        pytest.param({"host": "a\r\nAT"}, id="a host that would be a command"),
        pytest.param({"port": 0}, id="no port"),
        pytest.param({"active_time": "00100100"}, id="half of the timers"),
        pytest.param({"edrx": "0000"}, id="a cycle that NB-IoT does not have"),
    ],
)
def test_a_configuration_that_no_command_can_carry_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        ModemConfig(**({"family": "bc95", "host": "192.0.2.1", "port": 1} | wrong))


@given(st.binary(max_size=60) | st.text('0123456789,:"ABCDEFOKR+-() \r\n', max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    fuzz_one(data)


@given(st.sampled_from([*HEADS, *(f"+{name}: ".encode() for name in SAYINGS)]), st.text('0123456789,:"ABF-', max_size=30))
def test_any_parameters_are_read_or_refused(head: bytes, parameters: str) -> None:
    fuzz_one(head + parameters.encode())


@given(st.binary(min_size=1, max_size=MAX_PAYLOAD_BYTES))
def test_a_written_command_reads_back_as_what_was_to_be_sent(payload: bytes) -> None:
    modem, _ = ready()
    (command,) = (said.data for said in modem.send(payload) if isinstance(said, Write))
    want = {"command": "NSOST", "socket": 0, "host": "192.0.2.1", "port": 5683, "len": len(payload)}
    assert record(command).items() >= want.items()
    assert bytes.fromhex(str(record(command)["payload_hex"])) == payload


@pytest.mark.parametrize("family", DIALOGUES)
def test_every_command_of_a_dialogue_is_read(family: str) -> None:
    _, peer = ready(family)
    assert {record(command.encode())["line"] for command in peer.commands} == {"command"}
