"""The parts of the Open311 door that need no store: its two writings, its forms, keys, limits and configuration."""

import contextlib
import json
import re
import xml.etree.ElementTree as ET
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.notify.config import Language
from cloud.open311.answers import check_answers
from cloud.open311.catalogue import load_entries
from cloud.open311.config import Keep
from cloud.open311.encode import encode
from cloud.open311.faults import _SAID, Fault, Refused, Trouble, said
from cloud.open311.form import read_form
from cloud.open311.requests import _masked, read_asked
from cloud.open311.submission import read_submission, reporter, text_of
from cloud.open311.times import read_time, shown_time
from telemetry.clock import SECOND_NS

FORM = "application/x-www-form-urlencoded; charset=utf-8"
DAY_NS = 86_400 * SECOND_NS
NOW_NS = 1_763_647_200 * SECOND_NS
COVER = load_entries()["cover_displaced"]

documents = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**31), 2**31) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.dictionaries(st.sampled_from(["code", "description", "lat"]), inner, min_size=1, max_size=3),
    max_leaves=6,
)


def _same(element: ET.Element, value: Any) -> None:
    """That an element says what a value of the JSON says, by the Spark convention."""
    if isinstance(value, dict):
        assert [child.tag for child in element] == list(value)
        for child in element:
            _same(child, value[child.tag])
    elif isinstance(value, list):
        assert len(element) == len(value)
        for child, inner in zip(element, value, strict=True):
            _same(child, inner)
    elif isinstance(value, bool):
        assert element.text == str(value).lower()
    elif isinstance(value, float | int):
        assert float(element.text or "") == value
    else:
        assert (element.text or "") == (value or "")


@given(documents)
def test_xml_and_json_say_the_same_whatever_a_text_holds(document: Any) -> None:
    errors = [{"code": 403, "description": document}]
    written = encode("xml", "errors", errors)
    root = ET.fromstring(written)  # noqa: S314 - our own
    assert root.tag == "errors"
    assert [child.tag for child in root] == ["error"]
    _same(root, json.loads(encode("json", "errors", errors)))


def test_what_people_write_is_escaped_and_what_xml_cannot_carry_is_replaced() -> None:
    written = encode("xml", "errors", [{"code": 400, "description": "<script>&\"'\x00\x0b\ud800￾\r\n]]>"}])
    assert b"<script>" not in written
    assert written.startswith(b"<?xml version='1.0' encoding='utf-8'?>")
    root = ET.fromstring(written)  # noqa: S314 - our own
    assert root.findtext("error/description") == "<script>&\"'\ufffd\ufffd\ufffd\ufffd\n]]>"


def test_every_refusal_has_its_words_in_both_languages_and_a_status() -> None:
    assert set(_SAID) == set(Fault)
    for fault, (status, words) in _SAID.items():
        assert 400 <= status <= 599
        holes = [set(re.findall(r"\{(\w+)\}", text)) for text in (words.zh, words.en)]
        assert holes[0] == holes[1], fault
        [shown] = said([Trouble(fault, dict.fromkeys(holes[0], "x" * 500))], Language.ZH)
        assert shown["code"] == status
        assert len(shown["description"]) < 400


# Times


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        pytest.param("1994-11-05T08:15:30-05:00", 784_041_330, id="the specification's first example"),
        pytest.param("1994-11-05T13:15:30Z", 784_041_330, id="its second, the same instant"),
        pytest.param("2010-01-01T08:00+08:00", 1_262_304_000, id="minutes only"),
        pytest.param("2010-01-01T08:00:00 08:00", 1_262_304_000, id="a plus that became a space"),
        pytest.param("2010-01-01T00:00:00", None, id="no zone"),
        pytest.param("2010-01-01", None, id="a day"),
        pytest.param("2010-02-30T00:00:00Z", None, id="no such day"),
        pytest.param("1969-12-31T23:59:59Z", None, id="before the epoch"),
        pytest.param("9999-12-31T23:59:59Z", None, id="beyond the store"),
        pytest.param("0001-01-01T00:00:00+14:00", None, id="before the first year"),
        pytest.param("٢٠١٠-01-01T00:00:00Z", None, id="other digits"),
    ],
)
def test_times_are_read_with_their_zone(text: str, seconds: int | None) -> None:
    assert read_time(text) == (None if seconds is None else seconds * SECOND_NS)


@given(st.integers(0, 2**63 - 1))
def test_a_time_that_is_shown_is_read_again_to_the_second(time_ns: int) -> None:
    assert read_time(shown_time(time_ns)) == time_ns // SECOND_NS * SECOND_NS


@given(st.text(max_size=40))
def test_no_text_breaks_the_reading_of_a_time(text: str) -> None:
    assert isinstance(read_time(text), int | None)


# Forms


def test_the_specifications_own_request_is_read() -> None:
    body = (
        b"api_key=xyz&jurisdiction_id=city.gov&service_code=001&lat=37.76524078&long=-122.4212043&address_string=1234+5th+street"
        b"&email=smit333%40sfgov.edu&device_id=tt222111&account_id=123456&first_name=john&last_name=smith&phone=111111111"
        b"&description=A+large+sinkhole+is+destroying+the+street"
        b"&media_url=http%3A%2F%2Ffarm3.static.flickr.com%2F2002%2F2212426634_5ed477a060.jpg"
        b"&attribute[WHISPAWN]=123456&attribute[WHISDORN]=COISL001"
    )
    form = read_form(FORM, body)
    assert form.get("address_string") == "1234 5th street"
    assert form.get("email") == "smit333@sfgov.edu"
    assert form.answers == {"WHISPAWN": ["123456"], "WHISDORN": ["COISL001"]}


def test_several_answers_to_one_attribute_are_kept_and_an_empty_field_was_not_sent() -> None:
    form = read_form(FORM, b"attribute[a][]=1&attribute%5Ba%5D%5B%5D=2&lat=&description=+%00+")
    assert form.answers == {"a": ["1", "2"]}
    assert not form.fields


@pytest.mark.parametrize(
    ("content_type", "body", "fault"),
    [
        pytest.param("application/json", b"{}", Fault.NOT_A_FORM, id="JSON"),
        pytest.param("text/xml", b"<a/>", Fault.NOT_A_FORM, id="XML"),
        pytest.param("multipart/form-data; boundary=x", b"", Fault.NOT_A_FORM, id="a form with files"),
        pytest.param("", b"a=1", Fault.NOT_A_FORM, id="nothing said"),
        pytest.param(FORM, b"a=%ff", Fault.NOT_TEXT, id="escaped bytes that are no UTF-8"),
        pytest.param(FORM, b"a=\xff", Fault.NOT_TEXT, id="plain bytes that are no UTF-8"),
        pytest.param(FORM, b"a=1&" * 500, Fault.NOT_TEXT, id="more fields than anybody sends"),
    ],
)
def test_what_is_no_form_is_refused(content_type: str, body: bytes, fault: Fault) -> None:
    with pytest.raises(Refused) as caught:
        read_form(content_type, body)
    assert [trouble.fault for trouble in caught.value.troubles] == [fault]


@given(st.binary(max_size=200))
def test_any_body_is_read_or_refused(body: bytes) -> None:
    with contextlib.suppress(Refused):
        read_submission(read_form(FORM, body), COVER)


def _faults(**fields: str) -> list[Fault]:
    sent = {"attribute[condition]": "missing", "lat": "23.1", "long": "113.2", **fields}
    form = read_form(FORM, urlencode({name: value for name, value in sent.items() if value}).encode())
    try:
        read_submission(form, COVER)
    except Refused as refused:
        return [trouble.fault for trouble in refused.troubles]
    return []


@pytest.mark.parametrize(
    ("fields", "faults"),
    [
        pytest.param({}, [], id="a sound report"),
        pytest.param({"lat": "", "long": ""}, [Fault.PLACE_MISSING], id="no place"),
        pytest.param({"lat": "", "long": "", "address_string": "长安街 1 号"}, [], id="an address is a place"),
        pytest.param({"lat": "", "long": "", "address_id": "4401030103000001"}, [], id="an object's code is a place"),
        pytest.param({"lat": ""}, [Fault.PLACE_HALF], id="half a position"),
        pytest.param({"lat": "91"}, [Fault.PLACE_WRONG], id="beyond the pole"),
        pytest.param({"long": "nan"}, [Fault.PLACE_WRONG], id="not a number"),
        pytest.param({"lat": "1e1", "long": "200"}, [Fault.PLACE_WRONG, Fault.PLACE_WRONG], id="both wrong"),
        pytest.param({"description": "好" * 4001}, [Fault.TOO_LONG], id="more than 4,000 characters"),
        pytest.param({"description": "好" * 4000}, [], id="4,000 characters"),
        pytest.param({"media_url": "javascript:alert(1)"}, [Fault.MEDIA_URL], id="a link that runs"),
        pytest.param({"media_url": "http://"}, [Fault.MEDIA_URL], id="a link to nowhere"),
        pytest.param({"media_url": "http://a b/"}, [Fault.MEDIA_URL], id="two words"),
        pytest.param({"media_url": "http://[::1/"}, [Fault.MEDIA_URL], id="half an address"),
        pytest.param({"media_url": "https://u:p@h/x"}, [Fault.MEDIA_URL], id="a user in a link"),
        pytest.param({"media_url": "https://photos.example/1.jpg?a=b"}, [], id="a photo"),
        pytest.param({"attribute[condition]": ""}, [Fault.ATTRIBUTE_MISSING], id="a required answer is missing"),
        pytest.param({"attribute[condition]": "stolen"}, [Fault.ATTRIBUTE_WRONG], id="no such value"),
        pytest.param({"attribute[colour]": "red"}, [Fault.ATTRIBUTE_UNKNOWN], id="no such attribute"),
        pytest.param({"attribute[component_code]": "a\nb"}, [Fault.ATTRIBUTE_WRONG], id="a line break in a string"),
        pytest.param(
            {"attribute[condition]": "", "lat": "x", "description": "a" * 5000},
            [Fault.ATTRIBUTE_MISSING, Fault.TOO_LONG, Fault.PLACE_WRONG],
            id="everything is told at once",
        ),
    ],
)
def test_a_report_is_checked_whole(fields: dict[str, str], faults: list[Fault]) -> None:
    assert _faults(**fields) == faults


@pytest.mark.parametrize(
    ("service", "code", "answer", "sound"),
    [
        pytest.param("lamp_out", "how_many", "3", True, id="a number"),
        pytest.param("lamp_out", "how_many", "three", False, id="a number in words"),
        pytest.param("lamp_out", "how_many", "1e400", False, id="no finite number"),
        pytest.param("road_spill", "seen", "2026-11-21T08:00:00+08:00", True, id="a time"),
        pytest.param("road_spill", "seen", "this morning", False, id="a time in words"),
        pytest.param("gas_leak", "danger", "x", False, id="what only tells something is not answered"),
    ],
)
def test_answers_are_of_their_datatype(service: str, code: str, answer: str, sound: bool) -> None:
    _, troubles = check_answers(load_entries()[service], {code: [answer]})
    assert (not troubles) is sound


def test_several_values_are_for_a_list_of_several_only() -> None:
    entries = load_entries()
    assert not check_answers(entries["lamp_damaged"], {"condition": ["down", "wire", "down"]})[1]
    assert check_answers(entries["lamp_damaged"], {"condition": ["down", "up"]})[1]
    assert check_answers(entries["cover_displaced"], {"condition": ["moved", "broken"]})[1]


def _submission(**fields: str) -> Any:
    sent = {"attribute[condition]": "missing", "lat": "23.1", "long": "113.2", **fields}
    return read_submission(read_form(FORM, urlencode(sent).encode()), COVER)


def test_a_case_says_what_was_written_answered_and_linked() -> None:
    submission = _submission(description="洞很深\n小心", media_url="https://p.example/1.jpg")
    assert text_of(submission, Language.ZH) == "洞很深\n小心\n井盖现在怎样？：缺失\nmedia_url: https://p.example/1.jpg"
    assert text_of(_submission(), Language.EN) == "How is the cover now?: missing"


def test_of_who_reports_only_what_the_city_wants_is_kept() -> None:
    who = {"first_name": "三", "last_name": "张", "phone": "13800000000", "email": "a@b.example", "account_id": "u1"}
    submission = _submission(**who)
    assert reporter(submission, "app", Keep.NOTHING) == "open311:app"
    assert reporter(submission, "app", Keep.ACCOUNT) == "open311:app; account u1"
    assert reporter(submission, "app", Keep.CONTACT) == "open311:app; 13800000000; a@b.example; 三 张; account u1"
    long = reporter(_submission(**{**who, "email": "a" * 90 + "@b.example"}), "app", Keep.CONTACT)
    assert len(long) <= 128
    assert "a" * 90 + "@b.example" in long
    assert "13800000000" in long


def test_a_mark_is_of_key_service_place_and_text() -> None:
    first = _submission(description="a").mark("app")
    assert first == _submission(description="a", phone="1", account_id="x").mark("app")
    others = [
        _submission(description="a").mark("other"),
        _submission(description="b").mark("app"),
        _submission(description="a", lat="23.2").mark("app"),
        _submission(description="a", **{"attribute[condition]": "moved"}).mark("app"),
    ]
    assert len({first, *others}) == 5


# Which requests


def test_without_dates_the_last_90_days_are_meant() -> None:
    asked = read_asked([("status", ""), ("start_date", "")], NOW_NS)
    assert (asked.start_ns, asked.end_ns) == (NOW_NS - 90 * DAY_NS, NOW_NS)
    assert (asked.ids, asked.codes, asked.status, asked.page, asked.size) == (None, None, "", 1, 1000)


def test_one_date_alone_has_the_other_90_days_away() -> None:
    day = shown_time(NOW_NS)
    assert read_asked([("start_date", day)], NOW_NS).end_ns == NOW_NS + 90 * DAY_NS
    assert read_asked([("end_date", day)], NOW_NS).start_ns == NOW_NS - 90 * DAY_NS
    latest = read_asked([("start_date", "2262-04-01T00:00:00Z")], NOW_NS)
    assert latest.end_ns == 2**63 - 1


def test_values_come_in_commas_or_again_and_an_id_overrides_the_rest() -> None:
    asked = read_asked([("service_code", "a,b"), ("service_code", " c ,"), ("status", "open,closed")], NOW_NS)
    assert asked.codes == {"a", "b", "c"}
    assert asked.status == ""
    assert read_asked([("service_request_id", "7,x,8,7,0"), ("status", "odd")], NOW_NS).ids == (7, 8)


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        pytest.param([("start_date", "2010-01-01")], Fault.DATE, id="a date without its zone"),
        pytest.param(
            [("start_date", "2010-01-01T00:00:00Z"), ("end_date", "2010-04-01T00:00:01Z")], Fault.SPAN, id="more than 90 days"
        ),
        pytest.param([("start_date", "2010-01-02T00:00:00Z"), ("end_date", "2010-01-01T00:00:00Z")], Fault.SPAN, id="backwards"),
        pytest.param([("status", "pending")], Fault.STATUS, id="another status"),
        pytest.param([("page", "0")], Fault.PAGE, id="page nothing"),
        pytest.param([("page_size", "1001")], Fault.PAGE, id="more than 1000"),
        pytest.param([("service_request_id", "7"), ("page_size", "x")], Fault.PAGE, id="no number"),
    ],
)
def test_bad_questions_are_refused(query: list[tuple[str, str]], fault: Fault) -> None:
    with pytest.raises(Refused) as caught:
        read_asked(query, NOW_NS)
    assert [trouble.fault for trouble in caught.value.troubles] == [fault]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("call 138-0013 8000 now", "call *** now", id="a telephone number in groups"),
        pytest.param("张三，电话13800138000。", "张三，电话***。", id="among other characters"),
        pytest.param("a.b+c@mail.example.com!", "***!", id="an e-mail address"),
        pytest.param("身份证 11010519491231002X", "身份证 ***", id="an identity card"),
        pytest.param("2 covers, 15 cm, house 123456", "2 covers, 15 cm, house 123456", id="other numbers stay"),
    ],
)
def test_what_leads_to_a_person_is_hidden_in_public(text: str, shown: str) -> None:
    assert _masked(text) == shown
