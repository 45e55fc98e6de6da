"""The vocabulary of metrics, and what a profile picks from it."""

from collections.abc import Mapping

from device_profiles.branch import NAME, Branch, whole
from device_profiles.mistakes import did_you_mean
from device_profiles.quantities import Metric, MetricType, Text

__all__ = ["NUMERIC", "read_profile_metrics", "read_vocabulary", "shown"]

NUMERIC = frozenset({MetricType.FLOAT, MetricType.INTEGER})


def read_vocabulary(root: Branch) -> dict[str, Metric]:
    """Every metric of the product, by name."""
    metrics = {}
    listed = root.branch("metrics")
    root.finish()
    for name, branch in listed.inner():
        if not NAME.fullmatch(name):
            listed.wrong_key(name, f"{name!r} is not a metric name", "small letters, digits and _, ending in the unit: level_cm")
        metrics[name] = _vocabulary_metric(name, branch)
        branch.finish()
    return metrics


def _vocabulary_metric(name: str, branch: Branch) -> Metric:
    kind = branch.choice("type", MetricType)
    low, high = _range(branch, kind, None, None)
    return Metric(
        name=name,
        type=kind,
        unit=branch.text("unit"),
        title=Text(zh=branch.text("zh"), en=branch.text("en")),
        low=low,
        high=high,
        labels=_labels(branch),
    )


def read_profile_metrics(root: Branch, vocabulary: Mapping[str, Metric]) -> dict[str, Metric]:
    """The metrics a profile picks: `name:` alone takes the vocabulary's entry, low, high and labels narrow it."""
    chosen = root.branch("metrics")
    metrics = {}
    for name, branch in chosen.inner():
        known = vocabulary.get(name)
        if known is None:
            chosen.wrong_key(name, "not a metric of vocabulary.yaml", did_you_mean(name, vocabulary))
            continue
        metrics[name] = _narrowed(branch, known)
        branch.finish()
    if not metrics and chosen.sound:
        root.wrong("metrics", "no metric", "at least one metric of vocabulary.yaml")
    return metrics


def _narrowed(branch: Branch, known: Metric) -> Metric:
    low, high = _range(branch, known.type, known.low, known.high)
    return Metric(
        name=known.name,
        type=known.type,
        unit=known.unit,
        title=branch.both("title") if branch.has("title") else known.title,
        low=low,
        high=high,
        labels=_labels(branch) or known.labels,
    )


def _range(branch: Branch, kind: MetricType, low: float | None, high: float | None) -> tuple[float | None, float | None]:
    """The metric's valid range; `low` and `high` come in as the widest it may be."""
    own_low, own_high = _bound(branch, "low", kind, low, high), _bound(branch, "high", kind, low, high)
    low, high = low if own_low is None else own_low, high if own_high is None else own_high
    if low is not None and high is not None and low >= high and branch.is_sound("low", "high"):
        branch.wrong("high" if branch.has("high") else "low", f"low {low:g} is not below high {high:g}", "low below high")
    return low, high


def _bound(branch: Branch, key: str, kind: MetricType, low: float | None, high: float | None) -> float | None:
    if not branch.has(key):
        return None
    value = branch.number(key)
    if kind not in NUMERIC:
        branch.wrong(key, f"a {kind} metric has no range", f"no {key}")
    elif (low is not None and value < low) or (high is not None and value > high):
        branch.wrong(key, f"{value:g} is outside the vocabulary's range", f"{shown(low)} to {shown(high)}")
    return value


def shown(bound: float | None) -> str:
    """A bound as a person reads it."""
    return "any" if bound is None else f"{bound:g}"


def _labels(branch: Branch) -> dict[int, Text]:
    """What the numbers of an integer metric mean."""
    labels: dict[int, Text] = {}
    inner = branch.optional("labels")
    if inner is None:
        return labels
    for number, text in inner.inner():
        raw = whole(number)
        if raw is None or raw in labels:
            what = "is not a whole number" if raw is None else f"says {raw} again"
            inner.wrong_key(number, f"{number[:40]!r} {what}", "each whole number once")
            continue
        labels[raw] = Text(zh=text.text("zh"), en=text.text("en"))
        text.finish()
    return labels
