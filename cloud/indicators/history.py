"""The history of one case as the indicators read it: its row, its steps, and its clocks."""

import msgspec

__all__ = ["CaseClock", "CaseStep", "History"]


class CaseStep(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `case_steps`; times are nanoseconds UTC. Words are kept as they are: old cases have steps of their own."""

    step: str
    from_state: str
    to_state: str
    actor: str
    at_ns: int
    department: str = ""
    assignee: str = ""
    device_says: str = "nothing"


class CaseClock(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `case_clocks`; `deadline_ns` is None while a hold keeps it from coming."""

    clock: str
    deadline_ns: int | None


class History(msgspec.Struct, frozen=True, kw_only=True):
    """One case with its steps and clocks, both in the order in which they were written.

    `source` is "alarm", "citizen" or "person"; positions are WGS-84 degrees. `before_ns` is when the last case before it, of
    the same device and matter, was closed; None where there is none.
    """

    opened_ns: int
    device: str | None = None
    department: str = ""
    district: str = ""
    source: str = "alarm"
    longitude: float | None = None
    latitude: float | None = None
    before_ns: int | None = None
    steps: tuple[CaseStep, ...]
    clocks: tuple[CaseClock, ...] = ()
