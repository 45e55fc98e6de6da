"""The sender against servers that check what the vendors check."""

import asyncio
import logging
from collections.abc import AsyncIterator
from email import message_from_string, policy
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from cloud_notify_world import CASE, KEY, SECRET, Mailbox, Vendors, mailbox, outbox, put, rows, sending, until, vendors
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.feed import Feed
from cloud.notify.backoff import GIVE_UP_AFTER_S, delay_s, pause_s
from cloud.notify.budget import Budget
from cloud.notify.config import ChannelConfig, ChannelKind, Security
from cloud.notify.outbox import enqueue
from cloud.notify.queue import Queue
from cloud.notify.results import Failure, SendResult
from cloud.relational.engine import writing
from cloud.relational.tables import notifications
from telemetry.clock import SECOND_NS, SystemClock


@pytest_asyncio.fixture
async def engine(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    async with outbox(tmp_path) as made:
        yield made


@pytest_asyncio.fixture
async def robots() -> AsyncIterator[Vendors]:
    async with vendors() as made:
        yield made


@pytest_asyncio.fixture
async def mail() -> AsyncIterator[Mailbox]:
    async with mailbox() as made:
        yield made


def _channel(folder: Path, base: str, kind: ChannelKind, key: str = KEY, secret: str = SECRET, **more: object) -> ChannelConfig:
    paths = {
        ChannelKind.WEBHOOK: f"/webhook/{key}",
        ChannelKind.WECOM: f"/wecom/cgi-bin/webhook/send?key={key}",
        ChannelKind.DINGTALK: f"/dingtalk/robot/send?access_token={key}",
        ChannelKind.FEISHU: f"/feishu/{key}",
    }
    url_file, secret_file = folder / f"{kind}.url", folder / f"{kind}.secret"
    url_file.write_text(base + paths[kind] + "\n")
    secret_file.write_text(secret + "\n")
    return ChannelConfig(name=str(kind), kind=kind, url_file=str(url_file), secret_file=str(secret_file), timeout_s=0.5, **more)


def _email(port: int) -> ChannelConfig:
    return ChannelConfig(
        name="email", kind=ChannelKind.EMAIL, host="127.0.0.1", port=port, security=Security.PLAIN, sender="city@mail.test",
        recipients=("a@mail.test", "b@mail.test"), timeout_s=2,
    )  # fmt: skip


def _all(state: str) -> object:
    return lambda found: bool(found) and all(row["state"] == state for row in found)


async def test_every_robot_takes_a_message_that_it_has_checked(engine: AsyncEngine, robots: Vendors, tmp_path: Path) -> None:
    kinds = [ChannelKind.WEBHOOK, ChannelKind.WECOM, ChannelKind.DINGTALK, ChannelKind.FEISHU]
    channels = [_channel(tmp_path, robots.url, kind) for kind in kinds]
    feed = Feed()
    assert await put(engine, channels) == 4
    async with sending(engine, channels, feed) as sender:
        found = await until(engine, _all("sent"))
    assert sorted(vendor for vendor, _ in robots.taken) == ["dingtalk", "feishu", "webhook", "wecom"]
    assert all(row["attempts"] == 1 and row["sent_ns"] and not row["failure"] for row in found)
    assert (sender.counts().sent, sender.counts().failed, sender.counts().attempts) == (4, 0, 4)
    assert feed.last_id == 4


async def test_the_same_occasion_is_told_once(engine: AsyncEngine, robots: Vendors, tmp_path: Path) -> None:
    hook = _channel(tmp_path, robots.url, ChannelKind.WEBHOOK)
    assert [await put(engine, [hook]) for _ in range(3)] == [1, 0, 0]
    assert await put(engine, [hook], step="closed") == 1
    async with sending(engine, [hook]):
        await until(engine, _all("sent"))
    assert [body["step"] for _, body in robots.taken] == ["opened", "closed"]


async def test_a_message_is_sent_when_the_sender_is_woken(engine: AsyncEngine, robots: Vendors, tmp_path: Path) -> None:
    hook = _channel(tmp_path, robots.url, ChannelKind.WEBHOOK)
    async with sending(engine, [hook]) as sender:
        sender._poll_s = 60.0
        await asyncio.sleep(0.1)  # it now sleeps for the minute, unless it is woken
        await put(engine, [hook])
        sender.wake()
        await until(engine, _all("sent"), seconds=2)


async def test_nothing_is_sent_of_a_transaction_that_was_rolled_back(
    engine: AsyncEngine, tmp_path: Path, robots: Vendors
) -> None:
    hook = _channel(tmp_path, robots.url, ChannelKind.WEBHOOK)

    async def half_done() -> None:
        async with writing(engine) as conn:
            await enqueue(conn, case=CASE, step="opened", occasion="a", channels=[hook], now_ns=1)
            raise RuntimeError("the rest failed")

    with pytest.raises(RuntimeError, match="the rest failed"):
        await half_done()
    assert await rows(engine) == []


@pytest.mark.parametrize(
    ("kind", "key", "secret", "failure", "code"),
    [
        pytest.param(ChannelKind.WEBHOOK, KEY, "another secret", "auth", "401", id="a webhook with another secret"),
        pytest.param(ChannelKind.WECOM, "another-key", SECRET, "gone", "93000", id="a WeCom robot that was removed"),
        pytest.param(ChannelKind.DINGTALK, KEY, "another secret", "auth", "310000", id="a DingTalk robot with another secret"),
        pytest.param(ChannelKind.DINGTALK, "another-key", SECRET, "gone", "300001", id="a DingTalk robot that was removed"),
        pytest.param(ChannelKind.FEISHU, KEY, "another secret", "auth", "19021", id="a Feishu robot with another secret"),
        pytest.param(ChannelKind.FEISHU, "another-key", SECRET, "gone", "19001", id="a Feishu robot that was removed"),
    ],
)
async def test_what_will_never_work_is_given_up_at_once_and_shows(
    engine: AsyncEngine, robots: Vendors, tmp_path: Path, kind: ChannelKind, key: str, secret: str, failure: str, code: str,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    channel = _channel(tmp_path, robots.url, kind, key, secret)
    await put(engine, [channel])
    with caplog.at_level(logging.DEBUG):
        async with sending(engine, [channel]) as sender:
            (row,) = await until(engine, _all("failed"))
    assert (row["failure"], row["vendor_code"], row["attempts"]) == (failure, code, 1)
    assert sender.counts().failed == 1
    shown = str(row) + "".join(str(record.__dict__) for record in caplog.records)
    assert "another" not in shown
    assert any(getattr(record, "event", "") == "notify.failed" for record in caplog.records)


async def test_trouble_on_the_way_is_tried_again_until_it_is_over(
    engine: AsyncEngine, robots: Vendors, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    robots.script = [web.Response(status=503), web.json_response({"errcode": -1, "errmsg": "system busy"})]
    robot = _channel(tmp_path, robots.url, ChannelKind.WECOM)
    await put(engine, [robot])
    with caplog.at_level(logging.DEBUG):
        async with sending(engine, [robot]):
            (row,) = await until(engine, _all("sent"), seconds=20)
    assert row["attempts"] == 3
    assert row["failure"] == ""
    assert KEY not in str(row) + caplog.text


async def test_nobody_at_the_address_is_network_trouble_without_the_address(engine: AsyncEngine, tmp_path: Path) -> None:
    robot = _channel(tmp_path, "http://127.0.0.1:9", ChannelKind.FEISHU)
    await put(engine, [robot])
    async with sending(engine, [robot]):
        (row,) = await until(engine, lambda found: bool(found[0]["failure"]))
    assert (row["state"], row["failure"]) == ("pending", "network")
    assert KEY not in row["detail"]


async def test_silence_after_sending_is_not_known_and_is_tried_again(
    engine: AsyncEngine, robots: Vendors, tmp_path: Path
) -> None:
    robots.hang = True
    hook = _channel(tmp_path, robots.url, ChannelKind.WEBHOOK)
    await put(engine, [hook])
    async with sending(engine, [hook]):
        (row,) = await until(engine, lambda found: bool(found[0]["failure"]))
    assert (row["state"], row["failure"]) == ("pending", "unknown_after_timeout")
    assert row["next_attempt_ns"] > SystemClock().wall_ns() + 10 * SECOND_NS


async def test_a_robot_that_has_enough_is_left_alone_with_all_its_messages(
    engine: AsyncEngine, robots: Vendors, tmp_path: Path
) -> None:
    robots.script = [web.json_response({"errcode": 130101, "errmsg": "send too fast"})]
    robot = _channel(tmp_path, robots.url, ChannelKind.DINGTALK)
    await put(engine, [robot], "a")
    await put(engine, [robot], "b")
    async with sending(engine, [robot]):
        await until(engine, lambda found: bool(found[0]["failure"]))
        await asyncio.sleep(0.2)
    first, second = await rows(engine)
    assert (first["failure"], first["state"], second["attempts"]) == ("rate", "pending", 0)
    assert first["next_attempt_ns"] > SystemClock().wall_ns() + 590 * SECOND_NS
    assert robots.seen == 1


async def test_a_slow_channel_does_not_hold_another_up(engine: AsyncEngine, robots: Vendors, tmp_path: Path) -> None:
    blackhole = _channel(tmp_path, "http://127.0.0.1:9", ChannelKind.FEISHU)
    hook = _channel(tmp_path, robots.url, ChannelKind.WEBHOOK)
    for n in range(5):
        await put(engine, [blackhole, hook], f"a{n}")
    async with sending(engine, [blackhole, hook]):
        await until(engine, lambda found: sum(row["state"] == "sent" for row in found) == 5)
    assert len(robots.taken) == 5


async def test_twenty_a_minute_is_the_most_a_robot_gets_even_over_a_restart(
    engine: AsyncEngine, robots: Vendors, tmp_path: Path
) -> None:
    robot = _channel(tmp_path, robots.url, ChannelKind.WECOM)
    for n in range(25):
        await put(engine, [robot], f"a{n}")
    async with sending(engine, [robot]):
        await until(engine, lambda found: not any(row["state"] == "pending" for row in found))
    await put(engine, [robot], "late")
    async with sending(engine, [robot]):
        await asyncio.sleep(0.2)
    assert len(robots.taken) == 20
    found = await rows(engine)
    assert [row["state"] for row in found] == ["sent"] * 19 + ["digest"] * 6 + ["sent", "pending"]
    assert found[-1]["attempts"] == 0


async def test_a_restart_goes_on_with_what_was_left(robots: Vendors, tmp_path: Path) -> None:
    hook = _channel(tmp_path, robots.url, ChannelKind.WEBHOOK)
    async with outbox(tmp_path) as engine:
        await put(engine, [hook], "a")
        # A sender that died between the vendor's answer and its own commit.
        queue, now_ns = Queue(engine), SystemClock().wall_ns()
        row = await queue.next(hook.name, now_ns)
        assert row is not None
        assert await queue.claim(row, now_ns, lease_s=0.2) is not None
        await put(engine, [hook], "b")
    async with outbox(tmp_path) as engine, sending(engine, [hook]):
        found = await until(engine, _all("sent"))
    assert [row["attempts"] for row in found] == [2, 1]
    assert len(robots.taken) == 2


async def test_two_senders_do_not_send_one_message_twice(engine: AsyncEngine, robots: Vendors, tmp_path: Path) -> None:
    hook = _channel(tmp_path, robots.url, ChannelKind.WEBHOOK)
    for n in range(10):
        await put(engine, [hook], f"a{n}")
    async with sending(engine, [hook]), sending(engine, [hook]):
        await until(engine, _all("sent"))
    assert robots.seen == 10


async def test_messages_for_a_channel_that_is_no_longer_there_are_given_up(
    engine: AsyncEngine, robots: Vendors, tmp_path: Path
) -> None:
    hook = _channel(tmp_path, robots.url, ChannelKind.WEBHOOK)
    await put(engine, [hook])
    async with sending(engine, []):
        (row,) = await until(engine, _all("failed"))
    assert (row["failure"], row["detail"]) == ("gone", "no channel of this name is configured")


async def test_a_row_that_cannot_be_put_into_words_does_not_stop_the_others(
    engine: AsyncEngine, robots: Vendors, tmp_path: Path
) -> None:
    hook = _channel(tmp_path, robots.url, ChannelKind.WEBHOOK)
    await put(engine, [hook], "a")
    async with writing(engine) as conn:
        await conn.execute(update(notifications).values(payload={"id": 1}))
    await put(engine, [hook], "b")
    async with sending(engine, [hook]):
        found = await until(engine, lambda found: all(row["state"] != "pending" for row in found))
    assert [(row["state"], row["failure"]) for row in found] == [("failed", "format"), ("sent", "")]


async def test_a_mail_arrives_in_both_mailboxes(engine: AsyncEngine, mail: Mailbox) -> None:
    channel = _email(mail.port)
    await put(engine, [channel])
    async with sending(engine, [channel]):
        await until(engine, _all("sent"))
    sender, recipients, text = mail.mails[0]
    assert (sender, recipients) == ("city@mail.test", ["a@mail.test", "b@mail.test"])
    parsed = message_from_string(text, policy=policy.default)
    assert parsed["Subject"] == "【新案件·特急】井盖移位"
    assert "中山路 3 号井" in parsed.get_content()


@pytest.mark.parametrize(
    ("answers", "state", "failure", "code"),
    [
        pytest.param({"RCPT": "550 no such mailbox"}, "failed", "gone", "550", id="nobody of that name"),
        pytest.param({"DATA": "451 try later"}, "pending", "network", "451", id="later"),
        pytest.param({"DATA": "554 spam"}, "failed", "format", "554", id="not like this"),
        pytest.param({"MAIL": "530 authenticate first"}, "failed", "auth", "530", id="not without a password"),
        pytest.param({"b@mail.test": "550 no"}, "sent", "", "250", id="one of two is sent"),
    ],
)
async def test_a_mail_server_says(
    engine: AsyncEngine, mail: Mailbox, answers: dict[str, str], state: str, failure: str, code: str
) -> None:
    mail.answers = answers
    channel = _email(mail.port)
    await put(engine, [channel])
    async with sending(engine, [channel]):
        (row,) = await until(engine, lambda found: bool(found[0]["vendor_code"]))
    assert (row["state"], row["failure"], row["vendor_code"]) == (state, failure, code)


def test_a_budget_holds_in_every_window_not_only_on_average() -> None:
    budget, sent = Budget(20, 60), []
    for second in range(600):
        while budget.wait_ns(second * SECOND_NS) == 0:
            budget.take(second * SECOND_NS)
            sent.append(second)
    assert all(sum(start <= moment < start + 60 for moment in sent) <= 20 for start in range(600))
    assert len(sent) >= 180


def test_waits_double_spread_and_end() -> None:
    trouble = SendResult(failure=Failure.NETWORK)
    assert [delay_s(trouble, n, 0, 1.0) for n in (1, 2, 3, 30)] == [2.0, 4.0, 8.0, 600.0]
    assert delay_s(trouble, 1, 0, 0.0) == 1.0
    assert delay_s(trouble, 1, GIVE_UP_AFTER_S, 1.0) is None
    assert all(delay_s(SendResult(failure=f), 1, 0, 1.0) is None for f in (Failure.AUTH, Failure.GONE, Failure.FORMAT))
    assert delay_s(SendResult(failure=Failure.RATE, retry_after_s=600), 1, 0, 0.0) == 600
    assert (pause_s(Failure.RATE, 600), pause_s(Failure.NETWORK, 600), pause_s(Failure.GONE, 0)) == (600, 30, 0)
