"""The workflow as a page shows it: a diagram of the states and the table, from the same rows that the code reads."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TypeVar

from cloud.workflow.states import CLOCK_WORDS, ENDED, ROLE_WORDS, STATE_WORDS, STEP_WORDS, Role, State
from cloud.workflow.table import OPENING, ROWS
from cloud.workflow.terms import DOES_WORDS, GUARD_WORDS, NEED_WORDS, TOLD_WORDS, Row, Turn
from device_profiles.quantities import Text

__all__ = ["diagram", "guard_table", "state_table", "step_table", "words_table"]

_Word = TypeVar("_Word", bound=StrEnum)


def diagram() -> str:
    """A mermaid state diagram: one arrow from state to state, with its steps. What leaves a state as it is has no arrow."""
    arrows: dict[tuple[State, State], list[str]] = {}
    for row in ROWS:
        if row.before is not None and row.before is not row.after:
            arrows.setdefault((row.before, row.after), []).append(row.step)
    lines = ["stateDiagram-v2", *(f"    {state}: {words.zh} {state}" for state, words in STATE_WORDS.items())]
    lines.append(f"    [*] --> {OPENING.after}: {OPENING.step}")
    lines += [f"    {before} --> {after}: {', '.join(steps)}" for (before, after), steps in arrows.items()]
    lines += [f"    {state} --> [*]" for state in State if state in ENDED]
    return "\n".join(lines)


def state_table() -> str:
    """Every state with what leads out of it, in the order of the enum."""
    lines = ["| state | words | left by |", "|---|---|---|"]
    for state in State:
        steps = ", ".join(f"`{row.step}`" for row in ROWS if row.before is state and row.after is not state)
        lines.append(f"| `{state}` | {_both(STATE_WORDS[state])} | {steps} |")
    return "\n".join(lines)


def step_table() -> str:
    """Every row of the table, a line each."""
    lines = ["| from | step | to | who may | needs | only where | clocks | told |", "|---|---|---|---|---|---|---|---|"]
    lines += [_line(row) for row in (OPENING, *ROWS)]
    return "\n".join(lines)


def guard_table() -> str:
    """What each guard asks."""
    return words_table("guard", GUARD_WORDS)


def words_table(what: str, words: Mapping[_Word, Text]) -> str:
    """The words of one list in both languages."""
    return "\n".join([f"| {what} | words |", "|---|---|", *(f"| `{word}` | {_both(text)} |" for word, text in words.items())])


def _line(row: Row) -> str:
    cells = (
        "" if row.before is None else f"`{row.before}`",
        f"`{row.step}` {STEP_WORDS[row.step].zh}",
        f"`{row.after}`" if row.after is not row.before else "=",
        _listed((role for role in Role if role in row.roles), ROLE_WORDS),
        _listed(row.needs, NEED_WORDS),
        ", ".join(f"`{guard}`" for guard in row.guards),
        ", ".join(_turn(turn) for turn in row.turns),
        _listed(row.tells, TOLD_WORDS),
    )
    return f"| {' | '.join(cells)} |"


def _turn(turn: Turn) -> str:
    does, clock = DOES_WORDS[turn.does], CLOCK_WORDS[turn.clock]
    return f"{clock.zh}{does.zh} {clock.en} {does.en}"


def _listed(words: Iterable[_Word], said: Mapping[_Word, Text]) -> str:
    return ", ".join(_both(said[word]) for word in words)


def _both(text: Text) -> str:
    return f"{text.zh} {text.en}"
