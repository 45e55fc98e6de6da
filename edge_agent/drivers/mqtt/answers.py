"""Orders that wait for what their device says on its answer topic."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from device_profiles.wires.mqtt import ADDRESS, Form
from device_profiles.wires.mqtt_orders import Answer
from firmware_bridge.documents import follow
from firmware_bridge.errors import ParseError
from firmware_bridge.publications import parse_publication

__all__ = ["Answers", "Waiting"]


class Waiting:
    """One order whose answer is to come. A topic that carries answers may carry other things, too, and say the old value once
    more before the new one: `done` is set when the device says the word that it was told, `last` is what it said otherwise."""

    def __init__(self, answer: Answer, word: str) -> None:
        self.done = asyncio.Event()
        self.last: str | None = None
        self._answer = answer
        self._word = word

    def hear(self, payload: bytes) -> None:
        """Take note of a message; one that does not say what is waited for changes nothing."""
        said = _said(self._answer, payload)
        if said == self._word:
            self.done.set()
        elif said is not None:
            self.last = said


class Answers:
    """Who waits for an answer, by topic."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[Waiting]] = {}

    @contextmanager
    def expect(self, answer: Answer, address: str, word: str) -> Iterator[Waiting]:
        """Hear what the device at `address` says it did, for as long as the context lasts."""
        topic = answer.topic.replace(ADDRESS, address)
        waiting = Waiting(answer, word)
        self._waiting.setdefault(topic, []).append(waiting)
        try:
            yield waiting
        finally:
            self._waiting[topic].remove(waiting)
            if not self._waiting[topic]:
                del self._waiting[topic]

    def hear(self, topic: str, payload: bytes) -> None:
        """Give the message to whoever waits for it."""
        for waiting in self._waiting.get(topic, ()):
            waiting.hear(payload)


def _said(answer: Answer, payload: bytes) -> str | None:
    try:
        value = follow(parse_publication(Form.JSON if answer.path else Form.PLAIN, payload), answer.path)
    except (ParseError, LookupError):
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return None if value is None or isinstance(value, (Mapping, list)) else str(value)
