"""A generic webhook: one signed JSON object a message.

    POST {url}
    Content-Type: application/json
    Idempotency-Key: {key}                      the same for every attempt at one message
    X-Citynerve-Timestamp: {unix seconds}
    X-Citynerve-Signature: sha256={hex HMAC-SHA256(secret, timestamp + "." + body)}

The receiver recomputes the HMAC over the bytes it got and refuses timestamps that are minutes away from its own.
"""

import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from cloud.notify.channels.post import Answer, Request
from cloud.notify.messages import Message
from cloud.notify.results import SendResult, http_failure

__all__ = ["Webhook", "signature"]


class Webhook:
    """Any 2xx answer is success. Without a secret the signature header is left out."""

    def __init__(self, url: str, secret: str = "") -> None:
        self._url = url
        self._secret = secret

    def build(self, message: Message, now_ns: int) -> Request:
        """The signed request."""
        timestamp = str(now_ns // 1_000_000_000)
        body = msgspec.json.encode(_document(message, now_ns))
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": message.key,
            "X-Citynerve-Timestamp": timestamp,
        }
        if self._secret:
            headers["X-Citynerve-Signature"] = f"sha256={signature(self._secret, timestamp, body)}"
        return Request(url=self._url, body=body, headers=headers)

    def classify(self, answer: Answer) -> SendResult:
        """By the status alone."""
        failure = http_failure(answer.status)
        if failure is None:
            return SendResult(vendor_code=str(answer.status))
        detail = answer.body[:200].decode(errors="replace")
        return SendResult(failure=failure, vendor_code=str(answer.status), detail=detail, retry_after_s=answer.retry_after_s)


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Hex HMAC-SHA256 of `timestamp`, a full stop and `body` under `secret`."""
    return hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def _document(message: Message, now_ns: int) -> dict[str, Any]:
    return {
        "key": message.key,
        "step": message.step,
        "occasion": message.occasion,
        "sent": _iso(now_ns),
        "lang": message.lang,
        "title": message.title,
        "text": message.text,
        "link": message.link,
        "case": dict(_told(name, value) for name, value in message.facts.items() if name != "step"),
    }


def _told(name: str, value: Any) -> tuple[str, Any]:
    if not name.endswith("_ns"):
        return name, value
    return name.removesuffix("_ns"), None if value is None else _iso(value)


def _iso(time_ns: int) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_ns // 1000)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
