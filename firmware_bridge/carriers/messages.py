"""What a push may say, whichever carrier sent it."""

from typing import TypeAlias

import msgspec

__all__ = ["CommandState", "Life", "Message", "Other", "Point", "Report"]


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One value. `path` joins the names that lead to it with a full stop; `value` is what JSON has, lists included.
    `time_ns` is its own time in nanoseconds since the epoch, None where only the message has one."""

    path: str
    value: object
    time_ns: int | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Values of one device. `kind` is the platform's word for the message, `service` that of the product model.

    `app_data` holds the bytes of a device whose frames the platform hands on unread. `device_id` is None where only
    the topic or the address names the device; `imei` where there is none, or a placeholder such as "undefined".
    """

    kind: str
    device_id: str | None
    imei: str | None = None
    time_ns: int | None = None
    service: str | None = None
    points: tuple[Point, ...] = ()
    app_data: bytes | None = None


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """A device came or went. `online` is None where the platform gave a state that no source explains."""

    kind: str
    device_id: str | None
    online: bool | None
    imei: str | None = None
    time_ns: int | None = None
    login: str | None = None


class CommandState(msgspec.Struct, frozen=True, kw_only=True):
    """How far a command has come, in the platform's own words."""

    kind: str
    device_id: str | None
    command_id: str | None
    state: str | None
    imei: str | None = None
    time_ns: int | None = None
    detail: str | None = None


class Other(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of message that is known to exist and whose fields no source describes; it is to be answered all the same."""

    kind: str
    device_id: str | None
    imei: str | None = None
    time_ns: int | None = None


Message: TypeAlias = Report | Life | CommandState | Other
