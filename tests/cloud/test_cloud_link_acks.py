"""Acknowledgements that wait for the broker: the later takes the earlier one's place, and nothing that was told is lost."""

import msgspec

from cloud.ingest.link import BrokerLink
from telemetry.reason import Reason
from telemetry.records import Lane
from telemetry.wire import Ack

ACK = Ack(gateway="gw-1", epoch="e1", lane=Lane.READINGS, cumulative=3, credit=10, server_ns=1)


def waiting(*acks: Ack) -> list[Ack]:
    link = BrokerLink("mqtt://127.0.0.1:1", "", None, lambda _topic, _payload: None)
    for ack in acks:
        link.answer(ack)
    return list(link._acks.values())


def test_what_only_the_earlier_one_said_is_said_by_the_later() -> None:
    earlier = msgspec.structs.replace(
        ACK, answers=7, fenced=Reason.ALTERED, refused=[(4, 6, Reason.BAD_FIELD)], quarantined=[(2, Reason.WRONG_TYPE)]
    )
    later = msgspec.structs.replace(ACK, cumulative=9, credit=20, refused=[(4, 6, Reason.BAD_FIELD), (10, 12, Reason.BAD_FIELD)])
    [told] = waiting(earlier, later)
    assert (told.cumulative, told.credit, told.answers, told.fenced) == (9, 20, 7, Reason.ALTERED)
    assert told.refused == [(4, 6, Reason.BAD_FIELD), (10, 12, Reason.BAD_FIELD)]
    assert told.quarantined == [(2, Reason.WRONG_TYPE)]


def test_the_later_answer_to_a_hello_wins() -> None:
    [told] = waiting(msgspec.structs.replace(ACK, answers=7), msgspec.structs.replace(ACK, answers=8))
    assert told.answers == 8


def test_lanes_and_epochs_wait_side_by_side() -> None:
    assert len(waiting(ACK, msgspec.structs.replace(ACK, lane=Lane.EVENTS), msgspec.structs.replace(ACK, epoch="e2"))) == 3
