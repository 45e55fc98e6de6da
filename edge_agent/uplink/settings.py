"""What the uplink is told at its start, and what it counts."""

from pathlib import Path

import msgspec

from edge_agent.uplink.share import Source

__all__ = ["UplinkCounts", "UplinkSettings"]


class UplinkSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the cloud is and how patient to be. `rate_bits_s` and `history_jitter_s`: see `edge_agent.config.UplinkLimits`.

    Every `hello_every_s` a gateway compares its books with the cloud's: one that has nothing to say would not learn that
    the cloud was restored from a copy.
    """

    gateway: str
    broker: str
    boot_id: str
    agent_version: str
    username: str = ""
    password_file: Path | None = None
    status_s: float = 60.0
    retransmit_s: float = 10.0
    hello_again_s: float = 5.0
    hello_every_s: float = 600.0
    reconnect_first_s: float = 0.5
    reconnect_most_s: float = 60.0
    rate_bits_s: int = 0
    history_jitter_s: float = 0.0


class UplinkCounts(msgspec.Struct):
    """What the link has seen since the agent started, and how it is at present.

    `parts` are batches that were cut to the link or because the cloud refused them whole. `bytes_of` says where the bytes
    came from, `queue_ms` how long the last message stood in a queue, `window_bytes` how much may be under way.
    """

    connections: int = 0
    batches_sent: int = 0
    bytes_sent: int = 0
    retransmissions: int = 0
    acks: int = 0
    bad_messages: int = 0
    snapshots: int = 0
    parts: int = 0
    refused_batches: int = 0
    renewals: int = 0
    rewinds: int = 0
    disk_errors: int = 0
    bytes_of: dict[Source, int] = msgspec.field(default_factory=lambda: dict.fromkeys(Source, 0))
    queue_ms: int = 0
    window_bytes: int = 0
