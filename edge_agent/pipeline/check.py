"""Step 2: values outside their metric's range are kept, and marked so that nobody believes them."""

from collections.abc import Mapping

from msgspec.structs import replace

from device_profiles.quantities import Metric
from edge_agent.pipeline.work import Doubt, Work
from telemetry.reason import Reason
from telemetry.records import Flaw, Quality, Value

__all__ = ["check"]

_OUT_OF_RANGE = Flaw(Quality.BAD, Reason.OUT_OF_RANGE)


def check(work: Work) -> Work:
    """Mark each number beyond its metric's low or high as bad; a value that is bad already keeps its reason."""
    reading = work.reading
    if reading is None:
        return work
    outside = _outside(work.heard.profile.metrics, reading.values)
    news = [name for name in outside if name not in reading.flaws or reading.flaws[name].quality is not Quality.BAD]
    if not news:
        return work
    flaws = {**reading.flaws, **dict.fromkeys(news, _OUT_OF_RANGE)}
    doubts = (Doubt(Reason.OUT_OF_RANGE, f"{name}: {reading.values[name]}") for name in news)
    return replace(work, reading=replace(reading, flaws=flaws), doubts=(*work.doubts, *doubts))


def _outside(metrics: Mapping[str, Metric], values: Mapping[str, Value]) -> list[str]:
    """The names of the numbers that are beyond their metric's low or high."""
    outside = []
    for name, value in values.items():
        if value is None or isinstance(value, (bool, str)):
            continue
        metric = metrics[name]
        if (metric.low is not None and value < metric.low) or (metric.high is not None and value > metric.high):
            outside.append(name)
    return outside
