"""The shapes of a device's past."""

from typing import Literal

from cloud.api.schemas import Answer, Value, example

__all__ = ["BucketPoint", "ChartPoint", "Gap", "History", "RawPoint"]


class RawPoint(Answer):
    """One value as it came."""

    time: str
    value: Value
    quality: Literal["good", "uncertain", "bad"]


class BucketPoint(Answer):
    """The good and uncertain values of one interval, which begins at `time`."""

    time: str
    min: float | None
    max: float | None
    mean: float | None
    last: Value
    count: int


class ChartPoint(Answer):
    """One value at its own time; no bad one is drawn."""

    time: str
    value: Value


class Gap(Answer):
    """A silence: no good value between these instants."""

    start: str
    end: str


class History(Answer):
    """`tier` is what the answer was made from, the newest minutes and the edges of the interval always being raw values;
    `method` is how: every value as it is, buckets, or as many values as fit the pixels.

    `truncated`: a metric has more raw points in the interval than `limit`; go on from its last time. With `pixels` there are
    also `column_s`, the width of a column, of which the least and the greatest value are given, and `gaps`.
    """

    model_config = example(
        device="cover-17",
        tier="1h",
        method="pixels",
        start="2026-10-21T14:00:00.000Z",
        end="2026-11-20T14:00:00.000Z",
        truncated=False,
        column_s=3600.0,
        metrics={
            "tilt_deg": [
                {"time": "2026-11-20T13:02:11.000Z", "value": 0.5},
                {"time": "2026-11-20T13:40:07.250Z", "value": 41.5},
            ]
        },
        gaps={"tilt_deg": [{"start": "2026-11-02T03:10:00.000Z", "end": "2026-11-02T09:45:00.000Z"}]},
    )
    device: str
    tier: Literal["raw", "1m", "1h"]
    method: Literal["raw", "bucket", "pixels"]
    start: str
    end: str
    truncated: bool
    column_s: float | None = None
    metrics: dict[str, list[RawPoint] | list[BucketPoint] | list[ChartPoint]]
    gaps: dict[str, list[Gap]] | None = None
