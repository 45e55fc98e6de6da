"""Open311 GeoReport v2: shapes, refusals and the specification's own examples."""

import asyncio
import logging
import re
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st
from open311_door import HERE, NARROW, NOW_NS, SECRET, Answer, BrokenError, Door, door
from sqlalchemy import insert
from sqlalchemy.exc import OperationalError

from cloud.cases.draft import BLANK
from cloud.open311.form import MAX_BODY_BYTES
from cloud.relational.engine import writing
from cloud.relational.tables import case_steps, cases
from telemetry.clock import SECOND_NS

# The fields of each answer in the specification's order; "?" where they may be empty.
SERVICE = {
    "service_code": "text",
    "service_name": "text",
    "description": "text",
    "metadata": "flag",
    "type": "realtime|batch|blackbox",
    "keywords": "text",
    "group": "text",
}
ATTRIBUTE = {
    "variable": "flag",
    "code": "text",
    "datatype": "string|number|datetime|text|singlevaluelist|multivaluelist",
    "required": "flag",
    "datatype_description": "text?",
    "order": "number",
    "description": "text",
}
REQUEST = {
    "service_request_id": "text",
    "status": "open|closed",
    "status_notes": "text?",
    "service_name": "text",
    "service_code": "text",
    "description": "text?",
    "agency_responsible": "text?",
    "service_notice": "text?",
    "requested_datetime": "time",
    "updated_datetime": "time",
    "expected_datetime": "time?",
    "address": "text?",
    "address_id": "text?",
    "zipcode": "text?",
    "lat": "number?",
    "long": "number?",
    "media_url": "text?",
}
MADE = {"service_request_id": "text", "service_notice": "text", "account_id": "text?"}
ERROR = {"code": "number", "description": "text"}
DISCOVERY = {"changeset": "text", "contact": "text", "key_service": "text", "endpoints": "list"}
ENDPOINT = {"specification": "text", "url": "text", "changeset": "text", "type": "production|test", "formats": "list"}
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def _fits(value: Any, kind: str) -> bool:
    if value is None:
        return kind.endswith("?")
    match kind.rstrip("?"):
        case "text":
            return isinstance(value, str) and value != ""
        case "flag":
            return isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "time":
            return _TIME.fullmatch(value) is not None
        case "list":
            return isinstance(value, list)
        case words:
            return value in words.split("|")


def _shaped(documents: Any, shape: dict[str, str]) -> None:
    for document in documents if isinstance(documents, list) else [documents]:
        assert list(document) == list(shape)
        assert not [name for name, kind in shape.items() if not _fits(document[name], kind)], document


_LISTS = {"services": "service", "attributes": "attribute", "values": "value", "service_requests": "request",
          "errors": "error", "endpoints": "endpoint", "formats": "format"}  # fmt: skip


def _spark(element: ET.Element) -> Any:
    """An element by the Spark convention, every number and flag as its text."""
    if element.tag in _LISTS:
        assert {child.tag for child in element} <= {_LISTS[element.tag]}
        return [_spark(child) for child in element]
    return {child.tag: _spark(child) for child in element} if len(element) else element.text


def _worded(value: Any) -> Any:
    """What `_spark` would make of a JSON document's XML."""
    if isinstance(value, dict):
        return {name: _worded(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_worded(inner) for inner in value]
    if isinstance(value, bool):
        return str(value).lower()
    return value if value is None else str(value)


async def _both(city: Door, path: str, root: str, status: int = 200, **headers: str) -> Any:
    """The JSON of an answer, after its XML was found to say the same."""
    resource, _, query = path.partition("?")
    written, spoken = [await city.get(f"{resource}.{form}?{query}", status, **headers) for form in ("xml", "json")]
    element = written.xml()
    assert element.tag == root
    assert _spark(element) == _worded(spoken.json())
    return spoken.json()


@pytest_asyncio.fixture
async def city(tmp_path: Path) -> AsyncIterator[Door]:
    async with door(tmp_path) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def quiet(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Door]:
    """One door for what changes nothing."""
    async with door(tmp_path_factory.mktemp("quiet")) as made:
        yield made


# What is offered


@pytest.mark.asyncio(loop_scope="module")
async def test_discovery_tells_where_and_in_which_formats(quiet: Door) -> None:
    found = await _both(quiet, "/discovery", "discovery")
    _shaped(found, DISCOVERY)
    _shaped(found["endpoints"], ENDPOINT)
    assert found["endpoints"][0]["url"] == "http://city.example/open311/v2"
    assert found["endpoints"][0]["specification"] == "http://wiki.open311.org/GeoReport_v2"
    assert found["endpoints"][0]["formats"] == ["text/xml", "application/json"]


@pytest.mark.asyncio(loop_scope="module")
async def test_services_are_the_listed_matters_that_are_in_force(quiet: Door) -> None:
    services = await _both(quiet, "/services", "services")
    _shaped(services, SERVICE)
    by_code = {service["service_code"]: service for service in services}
    assert by_code["cover_displaced"]["metadata"] is True
    assert by_code["drain_overflow"]["metadata"] is False
    assert by_code["cover_displaced"]["type"] == "realtime"
    assert "vehicle_misuse" not in by_code  # a matter, but not a citizen's
    assert "cover_broken" not in by_code  # in the list, but in no table that is in force here


@pytest.mark.asyncio(loop_scope="module")
async def test_people_read_in_their_language(quiet: Door) -> None:
    english = await _both(quiet, "/services", "services", accept_language="en-GB,en;q=0.9,zh;q=0.1")
    answer = await quiet.get("/services.json")
    assert english[0]["service_name"] == "Manhole cover missing or displaced"
    assert answer.json()[0]["service_name"] == "井盖缺失或移位"
    assert answer.headers["content-language"] == "zh-CN"
    assert "Accept-Language" in answer.headers["vary"]


@pytest.mark.parametrize("code", ["cover_displaced", "cover_loose", "gas_leak", "drain_overflow"])
@pytest.mark.asyncio(loop_scope="module")
async def test_a_definition_has_the_specifications_elements(quiet: Door, code: str) -> None:
    definition = await _both(quiet, f"/services/{code}", "service_definition")
    assert list(definition) == ["service_code", "attributes"]
    assert definition["service_code"] == code
    for order, attribute in enumerate(definition["attributes"], 1):
        values = attribute.pop("values", [])
        _shaped(attribute, ATTRIBUTE)
        assert attribute["order"] == order
        assert bool(values) is attribute["datatype"].endswith("valuelist")
        _shaped(values, {"key": "text", "name": "text"})


# Reporting


async def test_the_specifications_own_request_makes_a_case(tmp_path: Path) -> None:
    async with door(tmp_path, jurisdiction_id="city.gov") as city:
        # Its example, but for the key, the service and the attributes, which are a city's own.
        body = (
            f"api_key={SECRET}&jurisdiction_id=city.gov&service_code=cover_displaced&lat=37.76524078&long=-122.4212043"
            "&address_string=1234+5th+street&email=smit333%40sfgov.edu&device_id=tt222111&account_id=123456&first_name=john"
            "&last_name=smith&phone=111111111&description=A+large+sinkhole+is+destroying+the+street"
            "&media_url=http%3A%2F%2Ffarm3.static.flickr.com%2F2002%2F2212426634_5ed477a060.jpg"
            "&attribute[condition]=broken&attribute[component_code]=COISL001"
        ).encode()
        about = {"content_type": "application/x-www-form-urlencoded; charset=utf-8"}
        answer = await city.ask("POST", "/requests.xml", body, **about)
        assert answer.status == 200
        [made] = _spark(answer.xml())
        assert made["account_id"] == "123456"
        path = f"/requests/{made['service_request_id']}?jurisdiction_id=city.gov"
        [shown] = await _both(city, path, "service_requests")
        _shaped(shown, REQUEST)
        assert (shown["address"], shown["lat"], shown["long"]) == ("1234 5th street", 37.76524078, -122.4212043)
        assert shown["description"].startswith("A large sinkhole is destroying the street\n")
        assert shown["media_url"] == "http://farm3.static.flickr.com/2002/2212426634_5ed477a060.jpg"
        everything = answer.body + (await city.get(path.replace("?", ".xml?"))).body
        for private in (b"smit333", b"john", b"smith", b"111111111", b"tt222111"):
            assert private not in everything
        query = "start_date=2025-10-24T00:00:00Z&end_date=2025-11-24T00:00:00Z&status=open&jurisdiction_id=city.gov"
        assert await _both(city, f"/requests?{query}", "service_requests") == [shown]


@pytest.mark.parametrize("form", ["xml", "json"])
async def test_a_report_is_answered_with_its_number_and_is_news(city: Door, form: str) -> None:
    answer = await city.report(form=form, **HERE)
    [made] = answer.json() if form == "json" else _spark(answer.xml())
    _shaped(made, MADE)
    assert (city.services.feed.last_id, city.woken) == (1, [1])
    [again] = (await city.report(**HERE)).json()
    assert again["service_request_id"] == made["service_request_id"]
    assert (city.services.feed.last_id, city.woken) == (1, [1])


async def test_asynchronous_a_report_is_answered_with_a_token_that_leads_to_its_number(tmp_path: Path) -> None:
    async with door(tmp_path, asynchronous=True) as city:
        assert {service["type"] for service in (await city.get("/services.json")).json()} == {"batch"}
        [made] = (await city.report(**HERE)).json()
        assert list(made) == ["token", "service_notice", "account_id"]
        [found] = await _both(city, f"/tokens/{made['token']}", "service_requests")
        assert list(found) == ["service_request_id", "token"]
        assert found["token"] == made["token"]
        await city.get(f"/requests/{found['service_request_id']}.json")
        await _both(city, "/tokens/123456", "errors", 404)


async def test_nothing_of_who_reports_is_in_a_log(city: Door, caplog: pytest.LogCaptureFixture) -> None:
    who = {
        "first_name": "Wang",
        "email": "wang@mail.example",
        "phone": "13800138000",
        "account_id": "u-77",
        "description": "help",
    }
    with caplog.at_level(logging.INFO):
        await city.report(**HERE, **who)
        await city.report(403, **{**HERE, **who, "api_key": "guessed"})
    said = repr([record.__dict__ for record in caplog.records])
    assert "cover_displaced" in said
    for private in (*who.values(), "guessed", SECRET):
        assert private not in said


# Refusals


REFUSED = [
    pytest.param({"api_key": ""}, 403, "api_key", id="no key"),
    pytest.param({"api_key": "guessed"}, 403, "api_key", id="a wrong key"),
    pytest.param({"api_key": NARROW}, 403, "cover_displaced", id="a key for another service"),
    pytest.param({"service_code": ""}, 400, "service_code", id="no service"),
    pytest.param({"service_code": "001"}, 404, "001", id="no such service"),
    pytest.param({"service_code": "cover_broken"}, 404, "cover_broken", id="a service that is not in force"),
    pytest.param({"lat": "", "long": ""}, 400, "address_string", id="no place"),
    pytest.param({"lat": "", "long": "", "address_id": "440103"}, 404, "440103", id="an object that is not registered"),
    pytest.param({"attribute[condition]": ""}, 400, "condition", id="a required answer is missing"),
    pytest.param({"description": "<b>" * 2000}, 400, "description", id="too long a description"),
]


@pytest.mark.parametrize(("fields", "status", "said"), REFUSED)
@pytest.mark.asyncio(loop_scope="module")
async def test_a_bad_report_is_refused_in_the_format_that_was_asked(
    quiet: Door, fields: dict[str, str], status: int, said: str
) -> None:
    spoken = (await quiet.report(status, **{**HERE, **fields})).json()
    written = await quiet.report(status, form="xml", **{**HERE, **fields})
    _shaped(spoken, ERROR)
    assert [error["code"] for error in spoken] == [status]
    assert said in spoken[0]["description"]
    assert written.xml().tag == "errors"
    assert _spark(written.xml()) == _worded(spoken)
    assert (await quiet.get("/requests.json")).json() == []


@pytest.mark.asyncio(loop_scope="module")
async def test_everything_wrong_is_told_at_once(quiet: Door) -> None:
    errors = (await quiet.report(400, lat="95", long="x", media_url="ftp://p.example", **{"attribute[x]": "1"})).json()
    assert len(errors) == 4
    _shaped(errors, ERROR)


async def test_without_keys_the_door_is_closed(tmp_path: Path) -> None:
    async with door(tmp_path, keys=()) as city:
        [error] = (await city.report(403, **HERE, headers={"accept_language": "en"})).json()
        assert error == {"code": 403, "description": "no api_key was issued here, so nothing can be reported"}
        assert (await city.get("/services.json")).json()


async def test_a_jurisdiction_is_asked_for_where_one_is_configured(tmp_path: Path) -> None:
    async with door(tmp_path, jurisdiction_id="city.gov") as city:
        for path in ("/services", "/services/lamp_out", "/requests", "/requests/1", "/tokens/1"):
            for query, status in (("", 400), ("jurisdiction_id=", 400), ("jurisdiction_id=other.gov", 404)):
                errors = await _both(city, f"{path}?{query}", "errors", status)
                assert "jurisdiction_id" in errors[0]["description"] or "other.gov" in errors[0]["description"]
        await city.report(400, **HERE)
        await city.report(404, **HERE, jurisdiction_id="other.gov")
        await city.report(200, **HERE, jurisdiction_id="city.gov")


@pytest.mark.parametrize(
    ("method", "path", "status", "form"),
    [
        pytest.param("GET", "/services.html", 404, "xml", id="a format that is none"),
        pytest.param("GET", "/services", 404, "xml", id="no format"),
        pytest.param("GET", "/nothing.json", 404, "json", id="no such resource"),
        pytest.param("GET", "/services/nothing.json", 404, "json", id="no such service"),
        pytest.param("GET", "/requests/x.json", 404, "json", id="no number"),
        pytest.param("GET", "/requests/99999999999999999999.xml", 404, "xml", id="a number beyond any"),
        pytest.param("GET", "/requests/%00.json", 404, "json", id="no text"),
        pytest.param("GET", "/tokens/a%2Fb.xml", 404, "xml", id="a token that climbs"),
        pytest.param("DELETE", "/requests.json", 405, "json", id="a method that is none"),
        pytest.param("POST", "/services.xml", 405, "xml", id="services are not posted"),
        pytest.param("POST", "/requests.csv", 404, "xml", id="a report in no format"),
        pytest.param("GET", "/requests.json?start_date=2010-01-01", 400, "json", id="a date without its zone"),
        pytest.param("GET", "/requests.xml?status=all", 400, "xml", id="no such status"),
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_a_bad_address_is_refused_in_the_specifications_form(
    quiet: Door, method: str, path: str, status: int, form: str
) -> None:
    answer = await quiet.ask(method, path, content_type="application/x-www-form-urlencoded")
    assert answer.status == status
    errors = answer.json() if form == "json" else _spark(answer.xml())
    assert [str(error["code"]) for error in errors] == [str(status)]
    assert answer.headers["cache-control"] == "no-store"
    assert "default-src" in answer.headers["content-security-policy"]


async def test_markup_in_what_is_sent_comes_back_as_text(city: Door) -> None:
    evil = '<script>alert(1)</script><!DOCTYPE x [<!ENTITY y "z">]>&y;'
    for description in (evil, "]]>", "&#0;"):
        [made] = (await city.report(lat=str(len(description)), long="1", description=description)).json()
        [shown] = await _both(city, f"/requests/{made['service_request_id']}", "service_requests")
        assert shown["description"].startswith(description)
    answer = await city.get(f"/services/{quote(evil, safe='')}.xml", 404)
    assert b"<script>" not in answer.body
    assert b"<!ENTITY" not in answer.body


@pytest.mark.asyncio(loop_scope="module")
async def test_xml_is_never_read(quiet: Door) -> None:
    bomb = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><x>&b;</x>'
    for kind in ("text/xml", "application/xml", "multipart/form-data; boundary=x", "application/json"):
        answer = await quiet.ask("POST", "/requests.xml", bomb, content_type=kind)
        assert answer.status == 400
        assert "application/x-www-form-urlencoded" in _spark(answer.xml())[0]["description"]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_body_is_bounded_by_what_really_comes(quiet: Door) -> None:
    body = b"description=" + b"a" * MAX_BODY_BYTES
    for chunks, said in ((1, str(len(body))), (100, "5")):
        answer = await quiet.ask(
            "POST", "/requests.json", body, chunks=chunks, content_type="application/x-www-form-urlencoded", content_length=said
        )
        assert answer.status == 413
        _shaped(answer.json(), ERROR)


async def test_too_many_reports_of_a_key_wait(tmp_path: Path) -> None:
    async with door(tmp_path) as city:
        fields = {"api_key": NARROW, "service_code": "lamp_out", "attribute[condition]": "", **HERE}
        for number in range(60):
            await city.report(**fields, description=str(number))
        refused = await city.report(429, **fields)
        assert refused.headers["retry-after"] == "2"
        _shaped(refused.json(), ERROR)
        await city.report(**HERE)  # another key
        city.clock.advance(2)
        await city.report(**fields)


async def test_too_many_from_one_address_wait_whatever_key_they_try(tmp_path: Path) -> None:
    async with door(tmp_path, reports_per_minute=3, reads_per_minute=2) as city:
        for _ in range(3):
            await city.report(403, api_key="guessed")
        await city.report(429, **HERE)
        assert [(await city.ask("GET", "/services.xml")).status for _ in range(3)] == [200, 200, 429]
        assert (await city.ask("GET", "/services.xml", client="203.0.113.8")).status == 200


async def test_a_store_that_does_not_answer_is_503(city: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object) -> None:
        raise OperationalError("select", {}, Exception("gone"))

    monkeypatch.setattr("cloud.api.open311.receive", away)
    answer = await city.report(503, **HERE)
    assert answer.headers["retry-after"] == "2"
    _shaped(answer.json(), ERROR)


@pytest.mark.parametrize("form", ["xml", "json"])
async def test_a_fault_of_the_server_tells_nothing(city: Door, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    async def broken(*_: object) -> None:
        raise BrokenError("the key is hunter2")

    monkeypatch.setattr("cloud.api.open311.receive", broken)
    answer = await city.report(500, form=form, **HERE)
    assert b"hunter2" not in answer.body
    errors = answer.json() if form == "json" else _spark(answer.xml())
    assert [str(error["code"]) for error in errors] == ["500"]


# Many requests


async def _fill(city: Door, count: int) -> None:
    row = {
        "device": None, "matter": "lamp_out", "matter_table": "citynerve@2023-01-01", "gbt_code": "0137", "department": "d",
        "title_zh": "单灯", "title_en": "lamp", "priority": "low", "source": "citizen", "description": "", "closed_ns": None,
        "longitude": 1.0, "latitude": 2.0, "due_ns": None, **BLANK, "version": 1,
    }  # fmt: skip
    made = [{**row, "id": number, "opened_ns": NOW_NS - number * 3600 * SECOND_NS} for number in range(1, count + 1)]
    step = {"step": "report", "from_state": "reported", "to_state": "reported", "actor": "open311:app", "role": "system"}
    async with writing(city.services.engine) as conn:
        await conn.execute(insert(cases), made)
        await conn.execute(insert(case_steps), [{**step, "case_id": each["id"], "at_ns": each["opened_ns"]} for each in made])


async def _ids(city: Door, query: str) -> list[int]:
    return [int(each["service_request_id"]) for each in (await city.get(f"/requests.json?{query}")).json()]


async def test_90_days_or_1000_requests_and_the_rest_by_page(city: Door) -> None:
    await _fill(city, 2300)  # one an hour: 2160 in 90 days
    assert await _ids(city, "") == list(range(1, 1001))
    pages = [await _ids(city, f"page={page}") for page in (1, 2, 3, 4)]
    assert [number for page in pages for number in page] == list(range(1, 2161))
    assert await _ids(city, "page=2&page_size=3") == [4, 5, 6]
    early = "start_date=2025-08-16T00:00:00Z&end_date=2025-08-22T00:00:00Z"
    assert min(await _ids(city, early)) > 2160
    assert await _ids(city, "service_request_id=2200,5,77777") == [5, 2200]
    assert await _ids(city, "service_code=cover_displaced") == []
    assert len(await _ids(city, "service_code=cover_displaced,lamp_out&page_size=7")) == 7
    assert await _ids(city, "status=closed") == []


# Anything at all

_names = st.sampled_from(
    ["api_key", "service_code", "lat", "long", "address_string", "address_id", "description", "media_url", "email", "account_id",
     "jurisdiction_id", "attribute[condition]", "attribute[component_code]", "attribute[]", "attribute[a][b]", "x"]
)  # fmt: skip
_values = st.one_of(
    st.text(max_size=30),
    st.sampled_from([SECRET, "cover_displaced", "missing", "1", "-90", "1e999", "http://p.example/x", "\x00", "￾", "A" * 5000]),
)
_paths = st.one_of(
    st.text(max_size=20).filter(lambda text: "\n" not in text),  # such a path is refused before the door
    st.sampled_from(
        ["requests.xml", "requests.json", "requests/1.json", "tokens/x.xml", "services/lamp_out.json", "services.xml"]
    ),
)
_queries = st.dictionaries(
    st.sampled_from(["service_request_id", "service_code", "start_date", "end_date", "status", "page", "page_size"]),
    st.one_of(
        st.text(max_size=20), st.sampled_from(["2262-04-11T23:47:16Z", "1970-01-01T00:00:00Z", "open", "7,8", "0", "1000"])
    ),
    max_size=4,
)


def _answered(answer: Answer) -> None:
    assert answer.status < 500, answer.body
    if answer.headers["content-type"].startswith("application/json"):
        answer.json()
    else:
        answer.xml()


def test_nothing_that_is_sent_is_a_fault_of_the_server(tmp_path: Path) -> None:
    with asyncio.Runner() as runner:
        opened = door(tmp_path, reports_per_minute=60_000, reads_per_minute=60_000)
        city = runner.run(opened.__aenter__())

        @settings(max_examples=80)
        @given(st.dictionaries(_names, _values, max_size=8), st.booleans())
        def reports(fields: dict[str, str], sound: bool) -> None:
            base = (
                {"api_key": SECRET, "service_code": "cover_displaced", "attribute[condition]": "moved", **HERE} if sound else {}
            )
            body = "&".join(f"{name}={quote(value)}" for name, value in {**base, **fields}.items()).encode()
            kind = "application/x-www-form-urlencoded"
            _answered(runner.run(city.ask("POST", "/requests.json", body, content_type=kind)))

        @settings(max_examples=80)
        @given(_paths, _queries)
        def questions(path: str, query: dict[str, str]) -> None:
            asked = "&".join(f"{name}={quote(value)}" for name, value in query.items())
            _answered(runner.run(city.ask("GET", f"/{quote(path, safe='/')}?{asked}")))

        try:
            reports()
            questions()
        finally:
            runner.run(opened.__aexit__(None, None, None))
