"""Photos of what was found and done: sent by a crew's page, shown beside the step that they belong to."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request
from pydantic import ConfigDict, Field
from starlette.requests import ClientDisconnect
from starlette.responses import FileResponse, Response

from cloud.accounts.rights import Act
from cloud.api.actor import Acting
from cloud.api.common import Given, NoQuery, StrictQuery
from cloud.api.problems import ApiProblem, describe
from cloud.api.schemas import Answer, Printable
from cloud.api.services import Services
from cloud.evidence import EvidenceError, EvidenceFolder
from cloud.relational.engine import reading
from telemetry.reason import Reason

__all__ = ["router"]

router = APIRouter(tags=["evidence"])

_ID: Final = "3f79bb7b435b05321651daefd374cdc681dc06faa65e374e38337b88ca046dea"
PhotoId = Annotated[str, Path(alias="id", pattern=r"^[0-9a-f]{64}$", description="the SHA-256 of the photo's bytes")]

# A photo never changes, and only who may see the case may see it: kept by the browser, by nobody on the way. Where a browser
# were led to open it as a page, it could do nothing.
_KEEP: Final = {
    "Cache-Control": "private, max-age=31536000, immutable",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
}
_SUFFIX: Final = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp"}
_BYTES: Final[dict[str, Any]] = {"schema": {"type": "string", "format": "binary"}}
_PHOTO_BODY: Final = {"requestBody": {"required": True, "content": dict.fromkeys(_SUFFIX, _BYTES)}}
_PHOTO_ANSWER: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The bytes", "content": {"image/jpeg": {**_BYTES, "example": "(the bytes of the photo)"}}}
}


class Kept(Answer):
    """A photo that is kept; `size` in bytes."""

    model_config = ConfigDict(json_schema_extra={"example": {"id": _ID, "size": 214_311}})
    id: str
    size: int


class EvidenceAccount(Answer):
    """What the folder of photos holds, and what was refused since the program began, by reason."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"photos": 12, "bytes": 2_571_732, "most_bytes": 21_474_836_480, "refused": {"oversized": 1}}
        }
    )
    photos: int
    bytes: int
    most_bytes: int
    refused: dict[str, int]


class UploadQuery(StrictQuery):
    """Who sends a photo."""

    actor: Annotated[str, Field(max_length=128, description="who took it"), Printable] = ""


@router.post(
    "/evidence",
    summary="Keep a photo",
    response_model=Kept,
    responses=describe(403, 413, 503),
    openapi_extra=_PHOTO_BODY,
)
async def put_photo(given: Given, who: Acting, request: Request, query: Annotated[UploadQuery, Query()]) -> dict[str, Any]:
    """JPEG, PNG or WebP of at most 8 MiB, as the body itself. The same bytes again give the same id. 503 while there is no
    room for more photos; what was sent is sent again then."""
    folder = _folder(given)
    # While nobody has an account, a photo need not say whose it is.
    name = query.actor.strip() if who.free else who.does(Act.EVIDENCE, query.actor)
    chunks = request.stream()
    try:
        photo = await folder.put(given.engine, chunks, uploaded_by=name, now_ns=given.clock.wall_ns())
    except ClientDisconnect:
        raise ApiProblem(Reason.INTERRUPTED, "the photo ended before its length; send it again") from None
    except EvidenceError as error:
        # A browser that is still sending when the line is closed sees a broken line, and sends the same again for ever.
        async for _rest in chunks:
            pass
        raise ApiProblem(error.reason, str(error)) from None
    return {"id": photo.id, "size": photo.size}


@router.get("/evidence", summary="How much the photos take", response_model=EvidenceAccount, responses=describe(503))
async def get_account(given: Given, _: NoQuery) -> dict[str, Any]:
    """Their number and bytes, the limit, and how many were refused why."""
    async with reading(given.engine) as conn:
        account = await _folder(given).account(conn)
    return {name: getattr(account, name) for name in ("photos", "bytes", "most_bytes", "refused")}


@router.get(
    "/evidence/{id}",
    summary="One photo",
    response_class=Response,
    responses={**describe(404, 503), **_PHOTO_ANSWER},
)
async def get_photo(given: Given, photo: PhotoId, _: NoQuery) -> FileResponse:
    """The bytes as they were sent. They never change, so they may be kept for ever."""
    try:
        async with reading(given.engine) as conn:
            found, path = await _folder(given).find(conn, photo)
    except EvidenceError as error:
        raise ApiProblem(error.reason, str(error)) from None
    name = f"{photo[:12]}.{_SUFFIX[found.media_type]}"
    headers = {**_KEEP, "Content-Disposition": f'inline; filename="{name}"'}
    return FileResponse(path, media_type=found.media_type, headers=headers)


def _folder(given: Services) -> EvidenceFolder:
    if given.evidence is None:
        raise ApiProblem(Reason.STORE_UNAVAILABLE, "this cloud keeps no photos: it was given no folder for them")
    return given.evidence
