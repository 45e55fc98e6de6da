"""WeCom application message: to one member, by a token that is fetched, kept and renewed.

GET  {url}/cgi-bin/gettoken?corpid=...&corpsecret=...        {"errcode": 0, "access_token": ..., "expires_in": 7200}
POST {url}/cgi-bin/message/send?access_token=...             {"errcode": 0, "msgid": ..., "invaliduser": ""}

With `enable_duplicate_check` WeCom drops a repeat of the same text to the same member within half an hour (developer
documents, "send application messages"; 90236), so an attempt whose answer was lost can be repeated. What is beyond 30
messages a minute to one member is dropped without an error: the budget keeps away from that.
"""

from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
import msgspec

from cloud.notify.channels.post import Answer, Poster, Request, vendor_answer
from cloud.notify.config import ChannelConfig
from cloud.notify.messages import Message, fit
from cloud.notify.results import Failure, Redactor, SendResult
from telemetry.clock import SECOND_NS

__all__ = ["WecomApp"]

TEXT_BYTES = 2048
_RATE_WAIT_S = 60.0
_SAME_FOR_S = 1800
# A token that ends while its message is under way is a refusal for nothing.
_EARLY_NS = 300 * SECOND_NS

# WeCom developer documents, "global return codes" (90313).
_CODES = {
    -1: Failure.NETWORK,  # system busy
    40001: Failure.AUTH,  # secret
    40013: Failure.AUTH,  # corpid
    40014: Failure.AUTH,  # access_token
    41001: Failure.AUTH,
    42001: Failure.AUTH,  # access_token has expired
    40056: Failure.AUTH,  # agentid
    60011: Failure.AUTH,  # no right to this member
    60020: Failure.AUTH,  # address not on the allow list
    301002: Failure.AUTH,  # agentid is not this secret's
    40003: Failure.GONE,  # userid
    46004: Failure.GONE,  # no such member
    60111: Failure.GONE,  # no such member
    81013: Failure.GONE,  # none of the receivers may see the application
    40008: Failure.FORMAT,
    40058: Failure.FORMAT,
    44004: Failure.FORMAT,
    45002: Failure.FORMAT,
    47001: Failure.FORMAT,
    45009: Failure.RATE,
    45033: Failure.RATE,
}
_STALE = frozenset({"40014", "42001"})


class WecomApp:
    """A text message to the member that `message.to` names."""

    def __init__(self, config: ChannelConfig, url: str, secret: str, session: aiohttp.ClientSession) -> None:
        self._config = config
        self._url = url.rstrip("/")
        self._secret = secret
        self._session = session
        self._token = ""
        self._token_until_ns = 0
        # A message may need two tokens and be sent twice: a stale one is found out by using it.
        self.longest_s = config.timeout_s * 4

    async def send(self, message: Message, now_ns: int) -> SendResult:
        """One attempt; a token that WeCom no longer knows is renewed once within it."""
        if (not self._token or now_ns >= self._token_until_ns) and (refused := await self._renew(now_ns)) is not None:
            return refused
        result = await self._send(message)
        if result.vendor_code not in _STALE:
            return result
        refused = await self._renew(now_ns)
        return await self._send(message) if refused is None else refused

    async def _renew(self, now_ns: int) -> SendResult | None:
        """Fetch a token; what went wrong, or None."""
        query = urlencode({"corpid": self._config.corp_id, "corpsecret": self._secret})
        request = Request(url=f"{self._url}/cgi-bin/gettoken?{query}", body=b"", headers={}, method="GET")
        answer = await self._poster().exchange(request)
        if isinstance(answer, SendResult):
            # Nothing was sent yet, so nothing can have arrived.
            return msgspec.structs.replace(answer, failure=Failure.NETWORK)
        result = self._read(answer)
        if result.failure is not None:
            return result
        document = msgspec.json.decode(answer.body, type=dict[str, Any])
        token, lasts_s = document.get("access_token"), document.get("expires_in")
        if not isinstance(token, str) or not isinstance(lasts_s, int):
            return SendResult(failure=Failure.NETWORK, detail="the answer holds no access_token")
        self._token = token
        self._token_until_ns = now_ns + max(lasts_s * SECOND_NS - _EARLY_NS, lasts_s * SECOND_NS // 2)
        return None

    async def _send(self, message: Message) -> SendResult:
        body = {
            "touser": message.to,
            "msgtype": "text",
            "agentid": self._config.agent_id,
            "text": {"content": fit(message, TEXT_BYTES)},
            "enable_duplicate_check": 1,
            "duplicate_check_interval": _SAME_FOR_S,
        }
        url = f"{self._url}/cgi-bin/message/send?access_token={quote(self._token, safe='')}"
        request = Request(url=url, body=msgspec.json.encode(body), headers={"Content-Type": "application/json"})
        answer = await self._poster().exchange(request)
        return answer if isinstance(answer, SendResult) else self._read(answer)

    def _read(self, answer: Answer) -> SendResult:
        result = vendor_answer(answer, lambda document: (document.get("errcode"), document.get("errmsg", "")), _CODES)
        result = msgspec.structs.replace(result, detail=self._redact()(result.detail))
        if result.failure is Failure.RATE and result.retry_after_s is None:
            return msgspec.structs.replace(result, retry_after_s=_RATE_WAIT_S)
        if result.failure is not None:
            return result
        document = msgspec.json.decode(answer.body, type=dict[str, Any])
        if document.get("invaliduser") or document.get("unlicenseduser"):
            # Taken, but for nobody: one member is all that a message of ours has.
            return SendResult(failure=Failure.GONE, vendor_code="0", detail="no such member, or not of this application")
        return msgspec.structs.replace(result, receipt=str(document.get("msgid", "")))

    def _redact(self) -> Redactor:
        return Redactor([self._secret, self._token, quote(self._token, safe="")])

    def _poster(self) -> Poster:
        return Poster(self._session, self._config.timeout_s, self._redact())
