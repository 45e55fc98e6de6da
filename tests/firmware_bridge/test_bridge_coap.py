"""CoAP headers and options, as shown by `frame decode coap`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.coap import parse_coap
from firmware_bridge.describe import PROTOCOLS
from firmware_bridge.errors import ParseError
from telemetry.reason import Reason

GET = bytes.fromhex("40017d34bb74656d7065726174757265")  # RFC 7252, appendix A, figure 16: GET temperature
CONTENT = bytes.fromhex("60457d34ff32322e332043")  # its answer: 2.05, "22.3 C"


def test_the_standards_request() -> None:
    said = parse_coap(GET)
    assert (said.type, said.code, said.message_id, said.token, said.payload) == ("CON", "0.01", 0x7D34, b"", b"")
    assert [(option.name, option.value) for option in said.options] == [("Uri-Path", "temperature")]


def test_the_standards_answer() -> None:
    said = parse_coap(CONTENT)
    assert (said.type, said.code, said.payload) == ("ACK", "2.05", b"22.3 C")


def test_a_document_is_read_by_its_content_format() -> None:
    raw = bytes.fromhex("42020001abcd" + "b1" + "74" + "11" + "32" + "ff") + b'{"id":"c1"}'
    said = PROTOCOLS["coap"](raw)
    assert said["document"] == {"id": "c1"}
    assert said["options"] == [
        {"number": 11, "name": "Uri-Path", "value": "t"},
        {"number": 12, "name": "Content-Format", "value": 50},
    ]


def test_long_options_and_large_numbers() -> None:
    raw = bytes.fromhex("40010001" + "dd" + "0e" + "01") + b"x" * 14 + bytes.fromhex("e1" + "0100" + "05")
    said = parse_coap(raw)
    assert [(option.number, len(option.raw)) for option in said.options] == [(27, 14), (27 + 256 + 269, 1)]


@pytest.mark.parametrize(
    ("text", "reason", "at"),
    [
        pytest.param("4001", Reason.TRUNCATED, 2, id="half a header"),
        pytest.param("80010001", Reason.UNSUPPORTED_VERSION, 0, id="version 2"),
        pytest.param("49010001" + "00" * 9, Reason.BAD_LENGTH, 0, id="a token of nine bytes"),
        pytest.param("44010001aa", Reason.TRUNCATED, 5, id="a token cut off"),
        pytest.param("40010001f0", Reason.BAD_FIELD, 4, id="option delta 15"),
        pytest.param("400100010f", Reason.BAD_FIELD, 4, id="option length 15"),
        pytest.param("40010001b574", Reason.TRUNCATED, 4, id="an option cut off"),
        pytest.param("40010001d0", Reason.TRUNCATED, 5, id="an extended delta cut off"),
        pytest.param("40010001ff", Reason.TRUNCATED, 4, id="a payload marker and nothing behind it"),
        pytest.param("40000001aa", Reason.BAD_FIELD, 4, id="an empty message that is not empty"),
        pytest.param("40010001e0ffffe0ffff", Reason.BAD_FIELD, 4, id="an option number beyond 65535"),
    ],
)
def test_what_is_no_message(text: str, reason: Reason, at: int) -> None:
    with pytest.raises(ParseError) as refusal:
        parse_coap(bytes.fromhex(text))
    assert (refusal.value.reason, refusal.value.at) == (reason, at)


@given(st.binary(max_size=120))
def test_any_datagram_is_read_or_refused(raw: bytes) -> None:
    try:
        PROTOCOLS["coap"](raw)
    except ParseError as error:
        assert error.at is None or error.at <= len(raw)  # noqa: PT017 (either outcome is right)
