"""The three layouts of 0x0100, the terminal's registration (JT/T 808-2011, -2013 and -2019, clause 8.5 in 2013)."""

__all__ = ["PLATE_COLOURS", "REGISTER_SIZES", "register_layout"]

REGISTER_SIZES = {2011: (5, 8, 7), 2013: (5, 20, 7), 2019: (11, 30, 30)}
"""Bytes of manufacturer, model and terminal id."""

PLATE_COLOURS = frozenset({0, 1, 2, 3, 4, 5, 9, 91, 92, 93, 94})
"""0 no plate (a VIN follows); JT/T 415-2006 and JT/T 697.7-2014 for the others."""


def register_layout(body: bytes) -> int:
    """2011 or 2013: whose field sizes a body without version flag has.

    By its length where that decides; a plate or VIN of 12 bytes and more makes a 2011 body as long as a 2013 one,
    then the plate colour's place tells.
    """
    if len(body) < 37:
        return 2011
    is_2013 = body[36] in PLATE_COLOURS or body[24] not in PLATE_COLOURS or 0 in body[25:]
    return 2013 if is_2013 else 2011
