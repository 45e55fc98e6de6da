"""A citizen's report as it was sent: checked whole, every mistake told at once."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

import msgspec

from cloud.notify.config import Language
from cloud.open311.answers import Answer, check_answers, component_of
from cloud.open311.catalogue import Entry
from cloud.open311.config import Keep
from cloud.open311.faults import Fault, Refused, Trouble
from cloud.open311.form import Form

__all__ = ["ACTOR", "MEDIA", "Submission", "read_submission", "reporter", "text_of"]

ACTOR: Final = "open311:"
"""What stands before the key's name where a step says who took it."""

MEDIA: Final = "media_url: "
"""What stands before the link in the last line of a description."""

_MOST_REPORTER: Final = 128
"""The room in `cases.reporter`."""

# The description's 4,000 are the specification's, the others' the room that their columns have, or enough.
_MOST: Final[Mapping[str, int]] = {
    "description": 4000,
    "address_string": 400,
    "address_id": 32,
    "media_url": 1000,
    "account_id": 100,
    "email": 100,
    "phone": 40,
    "first_name": 60,
    "last_name": 60,
}
_DEGREES: Final[Mapping[str, float]] = {"lat": 90.0, "long": 180.0}
_NUMBER = re.compile(r"[+-]?[0-9]{1,3}(\.[0-9]{1,20})?")


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """What was reported. `component` is the code on the object, empty where none was given; a place is there in one of the
    three ways; `who` are phone, e-mail and name, empty ones left out."""

    entry: Entry
    longitude: float | None
    latitude: float | None
    address: str
    component: str
    description: str
    answers: tuple[Answer, ...]
    media_url: str
    account_id: str
    who: tuple[str, ...]

    def mark(self, key: str) -> str:
        """The same for what is sent twice: by this key, of this service, place and text. 40 hexadecimal digits."""
        place = (repr(self.longitude), repr(self.latitude), self.address, self.component)
        said = [part for answer in self.answers for part in (answer.attribute.code, *answer.said)]
        parts = (key, self.entry.code, *place, self.description, self.media_url, *said)
        return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:40]


def read_submission(form: Form, entry: Entry) -> Submission:
    """The report in a form to this service. Refused with everything that is wrong with it."""
    answers, troubles = check_answers(entry, form.answers)
    troubles += _too_long(form)
    position, of_place = _position(form)
    troubles += of_place
    component = component_of(answers) or form.get("address_id")
    if not of_place and position is None and not form.get("address_string") and not form.get("address_id"):
        troubles.append(Trouble(Fault.PLACE_MISSING))
    if form.get("media_url") and not _is_link(form.get("media_url")):
        troubles.append(Trouble(Fault.MEDIA_URL))
    if troubles:
        raise Refused(*troubles)
    name = " ".join(filter(None, (form.get("first_name"), form.get("last_name"))))
    return Submission(
        entry=entry,
        longitude=None if position is None else position[0],
        latitude=None if position is None else position[1],
        address=" ".join(form.get("address_string").split()),
        component=component,
        description=form.get("description"),
        answers=answers,
        media_url=form.get("media_url"),
        account_id=form.get("account_id"),
        who=tuple(filter(None, (form.get("phone"), form.get("email"), name))),
    )


def text_of(submission: Submission, language: Language) -> str:
    """The case's description: what was written, each answer on a line, and at the end the link, which nobody here follows."""
    lines = [submission.description, *(answer.line(language) for answer in submission.answers)]
    if submission.media_url:
        lines.append(MEDIA + submission.media_url)
    return "\n".join(filter(None, lines))


def reporter(submission: Submission, key: str, keep: Keep) -> str:
    """What is kept of who reported; what has no room is left out whole, never cut."""
    kept = ACTOR + key
    more: tuple[str, ...] = ()
    if keep is not Keep.NOTHING and submission.account_id:
        more = (f"account {submission.account_id}",)
    if keep is Keep.CONTACT:
        more = (*submission.who, *more)
    for part in more:
        longer = f"{kept}; {' '.join(part.split())}"
        kept = longer if len(longer) <= _MOST_REPORTER else kept
    return kept


def _too_long(form: Form) -> Iterator[Trouble]:
    for name, most in _MOST.items():
        if len(form.get(name)) > most:
            yield Trouble(Fault.TOO_LONG, {"name": name, "most": most})


def _position(form: Form) -> tuple[tuple[float, float] | None, list[Trouble]]:
    """Longitude and latitude, WGS-84 degrees; None where neither was sent."""
    sent = {name: form.get(name) for name in _DEGREES if form.get(name)}
    wrong = [name for name, text in sent.items() if not _NUMBER.fullmatch(text) or abs(float(text)) > _DEGREES[name]]
    if wrong:
        return None, [Trouble(Fault.PLACE_WRONG, {"name": name, "value": sent[name]}) for name in wrong]
    if len(sent) == 1:
        return None, [Trouble(Fault.PLACE_HALF)]
    return ((float(sent["long"]), float(sent["lat"])) if sent else None), []


def _is_link(text: str) -> bool:
    """A plain http(s) address: one word, with a host, no user in it."""
    if any(char.isspace() or char in "<>\"'" for char in text):
        return False
    try:
        parts = urlsplit(text)
        host = parts.hostname
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(host) and parts.username is None
