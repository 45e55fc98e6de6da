"""Orders that go out over MQTT: a text on a topic, and where the device's answer is to be found."""

from collections.abc import Mapping

import msgspec

from device_profiles.branch import Branch, whole
from device_profiles.wires.documents import read_path

__all__ = ["Answer", "PublishOrder", "read_publish_order"]

_ARGUMENT = "{value}"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Where a device says what it did: at `path` of a JSON document on `topic` (the whole payload where there is no path).
    It says within `timeout_s` the value that it was told, or it did not do it."""

    topic: str
    path: tuple[str | int, ...] = ()
    timeout_s: float = 5.0


class PublishOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A text to publish; `{address}` in a topic is the device's, `{value}` in the payload the argument, or its word where
    `words` has one. Without an `answer` nobody can tell whether the device obeyed: the broker's PUBACK is only the broker's."""

    topic: str
    payload: str = _ARGUMENT
    words: Mapping[int, str] = {}
    answer: Answer | None = None

    @property
    def takes_value(self) -> bool:
        """Whether the payload says the argument."""
        return _ARGUMENT in self.payload

    def text(self, value: float) -> tuple[str, str]:
        """The payload for an argument, and the word that stands in it for the argument: what an answer must say."""
        number = int(value) if float(value).is_integer() else value
        word = self.words.get(int(value), str(number)) if number == int(value) else str(number)
        return self.payload.replace(_ARGUMENT, word), word

    def __str__(self) -> str:
        return f"publish on {self.topic}"


def read_publish_order(branch: Branch) -> PublishOrder:
    """The keys `topic`, `payload`, `words` and `answer` of an order."""
    answer = branch.optional("answer")
    return PublishOrder(
        topic=_topic(branch, "topic"),
        payload=branch.text("payload", _ARGUMENT),
        words=_words(branch),
        answer=None if answer is None else _answer(answer),
    )


def _topic(branch: Branch, key: str) -> str:
    topic = branch.text(key)
    if "+" in topic or "#" in topic:
        branch.wrong(key, "+ and # are for subscribers", '"cmnd/{address}/POWER"')
    return topic


def _words(branch: Branch) -> dict[int, str]:
    inner = branch.optional("words")
    words: dict[int, str] = {}
    for key, value in () if inner is None else inner.scalars():
        number = whole(key)
        if inner is not None and (number is None or value is None):
            inner.wrong_key(key, f"{key[:40]!r} is not a whole number with a word", '1: "ON"')
        elif number is not None and value is not None:
            words[number] = value.text
    return words


def _answer(branch: Branch) -> Answer:
    answer = Answer(
        topic=_topic(branch, "topic"),
        path=read_path(branch, "path") if branch.has("path") else (),
        timeout_s=branch.number("timeout_s", 5.0, low=0.1, high=25),
    )
    branch.finish()
    return answer
