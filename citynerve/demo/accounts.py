"""The demo's own accounts: what every part counted for itself, and whether the counts agree."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import quantiles

__all__ = ["Accounts", "Cases", "Latency", "Notifications", "Readings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """One reading's stations, each counted by the part that it passed.

    `spoken` and `resent` are counted by the devices themselves (a polled one counts the sweeps that it answered),
    `produced` where the devices' words became readings, `held_back` by the profiles' reporting policy,
    `refused` where nothing in a reading could be used, `committed` by the outbox, `acked` by the uplink from the
    cloud's acknowledgements, `stored` by the series store, `quarantined` and `lost_declared` by the cloud's ledger.
    """

    spoken: int = 0
    resent: int = 0
    produced: int = 0
    held_back: int = 0
    refused: int = 0
    committed: int = 0
    acked: int = 0
    stored: int = 0
    quarantined: int = 0
    lost_declared: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cases:
    opened: int = 0
    closed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Notifications:
    """`received` is the count of the demo's own webhook, `sent` and `failed` those of the cloud's outbox."""

    sent: int = 0
    failed: int = 0
    received: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Milliseconds from the moment a device's fact came true to its case; None where there was no case."""

    event_to_case_p50: float | None = None
    p99: float | None = None

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Latency":
        """The two percentiles of some latencies in seconds."""
        if not seconds:
            return cls()
        if len(seconds) == 1:
            return cls(event_to_case_p50=round(seconds[0] * 1000, 1), p99=round(seconds[0] * 1000, 1))
        cuts = quantiles(seconds, n=100, method="inclusive")
        return cls(event_to_case_p50=round(cuts[49] * 1000, 1), p99=round(cuts[98] * 1000, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """Everything that the demo prints at its end."""

    readings: Readings = Readings()
    transitions: int = 0
    transitions_stored: int = 0
    cases: Cases = Cases()
    notifications: Notifications = Notifications()
    latency_ms: Latency = Latency()
    devices: dict[str, int] = field(default_factory=dict)

    def disagreements(self) -> list[str]:
        """Every pair of counts that should agree and does not; empty when the accounts balance."""
        r = self.readings
        sums = {
            "produced = held back + refused + committed": (r.produced, r.held_back + r.refused + r.committed),
            "committed = acknowledged + declared lost": (r.committed, r.acked + r.lost_declared),
            "acknowledged = stored + quarantined": (r.acked, r.stored + r.quarantined),
            "transitions at the edge = transitions in the cloud": (self.transitions, self.transitions_stored),
            "notifications sent = received": (self.notifications.sent, self.notifications.received),
        }
        found = [f"{name}: {left} against {right}" for name, (left, right) in sums.items() if left != right]
        # The end may come between a device's word and its hearing, once a device; a repeat may be heard, or be told apart.
        if not r.spoken - sum(self.devices.values()) <= r.produced <= r.spoken + r.resent:
            found.append(f"spoken by the devices, produced at the gateway: {r.spoken} against {r.produced}")
        return found

    @property
    def settled(self) -> bool:
        """Whether everything under way has arrived: the accounts agree."""
        return not self.disagreements()

    def as_json(self) -> dict[str, object]:
        """The one object that `citynerve demo --json` prints."""
        return asdict(self) | {"balanced": not self.disagreements(), "disagreements": self.disagreements()}
