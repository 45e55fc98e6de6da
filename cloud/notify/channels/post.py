"""One HTTP POST to somebody else's server, and what its outcome means before the vendor's own words are read."""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import msgspec
from yarl import URL

from cloud.notify.messages import Message
from cloud.notify.results import Failure, Redactor, SendResult, http_failure

__all__ = ["Answer", "HttpChannel", "HttpVendor", "Poster", "Request", "secrets_of", "vendor_answer"]

_MOST_ANSWER_BYTES = 64 * 1024
_CONNECT_S = 5.0
_LONGEST_RETRY_AFTER_S = 3600.0


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it goes out; the address of a `signed` one is sent byte for byte as it stands here."""

    url: str
    body: bytes
    headers: dict[str, str]
    method: str = "POST"
    signed: bool = False


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came back: at most 64 KiB of body."""

    status: int
    body: bytes
    retry_after_s: float | None = None


class HttpVendor(Protocol):
    """How one vendor wants its messages and says what became of them. Pure: no I/O, no clock."""

    def build(self, message: Message, now_ns: int) -> Request:
        """The request for `message`, signed for `now_ns` (nanoseconds since the Unix epoch)."""
        ...

    def classify(self, answer: Answer) -> SendResult:
        """What the vendor's answer means."""
        ...


class Poster:
    """Carries requests to a vendor."""

    def __init__(self, session: aiohttp.ClientSession, timeout_s: float, redact: Redactor) -> None:
        self._session = session
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, connect=min(_CONNECT_S, timeout_s))
        self._redact = redact

    async def exchange(self, request: Request) -> Answer | SendResult:
        """What came back, or a failure where nothing did; never raises for the world's faults."""
        try:
            return await self._send(request)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            return self._failed(Failure.NETWORK, error)
        except aiohttp.InvalidURL as error:
            return self._failed(Failure.FORMAT, error)
        except (TimeoutError, aiohttp.ClientError, asyncio.IncompleteReadError, OSError) as error:
            # The request was on its way: whether it arrived, nobody here knows.
            return self._failed(Failure.UNKNOWN_AFTER_TIMEOUT, error)

    async def _send(self, request: Request) -> Answer:
        url = URL(request.url, encoded=True) if request.signed else request.url
        # A redirect would carry the key in the address to wherever it points: it is refused as an answer of its own.
        async with self._session.request(
            request.method, url, data=request.body, headers=request.headers, timeout=self._timeout, allow_redirects=False
        ) as response:
            body = bytearray()
            async for chunk in response.content.iter_chunked(8192):
                body += chunk
                if len(body) > _MOST_ANSWER_BYTES:
                    break
            wish = _retry_after(response.headers.get("Retry-After", ""))
            return Answer(status=response.status, body=bytes(body[:_MOST_ANSWER_BYTES]), retry_after_s=wish)

    def _failed(self, failure: Failure, error: BaseException) -> SendResult:
        return SendResult(failure=failure, detail=self._redact(f"{type(error).__name__}: {error}".rstrip(": ")))


class HttpChannel:
    """Sends over HTTP what its vendor builds."""

    def __init__(self, vendor: HttpVendor, session: aiohttp.ClientSession, timeout_s: float, redact: Redactor) -> None:
        self._vendor = vendor
        self._poster = Poster(session, timeout_s, redact)
        self._redact = redact
        self.longest_s = timeout_s

    async def send(self, message: Message, now_ns: int) -> SendResult:
        """One attempt; never raises for the world's faults."""
        answer = await self._poster.exchange(self._vendor.build(message, now_ns))
        if isinstance(answer, SendResult):
            return answer
        result = self._vendor.classify(answer)
        return msgspec.structs.replace(result, detail=self._redact(result.detail))


def secrets_of(url: str) -> list[str]:
    """The parts of a robot's address that must not be shown: the whole, its path and query, their keys."""
    parts = urlsplit(url)
    values = [value for _, value in parse_qsl(parts.query)]
    # A webhook's key is its last path segment (Feishu) or a query value (WeCom, DingTalk).
    key = parts.path.rsplit("/", 1)[-1]
    userinfo = [parts.username or "", parts.password or ""]
    return [url, f"{parts.path}?{parts.query}", parts.query, key if len(key) > 8 else "", *values, *userinfo]


def vendor_answer(
    answer: Answer, code_of: Callable[[dict[str, Any]], tuple[object, object]], table: dict[int, Failure]
) -> SendResult:
    """The result of a vendor that answers 200 with a code of its own in a JSON object.

    `code_of` takes the code and the text out of the object; 0 alone is success. A code that `table` does not know is
    taken for the vendor's own trouble and tried again: no proof that it never will work.
    """
    if (failure := http_failure(answer.status)) is not None:
        return SendResult(
            failure=failure, vendor_code=f"http_{answer.status}", detail=_excerpt(answer.body), retry_after_s=answer.retry_after_s
        )
    try:
        document = msgspec.json.decode(answer.body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return SendResult(failure=Failure.NETWORK, detail=f"200 without a JSON object: {_excerpt(answer.body)}")
    code, text = code_of(document)
    if code == 0 and not isinstance(code, bool):
        return SendResult(vendor_code="0")
    known = table.get(code) if isinstance(code, int) else None
    return SendResult(failure=known or Failure.NETWORK, vendor_code=str(code)[:64], detail=str(text))


def _excerpt(body: bytes) -> str:
    return body[:200].decode(errors="replace")


def _retry_after(header: str) -> float | None:
    """Seconds of a Retry-After header; None for its date form, which no robot sends."""
    return min(float(header), _LONGEST_RETRY_AFTER_S) if header.isascii() and header.isdigit() else None
