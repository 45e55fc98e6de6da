"""What is remembered of a device, after the gateway's clock was put right: a delay must neither end early nor never end."""

from msgspec.structs import replace

from device_profiles.model import Profile
from edge_agent.alarms.conditions import has_stale
from edge_agent.alarms.state import newest_ns, shifted
from edge_agent.pipeline.normalise import MAX_AHEAD_NS
from edge_agent.pipeline.work import Memory

__all__ = ["reclocked", "sane"]


def reclocked(memory: Memory, profile: Profile, by_ns: int, *, own_time: bool) -> Memory:
    """The memory with every time that was the gateway's own moved by `by_ns`.

    `own_time` says that the device tells none, so that the instants of its readings are the gateway's, too. Rules about
    silence run by the gateway's clock in any case.
    """
    alarms = shifted(memory.alarms, by_ns, _own_rules(profile, own_time=own_time), judged=own_time)
    if not own_time:
        return replace(memory, alarms=alarms)
    forwarded, instant = memory.forwarded, memory.instant
    return replace(
        memory,
        alarms=alarms,
        forwarded=forwarded and replace(forwarded, time_ns=forwarded.time_ns + by_ns),
        instant=instant and replace(instant, time_ns=instant.time_ns + by_ns),
    )


def sane(memory: Memory, profile: Profile, now_ns: int, *, own_time: bool) -> Memory:
    """The memory, brought back to `now_ns` where it was judged by a clock further ahead than any clock may be.

    Otherwise every reading would be late until that time has come, and no alarm be raised. `own_time` as above; where
    somebody vouches for `now_ns`, a device's own times may be held against it, too.
    """
    own = _own_rules(profile, own_time=own_time)
    ahead_ns = newest_ns(memory.alarms, own, judged=own_time) - now_ns
    if ahead_ns <= MAX_AHEAD_NS:
        return memory
    return replace(memory, alarms=shifted(memory.alarms, -ahead_ns, own, judged=own_time))


def _own_rules(profile: Profile, *, own_time: bool) -> set[str]:
    return {name for name, rule in profile.alarms.items() if own_time or has_stale(rule.when)}
