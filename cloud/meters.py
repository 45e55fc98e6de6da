"""What the running parts count of themselves, since this process began; what the stores know is asked of them."""

import msgspec

__all__ = ["Meters"]


class Meters(msgspec.Struct, frozen=True, kw_only=True):
    """`lag_s` is how long the oldest message of the latest commit had waited here, `queue_records` what waits now."""

    messages: int = 0
    stored_readings: int = 0
    transitions: int = 0
    quarantined: int = 0
    lost_readings: int = 0
    store_waits: int = 0
    queue_records: int = 0
    lag_s: float = 0.0
    broker_connected: bool = False
    sent: int = 0
    send_failures: int = 0
    send_attempts: int = 0
    ticker_leads: bool = False
    ticker_failures: int = 0
