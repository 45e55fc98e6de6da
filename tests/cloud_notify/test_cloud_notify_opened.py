"""The link of a message, the long tail, and trying a channel out by hand."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from cloud_notify_world import KEY, SECRET, Vendors, outbox, put, sending, until, vendors
from typer.testing import CliRunner

from citynerve.commands.cloud import app as cloud_command
from cloud.notify.channels import long_tail
from cloud.notify.channels.long_tail import Apprise, load_apprise
from cloud.notify.config import ChannelConfig, ChannelKind, Language, problems
from cloud.notify.messages import VARIABLES, trial
from cloud.notify.people import Person
from cloud.notify.results import Failure, SendResult
from cloud.notify.trying import in_words, try_channel
from telemetry.clock import SystemClock
from telemetry.records import Priority

LESS = (Priority.HIGH, Priority.MEDIUM, Priority.LOW)


@pytest_asyncio.fixture
async def robots() -> AsyncIterator[Vendors]:
    async with vendors() as made:
        yield made


def _robot(folder: Path, url: str, key: str = KEY) -> ChannelConfig:
    (folder / "secret").write_text(SECRET)
    return ChannelConfig(
        name="group", kind=ChannelKind.DINGTALK, url=f"{url}/dingtalk/send?access_token={key}",
        secret_file=str(folder / "secret"), lang=Language.EN,
    )  # fmt: skip


async def test_a_channel_is_tried_out_and_says_what_the_vendor_said(robots: Vendors, tmp_path: Path) -> None:
    good, bad = _robot(tmp_path, robots.url), _robot(tmp_path, robots.url, "another-key")
    ((target, taken),) = [said async for said in try_channel(good, SystemClock())]
    ((_, refused),) = [said async for said in try_channel(bad, SystemClock())]
    assert (target, in_words(taken, Language.EN)) == ("", "taken [0]")
    assert in_words(refused, Language.EN) == ("the robot, number or mailbox is no longer there [300001; token is not exist]")
    ((_, body),) = robots.taken
    assert body["text"]["content"].startswith("Test message of the city's platform\nChannel group works, 20")


async def test_only_people_of_the_channel_can_be_tried() -> None:
    channel = ChannelConfig(name="gsm", kind=ChannelKind.SMS_MODEM, device="/dev/null", people=(Person(name="li", address="1"),))
    with pytest.raises(LookupError, match="nobody is called 'zhang'"):
        await anext(try_channel(channel, SystemClock(), "zhang"))


@pytest.mark.parametrize("lang", list(Language))
@pytest.mark.parametrize("failure", list(Failure))
def test_every_failure_has_words(failure: Failure, lang: Language) -> None:
    assert in_words(SendResult(failure=failure, detail="why"), lang).endswith(" [why]")


def test_a_test_message_fills_every_variable() -> None:
    message = trial(ChannelConfig(name="x", kind=ChannelKind.WEBHOOK), "+8613800000000", 0, "k")
    assert set(message.variables) == VARIABLES
    assert all(message.variables.values())


def test_the_command_tells_what_is_wrong(tmp_path: Path) -> None:
    config = tmp_path / "cloud.toml"
    config.write_text(
        'data_dir = "d"\nbroker = "mqtt://127.0.0.1:1883"\n'
        '[[channels]]\nname = "hook"\nkind = "webhook"\nlang = "en"\nurl = "http://127.0.0.1:9/"\n'
    )
    unknown = CliRunner().invoke(cloud_command, ["channel", "test", "hok", str(config)])
    assert (unknown.exit_code, "'hok' is no channel; there are: hook" in unknown.output) == (1, True)
    silent = CliRunner().invoke(cloud_command, ["channel", "test", "hook", str(config)])
    assert (silent.exit_code, silent.output.partition(" [")[0]) == (1, "hook: no way there, or trouble of the vendor's own")


class _Notifier:
    """Stands where apprise does; `answer` None hangs."""

    def __init__(self, answer: bool | None) -> None:
        self.answer = answer
        self.said: list[tuple[str, str]] = []

    def notify(self, body: str, title: str) -> bool:
        self.said.append((title, body))
        if self.answer is None:
            time.sleep(0.3)
        return bool(self.answer)


@pytest.mark.parametrize(
    ("answer", "failure"),
    [(True, None), (False, Failure.NETWORK), (None, Failure.UNKNOWN_AFTER_TIMEOUT)],
    ids=["sent", "not sent", "silent"],
)
async def test_the_long_tail_says_no_more_than_it_knows(answer: bool | None, failure: Failure | None) -> None:
    notifier = _Notifier(answer)
    message = trial(ChannelConfig(name="x", kind=ChannelKind.APPRISE), "", 0, "k")
    result = await Apprise(notifier, 0.1).send(message, 0)
    await asyncio.sleep(0)
    assert (result.failure, notifier.said[0][0]) == (failure, message.title)


def test_the_long_tail_is_never_for_critical_cases() -> None:
    everything = ChannelConfig(name="x", kind=ChannelKind.APPRISE, url="bark://x")
    less = ChannelConfig(name="x", kind=ChannelKind.APPRISE, url="bark://x", priorities=LESS)
    assert [problem for problem in problems(everything) if "critical" in problem]
    assert problems(less) == []
    assert less.targets("critical") == []


def test_without_apprise_its_channel_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> object:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(long_tail.importlib, "import_module", absent)
    with pytest.raises(OSError, match=r"citynerve\[apprise\]"):
        load_apprise("bark://x")


@pytest.mark.parametrize(
    ("kind", "missing"),
    [
        (ChannelKind.WECOM_APP, {"corp_id", "agent_id", "secret_file"}),
        (ChannelKind.ALIYUN_SMS, {"access_key_id", "secret_file", "sign_name", "template"}),
        (ChannelKind.TENCENT_SMS, {"access_key_id", "secret_file", "sign_name", "template", "app_id"}),
        (ChannelKind.SMS_MODEM, {"device"}),
    ],
)
def test_each_kind_says_what_it_needs(kind: ChannelKind, missing: set[str]) -> None:
    assert {problem.split()[0] for problem in problems(ChannelConfig(name="x", kind=kind))} == missing


async def test_a_message_links_to_itself(robots: Vendors, tmp_path: Path) -> None:
    channel = _robot(tmp_path, robots.url)
    async with outbox(tmp_path) as engine:
        await put(engine, [channel])
        async with sending(engine, [channel]):
            (row,) = await until(engine, lambda found: found[0]["state"] == "sent")
    assert robots.taken[0][1]["text"]["content"].endswith(f"https://city.example/n/{row['token']}")


async def test_a_webhook_is_told_the_address_of_the_case_itself(robots: Vendors, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    url, secret = f"{robots.url}/webhook/", str(tmp_path / "secret")
    channel = ChannelConfig(name="hook", kind=ChannelKind.WEBHOOK, url=url, secret_file=secret)
    async with outbox(tmp_path) as engine:
        await put(engine, [channel])
        async with sending(engine, [channel]):
            await until(engine, lambda found: found[0]["state"] == "sent")
    assert robots.taken[0][1]["link"] == "https://city.example/cases/7"
