"""Whether a condition holds, in three values: true, false, and None where it cannot be known.

Unknown goes through the connectives as Kleene's logic has it: `all` is false as soon as one part is, `any` true as
soon as one is, and otherwise one unknown part makes the whole unknown.
"""

from collections.abc import Container, Iterator, Mapping

import msgspec

from device_profiles.model import LATITUDE, LONGITUDE, All, AnyCondition, AnyOf, Leaf, NofM, Not, Place, Speed, Stale, leaves
from edge_agent.alarms.leaves import Facts, Trace, Truth, judge_leaf
from edge_agent.alarms.windows import Slot

__all__ = ["Facts", "Memory", "Truth", "evaluate", "has_stale", "mentions", "metrics_of"]


class Memory(msgspec.Struct, frozen=True, array_like=True):
    """What is remembered of a condition's leaves, counted from the left: bit i of `held` says whether the i-th one was
    true when last known, which deadbands need; bit i of `known` whether it was known when last mentioned.

    `windows` has the values of the leaves about a window, `there_ns` since when the device is at a leaf's place. `counts` has
    the last readings of an n_of_m, by its first leaf: a 1, then a bit for each reading, the newest last. `sampled_ns` is the
    event time of the last reading that went into windows and counts: one that is repeated does not count twice.
    """

    held: int = 0
    known: int = 0
    windows: Mapping[int, tuple[Slot, ...]] = {}
    counts: Mapping[int, int] = {}
    there_ns: Mapping[int, int] = {}
    sampled_ns: int = 0

    def truth(self, index: int) -> Truth:
        """What was last said of a leaf."""
        return bool(self.held >> index & 1) if self.known >> index & 1 else None


def evaluate(condition: AnyCondition, facts: Facts, memory: Memory, now_ns: int = 0) -> tuple[Truth, Memory]:
    """The truth of `condition` at the event time `now_ns`, and what is to be remembered of it.

    A leaf that is not mentioned is as it was. The memory that comes back is the one that went in where nothing is new.
    """
    trace = Trace(memory, now_ns)
    truth = _truth(condition, facts, trace)
    if trace.changed:
        return truth, Memory(
            trace.held, trace.known, trace.windows, trace.counts, trace.there_ns, now_ns if trace.sampled else memory.sampled_ns
        )
    return truth, memory


def _truth(condition: AnyCondition, facts: Facts, trace: Trace) -> Truth:
    if not isinstance(condition, _JOINED):
        return judge_leaf(condition, facts, trace)
    match condition:
        case All(of=parts):
            return _all([_truth(part, facts, trace) for part in parts])
        case AnyOf(of=parts):
            return _not(_all([_not(_truth(part, facts, trace)) for part in parts]))
        case Not(of=part):
            return _not(_truth(part, facts, trace))
        case NofM():
            first = trace.index
            truth = _truth(condition.of, facts, trace)
            return _counted(condition, truth, trace, first, is_news=mentions(condition.of, facts.values))


_JOINED = (All, AnyOf, Not, NofM)


def _counted(condition: NofM, truth: Truth, trace: Trace, first: int, *, is_news: bool) -> Truth:
    """Whether enough of the last readings were true; a reading that does not know makes it unknown and does not count."""
    last = trace.counts.get(first, 1)
    if is_news and truth is not None and trace.is_new:
        # The 1 in front says how many readings there are so far.
        last = last << 1 | truth
        if last >> (condition.m + 1):
            last = last & ((1 << condition.m) - 1) | 1 << condition.m
        trace.count(first, last)
    if truth is None:
        return None
    return last.bit_count() - 1 >= condition.n


def mentions(condition: AnyCondition, metrics: Container[str]) -> bool:
    """Whether the condition is about silence, or about any of these."""
    if isinstance(condition, _JOINED):
        return any(isinstance(leaf, Stale) or leaf.metric in metrics for leaf in leaves(condition))
    return isinstance(condition, Stale) or condition.metric in metrics


def metrics_of(condition: AnyCondition) -> Iterator[str]:
    """The metrics that it is about."""
    for leaf in leaves(condition):
        yield from _metrics(leaf)


def _metrics(leaf: Leaf) -> tuple[str, ...]:
    if isinstance(leaf, Stale):
        return ()
    if isinstance(leaf, Place) or (isinstance(leaf, Speed) and leaf.zone):
        return leaf.metric, LONGITUDE, LATITUDE
    return (leaf.metric,)


def has_stale(condition: AnyCondition) -> bool:
    """Whether silence alone can change the condition."""
    if isinstance(condition, _JOINED):
        return any(isinstance(leaf, Stale) for leaf in leaves(condition))
    return isinstance(condition, Stale)


def _all(parts: list[Truth]) -> Truth:
    if False in parts:
        return False
    return None if None in parts else True


def _not(truth: Truth) -> Truth:
    return None if truth is None else not truth
