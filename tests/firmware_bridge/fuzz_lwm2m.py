"""Any bytes through everything that reads LwM2M."""

import json

from firmware_bridge.errors import ParseError
from firmware_bridge.lwm2m.payloads import Format, decode_payload
from firmware_bridge.lwm2m.record import LANGUAGES

PATHS = ((), (3,), (3408, 0), (3303, 0, 5700), (3, 0, 7, 1))


def fuzz_one(data: bytes) -> None:
    """Nothing but ParseError, whichever format and path `data` is taken for."""
    for language in LANGUAGES.values():
        try:
            json.dumps(language.describe(data), allow_nan=False)
            language.explain(data)
        except ParseError:
            continue
    for content_format in Format:
        for path in PATHS:
            try:
                decode_payload(path, content_format, data, now_s=1.8e9)
            except ParseError:
                continue
