"""A push as one flat record: what `frame decode --json` prints. Signatures are not checked: the token is not here to know."""

import json
from collections.abc import Callable, Mapping
from functools import partial

from firmware_bridge.carriers import ctwing, onenet
from firmware_bridge.carriers.body import number, read_body
from firmware_bridge.carriers.messages import CommandState, Life, Message, Other, Point, Report
from firmware_bridge.carriers.tunnel import parse_tunnel
from firmware_bridge.cursor import Shown
from firmware_bridge.documents import JSON, parse_document
from firmware_bridge.errors import ParseError
from firmware_bridge.language import Language, Record

__all__ = ["LANGUAGES"]


def _onenet(raw: bytes) -> Record:
    messages = [_onenet_message(message) for message in onenet.parse_push(raw)]
    return {"protocol": "onenet", **_joined(messages)}


def _joined(messages: list[Record]) -> Record:
    """One message as it is; several, in addition, one by one."""
    first: Record = dict(messages[0]) if messages else {}
    return first | {"messages": messages} if len(messages) != 1 else first


def _onenet_message(message: Message) -> Record:
    record = _common(message) | {"type": message.kind}
    if not isinstance(message, Report):
        return record
    if message.kind == "datapoint":
        return record | _resource(message.points[0].path) | {"value": message.points[0].value}
    if message.kind == "dp/post":
        return record | {"topic": "$sys/{pid}/{device}/dp/post/json"}
    return record | {message.kind: {point.path: point.value for point in message.points}}


def _resource(path: str) -> Record:
    """A ds_id of LwM2M is object_instance_resource; any other is the stream's name."""
    parts = path.split("_")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() and len(part) < 6 for part in parts):
        return {"ds_id": path}
    return {"ds_id": path} | dict(zip(("object", "instance", "resource"), map(int, parts), strict=True))


def _ctwing(raw: bytes) -> Record:
    messages = ctwing.parse_push(raw)
    said = read_body(raw)
    carried = {"topic": said.get("topic"), "carried_by": said.get("protocol"), "product_id": said.get("productId")}
    records = [_common(message) | {"message": message.kind} | _ctwing_fields(message) for message in messages]
    return {"protocol": "ctwing", **{name: value for name, value in carried.items() if value is not None}, **_joined(records)}


def _ctwing_fields(message: Message) -> Record:
    if isinstance(message, CommandState):
        return {"task": message.command_id if number(message.command_id) is None else number(message.command_id)}
    if not isinstance(message, Report):
        return {}
    record: Record = {"service": message.service, "values": {point.path: point.value for point in message.points}}
    if message.app_data is not None:
        record |= _app_data(message.app_data)
    named = {point.path: point.value for point in message.points}
    rsrp = named.get("RSRP")
    if isinstance(rsrp, int) and not isinstance(rsrp, bool):
        record["rsrp_dbm"] = -abs(rsrp)  # models write it without its sign: 114 stands for -114 dBm
    return record | _tunnelled(named.get("RAWData"))


def _app_data(data: bytes) -> Record:
    record: Record = {"app_data_hex": data.hex(), "app_data_len": len(data)}
    text = data.decode("ascii", errors="replace")
    if data and text.replace("\n", "").replace("\r", "").replace("\t", "").isprintable() and "�" not in text:
        record["app_data_text"] = text
    try:
        document = parse_document(data, JSON)
    except ParseError:
        return record
    return record | ({"app_data_json": document} if isinstance(document, (dict, list)) else {})


def _tunnelled(value: object) -> Record:
    """The blocks of a meter frame in RAWData, or why it is none."""
    if not isinstance(value, str):
        return {}
    try:
        raw = bytes.fromhex(value)
    except ValueError:
        return {}
    try:
        frame = parse_tunnel(raw)
    except ParseError as error:
        return {"raw_len": len(raw), "raw_refused": error.reason, "raw_where": str(error)}
    tlv = {f"{number:04x}": data.hex() for number, data in frame.blocks}
    return {"raw_len": len(raw), "sum8_ok": True, "tlv_count": len(frame.blocks), "tlv": tlv}


def _common(message: Message) -> Record:
    record: Record = {"device_id": message.device_id, "imei": message.imei, "time_ns": message.time_ns}
    record["epoch_ms"] = None if message.time_ns is None else message.time_ns // 1_000_000
    match message:
        case Report():
            record |= {"points": len(message.points), "data_points": [_point(point) for point in message.points]}
        case Life():
            record |= {"online": message.online, "login": message.login}
        case CommandState():
            record |= {
                "command_id": message.command_id,
                "cmd_type": message.state,
                "state": message.state,
                "detail": message.detail,
            }
        case Other():
            pass
    return record


def _point(point: Point) -> Record:
    return {"path": point.path, "value": point.value, "time_ns": point.time_ns}


def _explain(raw: bytes, describe: Callable[[bytes], Record]) -> list[Shown]:
    """A JSON body has no fixed offsets: every field is shown with the whole of it."""
    return [Shown(name, 0, len(raw), json.dumps(value, ensure_ascii=False)) for name, value in describe(raw).items()]


LANGUAGES: Mapping[str, Language] = {
    name: Language(describe=describe, explain=partial(_explain, describe=describe), spoken=("{",))
    for name, describe in (("onenet", _onenet), ("ctwing", _ctwing))
}
