"""From what was heard to what is kept: four steps in a row, each a pure function; their order is the documentation.

Nothing here reads a clock: the instant at which bytes came in is part of what was heard.
"""

from edge_agent.pipeline.check import check
from edge_agent.pipeline.judge import judge
from edge_agent.pipeline.normalise import normalise
from edge_agent.pipeline.report import report
from edge_agent.pipeline.work import Doubt, Forwarded, Memory, Step, Work

__all__ = ["STEPS", "Doubt", "Forwarded", "Memory", "Step", "Work", "process"]

STEPS: tuple[Step, ...] = (normalise, check, judge, report)


def process(work: Work) -> Work:
    """Carry one heard thing through all steps; a step that leaves no reading ends it."""
    for step in STEPS:
        work = step(work)
        if work.reading is None:
            break
    return work
