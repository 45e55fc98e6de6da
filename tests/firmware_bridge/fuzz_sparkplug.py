"""Any bytes through the Sparkplug B reader, alone and as what a node says."""

import json

from firmware_bridge.errors import ParseError
from firmware_bridge.sparkplug.payload import encode_payload, parse_payload
from firmware_bridge.sparkplug.record import LANGUAGE
from firmware_bridge.sparkplug.session import NodeSession
from firmware_bridge.sparkplug.topics import Kind, Place

SEEDS = (
    bytes.fromhex("0880f0ccb69f34120b0a056264536571200858071800"),  # a birth with bdSeq
    bytes.fromhex("12210a0f4169722f54656d706572617475726510011880f0ccb69f34200965333393411801"),
    bytes.fromhex(
        "08e0c4d0b69f34120c100418e0c4d0b69f3450bc01120e100618e0c4d0b69f346500008f42120b100818e0c4d0b69f343801120b100b18e0c4d0b69f3470011802"
    ),
)


def fuzz_one(data: bytes) -> None:
    """Nothing but ParseError; what can be read can be written again, and reads the same."""
    for show in (LANGUAGE.describe, LANGUAGE.explain):
        try:
            said = show(data)
        except ParseError:
            continue
        if isinstance(said, dict):
            json.dumps(said, allow_nan=False)
    try:
        payload = parse_payload(data)
    except ParseError:
        return
    session = NodeSession("g/n", ["d"])
    for kind in Kind:
        place = Place(kind, "g/n", "d" if kind.startswith("D") else "")
        for spoken in session.take(place, payload).spoken:
            assert not spoken.items.keys() & spoken.unreadable.keys()
    again = parse_payload(encode_payload(payload))
    assert (again.seq, again.timestamp_ms, len(again.metrics)) == (payload.seq, payload.timestamp_ms, len(payload.metrics))
