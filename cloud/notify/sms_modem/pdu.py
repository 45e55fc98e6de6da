"""Short messages as a modem in PDU mode takes them and reports on them (3GPP TS 23.040, 9.2.2.2 and 9.2.2.3).

00 | 31 | 00 | 0D 91 688..F. | 00 | 08 | A7 | len | [05 00 03 ref total number] text
SMSC first MR   number          PID  DCS  VP   UDL   header of one part            UTF-16

SMSC 00: the one on the SIM. First octet: 01 SMS-SUBMIT, 10 relative validity, 20 status report, 40 a header follows.
DCS 08: UCS-2, 70 characters, or 67 beside the header of six. VP A7: a day.
"""

import msgspec

__all__ = ["MOST_PARTS", "PART_UNITS", "Report", "Submit", "parse_report", "submits"]

PART_UNITS = 67
_ONE_UNITS = 70
MOST_PARTS = 4

_SUBMIT, _RELATIVE, _REPORT_WANTED, _HEADER = 0x01, 0x10, 0x20, 0x40
_UCS2, _A_DAY = 0x08, 0xA7
_INTERNATIONAL, _UNKNOWN_TYPE = 0x91, 0x81
_MTI, _STATUS_REPORT = 0x03, 0x02
_TIMESTAMP_OCTETS = 7


class Submit(msgspec.Struct, frozen=True):
    """One part: what AT+CMGS is told (octets without the SMSC's), and the line of hex digits."""

    octets: int
    line: bytes


class Report(msgspec.Struct, frozen=True):
    """What became of the part of that reference: TP-ST, 3GPP TS 23.040, 9.2.3.15."""

    reference: int
    status: int

    @property
    def arrived(self) -> bool:
        """It is on the phone (or whatever the network takes for it)."""
        return self.status < 0x20

    @property
    def hopeless(self) -> bool:
        """The network has given up."""
        return self.status >= 0x40


def submits(number: str, text: str, reference: int) -> list[Submit]:
    """The parts of `text` to `number` (+ and digits, or digits), in order; `reference` (0..255) tells long messages apart.

    ValueError for a number that is none, an empty text and one beyond four parts.
    """
    address = _address(number)
    units = text.encode("utf-16-be")
    parts = [units] if len(units) <= 2 * _ONE_UNITS else _cut(units)
    if not units or len(parts) > MOST_PARTS:
        raise ValueError(f"{len(units) // 2} characters, want 1 to {MOST_PARTS * PART_UNITS}")
    made = []
    for place, part in enumerate(parts, 1):
        header = bytes((5, 0, 3, reference, len(parts), place)) if len(parts) > 1 else b""
        first = _SUBMIT | _RELATIVE | _REPORT_WANTED | (_HEADER if header else 0)
        data = header + part
        tpdu = bytes((first, 0)) + address + bytes((0, _UCS2, _A_DAY, len(data))) + data
        made.append(Submit(len(tpdu), (b"\x00" + tpdu).hex().upper().encode()))
    return made


def parse_report(line: str) -> Report | None:
    """The status report in the line after +CDS; None where it is none that can be read."""
    try:
        data = bytes.fromhex(line)
        tpdu = data[1 + data[0] :]
        if tpdu[0] & _MTI != _STATUS_REPORT:
            return None
        # TP-MR, TP-RA (its length counts digits), when it was sent, when it was done, TP-ST.
        place = 2 + 2 + (tpdu[2] + 1) // 2 + 2 * _TIMESTAMP_OCTETS
        return Report(tpdu[1], tpdu[place])
    except (ValueError, IndexError):
        return None


def _cut(units: bytes) -> list[bytes]:
    """In pieces of 67 units that split no pair of surrogates."""
    parts = []
    while units:
        end = 2 * PART_UNITS
        if len(units) > end and 0xD8 <= units[end - 2] < 0xDC:
            end -= 2
        parts.append(units[:end])
        units = units[end:]
    return parts


def _address(number: str) -> bytes:
    """TP-DA: how many digits, their type, and two of them an octet with the first in the low half (9.1.2.5)."""
    digits = number.removeprefix("+")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 20):
        raise ValueError(f"a number of {len(digits)} characters, want up to 20 digits")
    padded = digits + "F" * (len(digits) % 2)
    swapped = "".join(padded[place + 1] + padded[place] for place in range(0, len(padded), 2))
    return bytes((len(digits), _INTERNATIONAL if number.startswith("+") else _UNKNOWN_TYPE)) + bytes.fromhex(swapped)
