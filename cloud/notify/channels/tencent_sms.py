"""SMS through Tencent Cloud (sms 2021-01-11): SendSms, and PullSmsSendStatusByPhoneNumber after a timeout.

POST {url}  X-TC-Action: SendSms  {"PhoneNumberSet": ["+86..."], "TemplateParamSet": [...], "SessionContext": key, ...}
{"Response": {"SendStatusSet": [{"Code": "Ok", "SerialNo": ...}]}} or {"Response": {"Error": {"Code": ...}}}, signed by
TC3-HMAC-SHA256 with a clock within five minutes.

Codes are from the vendor's pages and were not tried against its server. Its status records come from the carriers'
receipts, later than the message: one that is there says that it arrived, none says nothing.
"""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

from cloud.notify.channels.post import Answer, Request
from cloud.notify.channels.signing import tc3_authorization
from cloud.notify.channels.sms import by_prefix, shorten
from cloud.notify.config import ChannelConfig
from cloud.notify.messages import Message
from cloud.notify.results import Failure, Receipt, SendResult, http_failure

__all__ = ["TencentSms"]

_VERSION = "2021-01-11"
_VARIABLE_CHARS = 12  # the shortest that any kind of template allows (unverified)
_MOST_RECORDS = 100

_CODES = {
    "AuthFailure": Failure.AUTH,
    "UnauthorizedOperation": Failure.AUTH,
    "FailedOperation.InsufficientBalanceInSmsPackage": Failure.AUTH,
    "FailedOperation.PhoneNumberInBlacklist": Failure.GONE,
    "InvalidParameterValue.IncorrectPhoneNumber": Failure.GONE,
    "FailedOperation.ContainSensitiveWord": Failure.FORMAT,
    "FailedOperation.FailResolvePacket": Failure.FORMAT,
    "FailedOperation.SignatureIncorrectOrUnapproved": Failure.FORMAT,
    "FailedOperation.TemplateIncorrectOrUnapproved": Failure.FORMAT,
    "FailedOperation.TemplateParamSetNotMatchApprovedTemplate": Failure.FORMAT,
    "InvalidParameter": Failure.FORMAT,
    "InvalidParameterValue": Failure.FORMAT,
    "MissingParameter": Failure.FORMAT,
    "UnknownParameter": Failure.FORMAT,
    "UnsupportedOperation": Failure.FORMAT,
    "LimitExceeded": Failure.RATE,
    "RequestLimitExceeded": Failure.RATE,
}
_WAITS = {
    "LimitExceeded.PhoneNumberThirtySecondLimit": 30.0,
    "LimitExceeded.PhoneNumberOneHourLimit": 3600.0,
    "LimitExceeded.PhoneNumberDailyLimit": 3600.0,
    "LimitExceeded.PhoneNumberSameContentDailyLimit": 3600.0,
}


class TencentSms:
    """One template of one signature and application."""

    def __init__(self, config: ChannelConfig, url: str, secret: str) -> None:
        self._config = config
        self._url = url
        self._key = (config.access_key_id, secret)

    def build(self, message: Message, now_ns: int) -> Request:
        """SendSms, with our key as its SessionContext."""
        config = self._config
        document = {
            "PhoneNumberSet": [message.to],
            "SmsSdkAppId": config.app_id,
            "SignName": config.sign_name,
            "TemplateId": config.template,
            "TemplateParamSet": [shorten(message.variables[name], _VARIABLE_CHARS) for name in config.variables],
            "SessionContext": message.key,
        }
        return self._signed("SendSms", document, now_ns)

    def classify(self, answer: Answer) -> SendResult:
        """By the error of the request, then by the status of the one number."""
        response = _response(answer)
        if (error := response.get("Error")) is not None:
            return _refused(error)
        if not (numbers := response.get("SendStatusSet")):
            failure = http_failure(answer.status) or Failure.NETWORK
            return SendResult(failure=failure, vendor_code=f"http_{answer.status}", detail="an answer without a status")
        if numbers[0].get("Code") != "Ok":
            return _refused(numbers[0])
        return SendResult(vendor_code="Ok", receipt=str(numbers[0].get("SerialNo", "")))

    def questions(self, message: Message, since_ns: int, now_ns: int) -> Sequence[Request]:
        """The status records of this number since the first attempt."""
        document = {
            "BeginTime": since_ns // 1_000_000_000,
            "EndTime": now_ns // 1_000_000_000 + 1,
            "Offset": 0,
            "Limit": _MOST_RECORDS,
            "PhoneNumber": message.to,
            "SmsSdkAppId": self._config.app_id,
        }
        return [self._signed("PullSmsSendStatusByPhoneNumber", document, now_ns)]

    def read(self, answer: Answer, message: Message) -> Receipt:
        """Arrived where a record bears our key; its absence proves nothing."""
        records = _response(answer).get("PullSmsSendStatusSet") or []
        known = any(record.get("SessionContext") == message.key for record in records)
        return Receipt.ARRIVED if known else Receipt.UNKNOWN

    def _signed(self, action: str, document: dict[str, Any], now_ns: int) -> Request:
        body, timestamp_s = msgspec.json.encode(document), now_ns // 1_000_000_000
        signed = {
            "content-type": "application/json; charset=utf-8",
            "host": urlsplit(self._url).netloc,
            "x-tc-action": action,
        }
        headers = {
            **signed,
            "X-TC-Timestamp": str(timestamp_s),
            "X-TC-Version": _VERSION,
            "X-TC-Region": self._config.region,
            "Authorization": tc3_authorization(self._key, "sms", signed, timestamp_s, body),
        }
        return Request(url=self._url, body=body, headers=headers)


def _refused(said: dict[str, Any]) -> SendResult:
    code = str(said.get("Code", ""))
    failure = by_prefix(code, _CODES)
    wait = _WAITS.get(code, 60.0) if failure is Failure.RATE else None
    return SendResult(failure=failure, vendor_code=code[:64], detail=str(said.get("Message", "")), retry_after_s=wait)


def _response(answer: Answer) -> dict[str, Any]:
    try:
        document = msgspec.json.decode(answer.body, type=dict[str, dict[str, Any]])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return {}
    return document.get("Response", {})
