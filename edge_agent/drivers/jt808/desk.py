"""Where the terminals of a JT/T 808 listener are, and what waits for one of them beyond a connection."""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Protocol

import msgspec

from edge_agent.drivers.jt808.caller import Caller

__all__ = ["Desk", "Seat", "bare_phone"]

logger = logging.getLogger(__name__)

_PRIVATE = frozenset({"driver_name", "id_number", "certificate", "card_uid"})
"""A driver's name and papers stay out of the log."""


class _Connection(Protocol):
    """A session, as far as the desk needs one."""

    caller: Caller


class Seat(msgspec.Struct, frozen=True, kw_only=True):
    """The connection that a terminal last spoke on, its phone as its header has it, and the revision it speaks."""

    connection: _Connection
    phone: str
    version: int


class Desk:
    """One seat a terminal, the newest: a connection that broke without a word is not spoken to any more."""

    def __init__(self) -> None:
        self.reports: Counter[str] = Counter()
        """How many reports beside places came, by the message's name."""
        self._next_line_s: dict[str, float] = {}
        self._seats: dict[str, Seat] = {}
        self._upgrades: dict[str, asyncio.Future[int]] = {}
        self._sending: set[str] = set()

    def note(self, device: str, message: str, fields: Mapping[str, object]) -> None:
        """Count a report that is no reading, and write down what it says, of each kind one in a second; it is not kept."""
        self.reports[message] += 1
        now_s = asyncio.get_running_loop().time()
        if now_s < self._next_line_s.get(message, 0.0):
            return
        self._next_line_s[message] = now_s + 1.0
        said = {name: value for name, value in fields.items() if name not in _PRIVATE and not name.endswith("_hex")}
        logger.info("%s: %s", device, message, extra={"event": f"jt808.{message}", "device": device, "said": str(said)[:400]})

    def take(self, connection: _Connection, phone: str, version: int) -> None:
        """A terminal that may speak spoke on `connection`."""
        key = bare_phone(phone)
        seat = self._seats.get(key)
        if seat is None or seat.connection is not connection or (seat.phone, seat.version) != (phone, version):
            self._seats[key] = Seat(connection=connection, phone=phone, version=version)

    def give_up(self, connection: _Connection, phone: str) -> None:
        """A terminal logged out of `connection`."""
        seat = self._seats.get(bare_phone(phone))
        if seat is not None and seat.connection is connection:
            del self._seats[bare_phone(phone)]

    def leave(self, connection: _Connection) -> None:
        """The connection is gone, with every terminal that was last heard on it."""
        for key in [key for key, seat in self._seats.items() if seat.connection is connection]:
            del self._seats[key]

    def seat(self, phone: str) -> Seat | None:
        """Where a terminal is now; None for one that is not connected."""
        return self._seats.get(bare_phone(phone))

    @contextlib.contextmanager
    def upgrading(self, phone: str) -> Iterator[asyncio.Future[int] | None]:
        """The result that the terminal will tell by 0x0108, on whichever connection; None while another upgrade is sent. It is
        kept until the next upgrade of this terminal."""
        key = bare_phone(phone)
        if key in self._sending:
            yield None
            return
        self._sending.add(key)
        told = self._upgrades[key] = asyncio.get_running_loop().create_future()
        try:
            yield told
        finally:
            self._sending.discard(key)

    def upgrade(self, phone: str) -> asyncio.Future[int] | None:
        """The result of the upgrade that was sent last, told or still to be; None where none was."""
        return self._upgrades.get(bare_phone(phone))

    def upgraded(self, phone: str, result: int) -> None:
        """A terminal told how its upgrade ended; of no use where nobody waits for that."""
        told = self._upgrades.get(bare_phone(phone))
        if told is not None and not told.done():
            told.set_result(result)


def bare_phone(phone: str) -> str:
    """A phone without its padding: the key by which a terminal is known."""
    return phone.strip().lower().lstrip("0") or "0"
