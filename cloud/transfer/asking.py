"""One question about the past of one device, asked as a dashboard asks it: of a cloud's API, or of the stores themselves."""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import Request, urlopen

import msgspec
from pydantic import ValidationError

from cloud.api.history import HistoryQuery, get_history
from cloud.api.problems import ApiProblem
from cloud.config import CloudConfig
from cloud.series.store import StoreUnavailable
from cloud.transfer.opening import services
from telemetry.reason import Reason

__all__ = ["Fault", "Question", "ask_api", "ask_stores", "seconds"]

_TIMEOUT_S: Final = 60.0
_UNITS: Final[Mapping[str, int]] = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_DURATION: Final = re.compile(r"([1-9]\d{0,8})([smhdw])")


class Fault(Exception):  # noqa: N818 - the base of what can go wrong with a question
    """Why there is no answer; `code` is how the command ends."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """`start` and `end` ISO 8601 with a zone, empty for the API's own; `bucket_s` and `pixels` 0 for raw points."""

    device: str
    metrics: tuple[str, ...] = ()
    start: str = ""
    end: str = ""
    bucket_s: int = 0
    zone: str = "Asia/Shanghai"
    pixels: int = 0
    limit: int = 50_000

    def parameters(self) -> dict[str, Any]:
        """As the history route takes them."""
        limit = 0 if self.bucket_s or self.pixels else self.limit
        said = {"start": self.start, "end": self.end, "bucket": self.bucket_s, "pixels": self.pixels, "limit": limit}
        return {"metric": list(self.metrics), "zone": self.zone, **{name: value for name, value in said.items() if value}}


def seconds(text: str) -> int:
    """Seconds of a duration such as 90s, 15m, 6h, 30d or 2w; ValueError for anything else."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:40]!r}: want a duration such as 90s, 15m, 6h, 30d or 2w")
    return int(found[1]) * _UNITS[found[2]]


def ask_api(base: str, token: str, question: Question) -> dict[str, Any]:
    """The answer of a cloud that runs at `base`. Fault where there is none: 4 not reached, 5 not allowed, 2 a wrong question."""
    if urlsplit(base).scheme not in {"http", "https"}:
        raise Fault(f"--api {base!r}: want http://host:port", 2)
    path = f"/api/devices/{quote(question.device, safe='')}/history?{urlencode(question.parameters(), doseq=True)}"
    headers = {"Accept": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    try:
        with urlopen(Request(base.rstrip("/") + path, headers=headers), timeout=_TIMEOUT_S) as answer:  # noqa: S310 - http only
            return _document(answer.read())
    except HTTPError as error:
        with error:
            raise _refused(error.code, error.read()) from None
    except (URLError, TimeoutError, OSError) as error:
        raise Fault(
            f"{base}: {getattr(error, 'reason', error)}; is the cloud running there? citynerve cloud run CONFIG", 4
        ) from None


async def ask_stores(config: CloudConfig, question: Question) -> dict[str, Any]:
    """The same answer from the stores of a cloud that does not run, by the API's own code."""
    try:
        query = HistoryQuery.model_validate(question.parameters())
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise Fault(faults, 2) from None
    try:
        async with services(config) as given:
            return _document((await get_history(given, question.device, query)).body)
    except StoreUnavailable as error:
        raise Fault(str(error), 4) from None
    except ApiProblem as error:
        raise Fault(error.detail, 2 if error.reason in {Reason.INVALID, Reason.UNKNOWN_METRIC} else 1) from None


def _refused(status: int, body: bytes) -> Fault:
    try:
        detail = str(_document(body).get("detail", ""))
    except Fault:
        detail = body[:200].decode(errors="replace")
    match status:
        case 401 | 403:
            return Fault(f"{detail} (a token goes into CITYNERVE_TOKEN or --token-file)", 5)
        case 422:
            return Fault(detail, 2)
        case 502 | 503 | 504:
            return Fault(detail, 4)
        case _:
            return Fault(f"{status}: {detail}")


def _document(body: bytes | memoryview) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.MsgspecError:
        raise Fault("the answer is none of a cloud's API", 4) from None
