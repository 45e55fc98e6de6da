"""A flood: everybody's messages stay within their budget, and every row ends as sent, in a digest, or failed."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cloud_notify_sms_vendors import KEY_ID, SmsVendors, sms_vendors
from cloud_notify_world import CASE, KEY, OPENED_NS, SECRET, Vendors, put, rows, sending, until, vendors
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.notify.budget import Allowance
from cloud.notify.config import ChannelConfig, ChannelKind, Language
from cloud.notify.digest import gather
from cloud.notify.messages import render
from cloud.notify.people import Person, Quiet, parse_quiet
from cloud.relational.engine import reading, writing
from cloud.relational.tables import notifications
from telemetry.clock import SECOND_NS, SystemClock
from telemetry.records import Priority

ALWAYS = parse_quiet("00:00-23:59")


@pytest_asyncio.fixture
async def robots() -> AsyncIterator[Vendors]:
    async with vendors() as made:
        yield made


@pytest_asyncio.fixture
async def sms() -> AsyncIterator[SmsVendors]:
    async with sms_vendors() as made:
        yield made


def _sms(folder: Path, url: str, *people: Person, **more: Any) -> ChannelConfig:
    (folder / "secret").write_text(SECRET)
    return ChannelConfig(
        name="duty", kind=ChannelKind.ALIYUN_SMS, url=f"{url}/", secret_file=str(folder / "secret"), access_key_id=KEY_ID,
        sign_name="城市管理", template="SMS_1", variables=("title", "count"), people=people, timeout_s=5.0, **more,
    )  # fmt: skip


async def _flood(engine: AsyncEngine, channel: str, targets: list[str], count: int) -> None:
    """`count` alarms at once for each target, every hundredth of them critical."""
    now_ns = SystemClock().wall_ns()
    made = [
        {
            "case_id": 7, "step": "opened", "occasion": f"alarm-{n}", "channel": channel, "target": target,
            "priority": (priority := "critical" if n % 100 == 0 else "medium"), "state": "pending",
            "payload": {**CASE, "id": n, "priority": priority, "step": "opened", "device_name": ""},
            "next_attempt_ns": now_ns, "created_ns": now_ns,
        }
        for target in targets
        for n in range(count)
    ]  # fmt: skip
    async with writing(engine) as conn:
        await conn.execute(notifications.insert(), made)


async def _settle(engine: AsyncEngine) -> None:
    """Until nothing waits; to read ten thousand rows again and again would be most of the test."""
    waiting = select(func.count()).where(notifications.c.state == "pending")
    async with asyncio.timeout(60):
        while True:
            async with reading(engine) as conn:
                if not await conn.scalar(waiting):
                    return
            await asyncio.sleep(0.05)


def _settled(found: list[dict[str, Any]]) -> bool:
    return all(row["state"] != "pending" for row in found)


async def test_ten_thousand_alarms_are_six_messages_a_person_and_none_is_lost(
    either: AsyncEngine, sms: SmsVendors, tmp_path: Path
) -> None:
    people = [Person(name="zhang", address="+8613800000000"), Person(name="li", address="+8613900000000", per_minute=3)]
    channel = _sms(tmp_path, sms.url, *people)
    await _flood(either, channel.name, ["zhang", "li"], 5_000)
    async with sending(either, [channel]):
        await _settle(either)
    found = await rows(either)
    assert Counter(asked["PhoneNumbers"] for _, asked in sms.sent) == {"13800000000": 6, "13900000000": 3}
    for target, alone in (("zhang", 5), ("li", 2)):
        mine = [row for row in found if row["target"] == target]
        (digest,) = [row for row in mine if row["step"] == "digest"]
        covered = [row for row in mine if row["digest_id"] == digest["id"]]
        assert Counter(row["state"] for row in mine) == {"sent": alone + 1, "digest": 5_000 - alone}
        assert len(covered) == digest["payload"]["count"] == 5_000 - alone
        assert digest["priority"] == "critical"


async def test_the_urgent_ones_of_a_flood_are_told_by_themselves(either: AsyncEngine, robots: Vendors) -> None:
    robot = ChannelConfig(name="group", kind=ChannelKind.WECOM, url=f"{robots.url}/wecom/send?key={KEY}")
    await _flood(either, robot.name, [""], 1_000)
    async with sending(either, [robot]):
        await _settle(either)
    texts = [body["text"]["content"] for _, body in robots.taken]
    assert len(texts) == 20
    assert all(text.startswith("【新案件·特急】") for text in texts[:10])
    assert texts[-1].startswith("【汇总·一般】981 条消息合并为一条")
    assert "新案件·一般 井盖移位:981 条(案件 7)" in texts[-1]


async def test_what_a_digest_stands_for_fails_with_it_and_says_why(either: AsyncEngine, robots: Vendors) -> None:
    robot = ChannelConfig(name="group", kind=ChannelKind.WECOM, url=f"{robots.url}/wecom/send?key=removed", per_minute=1)
    await _flood(either, robot.name, [""], 5)
    async with sending(either, [robot]):
        found = await until(either, lambda found: len(found) == 6 and all(row["state"] == "failed" for row in found))
    assert {row["failure"] for row in found} == {"gone"}
    assert {row["detail"] for row in found if row["digest_id"]} == {"the digest that stands for it could not be sent"}
    assert robots.seen == 1


async def test_what_may_have_been_sent_is_in_no_digest(either: AsyncEngine, robots: Vendors) -> None:
    robot = ChannelConfig(name="group", kind=ChannelKind.WECOM, url=f"{robots.url}/wecom/send?key={KEY}", per_minute=1)
    await _flood(either, robot.name, [""], 3)
    async with writing(either) as conn:
        await conn.execute(update(notifications).where(notifications.c.occasion == "alarm-2").values(attempts=1, copies=1))
    async with sending(either, [robot]):
        await until(either, lambda found: any(row["state"] == "sent" for row in found))
    found = {row["occasion"]: row for row in await rows(either)}
    assert (found["alarm-1"]["state"], found["alarm-2"]["state"]) == ("digest", "pending")


def test_a_digest_adds_up_however_many_kinds_there_are() -> None:
    told = [
        {"priority": list(Priority)[n % 4].value, "step": "opened", "case_id": n, "created_ns": n,
         "payload": {"title_zh": f"事项 {n % 60}", "title_en": f"matter {n % 60}"}}
        for n in range(1, 600)
    ]  # fmt: skip
    found = gather(told)
    assert sum(group["count"] for group in found["groups"]) + found["more"] == found["count"] == 599
    urgency = [list(Priority).index(Priority(group["priority"])) for group in found["groups"]]
    assert urgency == sorted(urgency)
    assert (found["first_ns"], found["last_ns"]) == (1, 599)


@pytest.mark.parametrize(
    ("lang", "said"),
    [
        (Language.ZH, ["【汇总·一般】2 条消息合并为一条", "新案件·一般 井盖移位:2 条(案件 3)"]),
        (Language.EN, ["[Digest, medium] 2 messages in one", "New case, medium: Cover displaced, 2 messages (cases 3)"]),
    ],
)
def test_a_digest_is_said_in_both_languages(lang: Language, said: list[str]) -> None:
    row = {"priority": "medium", "step": "opened", "case_id": 3, "created_ns": OPENED_NS, "payload": CASE}
    digest = {"payload": gather([row, row]), "occasion": "digest/1", "step": "digest", "channel": "x", "token": "abc"}
    channel = ChannelConfig(name="x", kind=ChannelKind.WECOM, url="http://x/", lang=lang)
    lines = render(digest, channel, OPENED_NS, "https://city.example").text.splitlines()
    assert [lines[0], lines[2]] == said
    assert lines[-1].endswith("https://city.example/n/abc")


async def test_quiet_hours_hold_what_is_not_urgent_and_nothing_else(either: AsyncEngine, sms: SmsVendors, tmp_path: Path) -> None:
    channel = _sms(tmp_path, sms.url, Person(name="zhang", address="+8613800000000", quiet=ALWAYS))
    await _flood(either, channel.name, ["zhang"], 3)  # the first is critical
    before_ns = SystemClock().wall_ns()
    async with sending(either, [channel]):
        found = await until(either, lambda found: found[0]["state"] == "sent" and bool(found[2]["quiet_until_ns"]))
        await asyncio.sleep(0.1)
    assert len(sms.sent) == 1
    assert [row["state"] for row in found] == ["sent", "pending", "pending"]
    assert all(row["next_attempt_ns"] == row["quiet_until_ns"] > before_ns for row in found[1:])
    assert all(row["attempts"] == 0 for row in found[1:])


async def test_the_end_of_quiet_hours_sends_what_waited(either: AsyncEngine, sms: SmsVendors, tmp_path: Path) -> None:
    channel = _sms(tmp_path, sms.url, Person(name="zhang", address="+8613800000000"))
    await _flood(either, channel.name, ["zhang"], 3)
    async with writing(either) as conn:
        await conn.execute(update(notifications).values(quiet_until_ns=1, next_attempt_ns=1))
    async with sending(either, [channel]):
        await until(either, _settled)
    assert len(sms.sent) == 3


def _at(text: str) -> int:
    return int(datetime.fromisoformat(text).astimezone(UTC).timestamp()) * SECOND_NS


@pytest.mark.parametrize(
    ("hours", "zone", "now", "end"),
    [
        pytest.param("22:00-07:00", "Asia/Shanghai", "2025-11-20T23:30+08:00", "2025-11-21T07:00+08:00", id="before midnight"),
        pytest.param("22:00-07:00", "Asia/Shanghai", "2025-11-21T06:59+08:00", "2025-11-21T07:00+08:00", id="after midnight"),
        pytest.param("22:00-07:00", "Asia/Shanghai", "2025-11-21T07:00+08:00", None, id="at its end it is over"),
        pytest.param("12:00-14:00", "Asia/Shanghai", "2025-11-21T12:00+08:00", "2025-11-21T14:00+08:00", id="at noon"),
        pytest.param("12:00-14:00", "Asia/Shanghai", "2025-11-21T11:59+08:00", None, id="before noon"),
        pytest.param("22:00-07:00", "Europe/Berlin", "2025-03-29T23:00+01:00", "2025-03-30T07:00+02:00", id="a short night"),
    ],
)
def test_quiet_hours_end_in_civil_time(hours: str, zone: str, now: str, end: str | None) -> None:
    assert parse_quiet(hours).until_ns(_at(now), zone) == (None if end is None else _at(end))


@pytest.mark.parametrize("text", ["22-07", "24:00-07:00", "22:00-22:00", "22:00"])
def test_hours_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="want"):
        parse_quiet(text)


def test_severity_overrides_quiet_hours_and_the_longer_of_two_counts() -> None:
    night, long = Quiet(*_times("22:00-07:00")), Quiet(*_times("21:00-08:00"))
    person = Person(name="zhang", address="x", quiet=night)
    channel = ChannelConfig(name="x", kind=ChannelKind.WECOM_APP, quiet=long, loud=Priority.HIGH, people=(person,))
    now_ns = _at("2025-11-20T23:30+08:00")
    held = {priority.value: channel.quiet_until_ns("zhang", priority, now_ns) for priority in Priority}
    over = _at("2025-11-21T08:00+08:00")
    assert held == {"critical": None, "high": None, "medium": over, "low": over}


def _times(text: str) -> tuple[Any, Any]:
    quiet = parse_quiet(text)
    return quiet.start, quiet.end


async def test_each_person_is_told_of_their_own_priorities(either: AsyncEngine, tmp_path: Path) -> None:
    people = (
        Person(name="boss", address="+8613800000000", priorities=(Priority.CRITICAL,)),
        Person(name="clerk", address="+8613900000000", priorities=(Priority.LOW,)),
    )
    channel = _sms(tmp_path, "http://127.0.0.1:9", *people)
    assert await put(either, [channel]) == 1
    assert [row["target"] for row in await rows(either)] == ["boss"]


async def test_a_person_who_is_no_longer_configured_is_told_nothing_and_it_shows(
    either: AsyncEngine, sms: SmsVendors, tmp_path: Path
) -> None:
    await _flood(either, "duty", ["gone", "zhang"], 1)
    channel = _sms(tmp_path, sms.url, Person(name="zhang", address="+8613800000000"))
    async with sending(either, [channel]):
        first, second = await until(either, _settled)
    assert (first["state"], first["failure"], second["state"]) == ("failed", "gone", "sent")


def test_a_persons_budget_is_counted_over_a_restart() -> None:
    person = Person(name="zhang", address="x", per_minute=2)
    channel = ChannelConfig(name="x", kind=ChannelKind.ALIYUN_SMS, people=(person,))
    allowance = Allowance(channel, [("zhang", 0), ("zhang", SECOND_NS)])
    assert allowance.resting(2 * SECOND_NS) == ["zhang"]
    assert allowance.resting(61 * SECOND_NS) == []
    assert allowance.last("zhang", 61 * SECOND_NS)


async def test_a_token_ends_each_message_and_no_two_are_the_same(either: AsyncEngine) -> None:
    hooks = [ChannelConfig(name=f"h{n}", kind=ChannelKind.WEBHOOK, url="http://127.0.0.1:9/") for n in range(20)]
    await put(either, hooks)
    async with either.connect() as conn:
        tokens = list(await conn.scalars(select(notifications.c.token)))
    assert len(set(tokens)) == 20
    assert all(len(token) == 12 for token in tokens)
