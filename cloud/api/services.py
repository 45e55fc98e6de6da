"""What the API is given by the wiring, and nothing else."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.accounts.accounts import AccountPolicy
from cloud.atlas.atlas import Atlas
from cloud.atlas.config import MapConfig
from cloud.cases.desk import Desk
from cloud.counts import CloudCounts
from cloud.dossier.signing import Signer
from cloud.evidence import EvidenceFolder
from cloud.feed import Feed
from cloud.meters import Meters
from cloud.series.dead_letters import DeadLetters
from cloud.series.mirror import Mirror
from cloud.series.store import SeriesStore
from cloud.trial.engine import Engine
from device_profiles.model import Profile
from telemetry.clock import Clock

__all__ = ["Services"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The stores and streams behind the API. Setting `stop` ends every open event stream at once.

    `counts` gives the cloud's account of itself, `meters` that of the running process. Without
    `evidence` no photos are kept, without `signer` no case is exported; without `rules`, the gateways' alarm engine, none is
    tried on history.
    """

    engine: AsyncEngine
    series: SeriesStore
    desk: Desk
    feed: Feed
    clock: Clock
    counts: Callable[[], Awaitable[CloudCounts]]
    meters: Callable[[], Meters] = Meters
    notify: Callable[[], None] = lambda: None
    ordered: Callable[[], None] = lambda: None
    evidence: EvidenceFolder | None = None
    letters: DeadLetters | None = None
    mirror: Mirror | None = None
    signer: Signer | None = None
    rules: Engine | None = None
    accounts: AccountPolicy = field(default_factory=AccountPolicy)
    map: MapConfig = field(default_factory=MapConfig)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    atlas: Atlas = field(init=False)
    """Every device in memory; whoever serves the API runs it."""

    def __post_init__(self) -> None:
        atlas = Atlas(engine=self.engine, series=self.series, desk=self.desk, feed=self.feed, clock=self.clock, crs=self.map.crs)
        object.__setattr__(self, "atlas", atlas)

    @property
    def catalog(self) -> Mapping[str, Profile]:
        """Every profile that is known here, by name."""
        return self.desk.catalog
