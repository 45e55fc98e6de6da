"""What accounts refuse."""

from telemetry.reason import Reason

__all__ = ["AccountError"]


class AccountError(ValueError):
    """What cannot be. `reason` is NOT_AUTHENTICATED, NOT_FOUND, CONFLICT, INVALID, TOO_OFTEN (try again in `wait_s`) or
    QUEUE_FULL (too many log in at this moment)."""

    def __init__(self, reason: Reason, detail: str, wait_s: int = 0) -> None:
        super().__init__(detail)
        self.reason = reason
        self.wait_s = wait_s
