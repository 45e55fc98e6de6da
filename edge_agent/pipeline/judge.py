"""Step 3: the alarms."""

from msgspec.structs import replace

from edge_agent.alarms.engine import Timeliness, judge_reading
from edge_agent.pipeline.work import Doubt, Work
from telemetry.reason import Reason

__all__ = ["judge"]


def judge(work: Work) -> Work:
    """Judge the reading by the profile's rules; one that comes too late for that is counted and goes on unjudged."""
    reading = work.reading
    if reading is None:
        return work
    judged = judge_reading(work.heard.profile, work.memory.alarms, reading, work.zones)
    doubts = work.doubts
    if judged.timeliness is Timeliness.LATE:
        doubts = (*doubts, Doubt(Reason.LATE, f"{judged.missed_by_ns / 1e9:.3f} s behind the newest reading judged"))
    return replace(work, memory=replace(work.memory, alarms=judged.state), transitions=judged.transitions, doubts=doubts)
