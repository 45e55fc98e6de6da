"""OneNET of China Mobile: HTTP push, rule-engine messages and the uploads of its MQTT product.

A push is one JSON object: {"msg": {...} or [{...}, ...], "msg_signature": ..., "nonce": ...}. Its signature is
base64(MD5(token + nonce + msg)), the token being agreed with the platform. The address is checked first by a GET with
msg, nonce and signature, to be answered by msg alone.

What the sources leave open: which text of an object `msg` the signature covers. It is taken as it stands in the body,
and without the blanks between its parts. Messages that AES hides are refused: the standard library has no AES, and the
name of their field is not told either, so any `msg` that is a text and no JSON counts as hidden.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from urllib.parse import parse_qs, quote

import msgspec

from firmware_bridge.carriers.body import MAX_POINTS, Fields, epoch_ns, fields, imei, number, read_body, text
from firmware_bridge.carriers.messages import CommandState, Life, Message, Other, Point, Report
from firmware_bridge.documents import JSON, parse_document
from firmware_bridge.errors import ParseError
from telemetry.reason import Reason

__all__ = [
    "ANSWER_STATUS",
    "LOGINS",
    "RULE_KINDS",
    "echo",
    "parse_push",
    "sign",
    "signed_push",
    "verification_query",
    "verified_push",
]

ANSWER_STATUS = 200
"""The platform wants this at once for every push, whatever the receiver does with it afterwards."""

LOGINS = {1: "EDP", 6: "Modbus", 7: "MQTT", 10: "NB-IoT"}
_COMMAND_STATES = {1: "ACK"}
_ONLINE = {0: False, 1: True}
_ONLINE_WORDS = {"offline": False, "online": True}
RULE_KINDS = ("lifeCycle", "notify", "reply", "lbsAndWifi", "sceneLog")
_MS, _S = 1_000_000, 1_000_000_000
_MAX_QUERY = 4096


class _Envelope(msgspec.Struct):
    msg: msgspec.Raw
    nonce: str
    msg_signature: str


def sign(token: str, nonce: str, msg: str) -> str:
    """base64(MD5(token + nonce + msg)), as a push carries it."""
    digest = hashlib.md5((token + nonce + msg).encode("utf-8", "replace"), usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def _matches(given: str, wanted: str) -> bool:
    """Constant in time. A plus that came through the decoding of an address as a blank is a plus again."""
    return hmac.compare_digest(given.replace(" ", "+").encode("utf-8", "replace"), wanted.encode())


def echo(query: str, token: str) -> bytes:
    """The body that answers the platform's GET, `query` being what stands behind the question mark.

    ParseError: oversized, missing, not_authenticated. The signature is compared after URL decoding.
    """
    if len(query) > _MAX_QUERY:
        raise ParseError(Reason.OVERSIZED, f"a query of {len(query)} characters, want at most {_MAX_QUERY}")
    try:
        said = parse_qs(query, keep_blank_values=True, max_num_fields=16)
    except ValueError as error:
        raise ParseError(Reason.OVERSIZED, "more than 16 fields in the query") from error
    msg, nonce, signature = (_only(said, name) for name in ("msg", "nonce", "signature"))
    if not _matches(signature, sign(token, nonce, msg)):
        raise ParseError(Reason.NOT_AUTHENTICATED, "the query's signature is not the token's")
    return msg.encode("utf-8", "replace")


def _only(said: dict[str, list[str]], name: str) -> str:
    values = said.get(name, [])
    if len(values) != 1:
        raise ParseError(Reason.MISSING, f"{len(values)} fields {name} in the query, want one")
    return values[0]


def verification_query(token: str, nonce: str, msg: str) -> str:
    """The query with which the platform checks an address, for simulators."""
    said = {"msg": msg, "nonce": nonce, "signature": sign(token, nonce, msg)}
    return "&".join(f"{name}={quote(value, safe='')}" for name, value in said.items())


def verified_push(body: bytes, token: str) -> tuple[Message, ...]:
    """The messages of a push whose signature is right. ParseError as `parse_push`, and missing, not_authenticated."""
    read_body(body)  # within bounds, and no name twice: what is signed is what is read
    try:
        envelope = msgspec.json.decode(body, type=_Envelope)
    except msgspec.MsgspecError as error:
        raise ParseError(Reason.MISSING, f"no signed message: {error}") from error
    texts = _signed_texts(bytes(envelope.msg).decode())
    # All are compared, so the time taken does not tell which text was nearer.
    matches = [_matches(envelope.msg_signature, sign(token, envelope.nonce, said)) for said in texts]
    if not any(matches):
        raise ParseError(Reason.NOT_AUTHENTICATED, "the message's signature is not the token's")
    return parse_push(body)


def _signed_texts(raw: str) -> tuple[str, ...]:
    said = json.loads(raw)
    if isinstance(said, str):
        return (said,)
    return raw, json.dumps(said, ensure_ascii=False, separators=(",", ":"))


def signed_push(msg: object, token: str, nonce: str) -> bytes:
    """The body of a push of `msg`, for simulators. ParseError where JSON has no form for it."""
    try:
        said = json.dumps(msg, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ParseError(Reason.WRONG_TYPE, str(error)) from error
    tail = json.dumps({"msg_signature": sign(token, nonce, msg if isinstance(msg, str) else said), "nonce": nonce})
    return f'{{"msg":{said},{tail[1:]}'.encode()


def parse_push(body: bytes) -> tuple[Message, ...]:
    """The messages in `body`: an HTTP push, one message of it alone, a rule-engine message, or an MQTT upload {id, dp}.

    The signature is not looked at. ParseError: oversized, not_json, missing, wrong_type, bad_field, implausible_time,
    unsupported_encryption, unknown_message.
    """
    said = read_body(body)
    if "msg" in said:
        return tuple(_rule(msg) if "messageType" in msg else _pushed(msg) for msg in _each(said["msg"]))
    if "messageType" in said:
        return (_rule(said),)
    if "dp" in said:
        return (_upload(said),)
    if "type" in said:
        return (_pushed(said),)
    raise ParseError(Reason.UNKNOWN_MESSAGE, "neither msg, messageType, dp nor type is in the body")


def _each(msg: object) -> Iterator[Fields]:
    if isinstance(msg, str):
        msg = _opened(msg)
    entries = msg if isinstance(msg, list) else [msg]
    if len(entries) > MAX_POINTS:
        raise ParseError(Reason.OVERSIZED, f"{len(entries)} messages, want at most {MAX_POINTS}")
    for entry in entries:
        yield fields(entry, "msg")


def _opened(msg: str) -> object:
    try:
        return parse_document(msg.encode("utf-8", "replace"), JSON)
    except ParseError as error:
        raise ParseError(Reason.UNSUPPORTED_ENCRYPTION, "msg is a text and no JSON: encrypted by AES") from error


def _pushed(msg: Fields) -> Message:
    kind = number(msg.get("type"))
    build = None if kind is None else _PUSHED.get(kind)
    if build is None:
        raise ParseError(Reason.UNKNOWN_MESSAGE, f"type {msg.get('type')!r:.40}, want {sorted(_PUSHED)}")
    return build(msg)


def _data_point(msg: Fields) -> Report:
    path = text(msg.get("ds_id"))
    if path is None or "value" not in msg:
        raise ParseError(Reason.MISSING, "no ds_id or no value in a data point")
    time_ns = epoch_ns(msg.get("at"), _MS, "at")
    point = Point(path=path, value=msg["value"], time_ns=time_ns)
    return Report(
        kind="datapoint", device_id=text(msg.get("dev_id")), imei=imei(msg.get("imei")), time_ns=time_ns, points=(point,)
    )


def _life(msg: Fields) -> Life:
    login, status = number(msg.get("login_type")), number(msg.get("status"))
    return Life(
        kind="lifecycle",
        device_id=text(msg.get("dev_id")),
        imei=imei(msg.get("imei")),
        time_ns=epoch_ns(msg.get("at"), _MS, "at"),
        online=None if status is None else _ONLINE.get(status),
        login=None if login is None else LOGINS.get(login, f"login type {login}"),
    )


def _command(msg: Fields) -> CommandState:
    kind = number(msg.get("cmd_type"))
    return CommandState(
        kind="cached command result",
        device_id=text(msg.get("dev_id")),
        imei=imei(msg.get("imei")),
        time_ns=epoch_ns(msg.get("at"), _MS, "at"),
        command_id=text(msg.get("cmd_id")),
        state=None if kind is None else _COMMAND_STATES.get(kind, f"command type {kind}"),
    )


_PUSHED: dict[int, Callable[[Fields], Message]] = {1: _data_point, 2: _life, 7: _command}


def _upload(said: Fields) -> Report:
    """{"id": 123, "dp": {name: [{"v": value, "t": seconds}]}}: the topic names the device."""
    points: list[Point] = []
    for name, entries in fields(said["dp"], "dp").items():
        if not isinstance(entries, list):
            raise ParseError(Reason.WRONG_TYPE, f"dp {name:.40} is {type(entries).__name__}, want a list")
        for entry in entries:
            point = fields(entry, f"a point of {name:.40}")
            if "v" not in point:
                raise ParseError(Reason.MISSING, f"no v in a point of {name:.40}")
            points.append(Point(path=name, value=point["v"], time_ns=epoch_ns(point.get("t"), _S, "t")))
    return _bounded(Report(kind="dp/post", device_id=None, points=tuple(points)))


def _rule(said: Fields) -> Message:
    kind = text(said.get("messageType"))
    device, number_of_device = text(said.get("deviceName")), imei(said.get("imei"))
    if kind == "lifeCycle":
        data = fields(said.get("data"), "data")
        online = _ONLINE_WORDS.get(text(data.get("status")) or "")
        time_ns = epoch_ns(data.get("time"), _MS, "time")
        return Life(kind=kind, device_id=device, imei=number_of_device, online=online, time_ns=time_ns)
    if kind == "notify":
        notify = text(said.get("notifyType")) or kind
        params = fields(fields(said.get("data"), "data").get("params"), "params")
        points = tuple(_param(name, value) for name, value in params.items())
        return _bounded(Report(kind=notify, device_id=device, imei=number_of_device, points=points))
    if kind in RULE_KINDS:
        return Other(kind=kind, device_id=device, imei=number_of_device)
    raise ParseError(Reason.UNKNOWN_MESSAGE, f"messageType {said.get('messageType')!r:.40}")


def _param(name: str, param: object) -> Point:
    """{"value": ..., "time": ms}, by the thing model's name or by LwM2M object_instance_resource."""
    said = fields(param, f"params {name:.40}")
    if "value" not in said:
        raise ParseError(Reason.MISSING, f"no value in params {name:.40}")
    return Point(path=name, value=said["value"], time_ns=epoch_ns(said.get("time"), _MS, "time"))


def _bounded(report: Report) -> Report:
    if len(report.points) > MAX_POINTS:
        raise ParseError(Reason.OVERSIZED, f"{len(report.points)} values, want at most {MAX_POINTS}")
    return report
