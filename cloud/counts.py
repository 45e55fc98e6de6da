"""The cloud's account of itself."""

import msgspec

__all__ = ["CloudCounts"]


class CloudCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Totals since the stores were made. `refused` counts messages and rows that were refused,
    quarantined ones included; `transitions` are those of gateways, acknowledgements here left out."""

    stored_readings: int = 0
    lost_readings: int = 0
    quarantined: int = 0
    transitions: int = 0
    cases_opened: int = 0
    cases_closed: int = 0
    notifications_sent: int = 0
    notifications_failed: int = 0
    refused: int = 0
