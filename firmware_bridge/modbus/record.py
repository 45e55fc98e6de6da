"""A Modbus frame as one flat record, and field by field: what `frame decode` prints."""

from collections.abc import Callable
from functools import partial

from firmware_bridge.cursor import Shown
from firmware_bridge.errors import ParseError
from firmware_bridge.language import Language, Record
from firmware_bridge.modbus.files import FileData, FilePart, FileRead, FileWrite
from firmware_bridge.modbus.frames import parse_rtu, parse_tcp
from firmware_bridge.modbus.pdus import (
    EXCEPTIONS,
    ExceptionReply,
    Function,
    MaskWrite,
    ReadReply,
    ReadRequest,
    Reply,
    Request,
    WriteReply,
    WriteRequest,
    parse_reply,
    parse_request,
)
from telemetry.reason import Reason

__all__ = ["LANGUAGES"]

_SHOWN = ("address", "count", "values", "and_mask", "or_mask", "records", "code", "exception")


def _rtu(raw: bytes) -> Record:
    frame = parse_rtu(raw)
    return {"protocol": "modbus-rtu", "unit": frame.unit, **_pdu(frame.pdu, 1), "crc_ok": True, "checksum_ok": True}


def _tcp(raw: bytes) -> Record:
    frame = parse_tcp(raw)
    return {"protocol": "modbus-tcp", "transaction": frame.transaction, "unit": frame.unit, **_pdu(frame.pdu, 7)}


def _pdu(pdu: bytes, at: int) -> Record:
    """A PDU as a record. Nothing in it says who speaks: its length does, and writes of one value read the same both ways."""
    try:
        return _pdu_record(_request_or_reply(pdu))
    except ParseError as error:
        raise ParseError(error.reason, error.detail, None if error.at is None else error.at + at) from error


def _request_or_reply(pdu: bytes) -> Request | Reply:
    try:
        return parse_request(pdu)
    except ParseError as no_request:
        try:
            return parse_reply(pdu)
        except ParseError:
            # A field that is out of its range says more than that a reply would have another length.
            if no_request.reason is Reason.BAD_FIELD:
                raise no_request from None
            raise


def _pdu_record(said: Request | Reply) -> Record:
    match said:
        case ReadRequest():
            return {"function": int(said.function), "kind": "request", "address": said.address, "count": said.count}
        case WriteRequest():
            return {"function": int(said.function), "kind": "write", "address": said.address, "values": list(said.values)}
        case MaskWrite():
            masks = {"and_mask": said.and_mask, "or_mask": said.or_mask}
            return {"function": int(Function.MASK_WRITE_REGISTER), "kind": "write", "address": said.address, **masks}
        case ReadReply():
            return {"function": int(said.function), "kind": "reply", "values": list(said.values)}
        case WriteReply():
            return {"function": int(said.function), "kind": "reply", "address": said.address, "count": said.value}
        case ExceptionReply():
            meaning = EXCEPTIONS.get(said.code, "the vendor's own")
            return {"function": said.function, "kind": "exception", "code": said.code, "exception": meaning}
        case FileRead() | FileData() | FileWrite():
            return _file_record(said)


def _file_record(said: FileRead | FileData | FileWrite) -> Record:
    match said:
        case FileRead():
            return {"function": 20, "kind": "request", "records": [_part(part) for part in said.parts]}
        case FileData():
            return {"function": 20, "kind": "reply", "records": [{"hex": data.hex()} for data in said.parts]}
        case FileWrite():
            return {"function": 21, "kind": "write", "records": [{**_part(part), "hex": data.hex()} for part, data in said.parts]}


def _part(part: FilePart) -> Record:
    return {"file": part.file, "record": part.record, "registers": part.registers}


def _explain(raw: bytes, *, head: tuple[tuple[str, int], ...], tail: int, describe: Callable[[bytes], Record]) -> list[Shown]:
    record = describe(raw)
    fields: list[Shown] = []
    at = 0
    for name, size in head:
        fields.append(Shown(name, at, size, int.from_bytes(raw[at : at + size], "big")))
        at += size
    fields.append(Shown("function", at, 1, f"{record['function']} {record['kind']}"))
    rest = ", ".join(f"{name} {record[name]}" for name in _SHOWN if name in record)
    fields.append(Shown("data", at + 1, len(raw) - at - 1 - tail, rest))
    if tail:
        fields.append(Shown("crc", len(raw) - tail, tail, "right"))
    return fields


_MBAP = (("transaction", 2), ("protocol", 2), ("length", 2), ("unit", 1))

LANGUAGES = {
    "modbus-rtu": Language(describe=_rtu, explain=partial(_explain, head=(("unit", 1),), tail=2, describe=_rtu)),
    "modbus-tcp": Language(describe=_tcp, explain=partial(_explain, head=_MBAP, tail=0, describe=_tcp)),
}
