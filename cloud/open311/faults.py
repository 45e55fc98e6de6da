"""What the door refuses, in the specification's own form: a code and a sentence that the user may read.

GeoReport v2, "Errors": 404 for what does not exist, 403 for a wrong or missing api_key, 400 for nearly all else; the body is
a list, so that everything wrong with a form is told at once. 413, 429 and 503 are plain HTTP, beyond the specification.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Final

import msgspec

from cloud.notify.config import Language
from device_profiles.quantities import Text

__all__ = ["Fault", "Refused", "Trouble", "in_language", "said"]

_SHOWN = 80


class Fault(StrEnum):
    """One kind of refusal."""

    NOWHERE = "nowhere"
    METHOD = "method"
    TOO_LARGE = "too_large"
    TOO_MANY = "too_many"
    NOT_A_FORM = "not_a_form"
    NOT_TEXT = "not_text"
    NO_KEYS = "no_keys"
    KEY_MISSING = "key_missing"
    KEY_UNKNOWN = "key_unknown"
    SERVICE_NOT_ALLOWED = "service_not_allowed"
    JURISDICTION_MISSING = "jurisdiction_missing"
    JURISDICTION_UNKNOWN = "jurisdiction_unknown"
    SERVICE_MISSING = "service_missing"
    SERVICE_UNKNOWN = "service_unknown"
    PLACE_MISSING = "place_missing"
    PLACE_HALF = "place_half"
    PLACE_WRONG = "place_wrong"
    ADDRESS_ID_UNKNOWN = "address_id_unknown"
    TOO_LONG = "too_long"
    MEDIA_URL = "media_url"
    ATTRIBUTE_UNKNOWN = "attribute_unknown"
    ATTRIBUTE_MISSING = "attribute_missing"
    ATTRIBUTE_WRONG = "attribute_wrong"
    REQUEST_UNKNOWN = "request_unknown"
    TOKEN_UNKNOWN = "token_unknown"  # noqa: S105 - a word, not a secret
    DATE = "date"
    SPAN = "span"
    STATUS = "status"
    PAGE = "page"
    UNAVAILABLE = "unavailable"
    BROKEN = "broken"


_F = Fault
_SAID: Final[Mapping[Fault, tuple[int, Text]]] = {
    _F.NOWHERE: (404, Text("没有这个地址；请以 .xml 或 .json 结尾", "there is nothing here; an address ends in .xml or .json")),
    _F.METHOD: (405, Text("此地址不支持 {method}", "{method} cannot be done here")),
    _F.TOO_LARGE: (413, Text("内容超过 {most} 字节", "the body is longer than {most} bytes")),
    _F.TOO_MANY: (429, Text("请求过于频繁，请 {wait} 秒后再试", "too many at once; try again in {wait} seconds")),
    _F.NOT_A_FORM: (
        400,
        Text(
            "请以 Content-Type: application/x-www-form-urlencoded 提交表单",
            "send a form with Content-Type: application/x-www-form-urlencoded",
        ),
    ),
    _F.NOT_TEXT: (400, Text("表单不是 UTF-8 文本，或字段过多", "the form is not UTF-8, or has too many fields")),
    _F.NO_KEYS: (
        403,
        Text("本站尚未发放 api_key，暂不受理网上上报", "no api_key was issued here, so nothing can be reported"),
    ),
    _F.KEY_MISSING: (403, Text("缺少 api_key", "the api_key is missing")),
    _F.KEY_UNKNOWN: (403, Text("api_key 无效", "the api_key is not valid")),
    _F.SERVICE_NOT_ALLOWED: (
        403,
        Text("此 api_key 不能上报 {service}", "this api_key may not report {service}"),
    ),
    _F.JURISDICTION_MISSING: (400, Text("缺少 jurisdiction_id", "the jurisdiction_id is missing")),
    _F.JURISDICTION_UNKNOWN: (404, Text("没有辖区 {id}", "there is no jurisdiction {id}")),
    _F.SERVICE_MISSING: (400, Text("缺少 service_code", "the service_code is missing")),
    _F.SERVICE_UNKNOWN: (404, Text("没有服务 {service}", "there is no service {service}")),
    _F.PLACE_MISSING: (
        400,
        Text(
            "缺少位置：lat 和 long，或 address_string，或 address_id",
            "the place is missing: lat and long, or address_string, or address_id",
        ),
    ),
    _F.PLACE_HALF: (400, Text("lat 和 long 须同时提供", "lat and long are sent together or not at all")),
    _F.PLACE_WRONG: (400, Text("{name} 不是 WGS-84 度数：{value}", "{name} is not in degrees of WGS-84: {value}")),
    _F.ADDRESS_ID_UNKNOWN: (404, Text("没有编号为 {id} 的部件", "there is no object of address_id {id}")),
    _F.TOO_LONG: (400, Text("{name} 超过 {most} 个字", "{name} has more than {most} characters")),
    _F.MEDIA_URL: (400, Text("media_url 须为 http(s) 链接", "media_url is not an http(s) address")),
    _F.ATTRIBUTE_UNKNOWN: (400, Text("此服务没有属性 {code}", "this service has no attribute {code}")),
    _F.ATTRIBUTE_MISSING: (400, Text("缺少属性 {code}：{description}", "the attribute {code} is missing: {description}")),
    _F.ATTRIBUTE_WRONG: (400, Text("属性 {code} 不是{wanted}：{value}", "the attribute {code} is not {wanted}: {value}")),
    _F.REQUEST_UNKNOWN: (404, Text("没有案件 {id}", "there is no request {id}")),
    _F.TOKEN_UNKNOWN: (404, Text("没有凭证 {id}", "there is no token {id}")),
    _F.DATE: (
        400,
        Text(
            "{name} 须为带时区的时间，如 2010-01-01T00:00:00Z（+ 须写成 %2B）：{value}",
            "{name} is not a time with its zone, such as 2010-01-01T00:00:00Z (a + is written %2B): {value}",
        ),
    ),
    _F.SPAN: (400, Text("start_date 须早于 end_date，相距不超过 90 天", "start_date comes before end_date, by 90 days at most")),
    _F.STATUS: (400, Text("status 须为 open 或 closed：{value}", "status is open or closed, not {value}")),
    _F.PAGE: (400, Text("{name} 须为 1 到 {most} 的整数：{value}", "{name} is a whole number from 1 to {most}, not {value}")),
    _F.UNAVAILABLE: (503, Text("系统暂时不可用，请稍后再试", "the service does not answer now; try again later")),
    _F.BROKEN: (500, Text("服务器故障，已记录", "this is a fault of the server; it has been logged")),
}


class Trouble(msgspec.Struct, frozen=True):
    """One refusal with what its sentence names; `values` may be what somebody sent, as long as they like."""

    fault: Fault
    values: Mapping[str, Any] = {}

    @property
    def status(self) -> int:
        """Its HTTP status."""
        return _SAID[self.fault][0]


class Refused(Exception):  # noqa: N818 - what the door does, by its own word
    """A refusal with everything that is wrong; `retry_after_s` where waiting helps."""

    def __init__(self, *troubles: Trouble, retry_after_s: int | None = None) -> None:
        super().__init__(" ".join(trouble.fault for trouble in troubles))
        self.troubles = troubles
        self.retry_after_s = retry_after_s

    @property
    def status(self) -> int:
        """The HTTP status: the first trouble's."""
        return self.troubles[0].status


def said(troubles: Iterable[Trouble], language: Language) -> list[dict[str, Any]]:
    """The `errors` of an answer; what was sent is cut short in them."""
    return [{"code": trouble.status, "description": _sentence(trouble, language)} for trouble in troubles]


def _sentence(trouble: Trouble, language: Language) -> str:
    values = {name: _cut(in_language(value, language)) for name, value in trouble.values.items()}
    return in_language(_SAID[trouble.fault][1], language).format(**values)


def in_language(value: Any, language: Language) -> str:
    """A label in that language; anything else as it reads."""
    if not isinstance(value, Text):
        return str(value)
    return value.zh if language is Language.ZH else value.en


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
