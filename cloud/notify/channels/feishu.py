"""Feishu / Lark custom robot: signed in the body, answered by `code` under HTTP 200.

POST https://open.feishu.cn/open-apis/bot/v2/hook/{token}
{"timestamp": "{seconds}", "sign": ..., "msg_type": "text", "content": {"text": ...}}
sign = base64(HMAC-SHA256(key = timestamp + LF + secret, message = empty)), valid for one hour.
"""

import base64
import hashlib
import hmac
from typing import Any

import msgspec

from cloud.notify.channels.post import Answer, Request, vendor_answer
from cloud.notify.messages import Message, fit
from cloud.notify.results import Failure, SendResult

__all__ = ["Feishu", "sign"]

TEXT_BYTES = 18_000  # the whole body may be 20 KB
_RATE_WAIT_S = 60.0

# Feishu open platform, "custom bot guide: error codes".
_CODES = {
    9499: Failure.FORMAT,  # bad request body
    19002: Failure.FORMAT,
    19001: Failure.GONE,  # the token in the address is not known
    19021: Failure.AUTH,  # signature, or a timestamp more than an hour away
    19022: Failure.AUTH,  # address not on the allow list
    19024: Failure.AUTH,  # none of the robot's keywords in the text
    11232: Failure.RATE,  # 100 a minute, 5 a second, and the crush at full and half hours
    99991400: Failure.RATE,
}


class Feishu:
    """A text message; unsigned where the robot is secured by keyword or address instead."""

    def __init__(self, url: str, secret: str = "") -> None:
        self._url = url
        self._secret = secret

    def build(self, message: Message, now_ns: int) -> Request:
        """The request, signed for the second of `now_ns`."""
        # Feishu reads <at ...> tags in plain text: a device's name must not call a whole group.
        text = fit(message, TEXT_BYTES).replace("<", "＜")
        document: dict[str, Any] = {"msg_type": "text", "content": {"text": text}}
        if self._secret:
            timestamp = str(now_ns // 1_000_000_000)
            document = {"timestamp": timestamp, "sign": sign(self._secret, timestamp), **document}
        return Request(url=self._url, body=msgspec.json.encode(document), headers={"Content-Type": "application/json"})

    def classify(self, answer: Answer) -> SendResult:
        """By `code` (older answers: `StatusCode`)."""
        # Feishu also sends its code under HTTP 400: the code says more than the status does.
        if answer.status == 400:
            answer = msgspec.structs.replace(answer, status=200)
        result = vendor_answer(answer, _code, _CODES)
        if result.failure is Failure.RATE and result.retry_after_s is None:
            return msgspec.structs.replace(result, retry_after_s=_RATE_WAIT_S)
        return result


def sign(secret: str, timestamp_s: str) -> str:
    """Base64 of HMAC-SHA256 with "{timestamp}\\n{secret}" as key over nothing."""
    digest = hmac.new(f"{timestamp_s}\n{secret}".encode(), b"", hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def _code(document: dict[str, Any]) -> tuple[object, object]:
    return document.get("code", document.get("StatusCode")), document.get("msg", document.get("StatusMessage", ""))
