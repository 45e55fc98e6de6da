"""What comes through the Open311 door becomes a case, once, together with what devices say of the same place."""

import asyncio
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.cases.desk import Desk
from cloud.cases.opening import Joined, Report, open_or_join
from cloud.cases.steps import take
from cloud.notify.config import Language
from cloud.open311.catalogue import load_entries
from cloud.open311.config import Keep, Open311Config, Publish
from cloud.open311.faults import Fault, Refused
from cloud.open311.form import read_form
from cloud.open311.keys import ApiKey
from cloud.open311.receive import REPEAT_S, Door, Received, case_of_token, receive
from cloud.open311.requests import Asked, case_select, request_document
from cloud.open311.submission import read_submission
from cloud.relational.engine import make_engine, reading, writing
from cloud.relational.tables import case_steps, cases, devices, gateways
from cloud.workflow.case import Deed
from cloud.workflow.states import Role, Step
from telemetry.clock import SECOND_NS

NOW_NS = 1_763_647_200 * SECOND_NS  # 2025-11-20T14:00:00Z
FORM = "application/x-www-form-urlencoded"
KEY = ApiKey(name="app", sha256="0" * 64)
OTHER = ApiKey(name="hotline", sha256="1" * 64)
CODE = "4401030103000017"
HERE = {"lat": "23.12", "long": "113.26"}
CONFIG = Open311Config(contact="12319", key_service="", entries=load_entries())


def _door(engine: AsyncEngine, **changes: Any) -> Door:
    return Door(engine, Desk(), msgspec.structs.replace(CONFIG, **changes))


async def _send(door: Door, now_ns: int = NOW_NS, key: ApiKey = KEY, **fields: str) -> Received:
    sent = {"service_code": "cover_displaced", "attribute[condition]": "missing", **fields}
    entry = door.config.entries[sent["service_code"]]
    matter = door.desk.matters.find(entry.code, now_ns)
    assert matter is not None
    submission = read_submission(read_form(FORM, urlencode(sent).encode()), entry)
    return await receive(door, key, matter, submission, now_ns)


async def _raise_alarm(engine: AsyncEngine, now_ns: int, latitude: float = 23.12, device: str = "cover-1") -> Joined:
    matter = Desk().matters.find("cover_displaced", now_ns)
    assert matter is not None
    alarm = f"{device}/cover_opened/{now_ns}"
    told = Report(
        matter=matter, priority="critical", source="alarm", occasion=alarm, note=alarm, actor="system", role=Role.SYSTEM,
        device=device, longitude=113.26, latitude=latitude, alarm=alarm, since_ns=now_ns,
    )  # fmt: skip
    async with writing(engine) as conn:
        [joined] = await open_or_join(conn, Desk(), [told], now_ns)
    return joined


async def _register(engine: AsyncEngine, *names: str, code: str = CODE) -> None:
    async with writing(engine) as conn:
        await conn.execute(insert(gateways).values(id="gw-1", epoch="e", boot_id="b", agent_version="1", online=True,
                                                   first_seen_ns=1, last_seen_ns=1, status={}))  # fmt: skip
        for name in names:
            await conn.execute(insert(devices).values(id=name, gateway="gw-1", profile="cover_nbiot", profile_version=1,
                                                      kind="manhole_cover", name=name, component_code=code, longitude=113.26,
                                                      latitude=23.12, first_seen_ns=1))  # fmt: skip


async def _steps(engine: AsyncEngine, case: int) -> list[str]:
    async with reading(engine) as conn:
        wanted = select(case_steps.c.step).where(case_steps.c.case_id == case).order_by(case_steps.c.id)
        return list((await conn.scalars(wanted)).all())


async def _count(engine: AsyncEngine) -> int:
    async with reading(engine) as conn:
        return await conn.scalar(select(func.count()).select_from(cases)) or 0


async def _shown(engine: AsyncEngine, config: Open311Config = CONFIG, language: Language = Language.ZH) -> list[dict[str, Any]]:
    async with reading(engine) as conn:
        rows = (await conn.execute(case_select(config, Asked()))).mappings().all()
    return [request_document(config, Desk().matters.find, row, language) for row in rows]


async def test_a_citizens_report_and_a_later_alarm_are_one_case(cloud_engine: AsyncEngine) -> None:
    made = await _send(_door(cloud_engine), **HERE)
    assert made.news
    assert (made.case["source"], made.case["state"], made.case["device"]) == ("citizen", "reported", None)
    joined = await _raise_alarm(cloud_engine, NOW_NS + SECOND_NS, latitude=23.1201)
    assert (joined.case["id"], joined.opened) == (made.case["id"], False)
    assert joined.case["device"] == "cover-1"


async def test_an_alarm_and_a_citizens_later_report_are_one_case(cloud_engine: AsyncEngine) -> None:
    opened = await _raise_alarm(cloud_engine, NOW_NS)
    made = await _send(_door(cloud_engine), NOW_NS + SECOND_NS, **HERE)
    assert made.news
    assert (made.case["id"], made.case["source"]) == (opened.case["id"], "alarm")
    assert (await _steps(cloud_engine, made.case["id"]))[-1] == "join"


async def test_elsewhere_it_is_another_case(cloud_engine: AsyncEngine) -> None:
    await _send(_door(cloud_engine), **HERE)
    await _send(_door(cloud_engine), lat="23.13", long="113.26")
    joined = await _raise_alarm(cloud_engine, NOW_NS + SECOND_NS, latitude=23.14)
    assert joined.opened
    assert await _count(cloud_engine) == 3


async def test_what_is_sent_again_within_minutes_is_the_same_and_no_news(cloud_engine: AsyncEngine) -> None:
    door = _door(cloud_engine)
    first = await _send(door, **HERE, description="a hole")
    for later_s in (1, REPEAT_S - 1):
        again = await _send(door, NOW_NS + later_s * SECOND_NS, **HERE, description="a hole", phone="13800138000")
        assert (again.case["id"], again.token, again.news) == (first.case["id"], first.token, False)
    assert await _steps(cloud_engine, first.case["id"]) == ["report"]
    later = await _send(door, NOW_NS + REPEAT_S * SECOND_NS, **HERE, description="a hole")
    assert (later.case["id"], later.news) == (first.case["id"], True)
    assert later.token != first.token
    assert await _steps(cloud_engine, first.case["id"]) == ["report", "join"]


async def test_another_key_is_another_report_of_the_same_case(cloud_engine: AsyncEngine) -> None:
    first = await _send(_door(cloud_engine), **HERE)
    second = await _send(_door(cloud_engine), key=OTHER, **HERE)
    assert (second.case["id"], second.news) == (first.case["id"], True)


async def test_ten_at_the_same_moment_are_one_also_where_two_processes_hear_them(a_migrated_store: str) -> None:
    engines = [make_engine(a_migrated_store), make_engine(a_migrated_store)]
    try:
        heard = await asyncio.gather(*(_send(_door(engine), **HERE) for engine in engines for _ in range(5)))
        assert {each.case["id"] for each in heard} == {heard[0].case["id"]}
        assert [each.news for each in heard].count(True) == 1
        assert await _steps(engines[0], heard[0].case["id"]) == ["report"]
    finally:
        for engine in engines:
            await engine.dispose()


async def test_a_token_leads_to_its_case(cloud_engine: AsyncEngine) -> None:
    made = await _send(_door(cloud_engine), **HERE)
    async with reading(cloud_engine) as conn:
        assert await case_of_token(conn, made.token) == made.case["id"]
        for other in ("", "o311-", made.token + "0", made.token[:-1] + "\x00", "'; --"):
            assert await case_of_token(conn, other) is None


async def test_the_code_on_an_object_is_a_place_where_its_device_is_known(cloud_engine: AsyncEngine) -> None:
    await _register(cloud_engine, "cover-1")
    made = await _send(_door(cloud_engine), address_id=CODE)
    assert (made.case["device"], made.case["latitude"], made.case["gbt_code"]) == ("cover-1", 23.12, "0103")
    joined = await _raise_alarm(cloud_engine, NOW_NS + SECOND_NS, latitude=23.12)
    assert joined.case["id"] == made.case["id"]
    [shown] = await _shown(cloud_engine)
    assert shown["address_id"] == CODE


async def test_a_code_that_nobody_knows_is_no_place(cloud_engine: AsyncEngine) -> None:
    with pytest.raises(Refused) as caught:
        await _send(_door(cloud_engine), address_id=CODE)
    assert caught.value.troubles[0].fault is Fault.ADDRESS_ID_UNKNOWN
    await _send(_door(cloud_engine), address_id=CODE, address_string="长安街 1 号")
    await _register(cloud_engine, "cover-1", "cover-2")
    with pytest.raises(Refused):
        await _send(_door(cloud_engine), address_id=CODE)


async def test_of_who_reports_nothing_is_kept_unless_the_city_wants_it(cloud_engine: AsyncEngine) -> None:
    who = {"first_name": "三", "last_name": "张", "phone": "13800138000", "email": "zhang@mail.example", "device_id": "imei-1"}
    made = await _send(_door(cloud_engine), **HERE, **who)
    assert made.case["reporter"] == "open311:app"
    async with reading(cloud_engine) as conn:
        kept = repr([tuple(row) for table in (cases, case_steps) for row in await conn.execute(select(table))])
    assert not [word for word in who.values() if len(word) > 1 and word in kept]
    wanted = await _send(_door(cloud_engine, keep=Keep.CONTACT), lat="23.2", long="113.2", **who)
    assert wanted.case["reporter"] == "open311:app; 13800138000; zhang@mail.example; 三 张"
    assert "13800138000" not in repr(await _shown(cloud_engine))


async def test_a_request_shows_the_clock_the_department_and_the_closing_condition(cloud_engine: AsyncEngine) -> None:
    made = await _send(_door(cloud_engine), **HERE, description="洞，电话 13800138000", media_url="https://p.example/1.jpg")
    [shown] = await _shown(cloud_engine, language=Language.EN)
    matter = Desk().matters.find("cover_displaced", NOW_NS)
    assert matter is not None
    assert shown == {
        "service_request_id": str(made.case["id"]),
        "status": "open",
        "status_notes": "reported",
        "service_name": "Manhole cover missing or displaced",
        "service_code": "cover_displaced",
        "description": "洞，电话 ***\n井盖现在怎样？：缺失",
        "agency_responsible": matter.department,
        "service_notice": matter.closes_when.en,
        "requested_datetime": "2025-11-20T14:00:00Z",
        "updated_datetime": "2025-11-20T14:00:00Z",
        "expected_datetime": "2025-11-20T16:00:00Z",  # two urgent hours
        "address": None,
        "address_id": None,
        "zipcode": None,
        "lat": 23.12,
        "long": 113.26,
        "media_url": "https://p.example/1.jpg",
    }


async def test_what_only_devices_say_is_public_where_the_city_wants_it_or_a_citizen_confirms_it(
    cloud_engine: AsyncEngine,
) -> None:
    opened = await _raise_alarm(cloud_engine, NOW_NS)
    everything = _door(cloud_engine, publish=Publish.ALL).config
    assert await _shown(cloud_engine) == []
    [shown] = await _shown(cloud_engine, everything)
    assert (shown["service_request_id"], shown["description"]) == (str(opened.case["id"]), None)
    await _send(_door(cloud_engine), NOW_NS + SECOND_NS, **HERE, description="a hole")
    [confirmed] = await _shown(cloud_engine)
    assert confirmed["service_request_id"] == str(opened.case["id"])
    assert confirmed["description"] is None


async def test_a_city_may_keep_what_was_written_to_itself(cloud_engine: AsyncEngine) -> None:
    await _send(_door(cloud_engine), **HERE, description="a hole", media_url="https://p.example/1.jpg")
    [shown] = await _shown(cloud_engine, _door(cloud_engine, publish_text=False).config)
    assert (shown["description"], shown["media_url"]) == (None, None)


async def test_void_and_closed_are_closed_and_say_why(cloud_engine: AsyncEngine) -> None:
    made = await _send(_door(cloud_engine), **HERE)
    later_ns = NOW_NS + 60 * SECOND_NS
    deed = Deed(step=Step.VOID, actor="wang", role=Role.OPERATOR, at_ns=later_ns, reason="重复上报，见 13800138000")
    async with writing(cloud_engine) as conn:
        await take(conn, Desk(), made.case["id"], deed, now_ns=later_ns)
    [void] = await _shown(cloud_engine)
    assert (void["status"], void["status_notes"]) == ("closed", "作废：重复上报，见 ***")
    assert void["updated_datetime"] == "2025-11-20T14:01:00Z"
    async with writing(cloud_engine) as conn:
        await conn.execute(update(cases).values(state="closed", closing_standard="井盖已复位"))
    [closed] = await _shown(cloud_engine, language=Language.EN)
    assert (closed["status"], closed["status_notes"]) == ("closed", "closed: 井盖已复位")
