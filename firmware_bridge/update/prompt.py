"""The prompt of a bootloader on a serial line; citynerve's own. A line is ASCII and ends in CR.

    ?            where the device stands
    offer        the package's header follows by XMODEM (176 bytes)
    load N       the image from chunk N on follows by XMODEM
    verify, start, confirm, revert

Every line is answered with one that says where the device stands, `offer` and `load` after the transfer; noise is no answer:

    BOOT phase running offered next_chunk refusal digest *crc      the CRC-16/MODBUS of all before the star, four hex digits

No line of the device has a capital C or a NAK in it: either would begin an XMODEM transfer.
"""

import re

from firmware_bridge.modbus.frames import crc16
from firmware_bridge.update.standing import Phase, Refusal, Standing

__all__ = ["PROMPT_BYTES", "find_standing", "standing_line"]

PROMPT_BYTES = 256
"""No line of either side is longer."""
_LINE = re.compile(rb"BOOT (\d) (\d{1,10}) (\d{1,10}) (\d{1,10}) (\d{1,2}) ([0-9a-f]{8}|-) \*([0-9a-f]{4})")


def standing_line(standing: Standing) -> bytes:
    """The line that tells a standing."""
    digest = standing.digest.hex() or "-"
    body = (
        f"BOOT {standing.phase:d} {standing.running} {standing.offered} {standing.next_chunk} {standing.refusal:d} {digest} "
    ).encode()
    return body + b"*%04x\r\n" % crc16(body)


def find_standing(text: bytes) -> Standing | None:
    """The last standing in what came off the line, None while there is no whole and sound one."""
    for found in reversed(list(_LINE.finditer(text))):
        body = found[0][: found[0].rindex(b"*")]
        phase, refusal = int(found[1]), int(found[5])
        known = phase in Phase._value2member_map_ and refusal in Refusal._value2member_map_
        if known and int(found[7], 16) == crc16(body):
            return Standing(
                phase=Phase(phase),
                running=int(found[2]),
                offered=int(found[3]),
                next_chunk=int(found[4]),
                refusal=Refusal(refusal),
                digest=b"" if found[6] == b"-" else bytes.fromhex(found[6].decode()),
            )
    return None
