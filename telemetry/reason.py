"""Why something was refused, doubted or dropped: one word from the first byte to the API.

Every refusal anywhere in the product carries one `Reason`; counters, logs, loss records, flawed values and
API answers use the same word. `docs/vocabulary.md` explains each one, and a test holds the two together.
"""

from enum import StrEnum

__all__ = ["Reason"]


class Reason(StrEnum):
    """One word for one kind of fault."""

    # The bytes of a frame or payload.
    TRUNCATED = "truncated"
    OVERSIZED = "oversized"
    BAD_START = "bad_start"
    BAD_LENGTH = "bad_length"
    BAD_CHECKSUM = "bad_checksum"
    BAD_ESCAPE = "bad_escape"
    BAD_FIELD = "bad_field"
    NOT_HEX = "not_hex"
    NOT_JSON = "not_json"
    NOT_CBOR = "not_cbor"
    NOT_MSGPACK = "not_msgpack"
    UNSUPPORTED_VERSION = "unsupported_version"
    UNSUPPORTED_ENCRYPTION = "unsupported_encryption"
    UNKNOWN_MESSAGE = "unknown_message"
    REASSEMBLY_LIMIT = "reassembly_limit"

    # Who is speaking, and about what.
    UNKNOWN_DEVICE = "unknown_device"
    UNKNOWN_GATEWAY = "unknown_gateway"
    UNKNOWN_PROFILE = "unknown_profile"
    UNKNOWN_METRIC = "unknown_metric"
    UNKNOWN_COMMAND = "unknown_command"
    NOT_AUTHENTICATED = "not_authenticated"
    GATEWAY_MISMATCH = "gateway_mismatch"
    WRONG_UNIT = "wrong_unit"
    WRONG_TRANSACTION = "wrong_transaction"

    # A value.
    WRONG_TYPE = "wrong_type"
    NOT_A_NUMBER = "not_a_number"
    OUT_OF_RANGE = "out_of_range"
    NO_VALUE = "no_value"
    NOT_IN_ENUM = "not_in_enum"
    MISSING = "missing"

    # Time.
    IMPLAUSIBLE_TIME = "implausible_time"
    FUTURE_TIME = "future_time"
    LATE = "late"
    DUPLICATE = "duplicate"
    EXPIRED = "expired"
    CLOCK_UNSYNCED = "clock_unsynced"

    # A device or link that does not answer as it should.
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    DEVICE_EXCEPTION = "device_exception"
    NOT_ALLOWED = "not_allowed"
    TOO_OFTEN = "too_often"
    INTERRUPTED = "interrupted"

    # Queues and stores.
    QUEUE_FULL = "queue_full"
    OUTBOX_FULL = "outbox_full"
    CORRUPT = "corrupt"
    THINNED = "thinned"
    RENUMBERED = "renumbered"
    ROLLED_BACK = "rolled_back"
    ALTERED = "altered"
    CREDIT_EXCEEDED = "credit_exceeded"
    STORE_REFUSED = "store_refused"
    STORE_UNAVAILABLE = "store_unavailable"
    CONFLICT = "conflict"
    NOT_FOUND = "not_found"
    INVALID = "invalid"
    NOT_SUPPORTED = "not_supported"
    INTERNAL = "internal"
