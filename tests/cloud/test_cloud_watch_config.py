"""The file of the watch: the sample is the reference, and every mistake is told at once."""

from importlib.resources import files
from pathlib import Path

import pytest
from cloud_watch_city import CATALOG

from cloud.watch.config import Feeder, GatewayWatch, Group, Parent, Planned, SilenceWatch, Storm, WatchRules, load_watch
from device_profiles.mistakes import ConfigError
from device_profiles.read_matters import load_matters
from telemetry.records import Priority

SAMPLE = files("cloud.watch").joinpath("sample.toml").read_text("utf-8")


def load(tmp_path: Path, text: str) -> WatchRules:
    path = tmp_path / "watch.toml"
    path.write_text(text, "utf-8")
    return load_watch(path, CATALOG, load_matters())


def mistakes(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        load(tmp_path, text)
    return [str(mistake).rpartition("/")[2] for mistake in error.value.mistakes]


def test_the_sample_is_a_file_of_each_kind_of_rule(tmp_path: Path) -> None:
    rules = load(tmp_path, SAMPLE)
    assert [type(rule) for rule in rules.suppress] == [Feeder, Planned, Parent, Storm]
    assert (rules.silence, rules.gateway) == (SilenceWatch(), GatewayWatch())
    feeder = rules.of(Feeder)[0]
    assert feeder.group.area is not None
    assert (feeder.group.area.at(111.0, 35.025), feeder.group.area.at(111.2, 35.025)) == ("feeder-renmin-road", "")
    planned = rules.of(Planned)[0]
    assert (planned.until_ns - planned.from_ns) == 8 * 3600 * 10**9
    assert planned.from_ns == 1_795_874_400 * 10**9  # 2026-11-28T14:00:00Z


def test_what_the_sample_shows_behind_a_comment_sign_is_what_holds_without_it(tmp_path: Path) -> None:
    shown = "\n".join(
        line.removeprefix("# ") if line.startswith("# ") and " = " in line else line for line in SAMPLE.splitlines()
    )
    said, left_out = load(tmp_path, shown), load(tmp_path, SAMPLE)
    assert (said.silence, said.gateway) == (left_out.silence, left_out.gateway)
    for before, after in zip(said.suppress, left_out.suppress, strict=True):
        kept = [name for name in before.__struct_fields__ if name != "group"]  # a map is equal to itself only
        assert [getattr(before, name) for name in kept] == [getattr(after, name) for name in kept]


def test_an_empty_file_watches_with_what_is_delivered(tmp_path: Path) -> None:
    assert load(tmp_path, "") == WatchRules()


def test_every_mistake_is_told_at_once_and_at_its_line(tmp_path: Path) -> None:
    text = """\
[silence]
grace_s = -1
[gateway]
silent_s = 60
[[suppress]]
kind = "feeder"
name = "a b"
rules = ["lamp_faild"]
matter = "lamp_out_of_order"
share = 0.5
until_share = 0.9
[[suppress]]
kind = "planned"
name = "works"
devices = ["lamp-1"]
from = 2026-11-28T22:00:00
until = 2026-11-28T06:00:00Z
reason = ""
[[suppress]]
kind = "planned"
name = "works"
area = [[1, 2], [3, 4]]
from = 2026-11-29T22:00:00Z
until = 2026-11-28T06:00:00Z
reason = "x"
[[suppress]]
kind = "parent"
name = "loop"
by_device = "lamp-1"
by_rule = "cloud.silent"
devices = ["lamp-1"]
rules = ["cloud.silent"]
[[suppress]]
kind = "storm"
name = "desk"
more_than = 5
below = 6
priorities = ["critical", "loud"]
colour = "red"
[[suppress]]
kind = "feder"
"""
    told = mistakes(tmp_path, text)
    wanted = [
        "watch.toml:2: silence.grace_s: -1; write a number from 0 to 86400",
        "watch.toml:4: gateway.silent_s: is not a key here; write silent_after_s (did you mean that?)",
        "watch.toml:5: suppress[0]: has no group; write devices, kinds, gateways or area",
        "watch.toml:7: suppress[0].name: is 'a b'; write 1 to 64 of letters, digits and . _ : -",
        "watch.toml:8: suppress[0].rules: 'lamp_faild' is no alarm rule of any profile; write lamp_failed (did you mean that?)",
        "watch.toml:9: suppress[0].matter: 'lamp_out_of_order' is in no table of matters; write ",
        "watch.toml:11: suppress[0].until_share: 0.9 is above share (0.5); write share or less",
        "watch.toml:16: suppress[1].from: 2026-11-28 22:00:00; write from = 2026-11-28T22:00:00+08:00, with its offset",
        "watch.toml:18: suppress[1].reason: is empty; write ",
        "watch.toml:21: suppress[2].name: 'works' is a rule already; write another name",
        "watch.toml:22: suppress[2].area: a ring is no list of three or more positions; write ",
        "watch.toml:24: suppress[2].until: is not after from; write a later time",
        "watch.toml:31: suppress[3].devices: 'lamp-1' would explain itself; write the devices without it",
        "watch.toml:37: suppress[4].below: 6 is above more_than (5); write more_than or less",
        "watch.toml:38: suppress[4].priorities: 'critical' may not be suppressed; write high, medium, low",
        "watch.toml:38: suppress[4].priorities: 'loud' may not be suppressed; write high, medium, low",
        "watch.toml:39: suppress[4].colour: is not a key here; write ",
        "watch.toml:41: suppress[5].kind: 'feder'; write feeder (did you mean that?)",
    ]
    for want in wanted:
        assert any(line.startswith(want) for line in told), (want, told)


def test_a_storm_may_be_of_all_devices_and_spares_what_is_critical(tmp_path: Path) -> None:
    storm = load(tmp_path, '[[suppress]]\nkind = "storm"\nname = "desk"\nmore_than = 30\npriorities = ["low", "medium"]').of(
        Storm
    )[0]
    assert (storm.group, storm.more_than, storm.below) == (Group(), 30, 15)
    assert storm.priorities == (Priority.MEDIUM, Priority.LOW)


def test_the_page_shows_the_sample_as_it_is() -> None:
    page = (Path(__file__).parents[2] / "docs" / "watch.md").read_text("utf-8")
    assert f"```toml\n{SAMPLE}```" in page
