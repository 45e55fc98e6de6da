"""CTWing (AEP) of China Telecom: HTTP pushes of the platform, and of the older one that it grew from.

    AEP    {"messageType": ..., "deviceId": ..., "timestamp": ms, "payload": {...}, ...}
    older  {"notifyType": ..., "deviceId": ..., "service" or "services": {serviceId, data, eventTime}}

The topic tells the payload: v1/up/ad carries the device's own bytes (APPdata, base64), v1/up/ad19 parsed values,
v1/up/ad19prof a service of the product model, ad the bytes of a device on TCP. Empty texts and "undefined" stand for
nothing. No source tells of a signature, so none is checked: who may push is for the receiver's address and TLS to say.
The fields of eventReport and dataReportTupUnion are not described; the payload is read as that of a dataReport.
"""

import json
from collections.abc import Callable

from firmware_bridge.carriers.body import (
    MAX_POINTS,
    Fields,
    basic_time_ns,
    epoch_ns,
    fields,
    from_base64,
    imei,
    number,
    read_body,
    text,
    walk,
)
from firmware_bridge.carriers.messages import CommandState, Life, Message, Other, Point, Report
from firmware_bridge.errors import ParseError
from telemetry.reason import Reason

__all__ = ["ACCEPTED_STATUS", "COMMAND_STATES", "encode_app_data", "parse_push"]

ACCEPTED_STATUS = 200
"""Anything else is pushed again, up to three times; many refusals in a row make the platform pause for a minute."""

COMMAND_STATES = ("SENT", "DELIVERED", "SUCCESSFUL", "FAILED")
_MS = 1_000_000
_ONLINE = {0: False, 1: True}
_OLD_KINDS = ("deviceDataChanged", "deviceDatasChanged")


def parse_push(body: bytes) -> tuple[Message, ...]:
    """The messages in `body`, more than one only where the older platform pushes several services.

    ParseError: oversized, not_json, missing, wrong_type, bad_field, implausible_time, unknown_message.
    """
    said = read_body(body)
    if "notifyType" in said:
        return _older(said)
    kind = text(said.get("messageType"))
    build = None if kind is None else _KINDS.get(kind)
    if kind is None or build is None:
        raise ParseError(Reason.UNKNOWN_MESSAGE, f"messageType {said.get('messageType')!r:.40}, want one of {', '.join(_KINDS)}")
    return (build(kind, said),)


def _report(kind: str, said: Fields) -> Message:
    if said.get("payload") is None:
        return _no_payload(kind, said)
    payload = fields(said["payload"], "payload")
    service, data = text(said.get("serviceId")), payload
    if "serviceData" in payload:  # v1/up/ad19prof
        service, data = text(payload.get("serviceId")), fields(payload["serviceData"], "serviceData")
    time_ns = epoch_ns(said.get("timestamp"), _MS, "timestamp")
    return Report(
        kind=kind,
        device_id=text(said.get("deviceId")),
        imei=imei(said.get("IMEI"), data.get("IMEI")),
        time_ns=time_ns,
        service=service,
        points=tuple(walk({name: value for name, value in data.items() if name != "APPdata"}, time_ns)),
        app_data=from_base64(payload["APPdata"], "APPdata") if "APPdata" in payload else None,
    )


def _no_payload(kind: str, said: Fields) -> Other:
    if kind == "dataReport":
        raise ParseError(Reason.MISSING, "no payload in a dataReport")
    time_ns = epoch_ns(said.get("timestamp"), _MS, "timestamp")
    return Other(kind=kind, device_id=text(said.get("deviceId")), imei=imei(said.get("IMEI")), time_ns=time_ns)


def _life(kind: str, said: Fields) -> Life:
    event = number(said.get("eventType"))
    return Life(
        kind=kind,
        device_id=text(said.get("deviceId")),
        imei=imei(said.get("IMEI")),
        time_ns=epoch_ns(said.get("timestamp"), _MS, "timestamp"),
        online=None if event is None else _ONLINE.get(event),
    )


def _command(kind: str, said: Fields) -> CommandState:
    result = fields(said.get("result"), "result")
    return CommandState(
        kind=kind,
        device_id=text(said.get("deviceId")),
        imei=imei(said.get("IMEI")),
        time_ns=epoch_ns(said.get("timestamp"), _MS, "timestamp"),
        command_id=text(said.get("taskId")),
        state=text(result.get("resultCode")),
        detail=text(result.get("resultDetail")),
    )


_KINDS: dict[str, Callable[[str, Fields], Message]] = {
    "dataReport": _report,
    "dataReportTupUnion": _report,
    "eventReport": _report,
    "commandResponse": _command,
    "deviceOnlineOfflineReport": _life,
}


def _older(said: Fields) -> tuple[Message, ...]:
    kind = text(said["notifyType"])
    if kind not in _OLD_KINDS:
        raise ParseError(Reason.UNKNOWN_MESSAGE, f"notifyType {said['notifyType']!r:.40}, want one of {', '.join(_OLD_KINDS)}")
    services = said.get("services", said.get("service"))
    entries = services if isinstance(services, list) else [services]
    messages: list[Message] = []
    left = MAX_POINTS
    for entry in entries:
        report = _service(kind, said, fields(entry, "service"))
        left -= 1 + len(report.points)
        if left < 0:
            raise ParseError(Reason.OVERSIZED, f"more than {MAX_POINTS} values")
        messages.append(report)
    return tuple(messages)


def _service(kind: str, said: Fields, service: Fields) -> Report:
    data = fields(service.get("data"), "data")
    time_ns = basic_time_ns(service.get("eventTime"), "eventTime")
    points: tuple[Point, ...] = tuple(walk(data, time_ns))
    return Report(
        kind=kind,
        device_id=text(said.get("deviceId")),
        imei=imei(data.get("IMEI")),
        time_ns=time_ns,
        service=text(service.get("serviceId")),
        points=points,
    )


def encode_app_data(device_id: str, timestamp_ms: int, app_data_base64: str, *, imei: str = "") -> bytes:
    """A push of a device's own bytes, for simulators."""
    return json.dumps(
        {
            "upPacketSN": -1,
            "upDataSN": -1,
            "topic": "v1/up/ad",
            "timestamp": timestamp_ms,
            "serviceId": "",
            "protocol": "lwm2m",
            "payload": {"APPdata": app_data_base64},
            "messageType": "dataReport",
            "deviceId": device_id,
            "IMSI": "undefined",
            "IMEI": imei,
        }
    ).encode()
