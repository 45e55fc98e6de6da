"""An outbox that no agent has open, looked at and left as it is."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import apsw
import msgspec

from edge_agent.outbox.accounts import LaneAccount
from edge_agent.outbox.blocks import Blocks
from edge_agent.outbox.damaged import DAMAGE
from edge_agent.outbox.facts import Facts
from edge_agent.outbox.file import Identity, OutboxError, connect, earlier_book, form_of, read_books, take_lock
from edge_agent.outbox.losses import Losses, LossNote
from telemetry.records import Lane

__all__ = ["Inspection", "inspect"]

_LOSSES = 100


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """Whose numbers these are, where every record is, and what was last declared lost, the newest first.

    `oldest_ns` is the event time of each lane's oldest record that is held, where there is one.
    """

    epoch: str
    accounts: Mapping[Lane, LaneAccount]
    losses: Sequence[LossNote]
    oldest_ns: Mapping[Lane, int] = {}


def inspect(folder: Path) -> Inspection:
    """The outbox of a folder; OutboxError where there is none to look at."""
    path = folder / "outbox.db"
    if not path.exists():
        raise OutboxError(f"{path}: no outbox yet; it is made when the agent first runs")
    lock = take_lock(folder)
    try:
        db = connect(path)
        try:
            return _read(db)
        finally:
            db.close()
    except (*DAMAGE, apsw.Error) as error:
        raise OutboxError(f"{path}: {error}; the agent sets a damaged outbox aside when it starts") from error
    finally:
        lock.close()


def _read(db: apsw.Connection) -> Inspection:
    if form_of(db) == "earlier":
        epoch = str(db.execute("SELECT value FROM meta WHERE key = 'epoch'").get)
        return Inspection(epoch=epoch, accounts={lane: earlier_book(db, lane).account for lane in Lane}, losses=[])
    facts = Facts(db)
    books = read_books(facts)
    firsts = {lane: (book.first_open(1), Blocks(db).holding(lane, book.first_open(1))) for lane, book in books.items()}
    return Inspection(
        epoch=facts.get("outbox", Identity).epoch,
        accounts={lane: book.account for lane, book in books.items()},
        losses=Losses(db).newest(_LOSSES),
        oldest_ns={lane: head.time_from for lane, (first, head) in firsts.items() if head is not None and head.last_seq >= first},
    )
