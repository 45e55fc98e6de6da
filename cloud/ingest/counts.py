"""What ingest has done, for those who watch it."""

import msgspec

__all__ = ["IngestCounts"]


class IngestCounts(msgspec.Struct):
    """Since this process began; `waited` counts the times a store was not to be had, `lag_s` is how long the oldest
    message of the latest commit had waited here."""

    messages: int = 0
    stored_readings: int = 0
    transitions: int = 0
    cases_opened: int = 0
    quarantined: int = 0
    lost_readings: int = 0
    waited: int = 0
    lag_s: float = 0.0
