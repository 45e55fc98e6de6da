"""An advertisement, and a frame of the maintenance door, as JSON-ready records and field by field with offsets."""

from firmware_bridge.ble.advertising import parse_advertising
from firmware_bridge.ble.bthome import SERVICE, BtHome, parse_bthome
from firmware_bridge.ble.door import Frame, FrameType, parse_answer, parse_frame, parse_order
from firmware_bridge.cursor import Shown
from firmware_bridge.errors import ParseError
from firmware_bridge.language import Language, Record

__all__ = ["LANGUAGES"]


def _advertisement(raw: bytes) -> Record:
    said = parse_advertising(raw)
    record: Record = {
        "protocol": "ble-advertisement",
        "name": said.name,
        "tx_power_dbm": said.tx_power_dbm,
        "uuids": list(said.uuids),
        "service_data": {uuid: data.hex() for uuid, data in said.service_data.items()},
        "manufacturer_data": {f"{company:04x}": data.hex() for company, data in said.manufacturer_data.items()},
    }
    if SERVICE not in said.service_data:
        return record
    try:
        return record | {"bthome": _bthome(parse_bthome(said.service_data[SERVICE]))}
    except ParseError as error:
        return record | {"bthome": {"refused": error.reason, "where": str(error)}}


def _bthome(said: BtHome) -> Record:
    return {
        "items": dict(said.items),
        "unreadable": dict(said.unreadable),
        "packet_id": said.packet_id,
        "address": said.address,
        "triggered": said.triggered,
        "unknown_object": said.unknown,
    }


def _explain_advertisement(raw: bytes) -> list[Shown]:
    said = parse_advertising(raw)
    shown, at = [], 0
    while at < len(raw) and raw[at]:
        content = raw[at + 2 : at + 1 + raw[at]]
        shown.append(Shown(f"type {raw[at + 1]:02X}", at, 1 + raw[at], content.hex()))
        at += 1 + raw[at]
    if SERVICE in said.service_data:
        read = parse_bthome(said.service_data[SERVICE])
        shown += [Shown(f"bthome.{name}", 0, len(raw), value) for name, value in read.items.items()]
    return shown


def _door(raw: bytes) -> Record:
    frame = parse_frame(raw)
    head: Record = {"protocol": "ble-door", "checksum_ok": True, "type": frame.type, "serial": frame.serial}
    return head | {"body": frame.body.hex(), **_said(frame)}


def _said(frame: Frame) -> Record:
    try:
        if frame.type == FrameType.ORDER:
            order = parse_order(frame)
            return {"kind": "order", "code": order.code, "argument": order.argument}
        answer = parse_answer(frame)
    except ParseError as error:
        return {"refused": error.reason, "where": str(error)}
    return {"kind": "answer", "code": answer.code, "result": answer.result, "value": answer.value}


def _explain_door(raw: bytes) -> list[Shown]:
    frame = parse_frame(raw)
    return [
        Shown("start", 0, 1, f"{raw[0]:02x}"),
        Shown("length", 1, 2, int.from_bytes(raw[1:3], "big")),
        Shown("type", 3, 1, frame.type),
        Shown("serial", 4, 1, frame.serial),
        Shown("body", 5, len(frame.body), ", ".join(f"{name} {value}" for name, value in _said(frame).items())),
        Shown("crc", len(raw) - 2, 2, "right"),
    ]


LANGUAGES = {
    "ble-advertisement": Language(describe=_advertisement, explain=_explain_advertisement),
    "ble-door": Language(describe=_door, explain=_explain_door),
}
