"""The alarm engine: from a reading, or from silence, to transitions.

Delays run in event time: an on-delay is over when a reading says so, not when a timer does, so a day of backlog gives
the same transitions as the same day live. Rules about silence are the exception: they follow the gateway's clock.
Each time a condition comes true again is an occurrence of its own, named by the instant it came true.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum

import msgspec

from device_profiles.model import AlarmRule, Profile
from edge_agent.alarms.conditions import Facts, Memory, Truth, evaluate, evidence, has_stale, mentions, metrics_of
from edge_agent.alarms.state import DeviceState, RuleState
from telemetry.clock import SECOND_NS
from telemetry.records import Cause, Origin, Priority, Quality, Reading, Transition, Value

__all__ = ["ACTOR", "Judged", "Timeliness", "judge_reading", "judge_silence"]

ACTOR = "edge"


class Timeliness(StrEnum):
    """Whether a reading could still be judged."""

    IN_TIME = "in_time"
    LATE = "late"
    """Older than the newest reading judged of its device: kept and sent, not judged again."""


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """What judging led to."""

    state: DeviceState
    transitions: tuple[Transition, ...] = ()
    timeliness: Timeliness = Timeliness.IN_TIME


class _Moment(msgspec.Struct, frozen=True, kw_only=True):
    device: str
    profile: Profile
    event_ns: int
    recorded_ns: int
    facts: Facts


def judge_reading(profile: Profile, state: DeviceState, reading: Reading) -> Judged:
    """Judge every rule of the profile by one reading.

    Bad values count as unknown; uncertain ones are believed, for a wrong clock must not silence an alarm. A rule that
    is about nothing the reading mentions is left alone. A late reading is judged by the rules about silence only: it,
    too, proves that the device lives.
    """
    facts = Facts(values=_believed(reading))
    late = reading.time_ns < state.judged_ns
    rules = dict(state.rules)
    transitions: list[Transition] = []
    for name in [name for name in rules if name not in profile.alarms]:
        transitions += _withdraw(profile, reading, name, rules.pop(name))
    for name, rule in profile.alarms.items():
        by_silence = has_stale(rule.when)
        if (late and not by_silence) or not mentions(rule.when, facts.values):
            continue
        event_ns = reading.received_ns if by_silence else reading.time_ns
        moment = _Moment(device=reading.device, profile=profile, event_ns=event_ns, recorded_ns=reading.received_ns, facts=facts)
        after, steps = _judge(rule, state.rule(name), moment)
        transitions += steps
        if after != state.rule(name):
            rules[name] = after
    return Judged(
        state=DeviceState(judged_ns=max(state.judged_ns, reading.time_ns), rules=rules),
        transitions=tuple(transitions),
        timeliness=Timeliness.LATE if late else Timeliness.IN_TIME,
    )


def judge_silence(profile: Profile, state: DeviceState, device: str, silent_s: float, now_ns: int) -> Judged:
    """Judge the rules about silence of a device not heard for `silent_s` seconds; its metrics are unknown meanwhile.

    An active alarm is left alone: only hearing the device ends it, and after a restart `silent_s` begins anew.
    """
    rules = dict(state.rules)
    transitions: list[Transition] = []
    for name, rule in profile.alarms.items():
        if not has_stale(rule.when) or state.rule(name).active:
            continue
        facts = Facts(values=dict.fromkeys(metrics_of(rule.when)), silent_s=silent_s)
        moment = _Moment(device=device, profile=profile, event_ns=now_ns, recorded_ns=now_ns, facts=facts)
        after, steps = _judge(rule, state.rule(name), moment)
        transitions += steps
        if after != state.rule(name):
            rules[name] = after
    return Judged(state=msgspec.structs.replace(state, rules=rules), transitions=tuple(transitions))


def _believed(reading: Reading) -> Mapping[str, Value]:
    if not reading.flaws:
        return reading.values
    return {name: None if reading.quality(name) is Quality.BAD else value for name, value in reading.values.items()}


def _judge(rule: AlarmRule, before: RuleState, moment: _Moment) -> tuple[RuleState, list[Transition]]:
    truth, memory = evaluate(rule.when, moment.facts, Memory(before.held, before.known))
    state = msgspec.structs.replace(before, held=memory.held, known=memory.known)
    transitions: list[Transition] = []
    for cause, after in _steps(rule, state, truth, moment.event_ns):
        transitions.append(_transition(rule, after, cause, moment))
        state = after
    return _pend(state, truth, moment.event_ns), transitions


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
        yield Cause.RETURN_LATCHED if rule.latch else Cause.RETURN, _moved(state, now_ns, active=False, pending_ns=None)


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


def _transition(rule: AlarmRule, after: RuleState, cause: Cause, moment: _Moment) -> Transition:
    return Transition(
        alarm=f"{moment.device}/{rule.name}/{after.onset_ns}",
        origin=Origin.EDGE,
        n=after.steps,
        device=moment.device,
        rule=rule.name,
        profile=moment.profile.name,
        profile_version=moment.profile.version,
        cause=cause,
        priority=rule.priority,
        event_time_ns=after.moved_ns,
        recorded_ns=moment.recorded_ns,
        actor=ACTOR,
        evidence=evidence(rule.when, moment.facts),
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
