"""Step 4: the reporting policy, which decides whether the cloud needs to hear of it."""

from msgspec.structs import replace

from device_profiles.model import Profile
from edge_agent.pipeline.work import Forwarded, Work
from telemetry.clock import SECOND_NS
from telemetry.records import Reading, Value

__all__ = ["report"]


def report(work: Work) -> Work:
    """Hold the reading back when the policy is `on_change` and nothing in it is news.

    A reading that moved an alarm always goes, and so does one that is older than the last one sent: what it says
    cannot be compared with what came after it.
    """
    reading, last = work.reading, work.memory.forwarded
    if reading is None:
        return work
    if last is not None and not work.transitions and not _is_news(work.heard.profile, last, reading):
        return replace(work, send=False)
    if last is not None and reading.time_ns < last.time_ns:
        return work
    forwarded = Forwarded(reading.time_ns, reading.values, reading.flaws)
    return replace(work, memory=replace(work.memory, forwarded=forwarded))


def _is_news(profile: Profile, last: Forwarded, reading: Reading) -> bool:
    policy = profile.reporting
    elapsed_ns = reading.time_ns - last.time_ns
    if not policy.on_change or elapsed_ns < 0 or elapsed_ns >= policy.heartbeat_s * SECOND_NS:
        return True
    # A reading of the registers that are read oftener says nothing of the flaws of the others.
    flaws = {name: flaw for name, flaw in last.flaws.items() if name in reading.values}
    if reading.flaws != flaws or not reading.values.keys() <= last.values.keys():
        return True
    return any(_moved(value, last.values[name], policy.deadband.get(name, 0.0)) for name, value in reading.values.items())


def _moved(value: Value, before: Value, deadband: float) -> bool:
    if not deadband or isinstance(value, bool) or isinstance(before, bool):
        return value != before
    if isinstance(value, int | float) and isinstance(before, int | float):
        return abs(value - before) > deadband
    return value != before
