"""What a gateway's hello means for the accounts of its lanes."""

from cloud.ingest.account import LaneKey
from cloud.ingest.draft import Draft
from telemetry.reason import Reason
from telemetry.records import Lane
from telemetry.wire import Hello

__all__ = ["lanes_of", "meet"]


def lanes_of(hello: Hello) -> list[LaneKey]:
    """The lanes of its epoch, also those that it does not speak of."""
    return [(hello.gateway, hello.epoch, lane) for lane in Lane]


def meet(draft: Draft, hello: Hello, *, over: bool, copy: bool = False) -> None:
    """Go on with an outbox that is the one we know, or is new; fence one that is an older copy of it, or was changed.

    `over` says that the gateway has begun another epoch since, `copy` that two machines take turns with this one. A fenced
    gateway begins a new epoch and carries over what nobody acknowledged; the books of the fenced one stay as they are.
    """
    spans = {key: hello.lanes[key[2]] for key in lanes_of(hello) if key[2] in hello.lanes}
    wrong = next((found for key, span in spans.items() if (found := draft.disagreement(key, span)) is not None), None)
    if wrong is None and over:
        wrong = Reason.ROLLED_BACK, "says hello after a later epoch has begun"
    if wrong is None and copy:
        wrong = Reason.ROLLED_BACK, f"boot {hello.boot_id} speaks again after another one did: two machines share an outbox"
    if wrong is not None:
        draft.fence(lanes_of(hello), *wrong)
        return
    for key, span in spans.items():
        draft.resume(key, span)
