"""The configuration: the sample is valid and complete, and every mistake is told at once with its line."""

import re
from importlib.resources import files
from pathlib import Path

import msgspec
import pytest

from cloud.config import ApiConfig, CloudConfig, ConfigError, load_config
from cloud.notify.config import ChannelConfig, ChannelKind

HOOK = 'data_dir = "d"\nbroker = "mqtt://b"\n[[channels]]\nname = "a"\nkind = "webhook"\nurl = "http://h/x"\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "cloud.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_sample_is_valid_and_names_every_key(tmp_path: Path) -> None:
    sample = files("cloud").joinpath("sample.toml").read_text("utf-8")
    assert load_config(written(tmp_path, sample)).broker == "mqtt://127.0.0.1:1883"
    tables = {"api", "cases", "channels", "map", "open311", "public", "retention"}
    keys = set(re.findall(r"^(?:# )?([a-z_]+) =", sample, re.MULTILINE)) | tables
    fields = {field.name for kind in (CloudConfig, ApiConfig) for field in msgspec.structs.fields(kind)}
    assert fields <= keys


def test_every_key_is_read(tmp_path: Path) -> None:
    (tmp_path / "profiles").mkdir()
    (tmp_path / "password").write_text("x")
    config = load_config(
        written(
            tmp_path,
            f"""
            data_dir = "data"
            broker = "mqtts://broker.example"
            username = "cloud"
            password_file = "{tmp_path / "password"}"
            database = "sqlite+aiosqlite:///x.db"
            series = "influx:http://127.0.0.1:8086/city"
            profile_dirs = ["{tmp_path / "profiles"}"]
            auto_register = false

            [api]
            host = "::1"
            port = 0
            base_url = "https://city.example"

            [[channels]]
            name = "crew"
            kind = "webhook"
            url = "http://127.0.0.1:9/x"
            """,
        )
    )
    assert config.password_file == tmp_path / "password"
    assert config.profile_dirs == (tmp_path / "profiles",)
    assert config.api == ApiConfig(host="::1", port=0, base_url="https://city.example")
    assert (config.channels[0].kind, config.auto_register) == (ChannelKind.WEBHOOK, False)


def test_both_stores_lie_in_the_data_folder_by_default(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, 'data_dir = "/d"\nbroker = "mqtt://b"\n'))
    assert (config.database_url, config.series_url) == ("sqlite+aiosqlite:////d/cloud.db", "duckdb:/d/series.duckdb")


def test_every_mistake_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """data_dir = 5
brocker = "mqtt://x"
broker = "http://x"
series = "influx:foo"
database = "postgresql://x"
auto_register = "yes"
profile_dirs = ["/nowhere"]

[api]
port = 99999
hots = "x"

[[channels]]
name = "a"
kind = "pigeon"

[[channels]]
name = "b"
kind = "webhook"
""",
    )
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert [(mistake.line, mistake.where) for mistake in caught.value.mistakes] == [
        (1, "data_dir"),
        (2, "brocker"),
        (3, "broker"),
        (4, "series"),
        (5, "database"),
        (6, "auto_register"),
        (7, "profile_dirs"),
        (10, "api.port"),
        (11, "api.hots"),
        (15, "channels[0].kind"),
        (17, "channels[1]"),
    ]
    assert f"{path}:2: brocker: is not a key here; write broker (did you mean that?)" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        pytest.param("", "data_dir", "is missing", id="an empty file"),
        pytest.param("data_dir = ", "file", "Invalid value", id="not TOML"),
        pytest.param('data_dir = "d"\nbroker = "mqtt://b"\napi = 5\n', "api", "is not a table", id="a number for a table"),
        pytest.param(
            'data_dir = "d"\nbroker = "mqtt://b"\nchannels = 5\n', "channels", "is not a list", id="a number for a list"
        ),
        pytest.param(
            'data_dir = "d"\nbroker = "mqtt://b"\npassword_file = "/no"\n', "password_file", "/no", id="a file that is not"
        ),
        pytest.param(HOOK + "timeout_s = 0\n", "channels[0].timeout_s", "0", id="no time to answer"),
        pytest.param(HOOK + "timeout_s = 121\n", "channels[0].timeout_s", "121", id="too long a time to answer"),
        pytest.param(HOOK + "per_minute = 0\n", "channels[0].per_minute", "0", id="no messages a minute"),
        pytest.param(HOOK + 'recipients = ["a", 5]\n', "channels[0].recipients", "['a', 5]", id="a recipient that is no text"),
        pytest.param(HOOK + HOOK[HOOK.index("[[") :], "channels[1].name", "'a' is", id="a name twice"),
        pytest.param(HOOK.replace("http://", "ftp://"), "channels[0]", "url is no http address", id="an address of no channel"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, text: str, where: str, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(written(tmp_path, text))
    assert caught.value.mistakes[0].where == where
    assert what in caught.value.mistakes[0].what


def test_what_is_not_written_is_the_structs_own_default(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, HOOK + "[api]\n"))
    channel = ChannelConfig(name="a", kind=ChannelKind.WEBHOOK, url="http://h/x")
    assert config == CloudConfig(data_dir=tmp_path / "d", broker="mqtt://b", channels=(channel,))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_config(tmp_path / "absent.toml")
