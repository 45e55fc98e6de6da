"""One line that a modem says: a result, an unasked-for notice, or an answer, with the fields it holds."""

import re
from collections.abc import Callable
from enum import StrEnum

import msgspec

from firmware_bridge.errors import ParseError
from firmware_bridge.language import Record
from firmware_bridge.nbiot.fields import BARE, PUSHED, SAYINGS, hexes, is_decimal, parameters, quoted, read, whole
from firmware_bridge.nbiot.timers import granted_timers
from telemetry.reason import Reason

__all__ = ["BOOT_LINES", "CME_ERRORS", "OWN_COMMANDS", "REGISTRATIONS", "Kind", "Saying", "parse_saying"]


class Kind(StrEnum):
    """What a line is."""

    RESULT = "result"
    """It ends a command: OK, ERROR, +CME ERROR."""
    NOTICE = "urc"
    """It may come at any moment."""
    ANSWER = "answer"
    """It comes between a command and its result."""
    EITHER = "answer_or_urc"
    """It comes in answer to a command, and later again on its own."""
    LATE = "late"
    """It comes after the result of the command that it belongs to."""


class Saying(msgspec.Struct, frozen=True, kw_only=True):
    """A line that was understood. `name` is what stands behind the plus, or the line's first word."""

    kind: Kind
    name: str
    fields: Record
    text: str


REGISTRATIONS: dict[int, tuple[str, str | bool]] = {
    0: ("not searching", False),
    1: ("registered at home", "home"),
    2: ("searching", False),
    3: ("denied", False),
    4: ("unknown", False),
    5: ("registered, roaming", "roaming"),
    90: ("no UICC", False),  # said by Nordic's firmware
}

CME_ERRORS = {159: "uplink busy or flow control", 513: "the platform is not ready"}
"""Meanings that logs told; the numbers are the firmwares' own."""

BOOT_LINES = ("REBOOT", "Neul", "+POWERON", "RDY")
"""How a line begins that a modem says after it was reset: BC95, BC28, BC35; the last on BC26 (from logs, unverified)."""

_NOTICES = frozenset({"NSONMI", "NSOCLI", "NSOSTR", "NNMI", "NSMI", "NPSMR", "CSCON", "QIURC", "QLWDATARECV"})
_LATE = frozenset({"QIOPEN", "QMTOPEN", "QMTCONN", "QMTPUB"})
_BANDS = re.compile(r"\(([0-9,\s]*)\)$")

_STATS = {
    "signal power": ("signal_power_cBm", "rsrp_dbm"),
    "total power": ("total_power_cBm", "rssi_dbm"),
    "tx power": ("tx_power_cBm", "tx_power_dbm"),
    "tx time": ("tx_time_ms", None),
    "rx time": ("rx_time_ms", None),
    "cell id": ("cell_id", None),
    "ecl": ("ecl", None),
    "snr": ("snr_cdB", "snr_db"),
    "earfcn": ("earfcn", None),
    "pci": ("pci", None),
    "rsrq": ("rsrq_cdB", "rsrq_db"),
    "operator mode": ("operator_mode", None),
}
"""Lines of AT+NUESTATS: the value as it is said, and in whole decibels where it is said in tenths."""

_COUNTS = frozenset({"pending", "sent", "error", "buffered", "received", "dropped"})
_NEVER_SENT, _ECL_UNKNOWN = -32768, 255


def _stat(text: str) -> Record | None:
    label, _, said = text.rpartition(":")
    names = _STATS.get(label.strip().lower())
    if names is None:
        return None
    count = whole(said.strip())
    record: Record = {names[0]: count}
    if names[1] is not None:
        record[names[1]] = None if count == _NEVER_SENT else count / 10
    if names[0] == "ecl":
        record["coverage_level"] = None if count == _ECL_UNKNOWN else count
    return record


def _cell(text: str) -> Record:
    """CELL,earfcn,pci,primary,rsrp,rsrq,rssi,snr; the last four in tenths."""
    parts = parameters(text)
    if len(parts) != 8:
        raise ParseError(Reason.BAD_LENGTH, f"{len(parts)} parameters of a cell, want 8")
    earfcn, pci, primary, rsrp, rsrq, rssi, snr = map(whole, parts[1:])
    radio: Record = {"rsrp_dbm": rsrp / 10, "rsrq_db": rsrq / 10, "rssi_dbm": rssi / 10, "snr_db": snr / 10}
    return {"earfcn": earfcn, "pci": pci, "primary": primary == 1} | radio


def _stats(text: str) -> Record:
    if text.upper().startswith("CELL,"):
        return _cell(text)
    record = _stat(text)
    return {"text": text} if record is None else record


def _csq(text: str) -> Record:
    """3GPP TS 27.007, 8.5: -113 dBm + 2 x index, 99 for not known."""
    index, ber = (*map(whole, parameters(text)), 99)[:2]
    if not (0 <= index <= 31 or index == 99):
        raise ParseError(Reason.OUT_OF_RANGE, f"signal index {index}, want 0 to 31 or 99")
    return {"rssi_index": index, "rssi_dbm": None if index == 99 else 2 * index - 113, "ber": None if ber == 99 else ber}


def _cereg(text: str) -> Record:
    """<n>,<stat>[,tac,ci,act] in answer; a notice has no <n>. Second place: one or two digits are <stat>, a tac has four."""
    parts = parameters(text)
    asked = len(parts) > 1 and is_decimal(parts[1]) and len(parts[1]) <= 2
    stat, rest = whole(parts[asked]), parts[1 + asked :]
    meaning, registered = REGISTRATIONS.get(stat, (f"state {stat}", False))
    record: Record = {"n": whole(parts[0])} if asked else {}
    record |= {"stat": stat, "registered": registered, "meaning": meaning}
    for name, part in zip(("tac_hex", "ci_hex"), rest, strict=False):
        if part:
            record[name] = quoted(part)
    if len(rest) > 2 and rest[2]:
        record["act"] = whole(quoted(rest[2]))
    active, periodic = (quoted(part) for part in (*rest, *[""] * 7)[5:7])  # with <n> 4 and 5: what the network granted
    return record | granted_timers(active, periodic)


def _cpsms(text: str) -> Record:
    """<mode>,,,<periodic update>,<active time> (3GPP TS 27.007, 7.38)."""
    parts = [quoted(part) for part in parameters(text)] + [""] * 5
    return {"psm": whole(parts[0]) == 1} | granted_timers(parts[4], parts[3])


def _nsonmi(text: str) -> Record:
    """<socket>,<bytes>; or <socket>,<host>,<port>,<len>,<hex> by later firmwares that were told to (unverified)."""
    long = len(parameters(text)) == len(PUSHED)
    return read(PUSHED if long else SAYINGS["NSONMI"], text)


def _qiurc(text: str) -> Record:
    """ "recv",<socket>[,len[,data]], "closed",<socket>; layout of Quectel's TCP/IP notes, data in hex by the format we set."""
    parts = parameters(text)
    record: Record = {"event": quoted(parts[0])} | dict(zip(("socket", "len"), map(whole, parts[1:3]), strict=False))
    if len(parts) > 3:
        record["payload_hex"] = hexes(parts[3])
        if len(hexes(parts[3])) != 2 * whole(parts[2]):
            raise ParseError(Reason.BAD_LENGTH, f"{len(hexes(parts[3])) // 2} bytes, but the line says {parts[2]}")
    return record


def _nsmi(text: str) -> Record:
    return {"sent": text.strip() == "SENT", "status": text.strip()}


def _flag(name: str) -> Callable[[str], Record]:
    return lambda text: {name: whole(text.split(",")[-1].strip()) == 1}


def _nnmi(text: str) -> Record:
    """<len>,<hex>, or nothing where the bytes are to be fetched; "recv",<flag> on BC260Y."""
    if not text or text.startswith('"'):
        return {"waiting": True}
    return read(SAYINGS["NNMI"], text)


def _qband(text: str) -> Record:
    found = _BANDS.search(text)
    return {"text": text} if found is None else {"bands": [whole(part.strip()) for part in found[1].split(",")]}


_OWN: dict[str, Callable[[str], Record]] = {
    "CSQ": _csq,
    "CEREG": _cereg,
    "CPSMS": _cpsms,
    "NSONMI": _nsonmi,
    "CGATT": _flag("attached"),
    "NPSMR": _flag("psm"),
    "CSCON": _flag("connected"),
    "NUESTATS": _stats,
    "QIURC": _qiurc,
    "NSMI": _nsmi,
    "NNMI": _nnmi,
    "QBAND": _qband,
}


OWN_COMMANDS: dict[str, Callable[[str], Record]] = {"CPSMS": _cpsms}
"""Commands whose parameters are read like their answers."""


def _result(text: str) -> Saying | None:
    if text in {"OK", "ERROR"}:
        return Saying(kind=Kind.RESULT, name=text, fields={"ok": text == "OK"}, text=text)
    found = re.fullmatch(r"\+(CME|CMS) ERROR:\s*(.+)", text)
    if found is None:
        return None
    record: Record = {"ok": False, f"{found[1].lower()}_error": int(found[2]) if is_decimal(found[2]) else found[2]}
    if is_decimal(found[2]) and int(found[2]) in CME_ERRORS:
        record["meaning"] = CME_ERRORS[int(found[2])]
    return Saying(kind=Kind.RESULT, name="ERROR", fields=record, text=text)


def parse_saying(text: str, asked: str | None = None) -> Saying:
    """The line `text`, without its line end; `asked` names the command it may answer (`NSOCR`), for lines without a name.

    ParseError: unknown_message, bad_field, bad_length, not_hex, out_of_range.
    """
    result = _result(text)
    if result is not None:
        return result
    if text.startswith(BOOT_LINES):
        return Saying(kind=Kind.NOTICE, name="BOOT", fields={"booted": True}, text=text)
    if text in {"SEND OK", "SEND FAIL", "CLOSE OK"}:  # BC26
        return Saying(kind=Kind.LATE, name=text.split(" ", 1)[0], fields={"ok": text.endswith("OK")}, text=text)
    named = re.fullmatch(r"\+?([A-Z][A-Z0-9]*)(?::\s*(.*))?", text)
    if named is not None and (text.startswith("+") or named[1] == "NUESTATS"):
        return _named(named[1], named[2] or "", text)
    return _bare(text, asked)


def _named(name: str, said: str, text: str) -> Saying:
    if name in _OWN:
        fields = _OWN[name](said)
    elif name in SAYINGS:
        fields = read(SAYINGS[name], said)
    else:
        fields = {"parameters": said}
    kind = Kind.NOTICE if name in _NOTICES else Kind.LATE if name in _LATE else Kind.ANSWER
    if name == "CEREG":
        kind = Kind.EITHER if "n" in fields else Kind.NOTICE
    return Saying(kind=kind, name=name, fields=fields, text=text)


def _counts(text: str) -> Record:
    """PENDING=0,SENT=2,ERROR=0 and the like."""
    parts = (part.partition("=") for part in text.split(","))
    record: Record = {name.strip().lower(): whole(count) for name, _, count in parts}
    if record.keys() - _COUNTS:
        raise ParseError(Reason.UNKNOWN_MESSAGE, f"{text!r:.40}")
    return record


def _bare(text: str, asked: str | None) -> Saying:
    """A line without a name: a statistic, a queue's counts, or what the command asked for."""
    stat = _stat(text)
    if stat is not None:
        return Saying(kind=Kind.ANSWER, name="NUESTATS", fields=stat, text=text)
    counts = re.fullmatch(r"(PENDING|BUFFERED)=(.*)", text)
    if counts is not None:
        return Saying(kind=Kind.ANSWER, name="QUEUE", fields=_counts(text), text=text)
    if asked is not None and asked in BARE:
        fields = read(BARE[asked], text)
        if len(fields) < len(BARE[asked]) or "more" in fields:
            raise ParseError(Reason.BAD_LENGTH, f"{text!r:.40} does not answer {asked}")
        imsi = fields.get("imsi")
        if isinstance(imsi, str):
            fields |= {"mcc": imsi[:3], "mnc": imsi[3:5]}  # two digits in China (ITU-T E.212)
        return Saying(kind=Kind.ANSWER, name=asked, fields=fields, text=text)
    if len(parameters(text)) == len(BARE["NSORF"]):  # a datagram that came after its command was given up
        return Saying(kind=Kind.ANSWER, name="NSORF", fields=read(BARE["NSORF"], text), text=text)
    raise ParseError(Reason.UNKNOWN_MESSAGE, f"{text!r:.40}")
