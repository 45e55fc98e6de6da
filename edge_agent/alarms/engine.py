"""The alarm engine: from a reading, or from silence, to transitions.

Delays run in event time: an on-delay is over when a reading says so, not when a timer does, so a day of backlog gives
the same transitions as the same day live. Rules about silence are the exception: they follow the gateway's clock.
Where a device's readings may be late, they are judged when nothing older can come (`edge_agent.alarms.lateness`).
Each time a condition comes true again is an occurrence of its own, named by the instant it came true.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum

import msgspec

from device_profiles.model import AlarmRule, Profile
from edge_agent.alarms.conditions import Facts, Memory, Truth, evaluate, has_stale, mentions, metrics_of
from edge_agent.alarms.evidence import evidence
from edge_agent.alarms.lateness import Due, advanced, settled, take_in
from edge_agent.alarms.leaves import POSITION_FIX, Limited, measured
from edge_agent.alarms.levels import priority_at, reached
from edge_agent.alarms.state import DeviceState, Held, RuleState
from edge_agent.alarms.zones import Zone
from telemetry.clock import SECOND_NS
from telemetry.records import Cause, Origin, Priority, Quality, Reading, Transition, Value

__all__ = ["ACTOR", "Judged", "Timeliness", "judge_reading", "judge_silence"]

ACTOR = "edge"

_NEW = RuleState()
_NO_ZONES: Mapping[str, Zone] = {}
_RETURNED: Mapping[str, object] = {"active": False, "pending_ns": None, "level": 0, "turning": {}}


class Timeliness(StrEnum):
    """Whether a reading could still be judged."""

    IN_TIME = "in_time"
    LATE = "late"
    """Older than what a rule about it has judged already: kept and sent, not judged again by this rule."""


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """What judging led to."""

    state: DeviceState
    transitions: tuple[Transition, ...] = ()
    timeliness: Timeliness = Timeliness.IN_TIME
    missed_by_ns: int = 0
    """How much too late a late reading was."""


Zones = Mapping[str, Zone]


class _Moment(msgspec.Struct, frozen=True, kw_only=True):
    device: str
    profile: Profile
    event_ns: int
    recorded_ns: int
    facts: Facts


def judge_reading(profile: Profile, state: DeviceState, reading: Reading, zones: Zones = _NO_ZONES) -> Judged:
    """Judge every rule of the profile by one reading, or hold it back until its turn comes.

    Bad values count as unknown; uncertain ones are believed, for a wrong clock must not silence an alarm. A rule that
    is about nothing the reading mentions is left alone. A late reading is judged by the rules about silence only: it,
    too, proves that the device lives.
    """
    bench = _Bench(profile, state.rules, reading.device, reading.received_ns, zones=zones)
    for name in [name for name in state.rules if name not in profile.alarms]:
        bench.transitions += _withdraw(profile, reading, name, bench.rules.pop(name))
    values = _believed(reading)
    timed: list[AlarmRule] = []
    for rule in profile.alarms.values():
        if not has_stale(rule.when):
            timed.append(rule)
        elif mentions(rule.when, values):
            bench.judge(rule, values, reading.received_ns)
    about = [rule for rule in timed if mentions(rule.when, values)]
    missed_ns = max((state.judged_by(rule.name) - reading.time_ns for rule in about), default=0)
    lateness_ns = round(profile.reporting.lateness_s * SECOND_NS)
    after = state
    if lateness_ns or state.held:
        after = bench.judge_due(_held_back(state, timed, about, Held(reading.time_ns, _of_interest(about, values)), lateness_ns))
    elif about:
        for rule in about:
            if reading.time_ns >= state.judged_by(rule.name):
                bench.judge(rule, values, reading.time_ns)
        after = advanced(state, timed, about, reading.time_ns)
    return Judged(
        state=DeviceState(judged_ns=after.judged_ns, rules=bench.rules, behind_ns=after.behind_ns, held=after.held),
        transitions=tuple(bench.transitions),
        timeliness=Timeliness.LATE if missed_ns > 0 else Timeliness.IN_TIME,
        missed_by_ns=max(0, missed_ns),
    )


def judge_silence(
    profile: Profile, state: DeviceState, device: str, silent_s: float, now_ns: int, *, zones: Zones = _NO_ZONES
) -> Judged:
    """Judge the rules about silence of a device not heard for `silent_s` seconds; its metrics are unknown meanwhile.

    An active alarm is left alone: only hearing the device ends it, and after a restart `silent_s` begins anew. Readings
    that were held back for older ones are judged when the device is silent for longer than those could be late.
    """
    bench = _Bench(profile, state.rules, device, now_ns, zones=zones)
    after = state
    if state.held and silent_s > profile.reporting.lateness_s:
        after = bench.judge_due(settled(state, [rule for rule in profile.alarms.values() if not has_stale(rule.when)]))
    for rule in profile.alarms.values():
        if has_stale(rule.when) and not state.rule(rule.name).active:
            bench.judge(rule, dict.fromkeys(metrics_of(rule.when)), now_ns, silent_s)
    return Judged(state=msgspec.structs.replace(after, rules=bench.rules), transitions=tuple(bench.transitions))


class _Bench:
    """What one reading, or one look at a silent device, changes: the rules' states and the transitions."""

    def __init__(self, profile: Profile, rules: Mapping[str, RuleState], device: str, recorded_ns: int, *, zones: Zones) -> None:
        self.rules = dict(rules)
        self.transitions: list[Transition] = []
        self._profile, self._device, self._recorded_ns, self._zones = profile, device, recorded_ns, zones

    def judge(self, rule: AlarmRule, values: Mapping[str, Value], event_ns: int, silent_s: float = 0.0) -> None:
        before = self.rules.get(rule.name, _NEW)
        moment = _Moment(
            device=self._device,
            profile=self._profile,
            event_ns=event_ns,
            recorded_ns=self._recorded_ns,
            facts=Facts(values=values, silent_s=silent_s, zones=self._zones),
        )
        after, steps = _judge(rule, before, moment)
        if after is not before and after != before:
            self.rules[rule.name] = after
        self.transitions += steps

    def judge_due(self, due: Due) -> DeviceState:
        """Judge readings whose turn has come; the state without the rules."""
        for rule, held in due.pairs:
            self.judge(rule, held.values, held.time_ns)
        return due.state


def _held_back(state: DeviceState, timed: list[AlarmRule], about: list[AlarmRule], new: Held, lateness_ns: int) -> Due:
    if lateness_ns:
        return take_in(state, timed, about, new, lateness_ns) if about else Due(state=state)
    # The profile's lateness was taken away while readings were waiting.
    first = settled(state, timed)
    then = take_in(first.state, timed, about, new, 0)
    last = settled(then.state, timed)
    return Due(state=last.state, pairs=(*first.pairs, *then.pairs, *last.pairs))


def _of_interest(about: list[AlarmRule], values: Mapping[str, Value]) -> Mapping[str, Value]:
    """What the rules need of a reading that waits."""
    wanted = {POSITION_FIX, *(metric for rule in about for metric in metrics_of(rule.when))}
    return {name: value for name, value in values.items() if name in wanted}


def _believed(reading: Reading) -> Mapping[str, Value]:
    if not reading.flaws:
        return reading.values
    return {name: None if reading.quality(name) is Quality.BAD else value for name, value in reading.values.items()}


def _judge(rule: AlarmRule, before: RuleState, moment: _Moment) -> tuple[RuleState, list[Transition]]:
    remembered = _remembered(before)
    truth, memory = evaluate(rule.when, moment.facts, remembered, moment.event_ns)
    state = before if memory is remembered else _remembering(before, memory)
    if rule.levels:
        state = _weighed(rule, state, memory, truth, moment)
    elif truth is state.active and not state.uncertain and state.pending_ns is None:
        return state, []
    transitions: list[Transition] = []
    for cause, after in _steps(rule, state, truth, moment.event_ns):
        # What returns, returns from where it was; what goes up or down is told by a step of its own.
        level = after.level if cause is Cause.RAISE else before.level
        transitions.append(_transition(rule, after, cause, moment, memory, level=level))
        state = after
    if rule.levels and before.active and state.active and state.level != before.level:
        cause = Cause.PRIORITY_RAISED if state.level > before.level else Cause.PRIORITY_LOWERED
        state = _moved(state, moment.event_ns)
        transitions.append(_transition(rule, state, cause, moment, memory, level=state.level))
    return _pend(state, truth, moment.event_ns), transitions


_NO_MEMORY = Memory()


def _remembered(state: RuleState) -> Memory:
    if state is _NEW:
        return _NO_MEMORY
    return Memory(state.held, state.known, state.windows, state.counts, state.there_ns, state.sampled_ns)


def _remembering(state: RuleState, memory: Memory) -> RuleState:
    return msgspec.structs.replace(
        state,
        held=memory.held,
        known=memory.known,
        windows=memory.windows,
        counts=memory.counts,
        there_ns=memory.there_ns,
        sampled_ns=memory.sampled_ns,
    )


def _weighed(rule: AlarmRule, state: RuleState, memory: Memory, truth: Truth, moment: _Moment) -> RuleState:
    """The state with the level that its number leads to; while the alarm is not raised, none is reached."""
    if truth is None or not isinstance(rule.when, Limited):
        return state
    value = measured(rule.when, moment.facts, memory.windows, 0, moment.event_ns)
    level, turning = reached(rule, state, value, moment.event_ns)
    return msgspec.structs.replace(state, level=level, turning=turning)


def _steps(rule: AlarmRule, state: RuleState, truth: Truth, now_ns: int) -> Iterator[tuple[Cause, RuleState]]:
    """The transitions that `truth` makes now, each with the state after it."""
    if truth is None:
        if state.active and not state.uncertain:
            yield Cause.BECAME_UNCERTAIN, _moved(state, now_ns, uncertain=True)
        return
    if state.uncertain:
        state = _moved(state, now_ns, uncertain=False)
        yield Cause.BECAME_CERTAIN, state
    if truth is state.active:
        return
    since_ns = now_ns if state.pending_ns is None else state.pending_ns
    delay_s = rule.on_delay_s if truth else rule.off_delay_s
    if now_ns - since_ns < delay_s * SECOND_NS:
        return
    if truth:
        yield Cause.RAISE, _raised(state, since_ns, now_ns)
    else:
        yield Cause.RETURN_LATCHED if rule.latch else Cause.RETURN, _moved(state, now_ns, **_RETURNED)


def _pend(state: RuleState, truth: Truth, now_ns: int) -> RuleState:
    """Start a delay where the condition contradicts the state, end it where it agrees, leave it where it is unknown."""
    if truth is None:
        return state
    if truth is state.active:
        return state if state.pending_ns is None else msgspec.structs.replace(state, pending_ns=None)
    return state if state.pending_ns is not None else msgspec.structs.replace(state, pending_ns=now_ns)


def _raised(state: RuleState, since_ns: int, now_ns: int) -> RuleState:
    """A new occurrence; the same one again where the condition came and went within one instant."""
    # An onset later than the last step was named by a clock that has been set back since.
    named_ns = state.onset_ns if state.onset_ns <= state.moved_ns else 0
    onset_ns = max(since_ns, named_ns)
    steps = state.steps if onset_ns == state.onset_ns else 0
    begun = msgspec.structs.replace(state, onset_ns=onset_ns, steps=steps)
    return _moved(begun, now_ns, active=True, pending_ns=None)


def _moved(state: RuleState, now_ns: int, **fields: object) -> RuleState:
    """The state after one more transition, which is never before the one that went before."""
    return msgspec.structs.replace(state, steps=state.steps + 1, moved_ns=max(now_ns, state.moved_ns), **fields)


def _transition(rule: AlarmRule, after: RuleState, cause: Cause, moment: _Moment, memory: Memory, *, level: int) -> Transition:
    return Transition(
        alarm=f"{moment.device}/{rule.name}/{after.onset_ns}",
        origin=Origin.EDGE,
        n=after.steps,
        device=moment.device,
        rule=rule.name,
        profile=moment.profile.name,
        profile_version=moment.profile.version,
        cause=cause,
        priority=priority_at(rule, level),
        event_time_ns=after.moved_ns,
        recorded_ns=moment.recorded_ns,
        actor=ACTOR,
        evidence=evidence(rule, moment.facts, memory, moment.event_ns, level=level),
    )


def _withdraw(profile: Profile, reading: Reading, name: str, state: RuleState) -> Iterator[Transition]:
    """Close what a rule that the profile no longer has left open."""
    if state.active:
        yield Transition(
            alarm=f"{reading.device}/{name}/{state.onset_ns}",
            origin=Origin.EDGE,
            n=state.steps + 1,
            device=reading.device,
            rule=name,
            profile=profile.name,
            profile_version=profile.version,
            cause=Cause.CONFIG,
            priority=Priority.LOW,
            event_time_ns=max(reading.time_ns, state.moved_ns),
            recorded_ns=reading.received_ns,
            actor=ACTOR,
            note="the profile no longer has this rule",
        )
