"""The Open311 door's keys, limits, languages, its list of services and its configuration."""

import hashlib
import re
from importlib.resources import files
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.notify.config import Language
from cloud.open311.catalogue import OWN, load_entries
from cloud.open311.config import Open311Config, read_open311
from cloud.open311.keys import ApiKey, find_key, read_keys
from cloud.open311.language import preferred
from cloud.open311.limits import Rates, address_of
from device_profiles.mistakes import ConfigError, Findings, ProfileError
from device_profiles.read_matters import CITIES, load_matters, load_table
from device_profiles.toml_table import read_toml
from telemetry.clock import SECOND_NS


def test_the_list_names_matters_that_a_table_has() -> None:
    known = load_matters().keys() | load_table(CITIES / "yuncheng.yaml").matters.keys()
    assert not load_entries().keys() - known


def test_a_list_with_mistakes_tells_each_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "services.yaml"
    path.write_text(
        """\
groups:
  covers: {zh: "井盖", en: "Covers"}
services:
  Cover:
    group: cover
    keywords: {zh: "井盖", en: "cover"}
    attributes:
      how:
        datatype: singlevaluelist
        description: {zh: "怎样", en: "how"}
      note:
        datatype: text
        variable: false
        required: true
        description: {zh: "注意", en: "mind"}
        values:
          a: {zh: "甲", en: "a"}
      x y:
        datatype: word
        description: {zh: "甲", en: "a"}
""",
        encoding="utf-8",
    )
    with pytest.raises(ProfileError) as caught:
        load_entries(path)
    told = [(mistake.line, mistake.where) for mistake in caught.value.mistakes]
    assert told == [
        (5, "services.Cover"),
        (5, "services.Cover.group"),
        (9, "services.Cover.attributes.how.datatype"),
        (14, "services.Cover.attributes.note.required"),
        (17, "services.Cover.attributes.note.values"),
        (19, "services.Cover.attributes.x y"),
        (19, "services.Cover.attributes.x y.datatype"),
    ]


# Limits and languages


def test_a_bucket_gives_its_rate_and_tells_how_long_to_wait() -> None:
    rates, now_ns = Rates(), 5 * SECOND_NS
    assert [rates.wait_s("a", 3, now_ns) for _ in range(4)] == [0, 0, 0, 21]
    assert rates.wait_s("b", 3, now_ns) == 0
    assert rates.wait_s("a", 3, now_ns + 20 * SECOND_NS) == 0
    assert rates.wait_s("a", 3, now_ns + 20 * SECOND_NS) > 0


@given(st.lists(st.integers(0, 30), max_size=200), st.integers(1, 20))
def test_nobody_gets_more_than_a_full_bucket_and_what_flows_in(pauses_s: list[int], per_minute: int) -> None:
    rates, now_s, got = Rates(), 0, 0
    for pause_s in pauses_s:
        now_s += pause_s
        got += rates.wait_s("a", per_minute, now_s * SECOND_NS) == 0
    assert got <= per_minute + now_s * per_minute / 60 + 1e-6


def test_only_so_many_are_remembered() -> None:
    rates = Rates(most=100)
    for number in range(1000):
        rates.wait_s(str(number), 1, 0)
    assert len(rates) == 100
    assert rates.wait_s("999", 1, 0) > 0


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        (None, ""),
        ("somewhere", "somewhere"),
    ],
)
def test_a_machine_counts_as_one_however_it_writes_itself(host: str | None, name: str) -> None:
    assert address_of(host) == name


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", Language.ZH),
        ("en", Language.EN),
        ("EN-us,zh;q=0.9", Language.EN),
        ("fr, zh-Hans-CN;q=0.5, en;q=0.4", Language.ZH),
        ("en;q=0", Language.ZH),
        ("en;q=nan, de", Language.ZH),
        ("*", Language.ZH),
    ],
)
def test_the_reader_chooses_the_language(header: str, language: Language) -> None:
    assert preferred(header, Language.ZH) is language


@given(st.text())
def test_no_header_breaks_the_choice(header: str) -> None:
    assert preferred(header, Language.EN) in set(Language)


# Keys and configuration

SECRET = "Hq2n5v8y"  # noqa: S105 - a test's own
DIGEST = hashlib.sha256(SECRET.encode()).hexdigest()


def _read(folder: Path, text: str) -> Open311Config | None:
    path = folder / "cloud.toml"
    path.write_text(text, encoding="utf-8")
    findings = Findings(str(path))
    config = read_open311(read_toml(path, findings).table("open311"), folder)
    if len(findings):
        raise ConfigError(findings.in_order())
    return config


def test_without_enabled_there_is_no_door(tmp_path: Path) -> None:
    assert _read(tmp_path, "") is None
    assert _read(tmp_path, "[open311]\nenabled = false") is None


def test_the_configuration_is_read_with_the_files_that_it_names(tmp_path: Path) -> None:
    keys = f'[[keys]]\nname = "city-app"\nsha256 = "{DIGEST}"\nper_minute = 5\nservices = ["lamp_out"]\n'
    (tmp_path / "keys.toml").write_text(keys, encoding="utf-8")
    (tmp_path / "own.yaml").write_bytes(OWN.read_bytes())
    config = _read(
        tmp_path,
        '[open311]\nenabled = true\ncontact = "12319"\nkeys_file = "keys.toml"\nservices_file = "own.yaml"\n'
        'keep = "account"\npublish = "all"\nurl = "https://city.example/open311/v2/"\n',
    )
    assert config is not None
    assert config.url == "https://city.example/open311/v2"
    assert (config.keep.value, config.publish.value) == ("account", "all")
    assert list(config.entries) == list(load_entries())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", config.changed)
    key = find_key(config.keys, SECRET)
    assert key is not None
    assert (key.name, key.per_minute) == ("city-app", 5)
    assert key.may_report("lamp_out")
    assert not key.may_report("cover_displaced")
    assert find_key(config.keys, SECRET + "x") is None


def test_every_mistake_in_the_configuration_and_its_files_is_told(tmp_path: Path) -> None:
    keys = (
        f'[[keys]]\nname = "A b"\nsha256 = "{SECRET}"\n'
        f'[[keys]]\nname = "app"\nsha256 = "{DIGEST}"\nrate = 3\n'
        f'[[keys]]\nname = "app"\nsha256 = "{DIGEST}"\n'
    )
    (tmp_path / "keys.toml").write_text(keys, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        _read(
            tmp_path,
            '[open311]\nenabled = true\nkeys_file = "keys.toml"\nservices_file = "gone.yaml"\n'
            'url = "city"\nkeep = "all"\ncolour = 1\n',
        )
    told = str(caught.value)
    assert SECRET not in told
    for line in (2, 3, 7, 9, 10):
        assert f"keys.toml:{line}: " in told
    for key in ("contact", "services_file", "url", "keep", "colour"):
        assert f"open311.{key}: " in told


def test_the_sample_and_the_page_name_every_key(tmp_path: Path) -> None:
    sample = files("cloud").joinpath("sample.toml").read_text("utf-8")
    block = sample[sample.index("# [open311]") :].split("\n\n", 1)[0]
    (tmp_path / "open311-keys.toml").write_text(f'[[keys]]\nname = "app"\nsha256 = "{DIGEST}"\n', encoding="utf-8")
    (tmp_path / "services.yaml").write_bytes(OWN.read_bytes())
    config = _read(tmp_path, re.sub("^# ", "", block, flags=re.MULTILINE))
    assert config is not None
    keys = set(re.findall(r"^# ([a-z0-9_]+) =", block, re.MULTILINE))
    fields = {field.name for field in msgspec.structs.fields(config)}
    read = (fields - {"entries", "keys", "changed"}) | {"enabled", "keys_file", "services_file"}
    page = (Path(__file__).parents[2] / "docs" / "open311.md").read_text("utf-8")
    assert keys == read
    assert set(re.findall(r"^\| `([a-z0-9_]+)` \|", page[: page.index("An address is one")], re.MULTILINE)) == read


def test_a_key_for_a_service_that_is_none_is_a_mistake(tmp_path: Path) -> None:
    keys = tmp_path / "keys.toml"
    keys.write_text(f'[[keys]]\nname = "app"\nsha256 = "{DIGEST}"\nservices = ["lamps"]\n', encoding="utf-8")
    assert [key.name for key in read_keys(keys)] == ["app"]
    with pytest.raises(ConfigError, match="may report 'lamps', which is no service"):
        _read(tmp_path, '[open311]\nenabled = true\ncontact = "x"\nkeys_file = "keys.toml"\n')


@given(st.text(max_size=50).filter(lambda text: text != SECRET))
def test_any_other_text_is_no_key(text: str) -> None:
    key = ApiKey(name="app", sha256=DIGEST)
    assert find_key([key], text) is None
    assert find_key([key], SECRET) is key
