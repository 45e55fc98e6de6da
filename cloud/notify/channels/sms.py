"""SMS through a vendor's API: an approved template and short variables, to one number, never repeated unasked.

Neither Aliyun nor Tencent knows a repeat as one: after a timeout the vendor is asked for its record of the message,
which carries our key, before it is sent again.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import aiohttp
import msgspec

from cloud.notify.channels.post import Answer, Poster, Request
from cloud.notify.messages import Message
from cloud.notify.results import Failure, Receipt, Redactor, SendResult

__all__ = ["SmsChannel", "SmsVendor", "by_prefix", "shorten"]


class SmsVendor(Protocol):
    """How one vendor wants its messages, says what became of them, and is asked for its record. Pure: no I/O, no clock."""

    def build(self, message: Message, now_ns: int) -> Request:
        """The request for `message`, signed for `now_ns`."""
        ...

    def classify(self, answer: Answer) -> SendResult:
        """What the vendor's answer means."""
        ...

    def questions(self, message: Message, since_ns: int, now_ns: int) -> Sequence[Request]:
        """What to ask for the vendor's record of `message`, first tried at `since_ns`."""
        ...

    def read(self, answer: Answer, message: Message) -> Receipt:
        """What the answer to one question says of `message`."""
        ...


class SmsChannel:
    """One SMS to the number that `message.to` names."""

    def __init__(self, vendor: SmsVendor, session: aiohttp.ClientSession, timeout_s: float, redact: Redactor) -> None:
        self._vendor = vendor
        self._poster = Poster(session, timeout_s, redact)
        self._redact = redact
        self.longest_s = timeout_s * 3

    async def send(self, message: Message, now_ns: int) -> SendResult:
        """One attempt; never raises for the world's faults."""
        answer = await self._poster.exchange(self._vendor.build(message, now_ns))
        if isinstance(answer, SendResult):
            return answer
        result = self._vendor.classify(answer)
        return msgspec.structs.replace(result, detail=self._redact(result.detail))

    async def ask(self, message: Message, since_ns: int, now_ns: int) -> Receipt:
        """Whether the vendor has it: absent only where every question says so."""
        said = set()
        for question in self._vendor.questions(message, since_ns, now_ns):
            answer = await self._poster.exchange(question)
            said.add(Receipt.UNKNOWN if isinstance(answer, SendResult) else self._vendor.read(answer, message))
        if Receipt.ARRIVED in said:
            return Receipt.ARRIVED
        return Receipt.ABSENT if said == {Receipt.ABSENT} else Receipt.UNKNOWN


def by_prefix(code: str, table: Mapping[str, Failure]) -> Failure:
    """The class of `code` by the longest entry it begins with; the vendor's own trouble where there is none."""
    known = [entry for entry in table if code == entry or code.startswith(f"{entry}.")]
    return table[max(known, key=len)] if known else Failure.NETWORK


def shorten(text: str, limit: int) -> str:
    """`text` as a template takes it: at most `limit` characters, never empty."""
    return text if 0 < len(text) <= limit else f"{text[: limit - 1]}…" if text else "-"
