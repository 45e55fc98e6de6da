"""What is handed out of a case: a signed document, and a sheet for the printer with the same signature."""

import asyncio
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field
from starlette.responses import HTMLResponse, Response

from cloud.api.actor import Acting, Actor
from cloud.api.alarms import shown_transition
from cloud.api.case_evidence import evidence_of, readable
from cloud.api.cases import CaseId, case_detail
from cloud.api.common import Given, NoQuery, StrictQuery
from cloud.api.problems import ApiProblem, describe
from cloud.api.schemas import Answer
from cloud.api.services import Services
from cloud.api.times import iso
from cloud.dossier.bundle import bundle, photos_of, sha256_of, transitions_of
from cloud.dossier.canonical import canonical
from cloud.dossier.sheet import STYLE, Language, sheet
from cloud.dossier.signing import ALGORITHM, KeyFault, Signer, fingerprint
from cloud.dossier.values import alarms_of
from cloud.evidence import EvidenceError
from cloud.relational.engine import reading
from telemetry.reason import Reason

__all__ = ["pages", "router"]

router = APIRouter(tags=["cases"])
pages = APIRouter()

_MOST_ALARMS: Final = 20
"""Alarms whose values go into an export; of more, those that were raised first."""
_MINUTES: Final = 30
_CHINA: Final = ZoneInfo("Asia/Shanghai")
_KEY: Final = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="  # RFC 8032, 7.1, test 1
_NAME: Final = "21fe31dfa154a261626bf854046fd2271b7bed4b6abe45aa58877ef47f9721b9"
_SIGNATURE: Final[dict[str, Any]] = {
    "algorithm": ALGORITHM,
    "public_key": _KEY,
    "fingerprint": _NAME,
    "value": "(88 characters of base64)",
}


class ExportQuery(StrictQuery):
    """In which form."""

    format: Literal["json"] = Field("json", description="a document with its signature")


class SheetQuery(StrictQuery):
    """In which language."""

    lang: Language = Field("zh", description="zh or en")


class ExportSignature(Answer):
    """Of the bundle in canonical form (RFC 8785), by Ed25519 (RFC 8032); `public_key` and `value` in base64, `fingerprint` the
    SHA-256 of the key's 32 bytes."""

    algorithm: str
    public_key: str
    fingerprint: str
    value: str


class CaseExport(Answer):
    """A case with all that belongs to it, and the signature of that."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"bundle": {"format": "citynerve.case/1", "case": {"id": 7}}, "signature": _SIGNATURE}}
    )
    bundle: dict[str, Any]
    signature: ExportSignature


class ExportKey(Answer):
    """What exports are signed with; `pem` is the same key as other programs read it."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"algorithm": ALGORITHM, "fingerprint": _NAME, "pem": "-----BEGIN PUBLIC KEY-----\n..."}}
    )
    algorithm: str
    fingerprint: str
    pem: str


@router.get(
    "/cases/{id}/export",
    summary="A case as a signed document",
    response_model=CaseExport,
    responses=describe(404, 503),
)
async def export_case(given: Given, who: Acting, case: CaseId, query: Annotated[ExportQuery, Query()]) -> Response:
    """Case, steps, clocks, alarms with every transition, the values round each alarm, messages, photos with their SHA-256.
    `citynerve cloud verify FILE` tells whether a file is as it was signed."""
    del query
    envelope = await _signed(given, who, case)
    name = {"Content-Disposition": f'attachment; filename="case-{case}.json"'}
    return Response(canonical(envelope), media_type="application/json", headers=name)


@router.get("/export-key", summary="The public key of exports", response_model=ExportKey, responses=describe(503))
async def get_export_key(given: Given, _: NoQuery) -> dict[str, Any]:
    """Kept where nobody else can change it, it proves an export."""
    signer = _signer(given)
    key = await _with_key(signer.public_key)
    return {"algorithm": ALGORITHM, "fingerprint": fingerprint(key), "pem": await _with_key(signer.public_pem)}


# For people, not for programs, as the console's pages are: no part of the API's description.
@pages.get("/cases/{id}/sheet", response_class=HTMLResponse, include_in_schema=False)
async def print_case(given: Given, who: Acting, case: CaseId, query: Annotated[SheetQuery, Query()]) -> Response:
    """The case on paper, in the time of China."""
    envelope = await _signed(given, who, case)
    text = await asyncio.to_thread(sheet, envelope, query.lang, _CHINA)
    return HTMLResponse(text, headers={"Cache-Control": "no-store"})


@pages.get("/sheet.css", response_class=Response, include_in_schema=False)
async def sheet_style() -> Response:
    """How the sheet looks."""
    return Response(STYLE, media_type="text/css", headers={"Cache-Control": "no-cache"})


async def _signed(given: Services, who: Actor, case: int) -> dict[str, Any]:
    signer = _signer(given)
    await readable(given, who, case)
    now_ns = given.clock.wall_ns()
    async with reading(given.engine) as conn:
        detail = await case_detail(conn, given, case, who)
        rows = await alarms_of(conn, case)
        steps = await transitions_of(conn, [row["id"] for row in rows])
        photos = await photos_of(conn, detail["steps"])
    logs: dict[str, list[dict[str, Any]]] = {}
    for step in steps:
        logs.setdefault(step["alarm"], []).append(shown_transition(step))
    rests = [await evidence_of(given, row, _MINUTES) for row in rows[:_MOST_ALARMS]]
    kept = [await _photo(given, photo) for photo in photos]
    whole = bundle(detail, as_of=iso(now_ns), logs=logs, evidence_of=rests, photos=kept)
    envelope: dict[str, Any] = await _with_key(signer.sign, whole)
    return envelope


async def _photo(given: Services, photo: dict[str, Any]) -> dict[str, Any]:
    """`intact`: its bytes are there and still have this hash."""
    intact = False
    if given.evidence is not None:
        try:
            async with reading(given.engine) as conn:
                _, path = await given.evidence.find(conn, photo["id"])
            intact = await asyncio.to_thread(sha256_of, path) == photo["id"]
        except EvidenceError:
            intact = False
    same = {name: photo[name] for name in ("media_type", "size", "uploaded_by", "step")}
    return {"sha256": photo["id"], **same, "at": iso(photo["at_ns"]), "intact": intact}


def _signer(given: Services) -> Signer:
    if given.signer is None:
        raise ApiProblem(Reason.STORE_UNAVAILABLE, "this cloud signs nothing: it was given no folder for its key")
    return given.signer


async def _with_key(work: Any, *said: Any) -> Any:
    """What needs the key's file, beside the loop; ApiProblem where that is of no use."""
    try:
        return await asyncio.to_thread(work, *said)
    except (OSError, KeyFault) as error:
        raise ApiProblem(Reason.STORE_UNAVAILABLE, f"the key of exports cannot be used: {type(error).__name__}") from error
