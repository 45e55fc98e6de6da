"""Any bytes as a line, as a modem's side of a dialogue, and within lines that look right: nothing is raised but ParseError."""

import json

from firmware_bridge.errors import ParseError
from firmware_bridge.nbiot.lines import MAX_LINE_BYTES, LineAssembler
from firmware_bridge.nbiot.machine import MAX_QUEUE, Modem, ModemConfig
from firmware_bridge.nbiot.record import LANGUAGE

HEADS = (
    *(
        b"",
        b"AT+NSOST=",
        b"AT+CIMI\r\n",
        b"AT+NSORF=0,9\r\n",
        b"+CEREG:",
        b"+CSQ:",
        b"+NNMI:",
        b"+QIURC: ",
        b"+NSMI:",
        b"+QBAND: ",
    ),
    *(b"NUESTATS:CELL,", b"Signal power:", b"PENDING=", b"+CME ERROR: ", b"+NSONMI:0,", b"+XYZ: "),
)


def fuzz_one(data: bytes) -> None:
    """Read `data` behind every head, and let a modem of each family say it."""
    for head in HEADS:
        try:
            said = LANGUAGE.describe(head + data)
            fields = LANGUAGE.explain(head + data)
        except ParseError:
            continue
        json.dumps(said, allow_nan=False)
        assert all(0 <= field.at <= field.at + field.size <= len(head + data) for field in fields)
    assembler = LineAssembler()
    for _ in assembler.feed(data):
        assert len(assembler._held) <= MAX_LINE_BYTES
    for family in ("bc95", "bc26"):
        _converse(family, data)


def _converse(family: str, data: bytes) -> None:
    """Each line of `data` at each of the dialogue's first moments, with time going on."""
    modem = Modem(ModemConfig(family=family, host="192.0.2.1", port=5683))
    list(modem.start())
    now = 0
    for line in (data, *data.splitlines(keepends=True)[:40]):
        list(modem.send(b"x"))
        for said in (line, b"\r\nOK\r\n", b"\r\n+CEREG:0,1\r\n\r\nOK\r\n", line + b"\r\n"):
            list(modem.feed(said, now))
            now += 40_000_000_000
            list(modem.tick(now))
    assert len(modem._queue) <= MAX_QUEUE
