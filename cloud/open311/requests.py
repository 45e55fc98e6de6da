"""What anybody may see of the cases: those of the matters in the list, and nothing of who reported them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Exists, Label, Select, exists, func, select

from cloud.notify.config import Language
from cloud.open311.config import Open311Config, Publish
from cloud.open311.faults import Fault, Refused, Trouble, in_language
from cloud.open311.offer import FindMatter
from cloud.open311.submission import ACTOR, MEDIA
from cloud.open311.times import read_time, shown_time
from cloud.relational.tables import case_steps, cases, devices
from cloud.workflow.states import STATE_WORDS, State, Step
from telemetry.clock import SECOND_NS

__all__ = ["Asked", "case_select", "read_asked", "read_id", "request_document"]

_SPAN_NS: Final = 90 * 86_400 * SECOND_NS
_MOST: Final = 1000
"""GeoReport v2, "Response Volume": 90 days or 1000 requests, whichever is smaller. More are read page by page, by the
extension `page` and `page_size` that several cities have."""
_MOST_PAGE: Final = 1000
_MAX_ID: Final = 2**63 - 1

_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(\.[\w-]{1,63})+")
# Mobile and other telephone numbers, identity cards: seven digits and more, perhaps in groups.
_DIGITS = re.compile(r"\+?[0-9](?:[ -]?[0-9]){6,}[Xx]?")
_STATUS: Final = ("open", "closed")


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Which requests; with `ids` the rest does not count. Times are nanoseconds, `end_ns` included."""

    ids: tuple[int, ...] | None = None
    codes: frozenset[str] | None = None
    start_ns: int = 0
    end_ns: int = _MAX_ID
    status: str = ""
    page: int = 1
    size: int = _MOST


def read_asked(query: Iterable[tuple[str, str]], now_ns: int) -> Asked:
    """GET requests' arguments; those that it does not know are let be. Refused with everything that is wrong."""
    given: dict[str, list[str]] = {}
    for name, value in query:
        given.setdefault(name, []).extend(filter(None, (part.strip() for part in value.split(","))))
    troubles: list[Trouble] = []
    page = _whole(given, "page", 1, _MOST_PAGE, troubles)
    size = _whole(given, "page_size", _MOST, _MOST, troubles)
    if given.get("service_request_id"):
        if troubles:
            raise Refused(*troubles)
        ids = dict.fromkeys(number for text in given["service_request_id"] if (number := read_id(text)) is not None)
        return Asked(ids=tuple(ids)[:_MOST], page=page, size=size)
    start_ns, end_ns = _window(given, now_ns, troubles)
    asked = set(given.get("status", ()))
    troubles += [Trouble(Fault.STATUS, {"value": word}) for word in sorted(asked - set(_STATUS))]
    if troubles:
        raise Refused(*troubles)
    codes = frozenset(given["service_code"]) if given.get("service_code") else None
    status = asked.pop() if len(asked) == 1 else ""
    return Asked(codes=codes, start_ns=start_ns, end_ns=end_ns, status=status, page=page, size=size)


def read_id(text: str) -> int | None:
    """The number of a case; None for what cannot be one."""
    if not re.fullmatch("[0-9]{1,19}", text):
        return None
    number = int(text)
    return number if 1 <= number <= _MAX_ID else None


def case_select(config: Open311Config, asked: Asked) -> Select[Any]:
    """The cases, newest first."""
    wanted = select(cases, devices.c.component_code, _last_step(), _void_reason())
    wanted = wanted.outerjoin(devices, devices.c.id == cases.c.device).order_by(cases.c.opened_ns.desc(), cases.c.id.desc())
    codes = config.entries.keys() if asked.codes is None else config.entries.keys() & asked.codes
    wanted = wanted.where(cases.c.matter.in_(sorted(codes))).limit(asked.size).offset((asked.page - 1) * asked.size)
    if config.publish is Publish.REPORTED:
        wanted = wanted.where(_came_here())
    if asked.ids is not None:
        return wanted.where(cases.c.id.in_(asked.ids))
    wanted = wanted.where(cases.c.opened_ns.between(asked.start_ns, asked.end_ns))
    if asked.status:
        wanted = wanted.where(cases.c.closed_ns.is_(None) if asked.status == "open" else cases.c.closed_ns.is_not(None))
    return wanted


def request_document(config: Open311Config, find: FindMatter, row: Mapping[str, Any], language: Language) -> dict[str, Any]:
    """A row of `case_select` as GET requests has it."""
    matter = find(row["matter"], row["opened_ns"])
    description, media_url = _text(config, row)
    last_ns = row["last_ns"] or row["opened_ns"]
    return {
        "service_request_id": str(row["id"]),
        "status": "open" if row["closed_ns"] is None else "closed",
        "status_notes": _notes(row, language) or None,
        "service_name": row["title_zh"] if language is Language.ZH else row["title_en"],
        "service_code": row["matter"],
        "description": description or None,
        "agency_responsible": row["department"] or None,
        "service_notice": None if matter is None else in_language(matter.closes_when, language),
        "requested_datetime": shown_time(row["opened_ns"]),
        "updated_datetime": shown_time(row["closed_ns"] or last_ns),
        "expected_datetime": shown_time(row["due_ns"]),
        "address": _masked(row["address"]) or None,
        "address_id": row["component_code"] or None,
        "zipcode": None,
        "lat": row["latitude"],
        "long": row["longitude"],
        "media_url": media_url or None,
    }


def _text(config: Open311Config, row: Mapping[str, Any]) -> tuple[str, str]:
    """What the citizen wrote, and the link under it. What the desk wrote of its own cases is not for everybody."""
    if row["source"] != "citizen" or not config.publish_text:
        return "", ""
    text, _, last = row["description"].rpartition("\n")
    if not last.startswith(MEDIA):
        return _masked(row["description"]), ""
    return _masked(text), last.removeprefix(MEDIA)


def _notes(row: Mapping[str, Any], language: Language) -> str:
    """The state in words, and why it ended so."""
    words = STATE_WORDS.get(row["state"])
    state = "" if words is None else in_language(words, language)
    why = {State.CLOSED.value: row["closing_standard"], State.VOID.value: row["void_reason"]}.get(row["state"])
    colon = "：" if language is Language.ZH else ": "
    return colon.join(filter(None, (state, _masked(why or ""))))


def _masked(text: str) -> str:
    return _DIGITS.sub("***", _EMAIL.sub("***", text))


def _came_here() -> Exists:
    """Whether a report that came through this door is in the case."""
    return exists().where(case_steps.c.case_id == cases.c.id, case_steps.c.actor.startswith(ACTOR))


def _last_step() -> Label[Any]:
    last = select(func.max(case_steps.c.at_ns)).where(case_steps.c.case_id == cases.c.id)
    return last.scalar_subquery().label("last_ns")


def _void_reason() -> Label[Any]:
    voided = case_steps.c.case_id == cases.c.id, case_steps.c.step == Step.VOID.value
    reason = select(case_steps.c.reason).where(*voided).order_by(case_steps.c.id.desc()).limit(1)
    return reason.scalar_subquery().label("void_reason")


def _window(given: Mapping[str, Sequence[str]], now_ns: int, troubles: list[Trouble]) -> tuple[int, int]:
    """From when to when; one end alone has the other 90 days away."""
    start_ns, end_ns = (_time(given, name, troubles) for name in ("start_date", "end_date"))
    if start_ns is None and end_ns is None:
        return now_ns - _SPAN_NS, now_ns
    if start_ns is None or end_ns is None:
        given_ns = start_ns if end_ns is None else end_ns - _SPAN_NS
        return given_ns or 0, min(_MAX_ID, (given_ns or 0) + _SPAN_NS)
    if not 0 <= end_ns - start_ns <= _SPAN_NS:
        troubles.append(Trouble(Fault.SPAN))
    return start_ns, end_ns


def _time(given: Mapping[str, Sequence[str]], name: str, troubles: list[Trouble]) -> int | None:
    for text in given.get(name, ()):
        time_ns = read_time(text)
        if time_ns is None:
            troubles.append(Trouble(Fault.DATE, {"name": name, "value": text}))
        return time_ns
    return None


def _whole(given: Mapping[str, Sequence[str]], name: str, default: int, most: int, troubles: list[Trouble]) -> int:
    for text in given.get(name, ()):
        if re.fullmatch("[0-9]{1,9}", text) and 1 <= int(text) <= most:
            return int(text)
        troubles.append(Trouble(Fault.PAGE, {"name": name, "most": most, "value": text}))
    return default
