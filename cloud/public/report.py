"""A visitor's report: one form, one case, by the door that citizens' other reports come through."""

from collections import deque
from collections.abc import AsyncIterator
from typing import Final

import msgspec

from cloud.api.services import Services
from cloud.cases.telling import case_news
from cloud.evidence import EvidenceError
from cloud.open311.catalogue import Entry
from cloud.open311.config import Open311Config
from cloud.open311.keys import ApiKey
from cloud.open311.limits import Rates
from cloud.open311.receive import Door, Received, receive
from cloud.open311.submission import ACTOR, Submission
from cloud.public.form import Form
from cloud.public.toilet import Toilet
from device_profiles.matter import Matter
from telemetry.clock import SECOND_NS
from telemetry.reason import Reason

__all__ = ["MATTERS", "MOST_TEXT", "TRAP", "Desk", "Outcome"]

MATTERS: Final = ("toilet_odour", "toilet_service", "toilet_equipment")
"""What can be reported of a toilet, where the city's tables have it; all of them are services of the Open311 door."""

MOST_TEXT: Final = 1000
TRAP: Final = "website"
"""A field that no person sees: what fills it in is a program."""

_DAY_NS: Final = 86_400 * SECOND_NS
# No key of Open311 can have this name, so whose report it is stays plain.
_KEY: Final = ApiKey(name="page:toilets", sha256="")
_NOTHING: Final = Open311Config(contact="", key_service="", entries={})


class Outcome(msgspec.Struct, frozen=True):
    """The case's number, whether it was news, and why the photo was not kept; the number is 0 for what a program sent."""

    case: int = 0
    news: bool = True
    photo_lost: Reason | None = None


class Desk:
    """Takes reports; how many photos came within a day is remembered by this process alone."""

    def __init__(self, services: Services, *, reports_per_minute: int, photos_per_day: int, door: Open311Config | None) -> None:
        self._services = services
        self._door = Door(services.engine, services.desk, door or _NOTHING)
        self._rates = Rates()
        self._per_minute = reports_per_minute
        self._photos_per_day = photos_per_day
        self._photos: deque[int] = deque()

    def wait_s(self, address: str) -> int:
        """0 where this address may report now, else seconds until it may."""
        return self._rates.wait_s(address, self._per_minute, self._services.clock.monotonic_ns())

    def matters(self) -> tuple[Matter, ...]:
        """What can be reported now."""
        now_ns = self._services.clock.wall_ns()
        found = (self._services.desk.matters.find(code, now_ns) for code in MATTERS)
        return tuple(matter for matter in found if matter is not None)

    async def take(self, toilet: Toilet, matter: Matter, form: Form, text: str) -> Outcome:
        """Make a case of it, or add it to the one that is open there."""
        if form.fields.get(TRAP, ""):
            return Outcome()
        photos, lost = await self._keep(form)
        now_ns = self._services.clock.wall_ns()
        received = await receive(self._door, _KEY, matter, _submission(toilet, matter, text), now_ns, photos=photos)
        self._tell(received)
        return Outcome(received.case["id"], received.news, lost)

    async def _keep(self, form: Form) -> tuple[tuple[str, ...], Reason | None]:
        """The photo's id. A photo that cannot be kept does not lose the report."""
        data, folder = form.files.get("photo"), self._services.evidence
        if data is None:
            return (), None
        now_ns = self._services.clock.wall_ns()
        while self._photos and self._photos[0] <= now_ns - _DAY_NS:
            self._photos.popleft()
        if folder is None or len(self._photos) >= self._photos_per_day:
            return (), Reason.STORE_UNAVAILABLE
        try:
            photo = await folder.put(self._services.engine, _once(data), uploaded_by=ACTOR + _KEY.name, now_ns=now_ns)
        except EvidenceError as error:
            return (), error.reason
        self._photos.append(now_ns)
        return (photo.id,), None

    def _tell(self, received: Received) -> None:
        if received.news:
            self._services.feed.publish("case", case_news(received.case))
            self._services.notify()


def _submission(toilet: Toilet, matter: Matter, text: str) -> Submission:
    return Submission(
        entry=Entry(code=matter.code, group=matter.title, keywords=matter.title, attributes=()),
        longitude=toilet.longitude,
        latitude=toilet.latitude,
        address=f"{toilet.name.zh}（{toilet.address.zh}）"[:400],
        component="",
        description=text,
        answers=(),
        media_url="",
        account_id="",
        who=(),
    )


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data
