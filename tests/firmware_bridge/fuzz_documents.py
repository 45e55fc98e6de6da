"""Any bytes as JSON and as CBOR, whole and inside a document, read by the paths of a profile."""

import json

from device_profiles.loader import load_profile
from device_profiles.shelf import catalog_path
from firmware_bridge.documents import CBOR, JSON, MAX_DEPTH, decode_document, identity, parse_document
from firmware_bridge.errors import ParseError

COVER = load_profile(catalog_path() / "cover_nbiot")
SHELLS = {JSON: (b"%b", b'{"ts":%b}', b'{"d":{"lv":%b,"op":1}}', b'["%b"]'), CBOR: (b"%b", b"\xa1\x62ts%b", b"\x82\x01%b")}


def fuzz_one(data: bytes) -> None:
    """Nothing but ParseError; what is read can be written as plain JSON and is no deeper than it may be."""
    for content_format, shells in SHELLS.items():
        for shell in shells:
            try:
                document = parse_document(shell % data, content_format)
            except ParseError:
                continue
            assert _depth(document) <= MAX_DEPTH
            _read(document)


def _depth(document: object) -> int:
    match document:
        case dict():
            return 1 + max((_depth(inner) for inner in document.values()), default=0)
        case list():
            return 1 + max((_depth(inner) for inner in document), default=0)
        case _:
            return 0


def _read(document: object) -> None:
    wire = COVER.wire.coap
    assert wire is not None
    decoded = decode_document(COVER, wire.fields, wire.time, document)
    json.dumps(decoded.values, allow_nan=False).encode()
    assert decoded.values.keys() <= COVER.metrics.keys()
    try:
        identity(document, wire.identity)
    except ParseError:
        return
