"""Application messages and SMS: signed as the vendor checks it, sent once, asked for after a timeout."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cloud_notify_sms_vendors import KEY_ID, SmsVendors, sms_vendors
from cloud_notify_world import SECRET, outbox, put, rows, sending, until
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.notify.channels.aliyun_sms import AliyunSms
from cloud.notify.channels.post import Answer
from cloud.notify.channels.signing import acs3_authorization, canonical_query, tc3_authorization
from cloud.notify.channels.sms import shorten
from cloud.notify.channels.tencent_sms import TencentSms
from cloud.notify.config import ChannelConfig, ChannelKind
from cloud.notify.people import Person
from cloud.notify.results import Failure
from cloud.relational.engine import writing
from cloud.relational.tables import notifications

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
ZHANG = Person(name="zhang", address="+8613800000000")


@pytest_asyncio.fixture
async def vendor() -> AsyncIterator[SmsVendors]:
    async with sms_vendors() as made:
        yield made


@pytest_asyncio.fixture
async def engine(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    async with outbox(tmp_path) as made:
        yield made


def _channel(folder: Path, url: str, kind: ChannelKind, secret: str = SECRET, **more: Any) -> ChannelConfig:
    (folder / "secret").write_text(secret + "\n")
    people = (Person(name="zhang", address="zhang"),) if kind is ChannelKind.WECOM_APP else (ZHANG,)
    given: dict[str, Any] = {"people": people, "url": url, "timeout_s": 0.4, **more}
    return ChannelConfig(
        name="duty", kind=kind, secret_file=str(folder / "secret"), corp_id="ww1", agent_id=7, access_key_id=KEY_ID,
        app_id="1400006666", sign_name="城市管理", template="SMS_1", variables=("title", "id", "place"), **given,
    )  # fmt: skip


async def _later(engine: AsyncEngine, channel: ChannelConfig, copies: int = 0) -> dict[str, Any]:
    """The one row once it is done, or may have come `copies` times, after its next attempt has come due."""
    async with writing(engine) as conn:
        await conn.execute(update(notifications).values(next_attempt_ns=1))
    async with sending(engine, [channel]):
        (row,) = await until(engine, lambda found: found[0]["state"] != "pending" or found[0]["copies"] == copies)
    return row


def test_aliyuns_own_example_is_signed_as_aliyun_publishes_it() -> None:
    headers = {
        "host": "ecs.cn-shanghai.aliyuncs.com",
        "x-acs-action": "RunInstances",
        "x-acs-content-sha256": EMPTY,
        "x-acs-date": "2023-10-26T10:22:32Z",
        "x-acs-signature-nonce": "3156853299f313e23d1673dc12e1703d",
        "x-acs-version": "2014-05-26",
    }
    query = canonical_query({"RegionId": "cn-shanghai", "ImageId": "win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd"})
    assert acs3_authorization("YourAccessKeyId", "YourAccessKeySecret", query, headers, b"") == (
        "ACS3-HMAC-SHA256 Credential=YourAccessKeyId,SignedHeaders=host;x-acs-action;x-acs-content-sha256;x-acs-date;"
        "x-acs-signature-nonce;x-acs-version,Signature=06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"
    )


def test_tencents_signature_is_the_one_that_openssl_works_out() -> None:
    headers = {"content-type": "application/json; charset=utf-8", "host": "sms.tencentcloudapi.com", "x-tc-action": "SendSms"}
    signed = tc3_authorization(("AKIDexample", "SK123456"), "sms", headers, 1_763_647_200, b'{"a":1}')
    assert signed == (
        "TC3-HMAC-SHA256 Credential=AKIDexample/2025-11-20/sms/tc3_request, SignedHeaders=content-type;host;x-tc-action, "
        "Signature=f99e96b32522678cbc0be6a23f8e88103bb3481c30acd42f767caeafb8e490e0"
    )


def test_a_query_is_quoted_by_rfc_3986() -> None:
    assert canonical_query({"b": "a b*~/+", "a": "井"}) == "a=%E4%BA%95&b=a%20b%2A~%2F%2B"


@pytest.mark.parametrize(("text", "short"), [("", "-"), ("abcd", "abcd"), ("abcde", "abc…")])
def test_a_variable_is_never_empty_and_never_too_long(text: str, short: str) -> None:
    assert shorten(text, 4) == short


async def test_aliyun_gets_an_approved_template_with_short_variables(
    engine: AsyncEngine, vendor: SmsVendors, tmp_path: Path
) -> None:
    channel = _channel(tmp_path, vendor.url + "/", ChannelKind.ALIYUN_SMS)
    await put(engine, [channel])
    async with sending(engine, [channel]):
        (row,) = await until(engine, lambda found: found[0]["state"] != "pending")
    ((_, asked),) = vendor.sent
    assert (row["state"], row["target"], row["receipt"], row["copies"]) == ("sent", "zhang", "900619746936498440^0", 1)
    assert (asked["PhoneNumbers"], asked["SignName"], asked["TemplateCode"]) == ("13800000000", "城市管理", "SMS_1")
    assert json.loads(asked["TemplateParam"]) == {"title": "井盖移位", "id": "7", "place": "中山路 3 号井"}


async def test_tencent_gets_the_variables_in_their_order(engine: AsyncEngine, vendor: SmsVendors, tmp_path: Path) -> None:
    channel = _channel(tmp_path, vendor.url + "/", ChannelKind.TENCENT_SMS)
    await put(engine, [channel])
    async with sending(engine, [channel]):
        (row,) = await until(engine, lambda found: found[0]["state"] != "pending")
    ((_, asked),) = vendor.sent
    assert (row["state"], row["receipt"]) == ("sent", "5000:1045710669157053657849499619")
    assert (asked["PhoneNumberSet"], asked["TemplateParamSet"]) == (["+8613800000000"], ["井盖移位", "7", "中山路 3 号井"])


@pytest.mark.parametrize("kind", [ChannelKind.ALIYUN_SMS, ChannelKind.TENCENT_SMS])
async def test_an_sms_whose_answer_was_lost_is_asked_for_and_not_sent_again(
    engine: AsyncEngine, vendor: SmsVendors, tmp_path: Path, kind: ChannelKind
) -> None:
    vendor.silent = 1
    channel = _channel(tmp_path, vendor.url + "/", kind)
    await put(engine, [channel])
    async with sending(engine, [channel]):
        (row,) = await until(engine, lambda found: bool(found[0]["failure"]))
    assert (row["state"], row["failure"], row["copies"]) == ("pending", "unknown_after_timeout", 1)
    row = await _later(engine, channel)
    assert (row["state"], row["detail"], row["copies"]) == ("sent", "the vendor has it", 1)
    assert len(vendor.sent) == 1
    assert vendor.asked


async def test_an_sms_that_aliyun_never_saw_is_sent_again_as_the_first(
    engine: AsyncEngine, vendor: SmsVendors, tmp_path: Path
) -> None:
    vendor.deaf = 1
    channel = _channel(tmp_path, vendor.url + "/", ChannelKind.ALIYUN_SMS)
    await put(engine, [channel])
    async with sending(engine, [channel]):
        await until(engine, lambda found: bool(found[0]["failure"]))
    row = await _later(engine, channel)
    assert (row["state"], row["detail"], row["copies"]) == ("sent", "", 1)
    assert len(vendor.sent) == 1


async def test_an_sms_that_nobody_can_tell_of_says_that_it_may_have_come_twice(
    engine: AsyncEngine, vendor: SmsVendors, tmp_path: Path
) -> None:
    vendor.deaf = 1
    channel = _channel(tmp_path, vendor.url + "/", ChannelKind.TENCENT_SMS)
    await put(engine, [channel])
    async with sending(engine, [channel]):
        await until(engine, lambda found: bool(found[0]["failure"]))
    row = await _later(engine, channel)
    assert (row["state"], row["detail"], row["copies"]) == ("sent", "may have been sent 2 times", 2)


async def test_an_sms_is_given_up_after_three_copies_that_may_have_come(
    engine: AsyncEngine, vendor: SmsVendors, tmp_path: Path
) -> None:
    vendor.deaf = 9
    channel = _channel(tmp_path, vendor.url + "/", ChannelKind.TENCENT_SMS)
    await put(engine, [channel])
    async with sending(engine, [channel]):
        await until(engine, lambda found: bool(found[0]["failure"]))
    await _later(engine, channel, copies=2)
    row = await _later(engine, channel)
    assert (row["state"], row["failure"], row["copies"]) == ("failed", "unknown_after_timeout", 3)


@pytest.mark.parametrize("kind", [ChannelKind.ALIYUN_SMS, ChannelKind.TENCENT_SMS, ChannelKind.WECOM_APP])
async def test_a_wrong_secret_is_a_persons_to_change(
    engine: AsyncEngine, vendor: SmsVendors, tmp_path: Path, kind: ChannelKind
) -> None:
    url = vendor.url if kind is ChannelKind.WECOM_APP else vendor.url + "/"
    channel = _channel(tmp_path, url, kind, secret="another secret")  # noqa: S106 - a wrong one of these tests
    await put(engine, [channel])
    async with sending(engine, [channel]):
        (row,) = await until(engine, lambda found: found[0]["state"] != "pending")
    assert (row["state"], row["failure"], row["attempts"]) == ("failed", "auth", 1)
    assert "another secret" not in str(row)


async def test_wecom_keeps_its_token_and_renews_one_that_has_ended(
    engine: AsyncEngine, vendor: SmsVendors, tmp_path: Path
) -> None:
    channel = _channel(tmp_path, vendor.url, ChannelKind.WECOM_APP)
    async with sending(engine, [channel]) as sender:
        for n in range(2):
            await put(engine, [channel], f"a{n}", step=("opened", "closed")[n])
            sender.wake()
            await until(engine, lambda found, n=n: len(found) == n + 1 and found[-1]["state"] == "sent")  # type: ignore[misc]
        assert len(vendor.tokens) == 1
        vendor.tokens.append("another token took its place")
        await put(engine, [channel], "b", step="reopened")
        sender.wake()
        found = await until(engine, lambda found: len(found) == 3 and found[-1]["state"] == "sent")
    assert len(vendor.tokens) == 3
    assert [row["receipt"] for row in found] == ["m1"] * 3
    assert [one["touser"] for _, one in vendor.sent] == ["zhang"] * 3


async def test_wecom_drops_the_repeat_of_a_message_whose_answer_was_lost(
    engine: AsyncEngine, vendor: SmsVendors, tmp_path: Path
) -> None:
    vendor.silent = 1
    channel = _channel(tmp_path, vendor.url, ChannelKind.WECOM_APP)
    await put(engine, [channel])
    async with sending(engine, [channel]):
        await until(engine, lambda found: bool(found[0]["failure"]))
    row = await _later(engine, channel)
    assert (row["state"], row["receipt"]) == ("sent", "same")
    assert len(vendor.sent) == 1


async def test_a_member_that_wecom_does_not_know_is_gone(engine: AsyncEngine, vendor: SmsVendors, tmp_path: Path) -> None:
    channel = _channel(tmp_path, vendor.url, ChannelKind.WECOM_APP, people=(Person(name="li", address="li"),))
    await put(engine, [channel])
    async with sending(engine, [channel]):
        (row,) = await until(engine, lambda found: found[0]["state"] != "pending")
    assert (row["state"], row["failure"]) == ("failed", "gone")


async def test_a_number_that_has_had_enough_does_not_hold_others_up(
    engine: AsyncEngine, vendor: SmsVendors, tmp_path: Path
) -> None:
    limit = {"Code": "isv.BUSINESS_LIMIT_CONTROL", "Message": "触发分钟级流控Permits:1"}
    vendor.answers = [limit]
    li = Person(name="li", address="+8613900000000")
    channel = _channel(tmp_path, vendor.url + "/", ChannelKind.ALIYUN_SMS, people=(ZHANG, li))
    await put(engine, [channel])
    async with sending(engine, [channel]):
        await until(engine, lambda found: sum(row["state"] == "sent" for row in found) == 1)
    first, second = await rows(engine)
    assert (first["failure"], first["state"], second["state"]) == ("rate", "pending", "sent")
    assert [asked["PhoneNumbers"] for _, asked in vendor.sent] == ["13900000000"]


def _said(vendor: AliyunSms | TencentSms, document: Any, status: int = 200) -> tuple[Failure | None, float | None]:
    result = vendor.classify(Answer(status=status, body=json.dumps(document).encode()))
    return result.failure, result.retry_after_s


PLAIN = ChannelConfig(name="x", kind=ChannelKind.ALIYUN_SMS)


@pytest.mark.parametrize(
    ("code", "text", "failure", "wait"),
    [
        pytest.param("isv.BUSINESS_LIMIT_CONTROL", "触发小时级流控Permits:5", Failure.RATE, 3600.0, id="five this hour"),
        pytest.param("isv.BUSINESS_LIMIT_CONTROL", "触发天级流控Permits:10", Failure.RATE, 3600.0, id="ten this day"),
        pytest.param("Throttling.User", "", Failure.RATE, 60.0, id="too many requests"),
        pytest.param("isv.MOBILE_NUMBER_ILLEGAL", "", Failure.GONE, None, id="no such number"),
        pytest.param("isv.SMS_TEMPLATE_ILLEGAL", "", Failure.FORMAT, None, id="a template that is not approved"),
        pytest.param("InvalidAccessKeyId.NotFound", "", Failure.AUTH, None, id="no such key"),
        pytest.param("isp.SYSTEM_ERROR", "", Failure.NETWORK, None, id="trouble of its own"),
        pytest.param("something.NEW", "", Failure.NETWORK, None, id="a code that nobody knows"),
    ],
)
def test_aliyun_says(code: str, text: str, failure: Failure, wait: float | None) -> None:
    assert _said(AliyunSms(PLAIN, "http://x/", "s"), {"Code": code, "Message": text}) == (failure, wait)


@pytest.mark.parametrize(
    ("document", "failure", "wait"),
    [
        pytest.param({"Error": {"Code": "AuthFailure.SignatureExpire"}}, Failure.AUTH, None, id="a clock that is wrong"),
        pytest.param({"Error": {"Code": "InternalError.Timeout"}}, Failure.NETWORK, None, id="trouble of its own"),
        pytest.param({"Error": {"Code": "InvalidParameterValue.X"}}, Failure.FORMAT, None, id="a wrong parameter"),
        pytest.param(
            {"SendStatusSet": [{"Code": "LimitExceeded.PhoneNumberThirtySecondLimit"}]}, Failure.RATE, 30.0, id="one in 30 s"
        ),
        pytest.param(
            {"SendStatusSet": [{"Code": "InvalidParameterValue.IncorrectPhoneNumber"}]}, Failure.GONE, None, id="no number"
        ),
        pytest.param({"SendStatusSet": []}, Failure.NETWORK, None, id="no status at all"),
    ],
)
def test_tencent_says(document: Any, failure: Failure, wait: float | None) -> None:
    assert _said(TencentSms(PLAIN, "http://x/", "s"), {"Response": document}) == (failure, wait)
