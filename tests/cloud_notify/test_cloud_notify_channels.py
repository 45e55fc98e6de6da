"""What each vendor is sent, and what its answers mean. Signatures were computed with openssl, not with this code."""

import json
from pathlib import Path
from typing import Any

import pytest
from cloud_notify_world import CASE, OPENED_NS

from cloud.notify.channels.dingtalk import Dingtalk
from cloud.notify.channels.dingtalk import sign as dingtalk_sign
from cloud.notify.channels.email import build_mail
from cloud.notify.channels.feishu import Feishu
from cloud.notify.channels.feishu import sign as feishu_sign
from cloud.notify.channels.post import Answer, HttpVendor, secrets_of
from cloud.notify.channels.webhook import Webhook
from cloud.notify.channels.webhook import signature as webhook_signature
from cloud.notify.channels.wecom import Wecom
from cloud.notify.config import ChannelConfig, ChannelKind, Language, problems
from cloud.notify.messages import Message, fit, render
from cloud.notify.results import Failure, Redactor
from telemetry.clock import SECOND_NS

HOOK = ChannelConfig(name="hook", kind=ChannelKind.WEBHOOK, url="http://127.0.0.1/x")
NOW_NS = OPENED_NS + 75 * SECOND_NS


def _row(**facts: Any) -> dict[str, Any]:
    payload = {**CASE, "step": "opened", "device_name": "中山路 3 号井", **facts}
    return {"payload": payload, "occasion": "alarm-1", "step": payload["step"], "channel": "hook"}


def _message(lang: Language = Language.ZH, base_url: str = "https://city.example/", **facts: Any) -> Message:
    config = ChannelConfig(name="hook", kind=ChannelKind.WEBHOOK, url="http://127.0.0.1/x", lang=lang)
    return render(_row(**facts), config, NOW_NS, base_url)


def test_a_message_in_chinese_says_what_where_when_and_who() -> None:
    assert _message().text.splitlines() == [
        "【新案件·特急】井盖移位",
        "地点:中山路 3 号井(cover-1)(东经 113.264400,北纬 23.129100)",
        "时间:2025-11-20 22:00:00 UTC+08:00(1 分钟前)",
        "处置:市政设施处,2025-11-20 23:00:00 UTC+08:00 前办结",
        "案件号:7",
        "查看:https://city.example/cases/7",
    ]


def test_a_message_in_english_says_the_same() -> None:
    assert _message(Language.EN, assignee="crew-3").text.splitlines() == [
        "[New case, critical] Cover displaced",
        "Place: 中山路 3 号井 (cover-1) (23.129100, 113.264400)",
        "Time: 2025-11-20 22:00:00 UTC+08:00 (1 min ago)",
        "To do by: 市政设施处, before 2025-11-20 23:00:00 UTC+08:00",
        "Assigned to: crew-3",
        "Case: 7",
        "Open: https://city.example/cases/7",
    ]


def test_a_message_without_place_or_address_leaves_them_out() -> None:
    text = _message(base_url="", longitude=None, latitude=None, device_name="").text
    assert "地点:cover-1\n" in text
    assert "查看" not in text


def test_braces_and_line_ends_in_a_name_stay_harmless() -> None:
    message = _message(device_name="a{0}\nb\r\nc", title_zh="x\n【案件已结案】y")
    assert message.title == "【新案件·特急】x 【案件已结案】y"
    assert message.lines[0].startswith("地点:a{0} b c(cover-1)")


@pytest.mark.parametrize("limit", [60, 90, 120, 200, 2048])
def test_a_long_text_keeps_its_title_and_its_link_within_the_limit(limit: int) -> None:
    message = _message(title_zh="井" * 200)
    text = fit(message, limit)
    assert len(text.encode()) <= limit
    assert text.startswith("【新")
    assert text.endswith("https://city.example/cases/7")


def test_dingtalk_signs_with_the_secret_as_key() -> None:
    assert dingtalk_sign("SEC5f0c1d", "1763647200123") == "El+1/4GiR4wGfXd5bZbavTU1rQvsVcthk/XEHqgGYP0="


def test_feishu_signs_nothing_with_timestamp_and_secret_as_key() -> None:
    assert feishu_sign("SEC5f0c1d", "1763647200") == "zOqvDF7bNazwR7FBxxurF5zrY/ViaAgn8yRj/jz1IYY="


def test_a_webhook_signs_timestamp_and_body() -> None:
    assert (
        webhook_signature("SEC5f0c1d", "1763647200", b'{"a":1}')
        == "a0fcfe68e8e3aa3ef7cefb9d2de351fb0c3ba727d22e470e5ea78a3352e7da20"
    )


def test_dingtalk_is_signed_in_the_query_for_the_millisecond() -> None:
    request = Dingtalk("https://oapi.example/robot/send?access_token=k", "SEC5f0c1d").build(_message(), OPENED_NS)
    sign = "El+1/4GiR4wGfXd5bZbavTU1rQvsVcthk/XEHqgGYP0=".replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
    assert request.url == f"https://oapi.example/robot/send?access_token=k&timestamp=1763647200123&sign={sign}"
    assert json.loads(request.body) == {"msgtype": "text", "text": {"content": _message().text}}


def test_feishu_is_signed_in_the_body_for_the_second_and_calls_nobody() -> None:
    request = Feishu("https://open.example/hook/k", "SEC5f0c1d").build(_message(title_zh='<at user_id="all">'), OPENED_NS)
    body = json.loads(request.body)
    assert (body["timestamp"], body["sign"], body["msg_type"]) == (
        "1763647200",
        "zOqvDF7bNazwR7FBxxurF5zrY/ViaAgn8yRj/jz1IYY=",
        "text",
    )
    assert "<at" not in body["content"]["text"]


def test_wecom_text_is_at_most_2048_bytes() -> None:
    body = json.loads(Wecom("https://qyapi.example/send?key=k").build(_message(title_zh="盖" * 5000), OPENED_NS).body)
    assert len(body["text"]["content"].encode()) <= 2048


def test_a_webhook_document_carries_the_case_with_iso_times() -> None:
    request = Webhook("http://x/", "s").build(_message(), NOW_NS)
    body = json.loads(request.body)
    assert body["case"]["opened"] == "2025-11-20T14:00:00.123Z"
    assert (body["step"], body["case"]["id"], body["case"]["device_name"]) == ("opened", 7, "中山路 3 号井")
    assert body["key"] == request.headers["Idempotency-Key"]
    assert not any(name.endswith("_ns") for name in body["case"])


def test_every_attempt_at_one_message_has_the_same_key_and_others_another() -> None:
    again = render(_row(), HOOK, NOW_NS + SECOND_NS, "")
    assert again.key == _message().key
    assert render({**_row(), "step": "closed"}, HOOK, NOW_NS, "").key != again.key


DING, FEI, WE, HOOKED = Dingtalk("http://x"), Feishu("http://x"), Wecom("http://x"), Webhook("http://x")

ANSWERS = [
    pytest.param(WE, 200, {"errcode": 0, "errmsg": "ok"}, None, "0", None, id="WeCom took it"),
    pytest.param(WE, 200, {"errcode": 45009, "errmsg": "freq"}, Failure.RATE, "45009", 60.0, id="WeCom has enough"),
    pytest.param(WE, 200, {"errcode": 93000, "errmsg": "url"}, Failure.GONE, "93000", None, id="WeCom knows no such robot"),
    pytest.param(WE, 200, {"errcode": 40058, "errmsg": "p"}, Failure.FORMAT, "40058", None, id="WeCom cannot read it"),
    pytest.param(WE, 200, {"errcode": -1, "errmsg": "busy"}, Failure.NETWORK, "-1", None, id="WeCom is busy"),
    pytest.param(WE, 200, {"errcode": 123456, "errmsg": "?"}, Failure.NETWORK, "123456", None, id="a code nobody knows"),
    pytest.param(WE, 200, {"errmsg": "ok"}, Failure.NETWORK, "None", None, id="no code at all is no success"),
    pytest.param(WE, 200, {"errcode": False}, Failure.NETWORK, "False", None, id="false is not zero"),
    pytest.param(WE, 200, b"<html>", Failure.NETWORK, "", None, id="200 from something else on the way"),
    pytest.param(DING, 200, {"errcode": 0}, None, "0", None, id="DingTalk took it"),
    pytest.param(DING, 200, {"errcode": 130101}, Failure.RATE, "130101", 600.0, id="DingTalk blocks for ten minutes"),
    pytest.param(DING, 200, {"errcode": 310000}, Failure.AUTH, "310000", None, id="DingTalk refuses the signature"),
    pytest.param(DING, 200, {"errcode": 300001}, Failure.GONE, "300001", None, id="DingTalk knows no such token"),
    pytest.param(FEI, 200, {"code": 0, "msg": "success"}, None, "0", None, id="Feishu took it"),
    pytest.param(FEI, 200, {"StatusCode": 0, "StatusMessage": "success"}, None, "0", None, id="Feishu of old took it"),
    pytest.param(FEI, 200, {"code": 19021}, Failure.AUTH, "19021", None, id="Feishu refuses the signature"),
    pytest.param(FEI, 200, {"code": 11232}, Failure.RATE, "11232", 60.0, id="Feishu has enough"),
    pytest.param(FEI, 400, {"code": 19001}, Failure.GONE, "19001", None, id="Feishu says its code under 400"),
    pytest.param(FEI, 200, {"code": 9499}, Failure.FORMAT, "9499", None, id="Feishu cannot read it"),
    pytest.param(HOOKED, 204, b"", None, "204", None, id="a webhook took it"),
    pytest.param(HOOKED, 401, b"", Failure.AUTH, "401", None, id="a webhook refuses the signature"),
    pytest.param(HOOKED, 410, b"", Failure.GONE, "410", None, id="a webhook is gone"),
    pytest.param(HOOKED, 429, b"", Failure.RATE, "429", None, id="a webhook has enough"),
    pytest.param(HOOKED, 503, b"", Failure.NETWORK, "503", None, id="a webhook is ill"),
    pytest.param(HOOKED, 302, b"", Failure.FORMAT, "302", None, id="a redirect is not followed"),
    pytest.param(DING, 502, b"bad gateway", Failure.NETWORK, "http_502", None, id="the way to DingTalk is ill"),
]


@pytest.mark.parametrize(("vendor", "status", "body", "failure", "code", "wait"), ANSWERS)
def test_an_answer_means(
    vendor: HttpVendor, status: int, body: Any, failure: Failure | None, code: str, wait: float | None
) -> None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    result = vendor.classify(Answer(status=status, body=raw))
    assert (result.failure, result.vendor_code, result.retry_after_s) == (failure, code, wait)


def test_a_mail_has_an_id_of_its_own_and_no_second_header() -> None:
    config = ChannelConfig(name="m", kind=ChannelKind.EMAIL, host="h", sender="city@x.example", recipients=("a@x.example",))
    mail = build_mail(_message(title_zh="盖\r\nBcc: all@x.example"), config, OPENED_NS)
    assert mail["Message-ID"] == f"<{_message().key}@x.example>"
    assert mail["Bcc"] is None
    assert mail["Date"] == "Thu, 20 Nov 2025 14:00:00 +0000"
    assert mail["Auto-Submitted"] == "auto-generated"


def test_a_robots_address_is_taken_out_of_any_text() -> None:
    url = "https://user:passw0rd@qyapi.example/send/hook-4711-abcdef?key=693a91f6-7xxx"
    redact = Redactor(secrets_of(url))
    for text in (url, "Cannot connect: key=693a91f6-7xxx!", "path /send/hook-4711-abcdef", "passw0rd"):
        assert not {"693a91f6", "4711", "passw0rd"} & set(redact(text).replace("-", " ").replace("=", " ").split())
        assert "***" in redact(text)


def test_every_mistake_of_a_channel_is_told_at_once(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_text("\n")
    config = ChannelConfig(
        name="x",
        kind=ChannelKind.WECOM,
        url_file=str(tmp_path / "none"),
        url="http://x",
        secret_file=str(empty),
    )
    assert [text.split(" ")[0] for text in problems(config)] == ["url", "url_file", "secret_file"]
    assert problems(HOOK) == []


def test_a_channels_repr_shows_no_address() -> None:
    assert repr(HOOK) == "ChannelConfig(name='hook', kind='webhook')"
