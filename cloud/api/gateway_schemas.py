"""The shapes of the fleet of gateways."""

from typing import Any, Literal

from cloud.api import examples
from cloud.api.schemas import Answer, LaneAccount, example
from cloud.presence import Standing

__all__ = ["Gateway", "GatewayPage", "GatewayTotals"]


class Gateway(Answer):
    """`backlog`, `oldest`, the outbox and `declared_lost` are the gateway's own words, as of its last status.

    `standing`: online and heard in the last 150 s, silent when it was not heard since, or offline by its own word or its will.
    `beats` are the last 90 slots of `beat_s` seconds, the newest at the end: u online, s silent, d offline, p more than one of
    them, ? before anything is known. `expected` devices it should hear, `heard` of them it did; null before it said so. `alarm`
    and `case_id` tell that it is gone and who looks after it.

    `clock` is who vouches for its clock: synced, cloud (corrected by ours) or unsynced; null before the first hello.
    `clock_ahead_s` is how far its clock was ahead of ours when it last said hello, the way here taken for nothing.
    """

    id: str
    online: bool
    agent_version: str
    epoch: str
    first_seen: str
    last_seen: str
    age_s: float
    devices: int
    backlog: dict[str, int]
    oldest: str | None
    outbox_bytes: int
    outbox_max_bytes: int
    declared_lost: dict[str, int]
    clock: Literal["synced", "cloud", "unsynced"] | None
    clock_ahead_s: float | None
    status: dict[str, Any]
    lanes: list[LaneAccount]
    standing: Standing
    beats: str
    beat_s: int
    expected: int | None
    heard: int | None
    alarm: str | None
    case_id: int | None


class GatewayPage(Answer):
    """In order of id."""

    model_config = example(items=[examples.GATEWAY], next=None)
    items: list[Gateway]
    next: str | None


class GatewayTotals(Answer):
    """Of all gateways. `clocks` and `versions` count what gateways say; those that never said hello are in neither."""

    model_config = example(
        gateways=5000, online=4981, offline=17, silent=2, backlog=3, records=120_400, devices=1_000_000, heard=998_112,
        clocks={"synced": 4990, "cloud": 9}, versions={"0.1.0": 5000},
    )  # fmt: skip
    gateways: int
    online: int
    offline: int
    silent: int
    backlog: int
    records: int
    devices: int
    heard: int
    clocks: dict[str, int]
    versions: dict[str, int]
