"""SMS through Aliyun (Dysmsapi 2017-05-25): SendSms, and QuerySendDetails after a timeout.

POST {url}?OutId={key}&PhoneNumbers=...&SignName=...&TemplateCode=...&TemplateParam={json}, signed by ACS3-HMAC-SHA256
{"Code": "OK", "BizId": ...}; refusals come under HTTP 200 and 400 alike, by `Code`.

Codes and the words of its rate answers are from the vendor's pages and were not tried against its server.
"""

import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import msgspec

from cloud.notify.channels.post import Answer, Request
from cloud.notify.channels.signing import acs3_authorization, canonical_query, iso_second
from cloud.notify.channels.sms import by_prefix, shorten
from cloud.notify.config import ChannelConfig
from cloud.notify.messages import Message
from cloud.notify.results import Failure, Receipt, SendResult, http_failure

__all__ = ["AliyunSms"]

_VERSION = "2017-05-25"
_ZONE = ZoneInfo("Asia/Shanghai")  # the vendor's days
_VARIABLE_CHARS = 35  # of a notice's variable
_PAGE = 50

_CODES = {
    "SignatureDoesNotMatch": Failure.AUTH,
    "IncompleteSignature": Failure.AUTH,
    "InvalidAccessKeyId": Failure.AUTH,
    "InvalidTimeStamp": Failure.AUTH,
    "Forbidden": Failure.AUTH,
    "NoPermission": Failure.AUTH,
    "isp.RAM_PERMISSION_DENY": Failure.AUTH,
    "isv.ACCOUNT_NOT_EXISTS": Failure.AUTH,
    "isv.ACCOUNT_ABNORMAL": Failure.AUTH,
    "isv.AMOUNT_NOT_ENOUGH": Failure.AUTH,
    "isv.OUT_OF_SERVICE": Failure.AUTH,
    "isv.PRODUCT_UN_SUBSCRIPT": Failure.AUTH,
    "isv.MOBILE_NUMBER_ILLEGAL": Failure.GONE,
    "isv.SMS_TEMPLATE_ILLEGAL": Failure.FORMAT,
    "isv.SMS_SIGNATURE_ILLEGAL": Failure.FORMAT,
    "isv.SMS_SIGN_ILLEGAL": Failure.FORMAT,
    "isv.INVALID_PARAMETERS": Failure.FORMAT,
    "isv.INVALID_JSON_PARAM": Failure.FORMAT,
    "isv.TEMPLATE_MISSING_PARAMETERS": Failure.FORMAT,
    "isv.TEMPLATE_PARAMS_ILLEGAL": Failure.FORMAT,
    "isv.PARAM_LENGTH_LIMIT": Failure.FORMAT,
    "isv.PARAM_NOT_SUPPORT_URL": Failure.FORMAT,
    "isv.BLACK_KEY_CONTROL_LIMIT": Failure.FORMAT,
    "isv.BUSINESS_LIMIT_CONTROL": Failure.RATE,
    "isv.DAY_LIMIT_CONTROL": Failure.RATE,
    "isv.MONTH_LIMIT_CONTROL": Failure.RATE,
    "Throttling": Failure.RATE,
}
# "触发小时级流控Permits:5": which window is full. A full day is tried again each hour: nobody says when it began.
_WAITS = {"分钟级": 60.0, "小时级": 3600.0, "天级": 3600.0}


class AliyunSms:
    """One template of one signature; `nonce` gives a new text for each request."""

    def __init__(self, config: ChannelConfig, url: str, secret: str, nonce: Callable[[], str] | None = None) -> None:
        self._config = config
        self._url = url
        self._secret = secret
        self._nonce = nonce or (lambda: secrets.token_hex(16))

    def build(self, message: Message, now_ns: int) -> Request:
        """SendSms, with our key as its OutId."""
        names = self._config.variables
        values = {name: shorten(message.variables[name], _VARIABLE_CHARS) for name in names}
        asked = {
            "PhoneNumbers": message.to.removeprefix("+86"),
            "SignName": self._config.sign_name,
            "TemplateCode": self._config.template,
            "TemplateParam": msgspec.json.encode(values).decode(),
            "OutId": message.key,
        }
        return self._signed("SendSms", asked, now_ns)

    def classify(self, answer: Answer) -> SendResult:
        """By `Code`, whatever the status."""
        document = _document(answer)
        code, text = str(document.get("Code", "")), str(document.get("Message", ""))
        if not code:
            failure = http_failure(answer.status) or Failure.NETWORK
            return SendResult(failure=failure, vendor_code=f"http_{answer.status}", detail="an answer without a Code")
        if code == "OK":
            return SendResult(vendor_code=code, receipt=str(document.get("BizId", "")))
        failure = by_prefix(code, _CODES)
        wait = next((wait for word, wait in _WAITS.items() if word in text), 60.0) if failure is Failure.RATE else None
        return SendResult(failure=failure, vendor_code=code, detail=text, retry_after_s=wait)

    def questions(self, message: Message, since_ns: int, now_ns: int) -> Sequence[Request]:
        """QuerySendDetails for each day that an attempt may lie in."""
        days = sorted({_day(since_ns), _day(now_ns)})
        number = message.to.removeprefix("+86")
        page = {"PhoneNumber": number, "PageSize": str(_PAGE), "CurrentPage": "1"}
        return [self._signed("QuerySendDetails", {**page, "SendDate": day}, now_ns) for day in days]

    def read(self, answer: Answer, message: Message) -> Receipt:
        """Whether our key is among the records; unknown where there may be more of them than were shown."""
        document = _document(answer)
        if document.get("Code") != "OK":
            return Receipt.UNKNOWN
        records = document.get("SmsSendDetailDTOs", {}).get("SmsSendDetailDTO", [])
        if any(record.get("OutId") == message.key for record in records):
            return Receipt.ARRIVED
        return Receipt.ABSENT if int(document.get("TotalCount", _PAGE + 1)) <= len(records) else Receipt.UNKNOWN

    def _signed(self, action: str, asked: dict[str, str], now_ns: int) -> Request:
        query = canonical_query(asked)
        headers = {
            "host": urlsplit(self._url).netloc,
            "x-acs-action": action,
            "x-acs-content-sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",  # of nothing
            "x-acs-date": iso_second(now_ns),
            "x-acs-signature-nonce": self._nonce(),
            "x-acs-version": _VERSION,
        }
        signed = acs3_authorization(self._config.access_key_id, self._secret, query, headers, b"")
        return Request(url=f"{self._url}?{query}", body=b"", headers={**headers, "Authorization": signed}, signed=True)


def _document(answer: Answer) -> dict[str, Any]:
    try:
        return msgspec.json.decode(answer.body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return {}


def _day(time_ns: int) -> str:
    return f"{(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=time_ns // 1_000_000_000)).astimezone(_ZONE):%Y%m%d}"
