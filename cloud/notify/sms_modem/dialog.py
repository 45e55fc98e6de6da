"""The talk with a modem (3GPP TS 27.007, 27.005) about one message: bytes in, bytes out, no port and no clock.

AT, ATE0, AT+CMEE=1, AT+CMGF=0, AT+CNMI=2,1,0,1,0   each answered by OK
AT+CMGS=<octets>  ->  "> "  ->  hex, Ctrl-Z  ->  +CMGS: <reference>, OK   for each part
+CDS: <octets>, hex                                                       a status report, at any time
"""

import re
from collections.abc import Iterator, Sequence
from enum import StrEnum

from cloud.notify.results import Failure, SendResult
from cloud.notify.sms_modem.pdu import Report, Submit, parse_report

__all__ = ["TABLE", "Dialog", "Event", "Phase", "cms_failure"]

_CTRL_Z, _ESCAPE = b"\x1a", b"\x1b"
_MOST_LINE = 1024
_SET_UP = (b"AT\r", b"ATE0\r", b"AT+CMEE=1\r", b"AT+CMGF=0\r", b"AT+CNMI=2,1,0,1,0\r")


class Phase(StrEnum):
    """What the dialog waits for."""

    SETTING_UP = "setting_up"
    ASKING = "asking"
    WRITTEN = "written"
    TAKEN = "taken"
    REPORTING = "reporting"
    DONE = "done"
    FAILED = "failed"


class Event(StrEnum):
    """What the modem says, or the line does."""

    OK = "ok"
    PROMPT = "prompt"
    REFERENCE = "reference"
    REFUSED = "refused"
    SILENT = "silent"
    CONFIRMED = "confirmed"


class _Deed(StrEnum):
    SET_UP = "set_up"
    WRITE = "write"
    NEXT_PART = "next_part"
    NOTHING = "nothing"
    GIVE_UP = "give_up"
    DOUBT = "doubt"


# In each phase, what is heard leads to the next phase and what is done. A pair that is not here changes nothing: modems
# say things unasked. Once the last octet is written, silence is doubt: the message may be on its way.
TABLE: dict[tuple[Phase, Event], tuple[Phase, _Deed]] = {
    (Phase.SETTING_UP, Event.OK): (Phase.SETTING_UP, _Deed.SET_UP),
    (Phase.SETTING_UP, Event.REFUSED): (Phase.FAILED, _Deed.GIVE_UP),
    (Phase.SETTING_UP, Event.SILENT): (Phase.FAILED, _Deed.GIVE_UP),
    (Phase.ASKING, Event.PROMPT): (Phase.WRITTEN, _Deed.WRITE),
    (Phase.ASKING, Event.REFUSED): (Phase.FAILED, _Deed.GIVE_UP),
    (Phase.ASKING, Event.SILENT): (Phase.FAILED, _Deed.GIVE_UP),
    (Phase.WRITTEN, Event.REFERENCE): (Phase.TAKEN, _Deed.NOTHING),
    (Phase.WRITTEN, Event.REFUSED): (Phase.FAILED, _Deed.GIVE_UP),
    (Phase.WRITTEN, Event.SILENT): (Phase.FAILED, _Deed.DOUBT),
    (Phase.TAKEN, Event.OK): (Phase.ASKING, _Deed.NEXT_PART),
    (Phase.TAKEN, Event.SILENT): (Phase.ASKING, _Deed.NEXT_PART),
    (Phase.REPORTING, Event.CONFIRMED): (Phase.DONE, _Deed.NOTHING),
    (Phase.REPORTING, Event.SILENT): (Phase.DONE, _Deed.NOTHING),
}

# 3GPP TS 27.005, 3.2.5, and TS 24.011, annex E-2, for those below 128.
_CMS = {
    1: Failure.GONE,  # unassigned number
    8: Failure.AUTH,  # barred by the operator
    10: Failure.AUTH,  # barred
    28: Failure.GONE,  # unidentified subscriber
    29: Failure.AUTH,  # facility rejected
    30: Failure.GONE,  # unknown subscriber
    42: Failure.RATE,  # congestion
    47: Failure.RATE,  # resources
    50: Failure.AUTH,  # not subscribed
    96: Failure.FORMAT,
    302: Failure.AUTH,  # not allowed
    303: Failure.FORMAT,  # not supported
    304: Failure.FORMAT,  # PDU
    305: Failure.FORMAT,
    310: Failure.AUTH,  # no SIM
    311: Failure.AUTH,  # PIN
    312: Failure.AUTH,
    313: Failure.AUTH,  # SIM failure
    315: Failure.AUTH,  # wrong SIM
    316: Failure.AUTH,  # PUK
    317: Failure.AUTH,
    318: Failure.AUTH,
    330: Failure.AUTH,  # SMSC address
    332: Failure.UNKNOWN_AFTER_TIMEOUT,  # the network did not answer in time
}
_REFUSAL = re.compile(r"(ERROR|\+CM[ES] ERROR:\s*(\d+)|\+CM[ES] ERROR:.*)")
_REFERENCE = re.compile(r"\+CMGS:\s*(\d+)")


class Dialog:
    """Sends the parts of one message. Write what `start`, `feed` and `silent` return; `phase` tells when it is over.

    In REPORTING the modem has taken every part and only the status reports are waited for.
    """

    def __init__(self, parts: Sequence[Submit]) -> None:
        self.phase = Phase.SETTING_UP
        self.references: list[int] = []
        self.reports: dict[int, Report] = {}
        self._parts = list(parts)
        self._set_up = iter(_SET_UP)
        self._buffer = bytearray()
        self._refusal = ""
        self._failure: Failure | None = None
        self._report_next = False

    @property
    def over(self) -> bool:
        """Whether nothing more is waited for."""
        return self.phase in {Phase.DONE, Phase.FAILED}

    def start(self) -> bytes:
        """The first command. An escape before it ends a prompt that an earlier dialog may have left open."""
        return _ESCAPE + next(self._set_up)

    def feed(self, data: bytes) -> bytes:
        """Take in what the modem says; what to write next."""
        self._buffer += data
        return b"".join(self._heard(event) for event in self._events())

    def silent(self) -> bytes:
        """The modem said nothing for too long; what to write, an escape out of an open prompt."""
        left_open = self.phase in {Phase.ASKING, Phase.WRITTEN}
        return self._heard(Event.SILENT) + (_ESCAPE if left_open else b"")

    def result(self) -> SendResult:
        """What came of it, once it is over; ValueError before. A part that was taken may be on the phone already."""
        if self.phase not in {Phase.DONE, Phase.FAILED}:
            raise ValueError(f"the dialog is {self.phase.value}")
        receipt = ",".join(str(reference) for reference in self.references)
        lost = [report.status for report in self.reports.values() if report.hopeless]
        if self._failure is None and lost:
            return SendResult(failure=Failure.GONE, vendor_code=f"ST {lost[0]}", detail="the network could not deliver it")
        if self._failure is None:
            arrived = sum(report.arrived for report in self.reports.values())
            return SendResult(vendor_code="CMGS", receipt=receipt, detail="on the phone" if arrived == len(self._all) else "")
        failure, told = self._failure, self._refusal or "the modem did not answer"
        if self.references and failure in {Failure.NETWORK, Failure.RATE}:
            return SendResult(
                failure=Failure.UNKNOWN_AFTER_TIMEOUT,
                vendor_code=told[:64],
                detail=f"{len(self.references)} of {len(self._all)} parts were taken",
            )
        return SendResult(failure=failure, vendor_code=told[:64], detail=f"{told} ({failure.value})")

    @property
    def _all(self) -> list[Submit]:
        return self._parts

    def _events(self) -> Iterator[Event]:
        while True:
            # The prompt alone ends without a line end.
            if self._buffer.lstrip(b"\r\n").startswith(b">"):
                del self._buffer[: self._buffer.index(b">") + 1]
                yield Event.PROMPT
                continue
            line, end, rest = self._buffer.partition(b"\n")
            if not end:
                # Noise without a line end must not grow.
                del self._buffer[:-_MOST_LINE]
                return
            self._buffer = bytearray(rest)
            if (event := self._event(line.decode("ascii", "replace").strip())) is not None:
                yield event

    def _event(self, line: str) -> Event | None:
        if self._report_next:
            self._report_next = False
            return self._reported(parse_report(line))
        if line.startswith("+CDS:"):
            self._report_next = True
            return None
        if line == "OK":
            return Event.OK
        if found := _REFERENCE.fullmatch(line):
            if self.phase is Phase.WRITTEN:
                self.references.append(int(found[1]))
            return Event.REFERENCE
        if found := _REFUSAL.fullmatch(line):
            self._refusal = line[:64]
            return Event.REFUSED
        return None

    def _reported(self, report: Report | None) -> Event | None:
        # A report on an earlier message may come late; a temporary one will be followed by another.
        if report is None or report.reference not in self.references or not (report.arrived or report.hopeless):
            return None
        self.reports[report.reference] = report
        return Event.CONFIRMED if set(self.references) == set(self.reports) and self.phase is Phase.REPORTING else None

    def _heard(self, event: Event) -> bytes:
        row = TABLE.get((self.phase, event))
        if row is None:
            return b""
        self.phase, deed = row
        match deed:
            case _Deed.SET_UP:
                command = next(self._set_up, None)
                return command if command is not None else self._ask(Phase.ASKING)
            case _Deed.WRITE:
                return self._parts[len(self.references)].line + _CTRL_Z
            case _Deed.NEXT_PART:
                return self._ask(Phase.ASKING)
            case _Deed.GIVE_UP:
                self._failure = cms_failure(self._refusal)
            case _Deed.DOUBT:
                self._failure = Failure.UNKNOWN_AFTER_TIMEOUT
            case _Deed.NOTHING:
                pass
        return b""

    def _ask(self, phase: Phase) -> bytes:
        if len(self.references) == len(self._parts):
            confirmed = set(self.references) <= set(self.reports)
            self.phase = Phase.DONE if confirmed else Phase.REPORTING
            return b""
        self.phase = phase
        return b"AT+CMGS=%d\r" % self._parts[len(self.references)].octets


def cms_failure(refusal: str) -> Failure:
    """The class of "+CMS ERROR: 310"; network for a bare ERROR, for silence and for codes that the table does not know."""
    found = _REFUSAL.fullmatch(refusal)
    number = found[2] if found else None
    if number is None:
        return Failure.NETWORK
    # +CME ERROR speaks of the equipment (27.007, 9.2): 10 to 18 are SIM and PIN, whose numbers mean other things in +CMS.
    if refusal.startswith("+CME"):
        return Failure.AUTH if 10 <= int(number) <= 18 else Failure.NETWORK
    return _CMS.get(int(number), Failure.NETWORK)
