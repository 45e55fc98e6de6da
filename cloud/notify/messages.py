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

from cloud.notify.config import ChannelConfig, ChannelKind, Language

__all__ = ["VARIABLES", "Message", "age", "fit", "local_time", "render", "say", "trial"]

VARIABLES = frozenset({"title", "priority", "step", "place", "id", "time", "due", "department", "count", "token"})
"""What an approved SMS template can be filled with; `token` ends the link https://.../n/{token}."""


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND_NS = 1_000_000_000


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message, ready for any channel.

    `key` is the same for every attempt at it; `facts` is the outbox payload, `to` the address of the one person it goes
    to ("" for a channel as a whole), `variables` its short words for a template: one for each of `VARIABLES`.
    """

    key: str
    step: str
    occasion: str
    lang: str
    title: str
    lines: tuple[str, ...]
    link: str
    facts: Mapping[str, Any]
    to: str = ""
    variables: Mapping[str, str] = {}

    @property
    def text(self) -> str:
        """Title and lines, one below the other."""
        return "\n".join((self.title, *self.lines))


def render(row: Mapping[str, Any], channel: ChannelConfig, now_ns: int, base_url: str) -> Message:
    """The message of one `notifications` row as `channel` shall have it; `now_ns` gives the age.

    KeyError, TypeError or ValueError where the row's payload is not what this version writes.
    """
    facts, token = row["payload"], "" if channel.kind is ChannelKind.WEBHOOK else row.get("token") or ""
    # A message's own link ends at the case and shows that somebody looked; a program gets the case's own address.
    page = f"n/{token}" if token else f"cases/{facts['id']}" if facts.get("id") else "cases"
    link = f"{base_url.rstrip('/')}/{page}" if base_url else ""
    title, lines, variables = (_many if "groups" in facts else _one)(facts, channel.lang, _zone(channel.zone), now_ns)
    lines.append(say(channel.lang, "link", link=link) if link else "")
    person = channel.person(row.get("target", ""))
    return Message(
        key=_key(row),
        step=facts["step"],
        occasion=row["occasion"],
        lang=channel.lang.value,
        title=" ".join(title.split()),
        lines=tuple(" ".join(line.split()) for line in lines if line),
        link=link,
        facts=facts,
        to=person.address if person else "",
        variables={name: " ".join(value.split()) for name, value in {**variables, "token": token}.items()},
    )


_Words = tuple[str, list[str], dict[str, str]]


def _one(facts: Mapping[str, Any], lang: Language, zone: tzinfo, now_ns: int) -> _Words:
    """Title, lines and variables of a message about one case."""
    step, priority, title = say(lang, _step(facts, lang)), say(lang, facts["priority"]), facts[f"title_{lang}"]
    opened = local_time(facts["opened_ns"], zone)
    due = local_time(facts["due_ns"], zone) if facts["due_ns"] is not None else say(lang, "not_due")
    lines = [
        say(lang, "place", place=_place(facts, lang)),
        say(lang, "time", time=opened, age=age(facts["opened_ns"], now_ns, lang)),
        say(lang, "handling", department=facts["department"], due=due),
        say(lang, "assignee", assignee=facts["assignee"]) if facts["assignee"] else "",
        say(lang, "case", id=facts["id"]),
    ]
    variables = {
        "title": title,
        "priority": priority,
        "step": step,
        "place": facts.get("device_name") or facts["device"] or facts.get("address", ""),
        "id": str(facts["id"]),
        "time": opened[5:16],
        "due": due[5:16] if facts["due_ns"] is not None else due,
        "department": facts["department"],
        "count": "1",
    }
    return say(lang, "headline", step=step, priority=priority, title=title), lines, variables


def _many(facts: Mapping[str, Any], lang: Language, zone: tzinfo, now_ns: int) -> _Words:
    """Title, lines and variables of a digest."""
    del now_ns
    count, groups = str(facts["count"]), facts["groups"]
    first, last = local_time(facts["first_ns"], zone), local_time(facts["last_ns"], zone)
    priority, title = say(lang, groups[0]["priority"]), say(lang, "digest_title", count=count)
    lines = [say(lang, "digest_time", first=first, last=last)]
    for group in groups:
        words = {"step": say(lang, _step(group, lang)), "priority": say(lang, group["priority"])}
        cases = f"{group['first_case']}–{group['last_case']}"
        cases = str(group["first_case"]) if group["first_case"] == group["last_case"] else cases
        lines.append(say(lang, "digest_group", **words, title=group[f"title_{lang}"], count=group["count"], cases=cases))
    lines.append(say(lang, "digest_more", count=facts["more"]) if facts["more"] else "")
    variables = {
        "title": title,
        "priority": priority,
        "step": say(lang, "digest"),
        "place": say(lang, "several"),
        "id": say(lang, "several"),
        "time": first[5:16],
        "due": "-",
        "department": "-",
        "count": count,
    }
    return say(lang, "headline", step=say(lang, "digest"), priority=priority, title=title), lines, variables


def trial(channel: ChannelConfig, address: str, now_ns: int, key: str) -> Message:
    """A message that asks for nothing, for trying a channel out. It is no case's and stands in no outbox."""
    lang, time = channel.lang, local_time(now_ns, _zone(channel.zone))
    title, text = say(lang, "test_title"), say(lang, "test_text", channel=channel.name, time=time)
    variables = {**dict.fromkeys(VARIABLES, "-"), "title": title, "step": say(lang, "test"), "count": "1", "time": time[5:16]}
    return Message(
        key=key,
        step="test",
        occasion=f"test/{key}",
        lang=lang.value,
        title=title,
        lines=(text,),
        link="",
        facts={"step": "test"},
        to=address,
        variables=variables,
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


def fit(message: Message, limit_bytes: int, encoding: str = "utf-8") -> str:
    """The text within `limit_bytes` of `encoding`: lines go from the middle first, the title and the link stay."""
    lines = [message.title, *message.lines]
    while len("\n".join(lines).encode(encoding)) > limit_bytes and len(lines) > 2:
        del lines[-2]
    text = "\n".join(lines)
    if len(text.encode(encoding)) <= limit_bytes:
        return text
    tail = f"\n{lines[-1]}" if len(lines) > 1 else ""
    room = max(0, limit_bytes - len(f"…{tail}".encode(encoding)))
    return message.title.encode(encoding)[:room].decode(encoding, errors="ignore") + "…" + tail


def _step(facts: Mapping[str, Any], lang: Language) -> str:
    return facts["step"] if facts["step"] in _catalogue()[lang] else "other"


def _place(facts: Mapping[str, Any], lang: Language) -> str:
    name, device = facts.get("device_name") or "", facts["device"] or facts.get("address", "")
    place = f"{name}({device})" if name and lang is Language.ZH else f"{name} ({device})" if name else device
    if facts["longitude"] is None or facts["latitude"] is None:
        return str(place)
    return place + say(lang, "position", longitude=f"{facts['longitude']:.6f}", latitude=f"{facts['latitude']:.6f}")


def _key(row: Mapping[str, Any]) -> str:
    named = (row["occasion"], row["step"], row["channel"], row.get("target", ""))
    what = "\n".join(part for part in named if part)
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
