"""The public pages over HTTP: outside the login, without JavaScript, one style sheet and two small scripts of their own."""

import datetime as dt
import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from fastapi import FastAPI
from jinja2 import Environment, PackageLoader, StrictUndefined
from sqlalchemy.exc import DBAPIError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from cloud.api.services import Services
from cloud.evidence import MAX_PHOTO_BYTES
from cloud.notify.config import Language
from cloud.open311.config import Open311Config
from cloud.open311.limits import address_of
from cloud.public.air import Grade
from cloud.public.config import PublicConfig
from cloud.public.find import find, read_asked
from cloud.public.form import Form, FormError, read_form
from cloud.public.now import Board, ToiletNow, Value
from cloud.public.report import MOST_TEXT, Desk
from cloud.public.toilet import Toilet
from cloud.public.words import TAGS, Words, language_of
from cloud.series.store import StoreUnavailable
from device_profiles.quantities import Text
from telemetry.clock import SECOND_NS
from telemetry.reason import Reason

__all__ = ["MAX_REPORT_BYTES", "install"]

_log = logging.getLogger(__name__)

MAX_REPORT_BYTES: Final = MAX_PHOTO_BYTES + 64 * 1024
_MOST_HEARD: Final = 8 * MAX_REPORT_BYTES
_TYPES: Final = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
_FACILITIES: Final = ("wheelchair", "family_room", "baby_change")
# The page of the API says no-referrer, and a browser then hides the Origin of a plain form, which is asked for on the way in.
_HEADERS: Final = {"Cache-Control": "no-cache", "Vary": "Accept-Language", "Referrer-Policy": "same-origin"}
_MOST_DIGITS: Final = 18

_Page = Callable[["Request"], Any]


def install(app: FastAPI, services: Services, config: PublicConfig, door: Open311Config | None = None) -> None:
    """Add the pages to `app`. `door` is the city's Open311 door, for what it keeps of who reports; it need not be there."""
    pages = _Pages(services, config, door)
    app.add_route("/toilets", pages.guarded(pages.finder), methods=["GET", "HEAD"])
    app.add_route("/toilets/assets/{name}", pages.asset, methods=["GET", "HEAD"])
    app.add_route("/toilets/{id}", pages.guarded(pages.toilet), methods=["GET", "HEAD"])
    app.add_route("/toilets/{id}/screen", pages.guarded(pages.screen), methods=["GET", "HEAD"])
    app.add_route("/toilets/{id}/now.json", pages.guarded(pages.now), methods=["GET", "HEAD"])
    app.add_route("/toilets/{id}/report", pages.guarded(pages.report), methods=["POST"])


class _Pages:
    def __init__(self, services: Services, config: PublicConfig, door: Open311Config | None) -> None:
        self._services = services
        self._toilets = {toilet.id: toilet for toilet in config.toilets}
        calendar = services.desk.calendars.current
        self._board = Board(
            config.toilets,
            engine=services.engine,
            series=services.series,
            catalog=services.catalog,
            calendar=calendar,
            clock=services.clock,
        )
        self._desk = Desk(services, reports_per_minute=config.reports_per_minute, photos_per_day=config.photos_per_day, door=door)
        self._environment = Environment(
            loader=PackageLoader("cloud.public"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )

    def guarded(self, page: _Page) -> _Page:
        """The page; where a store does not answer a page that says so."""

        async def answer(request: Request) -> Response:
            try:
                answered: Response = await page(request)
            except (DBAPIError, StoreUnavailable):
                _log.warning("%s: a store does not answer", request.url.path, extra={"event": "public.store_unavailable"})
                return self._sorry(request, "unavailable", 503, **{"Retry-After": "5"})
            return answered

        return answer

    async def finder(self, request: Request) -> Response:
        """GET /toilets."""
        asked = read_asked(request.query_params)
        board = await self._board.look()
        found = find(board.values(), asked)
        as_of = min((now.at_ns for now in board.values()), default=self._services.clock.wall_ns())
        said = request.query_params.get("near", "")[:60]
        return self._page(request, "finder.html", asked=asked, found=found, said=said, as_of=self._time(as_of))

    async def toilet(self, request: Request) -> Response:
        """GET /toilets/{id}."""
        return await self._details(request, _told(request, self._words(request)))

    async def screen(self, request: Request) -> Response:
        """GET /toilets/{id}/screen."""
        now = (await self._board.look()).get(request.path_params["id"])
        if now is None:
            return self._sorry(request, "missing", 404)
        about = {"as_of": self._time(now.at_ns), "grades": list(Grade), "zone": self._board.zone.key}
        return self._page(request, "screen.html", now=now, **about)

    async def now(self, request: Request) -> Response:
        """GET /toilets/{id}/now.json: what the screen shows; the tag changes with it, and not with the time."""
        now = (await self._board.look()).get(request.path_params["id"])
        if now is None:
            return self._sorry(request, "missing", 404)
        body = msgspec.json.encode(_shown(now))
        tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        headers = {"ETag": tag, "Cache-Control": "no-cache", "X-Made": str(now.at_ns // 1_000_000)}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(body, media_type="application/json", headers=headers)

    async def report(self, request: Request) -> Response:
        """POST /toilets/{id}/report: 303 to the toilet's page, which says the number; else the form again, and what is wrong."""
        t = self._words(request)
        toilet = self._toilets.get(request.path_params["id"])
        if toilet is None:
            return self._sorry(request, "missing", 404)
        address = address_of(request.client.host if request.client else None)
        if wait_s := self._desk.wait_s(address):
            told = [("wrong", t("wrong_often", wait=wait_s))]
            return await self._details(request, told, 429, **{"Retry-After": str(wait_s)})
        form, wrong, status = await _read(request)
        text = "" if form is None else _clean(form.fields.get("text", ""))
        matter = next((each for each in self._desk.matters() if form and each.code == form.fields.get("matter")), None)
        if form is not None and len(text) > MOST_TEXT:
            wrong = "wrong_long"
        elif form is not None and matter is None:
            wrong = "wrong_matter"
        if wrong or form is None or matter is None:
            chosen = "" if matter is None else matter.code
            return await self._details(request, [("wrong", t(wrong))], status or 422, typed=text, chosen=chosen)
        outcome = await self._desk.take(toilet, matter, form, text)
        query = {"lang": t.language.value, "reported": outcome.case}
        query |= {} if outcome.news else {"again": 1}
        query |= {} if outcome.photo_lost is None else {"photo": outcome.photo_lost.value}
        return RedirectResponse(f"/toilets/{toilet.id}?{urlencode(query)}", status_code=303, headers=_HEADERS)

    async def asset(self, request: Request) -> Response:
        """The style sheet and the scripts."""
        name = request.path_params["name"]
        found = next((each for each in files("cloud.public").joinpath("static").iterdir() if each.name == name), None)
        if found is None:
            return self._sorry(request, "missing", 404)
        kind = _TYPES[name[name.rindex(".") :]]
        return Response(found.read_bytes(), media_type=kind, headers={"Cache-Control": "no-cache"})

    async def _details(
        self,
        request: Request,
        told: Sequence[tuple[str, str]],
        status: int = 200,
        *,
        typed: str = "",
        chosen: str = "",
        **headers: str,
    ) -> Response:
        now = (await self._board.look()).get(request.path_params["id"])
        if now is None:
            return self._sorry(request, "missing", 404)
        about = {"matters": self._desk.matters(), "photos": self._services.evidence is not None, "typed": typed, "chosen": chosen}
        page = self._page(request, "toilet.html", now=now, told=told, as_of=self._time(now.at_ns), **about)
        page.status_code = status
        page.headers.update(headers)
        return page

    def _sorry(self, request: Request, what: str, status: int, **headers: str) -> Response:
        page = self._page(request, "sorry.html", what=what)
        page.status_code = status
        page.headers.update(headers)
        return page

    def _page(self, request: Request, template: str, **values: Any) -> Response:
        t = self._words(request)
        other = Language.EN if t.language is Language.ZH else Language.ZH
        query = {name: value for name, value in request.query_params.items() if name in {"near", "open", "wheelchair"}}
        shared = {
            "t": t,
            "say": lambda text: _say(text, t.language),
            "has": lambda toilet: _facilities(toilet, t),
            "hours": lambda toilet: _hours(toilet, t),
            "far": lambda metres: _far(metres, t),
            "other": f"?{urlencode({**query, 'lang': other.value}, errors='replace')}",
            "other_tag": TAGS[other],
        }
        html = self._environment.get_template(template).render(**shared, **values)
        # A lone surrogate that somebody put into an address can stand in no page.
        body = html.encode("utf-8", "replace")
        return HTMLResponse(body, headers={**_HEADERS, "Content-Language": t.tag})

    @staticmethod
    def _words(request: Request) -> Words:
        return Words(language_of(request.query_params.get("lang", ""), request.headers.get("accept-language", "")))

    def _time(self, at_ns: int) -> str:
        moment = dt.datetime.fromtimestamp(at_ns // SECOND_NS, self._board.zone)
        return f"{moment:%m-%d %H:%M:%S} {moment.tzname()}"


async def _read(request: Request) -> tuple[Form | None, str, int]:
    """The form; or what is wrong, and the status of that."""
    body, taken = bytearray(), 0
    try:
        # To its end: a browser that is still sending when the line is closed never sees the answer.
        async for chunk in request.stream():
            taken += len(chunk)
            if taken <= MAX_REPORT_BYTES:
                body += chunk
            elif taken > _MOST_HEARD:
                break
        if taken > MAX_REPORT_BYTES:
            return None, "wrong_large", 413
        return read_form(request.headers.get("content-type", ""), bytes(body)), "", 0
    except (FormError, ClientDisconnect):
        return None, "wrong_form", 422


def _told(request: Request, t: Words) -> list[tuple[str, str]]:
    """What became of the report that led here."""
    query = request.query_params
    number = query.get("reported", "")
    if not number.isdecimal() or not number.isascii() or len(number) > _MOST_DIGITS:
        return []
    lines = [("done", t("report_again" if query.get("again") == "1" else "report_done", case=number))]
    lost = {reason.value for reason in (Reason.INVALID, Reason.OVERSIZED, Reason.STORE_UNAVAILABLE)}
    if (why := query.get("photo")) in lost:
        lines.append(("wrong", t("report_photo_lost", why=t(f"photo_{why}"))))
    return lines


def _clean(text: str) -> str:
    """Without control characters, which nobody typed."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(char for char in lines if char == "\n" or char.isprintable()).strip()


def _shown(now: ToiletNow) -> Mapping[str, Any]:
    def number(value: Value | None) -> float | None:
        return None if value is None else value.number

    return {
        "open": now.opening.is_open,
        "grade": now.grade.value,
        "stalls": [
            {
                "name": each.stall.name,
                "section": each.stall.section.value,
                "state": each.state.value,
                "good_until": each.good_until_ns // 1_000_000,
            }
            for each in now.stalls
        ],
        **{
            name: number(getattr(now, name))
            for name in ("nh3_ppm", "h2s_ppm", "temperature_c", "visitors_today", "paper_pct", "soap_pct")
        },
    }


def _say(text: Text, language: Language) -> str:
    return text.zh if language is Language.ZH else text.en


def _facilities(toilet: Toilet, t: Words) -> str:
    return " · ".join(t(name) for name in _FACILITIES if getattr(toilet, name)) or t("no_facilities")


def _hours(toilet: Toilet, t: Words) -> str:
    said = ", ".join(map(str, toilet.hours)) or t("hours_none")
    if toilet.hours_off is None:
        return said
    off = ", ".join(map(str, toilet.hours_off)) or t("hours_none")
    return f"{said} ({t('hours_off')} {off})"


def _far(metres: float, t: Words) -> str:
    return t("metres", n=round(metres / 10) * 10) if metres < 1000 else t("kilometres", n=f"{metres / 1000:.1f}")
