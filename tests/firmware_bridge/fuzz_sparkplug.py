"""Any bytes through the Sparkplug B reader, alone and as what a node says."""

import json

from firmware_bridge.errors import ParseError
from firmware_bridge.sparkplug.payload import encode_payload, parse_payload
from firmware_bridge.sparkplug.record import LANGUAGE
from firmware_bridge.sparkplug.session import NodeSession
from firmware_bridge.sparkplug.topics import Kind, Place


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
