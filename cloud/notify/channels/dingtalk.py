"""DingTalk custom robot: signed in the query, answered by `errcode` under HTTP 200.

POST https://oapi.dingtalk.com/robot/send?access_token=...&timestamp={ms}&sign={urlencoded}
sign = base64(HMAC-SHA256(key = secret, message = timestamp + LF + secret)), valid for one hour.
Feishu's formula looks alike and is not: there the two are joined into the key and the message is empty.
"""

import base64
import hashlib
import hmac
from typing import Any
from urllib.parse import urlencode

import msgspec

from cloud.notify.channels.post import Answer, Request, vendor_answer
from cloud.notify.messages import Message, fit
from cloud.notify.results import Failure, SendResult

__all__ = ["Dingtalk", "sign"]

TEXT_BYTES = 15_000  # the whole body may be 20,000 bytes
_BLOCKED_S = 600.0  # more than 20 a minute blocks the robot for ten

# DingTalk open platform, "custom robot: error codes".
_CODES = {
    -1: Failure.NETWORK,  # system busy
    130101: Failure.RATE,
    410100: Failure.RATE,
    310000: Failure.AUTH,  # signature, keyword or address rule
    300001: Failure.GONE,  # token does not exist
    400013: Failure.GONE,  # the group was dissolved
    400101: Failure.GONE,  # access_token does not exist
    400102: Failure.GONE,  # the robot was switched off
    40035: Failure.FORMAT,
    43004: Failure.FORMAT,
    400105: Failure.FORMAT,
    400106: Failure.FORMAT,
    430101: Failure.FORMAT,  # unsafe link
    430102: Failure.FORMAT,  # improper text
    430103: Failure.FORMAT,  # improper picture
    430104: Failure.FORMAT,  # improper content
}


class Dingtalk:
    """A text message; unsigned where the robot is secured by keyword or address instead."""

    def __init__(self, url: str, secret: str = "") -> None:
        self._url = url
        self._secret = secret

    def build(self, message: Message, now_ns: int) -> Request:
        """The request, signed for the millisecond of `now_ns`."""
        url = self._url
        if self._secret:
            timestamp = str(now_ns // 1_000_000)
            query = urlencode({"timestamp": timestamp, "sign": sign(self._secret, timestamp)})
            url = f"{url}{'&' if '?' in url else '?'}{query}"
        body = msgspec.json.encode({"msgtype": "text", "text": {"content": fit(message, TEXT_BYTES)}})
        return Request(url=url, body=body, headers={"Content-Type": "application/json"})

    def classify(self, answer: Answer) -> SendResult:
        """By `errcode`; a rate answer means ten minutes of silence."""
        result = vendor_answer(answer, _code, _CODES)
        if result.failure is Failure.RATE and result.retry_after_s is None:
            return msgspec.structs.replace(result, retry_after_s=_BLOCKED_S)
        return result


def sign(secret: str, timestamp_ms: str) -> str:
    """Base64 of HMAC-SHA256 with the secret as key over "{timestamp}\\n{secret}"; not yet URL-encoded."""
    digest = hmac.new(secret.encode(), f"{timestamp_ms}\n{secret}".encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def _code(document: dict[str, Any]) -> tuple[object, object]:
    return document.get("errcode"), document.get("errmsg", "")
