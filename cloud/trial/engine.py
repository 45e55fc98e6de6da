"""The gateway's alarm engine, as whoever tries a rule needs it.

The engine itself is `edge_agent.alarms`. The cloud does not import it (DESIGN, 2): `citynerve`, which may import both halves,
hands it in when it starts the cloud or the command. There is no second engine here, and no copy of the first.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from device_profiles.model import Profile
from telemetry.records import Reading, Transition

__all__ = ["Engine", "Judge"]


class Judge(Protocol):
    """The rules of one device, with all that the gateway remembers of it."""

    def reading(self, reading: Reading) -> Sequence[Transition]:
        """Judge one reading, or hold it back for older ones that may come."""
        ...

    def silence(self, silent_s: float, now_ns: int) -> Sequence[Transition]:
        """Judge a device that has not been heard for `silent_s` seconds."""
        ...


Engine = Callable[[Profile, str], Judge]
"""A judge who knows nothing yet, of the profile's rules and a device of this id."""
