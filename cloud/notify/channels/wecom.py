"""WeCom group robot: the key in the address is the only secret; HTTP 200 says nothing, `errcode` does.

POST https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=...  {"msgtype": "text", "text": {"content": ...}}
"""

from typing import Any

import msgspec

from cloud.notify.channels.post import Answer, Request, vendor_answer
from cloud.notify.messages import Message, fit
from cloud.notify.results import Failure, SendResult

__all__ = ["Wecom"]

TEXT_BYTES = 2048
_RATE_WAIT_S = 60.0

# WeCom developer documents, "global return codes" (90313) and "group robot".
_CODES = {
    -1: Failure.NETWORK,  # system busy
    40001: Failure.AUTH,
    40014: Failure.AUTH,
    42001: Failure.AUTH,
    60020: Failure.AUTH,  # address not on the allow list
    40008: Failure.FORMAT,  # message type
    40058: Failure.FORMAT,  # parameter
    44004: Failure.FORMAT,  # empty content
    45002: Failure.FORMAT,  # content too long
    47001: Failure.FORMAT,  # not JSON
    45009: Failure.RATE,  # more than 20 a minute
    45033: Failure.RATE,  # too many at once
    93000: Failure.GONE,  # invalid webhook address: the robot was removed
}


class Wecom:
    """A text message of at most 2048 bytes."""

    def __init__(self, url: str) -> None:
        self._url = url

    def build(self, message: Message, now_ns: int) -> Request:
        """The request; nothing in it is signed, so `now_ns` is not used."""
        del now_ns
        body = msgspec.json.encode({"msgtype": "text", "text": {"content": fit(message, TEXT_BYTES)}})
        return Request(url=self._url, body=body, headers={"Content-Type": "application/json"})

    def classify(self, answer: Answer) -> SendResult:
        """By `errcode`."""
        result = vendor_answer(answer, _code, _CODES)
        if result.failure is Failure.RATE and result.retry_after_s is None:
            return msgspec.structs.replace(result, retry_after_s=_RATE_WAIT_S)
        return result


def _code(document: dict[str, Any]) -> tuple[object, object]:
    return document.get("errcode"), document.get("errmsg", "")
