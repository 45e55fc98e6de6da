"""How a stored batch is cut to the link: along the same lines each time, so that a repeated part has the same bytes."""

import msgspec

from edge_agent.outbox.outbox import Block
from edge_agent.uplink.compression import compress_message
from telemetry.encoded import part
from telemetry.records import Lane

__all__ = ["Piece", "cut"]


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """A batch ready for the link: records `first_seq` to `last_seq`; `payload` is compressed, `memory` its size before."""

    lane: Lane
    first_seq: int
    last_seq: int
    payload: bytes
    memory: int
    whole: bool

    @property
    def count(self) -> int:
        return self.last_seq - self.first_seq + 1


def cut(block: Block, first_seq: int, last_seq: int, most_bytes: int) -> Piece:
    """The records of a block from `first_seq` on: up to `last_seq`, but no more than fit `most_bytes`, and at least one.

    A block is halved, and its halves again, until a part fits. Raises ValueError where the block cannot be cut.
    """
    halvings = 0
    piece = _piece(block, first_seq, last_seq)
    while len(piece.payload) > most_bytes and piece.count > 1:
        halvings = max(halvings + 1, _halvings(block, most_bytes * piece.count // len(piece.payload)))
        last = min(piece.last_seq, _line_after(block, first_seq, halvings))
        if last < piece.last_seq:
            piece = _piece(block, first_seq, last)
    return piece


def _piece(block: Block, first_seq: int, last_seq: int) -> Piece:
    whole = (first_seq, last_seq) == (block.first_seq, block.last_seq)
    message = block.payload if whole else part(block.payload, block.lane, first_seq, last_seq)
    return Piece(
        lane=block.lane,
        first_seq=first_seq,
        last_seq=last_seq,
        payload=compress_message(message),
        memory=len(message),
        whole=whole,
    )


def _halvings(block: Block, records: int) -> int:
    """How often a block must be halved until its parts have no more than so many records."""
    halvings, count = 0, block.last_seq - block.first_seq + 1
    while count > max(1, records) << halvings:
        halvings += 1
    return halvings


def _line_after(block: Block, seq: int, halvings: int) -> int:
    """The last record of the part that holds `seq`, where a block is cut into 2**halvings parts."""
    count = block.last_seq - block.first_seq + 1
    number = ((seq - block.first_seq) << halvings) // count
    return block.first_seq + -(-(number + 1) * count >> halvings) - 1
