"""What is asked of a modem and in which order: the table of states, and each family's commands.

BC95, BC28 and BC35 speak of sockets by NSO commands; BC26 by QI commands, whose results follow their OK on a line of
their own. The QI layouts are those of Quectel's TCP/IP notes; no dialogue of a BC26's socket was at hand (unverified).
"""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

__all__ = ["BC26", "BC95", "FAMILIES", "PAUSES_S", "TABLE", "Event", "State", "Step"]


class State(StrEnum):
    """Where the dialogue stands."""

    OFF = "off"
    PROBING = "probing"
    REPORTING_ERRORS = "reporting_errors"
    STARTING_RADIO = "starting_radio"
    NOTIFYING = "notifying"
    IDENTIFYING = "identifying"
    SAVING_POWER = "saving_power"
    PAGING = "paging"
    ATTACHING = "attaching"
    REGISTERING = "registering"
    SEARCHING = "searching"
    MEASURING = "measuring"
    COUNTING = "counting"
    FORMATTING = "formatting"
    OPENING = "opening"
    READY = "ready"
    SENDING = "sending"
    READING = "reading"
    CLOSING = "closing"
    WAITING = "waiting"
    RESETTING = "resetting"


class Event(StrEnum):
    """What moves it."""

    START = "start"
    STOP = "stop"
    DONE = "done"
    REFUSED = "refused"
    """The modem said no, as often as it was asked."""
    SILENT = "silent"
    """It said nothing, or nothing that answers, as often as it was asked."""
    NOT_YET = "not_yet"
    PASSED = "passed"
    """A pause is over."""
    BOOTED = "booted"
    """The modem began again on its own."""
    LOST = "lost"
    CLOSED = "closed"
    DATA = "data"
    SEND = "send"


_S, _E = State, Event

TABLE: Mapping[tuple[State, Event], State] = {
    (_S.OFF, _E.START): _S.PROBING,
    (_S.PROBING, _E.DONE): _S.REPORTING_ERRORS,
    (_S.PROBING, _E.REFUSED): _S.WAITING,
    (_S.PROBING, _E.SILENT): _S.WAITING,
    (_S.PROBING, _E.BOOTED): _S.PROBING,
    (_S.PROBING, _E.STOP): _S.OFF,
    (_S.REPORTING_ERRORS, _E.DONE): _S.STARTING_RADIO,
    (_S.REPORTING_ERRORS, _E.REFUSED): _S.STARTING_RADIO,
    (_S.REPORTING_ERRORS, _E.SILENT): _S.WAITING,
    (_S.REPORTING_ERRORS, _E.BOOTED): _S.PROBING,
    (_S.REPORTING_ERRORS, _E.STOP): _S.OFF,
    (_S.STARTING_RADIO, _E.DONE): _S.NOTIFYING,
    (_S.STARTING_RADIO, _E.REFUSED): _S.WAITING,
    (_S.STARTING_RADIO, _E.SILENT): _S.WAITING,
    (_S.STARTING_RADIO, _E.BOOTED): _S.PROBING,
    (_S.STARTING_RADIO, _E.STOP): _S.OFF,
    (_S.NOTIFYING, _E.DONE): _S.IDENTIFYING,
    (_S.NOTIFYING, _E.REFUSED): _S.IDENTIFYING,
    (_S.NOTIFYING, _E.SILENT): _S.WAITING,
    (_S.NOTIFYING, _E.BOOTED): _S.PROBING,
    (_S.NOTIFYING, _E.STOP): _S.OFF,
    (_S.IDENTIFYING, _E.DONE): _S.SAVING_POWER,
    (_S.IDENTIFYING, _E.REFUSED): _S.SAVING_POWER,
    (_S.IDENTIFYING, _E.SILENT): _S.WAITING,
    (_S.IDENTIFYING, _E.BOOTED): _S.PROBING,
    (_S.IDENTIFYING, _E.STOP): _S.OFF,
    (_S.SAVING_POWER, _E.DONE): _S.PAGING,
    (_S.SAVING_POWER, _E.REFUSED): _S.PAGING,
    (_S.SAVING_POWER, _E.SILENT): _S.WAITING,
    (_S.SAVING_POWER, _E.BOOTED): _S.PROBING,
    (_S.SAVING_POWER, _E.STOP): _S.OFF,
    (_S.PAGING, _E.DONE): _S.ATTACHING,
    (_S.PAGING, _E.REFUSED): _S.ATTACHING,
    (_S.PAGING, _E.SILENT): _S.WAITING,
    (_S.PAGING, _E.BOOTED): _S.PROBING,
    (_S.PAGING, _E.STOP): _S.OFF,
    (_S.ATTACHING, _E.DONE): _S.REGISTERING,
    (_S.ATTACHING, _E.REFUSED): _S.WAITING,
    (_S.ATTACHING, _E.SILENT): _S.WAITING,
    (_S.ATTACHING, _E.BOOTED): _S.PROBING,
    (_S.ATTACHING, _E.STOP): _S.OFF,
    (_S.REGISTERING, _E.DONE): _S.MEASURING,
    (_S.REGISTERING, _E.NOT_YET): _S.SEARCHING,
    (_S.REGISTERING, _E.REFUSED): _S.WAITING,
    (_S.REGISTERING, _E.SILENT): _S.WAITING,
    (_S.REGISTERING, _E.BOOTED): _S.PROBING,
    (_S.REGISTERING, _E.STOP): _S.OFF,
    (_S.SEARCHING, _E.PASSED): _S.REGISTERING,
    (_S.SEARCHING, _E.SILENT): _S.WAITING,
    (_S.SEARCHING, _E.BOOTED): _S.PROBING,
    (_S.SEARCHING, _E.STOP): _S.OFF,
    (_S.MEASURING, _E.DONE): _S.COUNTING,
    (_S.MEASURING, _E.REFUSED): _S.COUNTING,
    (_S.MEASURING, _E.SILENT): _S.WAITING,
    (_S.MEASURING, _E.BOOTED): _S.PROBING,
    (_S.MEASURING, _E.STOP): _S.OFF,
    (_S.COUNTING, _E.DONE): _S.FORMATTING,
    (_S.COUNTING, _E.REFUSED): _S.FORMATTING,
    (_S.COUNTING, _E.SILENT): _S.WAITING,
    (_S.COUNTING, _E.BOOTED): _S.PROBING,
    (_S.COUNTING, _E.STOP): _S.OFF,
    (_S.FORMATTING, _E.DONE): _S.OPENING,
    (_S.FORMATTING, _E.REFUSED): _S.WAITING,
    (_S.FORMATTING, _E.SILENT): _S.WAITING,
    (_S.FORMATTING, _E.BOOTED): _S.PROBING,
    (_S.FORMATTING, _E.STOP): _S.OFF,
    (_S.OPENING, _E.DONE): _S.READY,
    (_S.OPENING, _E.REFUSED): _S.WAITING,
    (_S.OPENING, _E.SILENT): _S.WAITING,
    (_S.OPENING, _E.BOOTED): _S.PROBING,
    (_S.OPENING, _E.STOP): _S.OFF,
    (_S.READY, _E.SEND): _S.SENDING,
    (_S.READY, _E.DATA): _S.READING,
    (_S.READY, _E.LOST): _S.REGISTERING,
    (_S.READY, _E.CLOSED): _S.OPENING,
    (_S.READY, _E.BOOTED): _S.PROBING,
    (_S.READY, _E.STOP): _S.CLOSING,
    (_S.SENDING, _E.DONE): _S.READY,
    (_S.SENDING, _E.REFUSED): _S.WAITING,
    (_S.SENDING, _E.SILENT): _S.WAITING,
    (_S.SENDING, _E.BOOTED): _S.PROBING,
    (_S.SENDING, _E.STOP): _S.CLOSING,
    (_S.READING, _E.DONE): _S.READY,
    (_S.READING, _E.REFUSED): _S.READY,
    (_S.READING, _E.SILENT): _S.WAITING,
    (_S.READING, _E.BOOTED): _S.PROBING,
    (_S.READING, _E.STOP): _S.CLOSING,
    (_S.CLOSING, _E.DONE): _S.OFF,
    (_S.CLOSING, _E.REFUSED): _S.OFF,
    (_S.CLOSING, _E.SILENT): _S.OFF,
    (_S.CLOSING, _E.BOOTED): _S.OFF,
    (_S.CLOSING, _E.STOP): _S.CLOSING,
    (_S.WAITING, _E.PASSED): _S.RESETTING,
    (_S.WAITING, _E.BOOTED): _S.PROBING,
    (_S.WAITING, _E.STOP): _S.OFF,
    (_S.RESETTING, _E.DONE): _S.PROBING,
    (_S.RESETTING, _E.REFUSED): _S.PROBING,
    (_S.RESETTING, _E.SILENT): _S.PROBING,
    (_S.RESETTING, _E.BOOTED): _S.PROBING,
    (_S.RESETTING, _E.STOP): _S.OFF,
}

PAUSES_S: Mapping[State, int] = {_S.SEARCHING: 2, _S.WAITING: 5}
"""How long a state without a command lasts; WAITING doubles from one reset to the next."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One command. None is a step that the family does not have, which is passed over.

    `answer` names the line that must come before the OK, `late` the one that must follow it.
    """

    command: str | None
    answer: str | None = None
    late: str | None = None
    timeout_s: int = 5
    tries: int = 3


_COMMON: dict[State, Step] = {
    _S.PROBING: Step(command="AT", timeout_s=2, tries=10),
    _S.REPORTING_ERRORS: Step(command="AT+CMEE=1"),
    _S.STARTING_RADIO: Step(command="AT+CFUN=1", timeout_s=90),
    _S.NOTIFYING: Step(command="AT+CEREG=1"),
    _S.IDENTIFYING: Step(command="AT+CGSN=1", answer="CGSN"),
    _S.SAVING_POWER: Step(command="AT+CPSMS={psm}"),
    _S.PAGING: Step(command="AT+CEDRXS={edrx}"),
    _S.ATTACHING: Step(command="AT+CGATT=1", timeout_s=90),
    _S.REGISTERING: Step(command="AT+CEREG?", answer="CEREG", tries=150),
    _S.MEASURING: Step(command="AT+CSQ", answer="CSQ"),
}

BC95: Mapping[State, Step] = _COMMON | {
    _S.RESETTING: Step(command="AT+NRB", timeout_s=10, tries=1),
    _S.COUNTING: Step(command="AT+NUESTATS", answer="NUESTATS"),
    _S.FORMATTING: Step(command=None),
    _S.OPENING: Step(command="AT+NSOCR=DGRAM,17,{local_port},1", answer="NSOCR"),
    _S.SENDING: Step(command="AT+NSOST={socket},{host},{port},{length},{payload}", answer="NSOST", timeout_s=30),
    _S.READING: Step(command="AT+NSORF={socket},{waiting}"),
    _S.CLOSING: Step(command="AT+NSOCL={socket}", tries=1),
}

BC26: Mapping[State, Step] = _COMMON | {
    _S.RESETTING: Step(command="AT+QRST=1", timeout_s=10, tries=1),
    _S.COUNTING: Step(command=None),
    _S.FORMATTING: Step(command='AT+QICFG="dataformat",1,1'),
    _S.OPENING: Step(command='AT+QIOPEN=1,0,"UDP","{host}",{port},{local_port},1', late="QIOPEN", timeout_s=60),
    _S.SENDING: Step(command="AT+QISEND=0,{length},{payload}", late="SEND", timeout_s=30),
    _S.READING: Step(command=None),
    _S.CLOSING: Step(command="AT+QICLOSE=0", tries=1),
}

FAMILIES: Mapping[str, Mapping[State, Step]] = {"bc95": BC95, "bc28": BC95, "bc35": BC95, "bc26": BC26}
