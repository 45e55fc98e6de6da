"""What this door refuses: an HTTP status, the product's one word, and a sentence."""

from telemetry.reason import Reason

__all__ = ["StaError", "invalid", "not_found", "too_much", "unsupported"]


class StaError(Exception):
    """A question or an order that cannot be answered; the message says what, where, and what was wanted."""

    def __init__(self, status: int, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.detail = detail


def invalid(detail: str) -> StaError:
    """18-088, 9.3.1: a query that is not one is 400."""
    return StaError(400, Reason.INVALID, detail)


def not_found(detail: str) -> StaError:
    """No such entity, property or address."""
    return StaError(404, Reason.NOT_FOUND, detail)


def unsupported(detail: str) -> StaError:
    """18-088, 9.3.1: what the standard has and this service does not is 501."""
    return StaError(501, Reason.NOT_SUPPORTED, detail)


def too_much(detail: str) -> StaError:
    """The question is a good one and would look at more than one answer may."""
    return StaError(400, Reason.OVERSIZED, detail)
