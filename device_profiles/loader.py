"""A profile's folder as a `Profile`, or every mistake in it at once."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from msgspec.structs import replace

from device_profiles.branch import NAME, Branch
from device_profiles.matter import Matter
from device_profiles.mistakes import Findings, Mistake, ProfileError, did_you_mean
from device_profiles.model import Profile, Reporting, leaves
from device_profiles.quantities import Metric
from device_profiles.read_alarms import read_alarms
from device_profiles.read_commands import read_commands
from device_profiles.read_matters import load_matters
from device_profiles.read_metrics import NUMERIC, read_profile_metrics, read_vocabulary
from device_profiles.wires import read_wire
from device_profiles.yaml_nodes import read_yaml

__all__ = ["Mistake", "ProfileError", "load_matters", "load_profile", "load_vocabulary"]

_HERE = Path(__file__).parent


@cache
def load_vocabulary(path: Path = _HERE / "vocabulary.yaml") -> Mapping[str, Metric]:
    """Every metric of the product, by name. Raises ProfileError."""
    findings = Findings(str(path))
    vocabulary = read_vocabulary(_root(path, findings))
    findings.raise_if_any()
    return vocabulary


def load_profile(path: Path, vocabulary: Mapping[str, Metric] | None = None) -> Profile:
    """The profile in a folder, or in its profile.yaml. Raises ProfileError with every mistake; never anything else."""
    file = path if path.suffix in {".yaml", ".yml"} else path / "profile.yaml"
    words = load_vocabulary() if vocabulary is None else vocabulary
    findings = Findings(str(file))
    profile = _profile(_root(file, findings), words, load_matters(), file.absolute().parent.name)
    findings.raise_if_any()
    return profile


def _root(path: Path, findings: Findings) -> Branch:
    return Branch(findings, read_yaml(path, findings), "")


def _profile(root: Branch, words: Mapping[str, Metric], matters: Mapping[str, Matter], folder: str) -> Profile:
    name = root.text("name", form=NAME, like="small letters, digits and _")
    if name and name != folder:
        root.wrong("name", f"{name!r} lies in the folder {folder!r}", "the folder's name")
    metrics = read_profile_metrics(root, words)
    alarms = read_alarms(root, metrics, matters)
    profile = Profile(
        name=name,
        version=root.integer("version", low=1, high=1_000_000),
        kind=root.text("kind", form=NAME, like="small letters, digits and _, such as manhole_cover"),
        title=root.both("title"),
        source=root.text("source"),
        metrics=metrics,
        wire=read_wire(root, metrics),
        reporting=_reporting(root.branch("reporting"), metrics),
        alarms=alarms,
        matters={code: matters[code] for code in sorted({rule.matter or "" for rule in alarms.values()} & matters.keys())},
    )
    profile = replace(profile, commands=read_commands(root, profile.wire))
    _check_prompt(root, profile)
    root.finish()
    return profile


def _check_prompt(root: Branch, profile: Profile) -> None:
    """What an alarm judges is read as often as anything: a reading without it would make the alarm uncertain."""
    wire = profile.wire.modbus
    judged = {getattr(leaf, "metric", "") for rule in profile.alarms.values() for leaf in leaves(rule.when)}
    for field in () if wire is None else wire.registers:
        if wire is not None and field.metric in judged and (field.poll_s or wire.poll_s) > wire.periods_s[0]:
            what = f"{field.metric} is judged by an alarm, and read less often than other registers"
            root.wrong("wire", what, f"poll_s: {wire.periods_s[0]:g} for it, or a longer poll_s for the others")


def _reporting(branch: Branch, metrics: Mapping[str, Metric]) -> Reporting:
    deadbands = branch.optional("deadband")
    reporting = Reporting(
        interval_s=branch.number("interval_s", low=0.1, high=31 * 86400),
        on_change=branch.flag("on_change", default=False),
        heartbeat_s=branch.number("heartbeat_s", 300.0, low=1, high=31 * 86400),
        deadband={} if deadbands is None else _deadbands(deadbands, metrics),
        lateness_s=branch.number("lateness_s", 0.0, low=0, high=86400),
    )
    if deadbands is not None and not reporting.on_change:
        branch.wrong("deadband", "has no effect without on_change", "on_change: true beside it")
    branch.finish()
    return reporting


def _deadbands(branch: Branch, metrics: Mapping[str, Metric]) -> dict[str, float]:
    bands = {}
    for name in branch:
        bands[name] = branch.number(name, low=0)
        if name not in metrics:
            branch.wrong_key(name, "not a metric of this profile", did_you_mean(name, metrics))
        elif metrics[name].type not in NUMERIC:
            branch.wrong_key(name, f"{name} is a {metrics[name].type} metric", "deadbands for numbers only")
    return bands
