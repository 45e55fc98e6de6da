"""What must be answered, and with what (HJ 212-2017, clause 6.4 and annex C).

    request down   ->  9011 QnRtn  ->  data, each answered by 9014 where it wants that  ->  9012 ExeRtn
    data up        ->  9014, where an answer is wanted
    notice         ->  9013

Every answer repeats the QN of what it answers, and has the system 91.
"""

from enum import StrEnum

import msgspec

from firmware_bridge.hj212.encode import Group, Head, encode_message
from firmware_bridge.hj212.segment import Packet
from firmware_bridge.hj212.tables import COMMANDS, Direction, Up

__all__ = ["INTERACTION", "Answer", "answer_to", "encode_answer", "site_answers", "wanted_answer"]

INTERACTION = "91"
"""The system number ST of every answer."""


class Answer(StrEnum):
    """The command numbers of the four answers."""

    REQUEST = "9011"
    RESULT = "9012"
    NOTICE = "9013"
    DATA = "9014"


_RETURNS = {Answer.REQUEST: "QnRtn", Answer.RESULT: "ExeRtn"}


def encode_answer(answer: Answer, to: Packet, code: int = 1) -> bytes:
    """The frame that answers `to`. `code` is QnRtn of a request answer or ExeRtn of a result; the others have none.

    A packet that says no version, as in 2005, is answered without Flag.
    """
    groups: list[Group] = [[(_RETURNS[answer], str(code))]] if answer in _RETURNS else []
    version = None if to.flag is None else to.version
    head = Head(st=INTERACTION, cn=answer, mn=to.mn, pw=to.pw, qn=to.qn, version=version)
    return encode_message(head, groups)


def wanted_answer(packet: Packet) -> Answer | None:
    """How the upper side must answer what came up; None where its sender waits for nothing.

    A command that is not in the table is taken for data.
    """
    if not packet.answer_wanted:
        return None
    command = COMMANDS.get(packet.cn)
    match Up.DATA if command is None else command.up:
        case Up.DATA:
            return Answer.DATA
        case Up.NOTICE:
            return Answer.NOTICE
        case Up.ANSWER | Up.NONE:
            return None


def answer_to(packet: Packet) -> bytes | None:
    """The frame with which the upper side answers `packet`; None where there is nothing to answer.

    Each packet of a cut message is answered by itself.
    """
    answer = wanted_answer(packet)
    return None if answer is None else encode_answer(answer, msgspec.structs.replace(packet, pnum=None, pno=None))


def site_answers(packet: Packet) -> tuple[Answer, ...]:
    """How a site must answer what came down, in order; data, where the command asks for it, stands before the result.

    A command that is not in the table is taken for a request.
    """
    command = COMMANDS.get(packet.cn)
    if not packet.answer_wanted or (command is not None and command.direction is Direction.UP):
        return ()
    if command is not None and command.up is Up.ANSWER:
        return ()
    return (Answer.NOTICE,) if command is not None and command.down_is_notice else (Answer.REQUEST, Answer.RESULT)
