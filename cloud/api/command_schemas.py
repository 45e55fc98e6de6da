"""The shapes of orders to devices."""

from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field, StringConstraints

from cloud.api.common import MAX_INT
from cloud.api.schemas import Answer, Note, Printable

__all__ = ["Approval", "Approving", "CommandAnswer", "CommandPage", "Offers", "Order"]

State = Literal["awaiting_approval", "queued", "sent", "acked", "done", "refused", "failed", "expired", "unknown"]

_AT: Final = "2026-11-20T14:00:00.123Z"
_ROW: Final[dict[str, Any]] = {
    "id": "0f8fad5bd9cb469fa16570867728950e",
    "device": "lamp-1",
    "gateway": "gw-1",
    "command": "set_dimming",
    "arguments": {"level": 40},
    "dangerous": False,
    "actor": "li.wei",
    "approved_by": "",
    "note": "complaint about glare",
    "state": "done",
    "tries": 1,
    "created": _AT,
    "approved": None,
    "expires": "2026-11-20T14:01:00.123Z",
    "sent": _AT,
    "acked": _AT,
    "finished": "2026-11-20T14:00:01.020Z",
    "outcome": "done",
    "reason": "",
    "detail": "",
}

Text = Annotated[str, StringConstraints(max_length=1024), Printable]
Whole = Annotated[int, Field(ge=-MAX_INT, le=MAX_INT)]
ArgumentName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]


class Order(Note):
    """What is to be done. The same `key` for the same device is the same order; with `dry_run` nothing is sent or kept."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "actor": "li.wei",
                "note": "complaint about glare",
                "command": "set_dimming",
                "arguments": {"level": 40},
                "key": "b7c6f0",
            }
        }
    )
    command: ArgumentName
    arguments: dict[ArgumentName, bool | Whole | float | Text] = Field(default={}, max_length=32)
    key: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:\-]{0,64}$")] = Field("", description="chosen by the asker")
    ttl_s: int = Field(60, ge=5, le=604_800, description="how long the order is good; devices that sleep want hours")
    dry_run: bool = Field(default=False, description="check it and say what would be sent")


class Approving(Note):
    """Who agrees that a dangerous order goes out: somebody else than who asked for it."""

    model_config = ConfigDict(json_schema_extra={"example": {"actor": "wang.fang", "note": "crew is clear"}})


class CommandAnswer(Answer):
    """An order and what became of it. `acked` is when the broker had it; `outcome` the gateway's word, empty before it came."""

    model_config = ConfigDict(json_schema_extra={"example": _ROW})
    id: str
    device: str
    gateway: str
    command: str
    arguments: dict[str, bool | int | float | str | None]
    dangerous: bool
    actor: str
    approved_by: str
    note: str
    state: State
    tries: int
    created: str
    approved: str | None
    expires: str
    sent: str | None
    acked: str | None
    finished: str | None
    outcome: str
    reason: str
    detail: str


class CommandPage(Answer):
    """Newest first."""

    model_config = ConfigDict(json_schema_extra={"example": {"items": [_ROW], "next": None}})
    items: list[CommandAnswer]
    next: str | None


class Preview(Answer):
    """What would be sent: `where` in the device's language, `hex` the message where it does not depend on what only the gateway
    knows (the unit's address, a serial number)."""

    where: str
    language: str
    hex: str | None


class Approval(Answer):
    """What became of the asking; `id` and `state` are null after a dry run."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": _ROW["id"],
                "state": "queued",
                "dry_run": False,
                "dangerous": False,
                "preview": {"where": "holding 0", "language": "modbus", "hex": "0600000028"},
            }
        }
    )
    id: str | None
    state: State | None
    dry_run: bool
    dangerous: bool
    preview: Preview


class OfferedArgument(Answer):
    """What the order says: a number from `low` to `high` in `unit` (UCUM), a truth, or a text of `high` characters at most."""

    name: str
    type: Literal["float", "integer", "boolean", "string"]
    unit: str
    low: float | None
    high: float | None
    default: bool | int | float | str | None
    required: bool


class Offer(Answer):
    """One order that the device takes."""

    name: str
    title: dict[str, str]
    dangerous: bool
    where: str
    arguments: list[OfferedArgument]


class Offers(Answer):
    """Every order of the device's profile."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "device": "lamp-1",
                "items": [
                    {
                        "name": "set_dimming",
                        "title": {"zh": "设置调光等级", "en": "Set the dimming level"},
                        "dangerous": False,
                        "where": "holding 0",
                        "arguments": [
                            {
                                "name": "level",
                                "type": "float",
                                "unit": "%",
                                "low": 0,
                                "high": 100,
                                "default": None,
                                "required": True,
                            }
                        ],
                    }
                ],
            }
        }
    )
    device: str
    items: list[Offer]
