"""Orders that wait for what their device says on its answer topic."""

import asyncio
from collections.abc import Callable, Mapping

import msgspec

from device_profiles.wires.mqtt import ADDRESS, Form
from device_profiles.wires.mqtt_orders import Answer
from firmware_bridge.documents import follow
from firmware_bridge.errors import ParseError
from firmware_bridge.publications import parse_publication

__all__ = ["Answers"]


class _Waiting(msgspec.Struct, frozen=True, eq=False):
    answer: Answer
    told: asyncio.Future[str]


class Answers:
    """At most one order a device waits at a time; a device that says something else than it was told did something else."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[_Waiting]] = {}

    def expect(self, answer: Answer, address: str) -> tuple["asyncio.Future[str]", Callable[[], None]]:
        """What the device at `address` will say it did, and how to give up waiting for it."""
        topic = answer.topic.replace(ADDRESS, address)
        waiting = _Waiting(answer, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(topic, []).append(waiting)

        def give_up() -> None:
            self._waiting[topic].remove(waiting)
            if not self._waiting[topic]:
                del self._waiting[topic]

        return waiting.told, give_up

    def hear(self, topic: str, payload: bytes) -> None:
        """Give the message to whoever waits for it; one that does not say what is waited for changes nothing."""
        for waiting in self._waiting.get(topic, ()):
            said = _said(waiting.answer, payload)
            if said is not None and not waiting.told.done():
                waiting.told.set_result(said)


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
