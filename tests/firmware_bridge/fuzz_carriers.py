"""Any bytes, and any JSON that looks like a push, through both carriers: nothing is raised but ParseError."""

import json

from firmware_bridge.carriers import ctwing, onenet
from firmware_bridge.carriers.record import LANGUAGES
from firmware_bridge.carriers.tunnel import encode_tunnel, parse_tunnel
from firmware_bridge.errors import ParseError

SHELLS = (
    b"%b",
    b'{"msg":%b,"msg_signature":"x","nonce":"y"}',
    b'{"msg":[{"type":1,"ds_id":"3200_0_5505","value":%b}],"msg_signature":"x","nonce":"y"}',
    b'{"messageType":"notify","data":{"params":%b}}',
    b'{"dp":%b}',
    b'{"messageType":"dataReport","payload":%b}',
    b'{"messageType":"eventReport","timestamp":%b}',
    b'{"notifyType":"deviceDatasChanged","services":%b}',
)


def fuzz_one(data: bytes) -> None:
    """Read `data` as a body and as a part of bodies, as a query, and as a tunnelled frame."""
    for shell in SHELLS:
        _read(shell % data)
    for line in (data.decode("latin-1"), "msg=" + data.decode("latin-1") + "&nonce=1&signature=2"):
        try:
            onenet.echo(line, "token")
        except ParseError:
            continue
        raise AssertionError("a signature came out right by chance")
    try:
        frame = parse_tunnel(data)
    except ParseError:
        return
    assert encode_tunnel(frame) == data


def _read(body: bytes) -> None:
    for parse in (onenet.parse_push, ctwing.parse_push, lambda raw: onenet.verified_push(raw, "token")):
        try:
            parse(body)
        except ParseError:
            continue
    for language in LANGUAGES.values():
        try:
            json.dumps(language.describe(body), ensure_ascii=False, allow_nan=False)
            language.explain(body)
        except ParseError:
            continue
