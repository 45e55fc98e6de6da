"""From the facts in the outbox to the words that a person reads, in the channel's language and zone."""

import hashlib
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from cloud.notify.config import ChannelConfig, Language

__all__ = ["Message", "age", "fit", "local_time", "render", "say"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND_NS = 1_000_000_000


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message, ready for any channel. `key` is the same for every attempt at it; `facts` is the outbox payload."""

    key: str
    step: str
    occasion: str
    lang: str
    title: str
    lines: tuple[str, ...]
    link: str
    facts: Mapping[str, Any]

    @property
    def text(self) -> str:
        """Title and lines, one below the other."""
        return "\n".join((self.title, *self.lines))


def render(row: Mapping[str, Any], channel: ChannelConfig, now_ns: int, base_url: str) -> Message:
    """The message of one `notifications` row as `channel` shall have it; `now_ns` gives the age."""
    facts = row["payload"]
    lang, zone = channel.lang, _zone(channel.zone)
    link = f"{base_url.rstrip('/')}/cases/{facts['id']}" if base_url else ""
    step = facts["step"] if facts["step"] in _catalogue()[lang] else "other"
    title = say(lang, "headline", step=say(lang, step), priority=say(lang, facts["priority"]), title=facts[f"title_{lang}"])
    lines = [
        say(lang, "place", place=_place(facts, lang)),
        say(lang, "time", time=local_time(facts["opened_ns"], zone), age=age(facts["opened_ns"], now_ns, lang)),
        say(lang, "handling", department=facts["department"], due=local_time(facts["due_ns"], zone)),
        say(lang, "assignee", assignee=facts["assignee"]) if facts["assignee"] else "",
        say(lang, "case", id=facts["id"]),
        say(lang, "link", link=link) if link else "",
    ]
    return Message(
        key=_key(row),
        step=facts["step"],
        occasion=row["occasion"],
        lang=lang.value,
        title=" ".join(title.split()),
        lines=tuple(" ".join(line.split()) for line in lines if line),
        link=link,
        facts=facts,
    )


def say(lang: Language, key: str, **values: object) -> str:
    """One entry of texts.toml, filled in; KeyError where there is none."""
    return _catalogue()[lang][key].format(**values)


def age(then_ns: int, now_ns: int, lang: Language) -> str:
    """How long ago, in the largest whole unit; a time that is yet to come counts as now."""
    seconds = max(0, now_ns - then_ns) // _SECOND_NS
    if seconds < 1:
        return say(lang, "just_now")
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60), ("seconds", 1)):
        if seconds >= size:
            return say(lang, unit, n=seconds // size)
    raise AssertionError(seconds)


def local_time(time_ns: int, zone: tzinfo) -> str:
    """Civil time to the second with its offset: 2026-11-20 22:31:05 UTC+08:00."""
    moment = (_EPOCH + timedelta(microseconds=time_ns // 1000)).astimezone(zone)
    offset = moment.strftime("%z")
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC{offset[:3]}:{offset[3:5]}"


def fit(message: Message, limit_bytes: int) -> str:
    """The text within `limit_bytes` of UTF-8: lines go from the middle first, the title and the link stay."""
    lines = [message.title, *message.lines]
    while len("\n".join(lines).encode()) > limit_bytes and len(lines) > 2:
        del lines[-2]
    text = "\n".join(lines).encode()
    if len(text) <= limit_bytes:
        return text.decode()
    tail = f"\n{lines[-1]}" if len(lines) > 1 else ""
    room = limit_bytes - len(tail.encode()) - len("…".encode())
    return message.title.encode()[: max(0, room)].decode(errors="ignore") + "…" + tail


def _place(facts: Mapping[str, Any], lang: Language) -> str:
    name, device = facts.get("device_name") or "", facts["device"]
    place = f"{name}({device})" if name and lang is Language.ZH else f"{name} ({device})" if name else device
    if facts["longitude"] is None or facts["latitude"] is None:
        return str(place)
    return place + say(lang, "position", longitude=f"{facts['longitude']:.6f}", latitude=f"{facts['latitude']:.6f}")


def _key(row: Mapping[str, Any]) -> str:
    what = "\n".join((row["occasion"], row["step"], row["channel"]))
    return hashlib.sha256(what.encode()).hexdigest()[:32]


@cache
def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        # A machine without a zone database still has to send; the offset in the text says which zone it is.
        return UTC


@cache
def _catalogue() -> dict[Language, dict[str, str]]:
    tables = tomllib.loads((Path(__file__).parent / "texts.toml").read_text(encoding="utf-8"))
    return {lang: tables[lang.value] for lang in Language}
