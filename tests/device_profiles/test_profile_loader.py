"""The loader tells every mistake at once, and raises nothing but ProfileError whatever it is given."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from device_profiles.frames import load_frames
from device_profiles.loader import load_matters, load_profile, load_vocabulary
from device_profiles.mistakes import Findings, Mistake, ProfileError
from device_profiles.model import Above, All, Equals, Not, Profile
from device_profiles.quantities import MetricType, NumberType, Text
from device_profiles.shelf import catalog_path, load_catalog, profile_folders
from device_profiles.wires.modbus import RegisterArea
from device_profiles.yaml_nodes import MAX_BYTES, parse_yaml

BROKEN = Path(__file__).parent / "broken"
FLAGSHIPS = {
    "cover_nbiot": "manhole_cover",
    "lamp_loop": "lamp_loop",
    "toilet_air_modbus": "toilet_sensor",
    "toilet_counter_mqtt": "people_counter",
    "toilet_node_serial": "toilet_sensor",
    "vehicle_terminal": "vehicle_terminal",
}


def mistakes_of(path: Path) -> tuple[Mistake, ...]:
    with pytest.raises(ProfileError) as error:
        load_profile(path)
    return error.value.mistakes


@pytest.mark.parametrize("case", sorted(folder.name for folder in BROKEN.iterdir()))
def test_a_broken_profile_is_told_all_its_mistakes_in_order(case: str) -> None:
    said = "".join(f"{mistake}\n" for mistake in mistakes_of(BROKEN / case))
    said = re.sub(r"(vocabulary\.yaml; write one of ).*", r"\1...", said)  # the vocabulary grows with the catalog
    assert said.replace(f"{BROKEN}/", "") == (BROKEN / case / "mistakes.txt").read_text(encoding="utf-8")


def test_the_error_itself_lists_every_mistake() -> None:
    with pytest.raises(ProfileError) as error:
        load_profile(BROKEN / "wrong_head")
    assert str(error.value).splitlines() == [str(mistake) for mistake in error.value.mistakes]
    assert len(error.value.mistakes) == 5


def test_a_near_miss_is_answered_with_the_word_that_was_meant() -> None:
    instead = {mistake.where: mistake.instead for mistake in mistakes_of(BROKEN / "unknown_keys")}
    assert instead["metrics.nh3_ppm.hihg"].startswith("high ")
    assert instead["alarms.smell.responze"].startswith("response ")


def test_a_file_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    (mistake,) = mistakes_of(tmp_path / "nowhere")
    assert "No such file" in mistake.what


def test_a_file_over_256_kib_is_refused_unread(tmp_path: Path) -> None:
    file = tmp_path / "profile.yaml"
    file.write_bytes(b"#" * (MAX_BYTES + 1))
    (mistake,) = mistakes_of(file)
    assert mistake.what == "larger than 256 KiB"


def test_bytes_that_are_not_utf8_are_told_with_their_line(tmp_path: Path) -> None:
    file = tmp_path / "profile.yaml"
    file.write_bytes(b"name: x\ntitle: \xff\n")
    (mistake,) = mistakes_of(file)
    assert (mistake.line, mistake.what) == (2, "byte 15 is not UTF-8")


def test_text_that_is_not_yaml_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "profile.yaml"
    file.write_text("name: syntax\nversion: 1\ntitle: {zh: x, en: y\nsource: x\n", encoding="utf-8")
    (mistake,) = mistakes_of(file)
    assert (mistake.line, mistake.what[:9]) == (4, "not YAML:")


def test_a_thousand_aliases_of_aliases_are_refused_and_never_followed() -> None:
    bomb = "a: &a [x]\n" + "".join(f"k{n}: &k{n} [*a, *a, *a, *a]\n" for n in range(250))
    findings = Findings("bomb")
    parse_yaml(bomb, findings)
    assert sum("alias" in mistake.what for mistake in findings.in_order()) == 1000


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_endless_nesting_is_cut_off(opening: str) -> None:
    findings = Findings("deep")
    parse_yaml(opening * 20_000, findings)
    assert [mistake.what for mistake in findings.in_order()] == ["nested deeper than 16"]


def test_the_six_flagship_models_load_by_name_and_kind() -> None:
    assert FLAGSHIPS.items() <= {name: profile.kind for name, profile in load_catalog().items()}.items()


def test_a_profile_keeps_what_its_yaml_says() -> None:
    lamp = load_profile(catalog_path() / "lamp_loop")
    assert lamp.wire.modbus is not None
    fields = {field.metric: field for field in lamp.wire.modbus.registers}
    energy, power, loops = fields["energy_kwh"], fields["power_kw"], fields["loops_fitted"]
    assert (energy.type, energy.word_order, energy.scaling.scale) == (NumberType.U32, "little", 0.01)
    assert (power.type, power.word_order) == (NumberType.I32, "big")
    assert (loops.scaling.bits, fields["door_open"].scaling.bit) == ((12, 4), 0)
    assert fields["control_mode"].scaling.enum == {0: "remote", 1: "schedule", 2: "photocell", 3: "manual"}
    assert (fields["relay_4_on"].area, fields["relay_4_on"].address) == (RegisterArea.COIL, 3)
    leakage = lamp.alarms["leakage_high"]
    assert (leakage.when, leakage.latch) == (Above(metric="leakage_ma", limit=100, deadband=20), True)
    assert lamp.commands["set_dimming"].high == 100
    assert lamp.matters["lamp_leakage"].limit_minutes == 120


def test_conditions_nest(tmp_path: Path) -> None:
    text = (catalog_path() / "toilet_counter_mqtt" / "profile.yaml").read_text(encoding="utf-8")
    when = "when: {equals: sensor_blocked, value: true}"
    nested = "when: {all: [{not: {equals: sensor_blocked, value: true}}, {above: people_in, limit: 3}]}"
    folder = tmp_path / "toilet_counter_mqtt"
    folder.mkdir()
    (folder / "profile.yaml").write_text(text.replace(when, nested), encoding="utf-8")
    blocked = Not(of=Equals(metric="sensor_blocked", value=True))
    assert load_profile(folder).alarms["counter_blocked"].when == All(of=(blocked, Above(metric="people_in", limit=3)))


def every_text(profile: Profile) -> list[Text]:
    texts = [profile.title, *(metric.title for metric in profile.metrics.values())]
    for rule in profile.alarms.values():
        texts += [rule.title, rule.cause, rule.consequence, rule.response]
    texts += [command.title for command in profile.commands.values()]
    return texts + [text for matter in profile.matters.values() for text in (matter.title, matter.closes_when)]


@pytest.mark.parametrize("name", sorted(load_catalog()))
def test_every_text_of_the_catalog_is_chinese_in_one_place_and_not_in_the_other(name: str) -> None:
    for text in every_text(load_catalog()[name]):
        assert any("\u4e00" <= letter <= "\u9fff" for letter in text.zh), text
        assert text.en.isascii(), text


@pytest.mark.parametrize("name", FLAGSHIPS)
def test_every_alarm_of_the_catalog_opens_a_matter_that_its_profile_carries(name: str) -> None:
    profile = load_catalog()[name]
    assert profile.alarms
    assert {rule.matter for rule in profile.alarms.values()} == set(profile.matters)


_UNIT_OF_ENDING = {
    "a": "A", "c": "Cel", "cm": "cm", "db": "dB", "dbm": "dB[mW]", "deg": "deg", "gj": "GJ", "h": "h", "hz": "Hz", "km": "km",
    "kmh": "km/h", "kpa": "kPa", "kvar": "kvar", "kw": "kW", "kwh": "kW.h", "l": "L", "lel": "%", "lx": "lx", "m": "m",
    "m3": "m3", "m3h": "m3/h", "ma": "mA", "min": "min", "mm": "mm", "ms": "m/s", "pct": "%", "ppb": "[ppb]", "ppm": "[ppm]",
    "s": "s", "um": "um", "v": "V", "w": "W", "mm_s": "mm/s", "ug_m3": "ug/m3", "us_cm": "uS/cm",
    "mg_l": "mg/L", "mg_m3": "mg/m3", "ntu": "{NTU}", "kg": "kg", "ph": "[pH]", "rpm": "/min", "t": "t",
}  # fmt: skip


def _unit_by_name(metric: str) -> str:
    """The unit that a name's last two words say together, or its last one."""
    words = metric.split("_")
    return _UNIT_OF_ENDING.get("_".join(words[-2:])) or _UNIT_OF_ENDING.get(words[-1], "1")


def test_a_metric_with_a_unit_ends_in_it_and_one_without_does_not() -> None:
    for metric in load_vocabulary().values():
        assert _unit_by_name(metric.name) == metric.unit, metric.name
        if metric.type in {MetricType.FLOAT, MetricType.INTEGER}:
            assert metric.low is not None, metric.name
            assert metric.high is not None, metric.name


def test_every_matter_has_a_code_of_the_standard_form() -> None:
    for matter in load_matters().values():
        assert matter.gbt_code.removeprefix("E-").isdecimal(), matter.code
        assert len(matter.gbt_code.removeprefix("E-")) == 4, matter.code


def test_a_catalog_tells_the_mistakes_of_all_its_profiles_and_a_name_used_twice(tmp_path: Path) -> None:
    twin = tmp_path / "lamp_loop"
    twin.mkdir()
    (twin / "profile.yaml").write_bytes((catalog_path() / "lamp_loop" / "profile.yaml").read_bytes())
    with pytest.raises(ProfileError) as error:
        load_catalog(tmp_path, BROKEN, tmp_path / "empty")
    said = str(error.value)
    assert "'lamp_loop' is in the catalog already" in said
    assert "no profile in it" in said
    assert said.count("wrong_head") == 6
    assert len(profile_folders(BROKEN)) == len(list(BROKEN.iterdir()))


_CATALOG = load_catalog()
_TEXTS = {
    (name, file): (catalog_path() / name / file).read_text(encoding="utf-8")
    for name in FLAGSHIPS
    for file in ("profile.yaml", "frames.yaml")
}
_MARKS = ["{", "}", "[", "]", ":", "- ", "&a ", "*a", "!!int ", "\n", "  ", "\t", '"', "'", "|", "#", "~", "%", "@", "<<: ", "? "]
_WORDS = ["on", "0x", "1e400", "-1", "9" * 30, "a" * 70, "\u4e95", "\u2028", "\x00", "\ufeff", "\U0001f6a7", "---\n", "..."]
_PIECES = st.sampled_from(_MARKS + _WORDS)


@st.composite
def damaged(draw: st.DrawFn, file: str) -> tuple[str, str]:
    """A flagship's name and its YAML with some pieces cut, put in or overwritten and some lines swapped."""
    name = draw(st.sampled_from(sorted(FLAGSHIPS)))
    text = _TEXTS[name, file]
    for _ in range(draw(st.integers(1, 4))):
        at, size = draw(st.integers(0, len(text))), draw(st.integers(0, 40))
        match draw(st.sampled_from(["cut", "put", "over", "swap"])):
            case "cut":
                text = text[:at] + text[at + size :]
            case "put":
                text = text[:at] + draw(_PIECES) + text[at:]
            case "over":
                text = text[:at] + draw(_PIECES) + text[at + size :]
            case _:
                lines = text.split("\n")
                one, other = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
                lines[one], lines[other] = lines[other], lines[one]
                text = "\n".join(lines)
    return name, text


def loads_or_says_where(load: Callable[[], object], text: str) -> None:
    try:
        load()
    except ProfileError as error:
        mistakes = error.mistakes
    else:
        return
    assert mistakes
    # YAML ends a line at a carriage return, NEL and the Unicode separators too, as splitlines does.
    last = len(text.splitlines()) + 1
    assert [m for m in mistakes if not (1 <= m.line <= last and m.where and m.what and m.instead)] == []


_QUICK = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@_QUICK
@given(damaged("profile.yaml"))
def test_a_damaged_profile_loads_or_is_told_its_mistakes_at_lines_that_exist(tmp_path: Path, case: tuple[str, str]) -> None:
    name, text = case
    file = tmp_path / name / "profile.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(text.encode())
    loads_or_says_where(lambda: load_profile(file), text)


@_QUICK
@given(damaged("frames.yaml"))
def test_damaged_example_frames_load_or_are_told_their_mistakes(tmp_path: Path, case: tuple[str, str]) -> None:
    name, text = case
    file = tmp_path / "frames.yaml"
    file.write_bytes(text.encode())
    loads_or_says_where(lambda: load_frames(file, _CATALOG[name]), text)


def test_a_vocabulary_is_told_its_mistakes_like_a_profile(tmp_path: Path) -> None:
    file = tmp_path / "vocabulary.yaml"
    file.write_text(
        "metrics:\n"
        "  Level: {type: float, unit: cm, zh: 位, en: level}\n"
        "  level_cm: {type: floaty, unit: 1, zh: 位}\n"
        "metric: {}\n",
        encoding="utf-8",
    )
    with pytest.raises(ProfileError) as error:
        load_vocabulary(file)
    assert [(m.line, m.where) for m in error.value.mistakes] == [
        (2, "metrics.Level"),
        (3, "metrics.level_cm.type"),
        (3, "metrics.level_cm.unit"),
        (3, "metrics.level_cm.en"),
        (4, "metric"),
    ]


@pytest.mark.parametrize(
    ("old", "new", "where", "what"),
    [
        pytest.param("name: alarm_rules", f"name: {'p' * 65}", "name", "'ppp", id="a profile's name of 65 letters"),
        pytest.param("  no_speed:", f"  {'r' * 65}:", "alarms.rrr", "'rrr", id="a rule's name of 65 letters"),
        pytest.param(
            "when: {any: [{above: nh3_ppm, limit: 5}]}",
            f"when: {{any: [{', '.join(['{above: nh3_ppm, limit: 5}'] * 33)}]}}",
            "alarms.one_in_any.when",
            "33 comparisons",
            id="more comparisons than evidence can show",
        ),
    ],
)
def test_what_no_record_could_carry_is_a_mistake(tmp_path: Path, old: str, new: str, where: str, what: str) -> None:
    text = (BROKEN / "alarm_rules" / "profile.yaml").read_text(encoding="utf-8")
    assert text.count(old) == 1
    (tmp_path / "profile.yaml").write_text(text.replace(old, new), encoding="utf-8")
    assert [
        mistake.what for mistake in mistakes_of(tmp_path) if mistake.where.startswith(where) and mistake.what.startswith(what)
    ]
