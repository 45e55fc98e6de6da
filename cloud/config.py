"""The cloud's configuration: read whole, checked whole, every mistake told at once; what is in here has been checked."""

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, get_args

import msgspec

from cloud.notify.config import ChannelConfig, problems
from cloud.series.open import parse_series
from device_profiles.mistakes import Findings, Mistake, did_you_mean, one_of
from telemetry.broker import broker_address

__all__ = ["ApiConfig", "CloudConfig", "ConfigError", "load_config"]


class ApiConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where the API and the console listen; port 0 takes a free one.

    `base_url` is how people reach them, for links in messages.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    base_url: str = ""


class CloudConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the cloud needs to know before it connects to anything.

    `broker` is `mqtt://host:port`. `database` is a SQLAlchemy address (`sqlite+aiosqlite:///path`), `series` either
    `duckdb:PATH` or `influx:http://host:port/db?...`; where they are empty, both are files in `data_dir`.
    With `auto_register` a gateway that says hello is admitted with the devices it declares.
    """

    data_dir: Path
    broker: str
    username: str = ""
    password_file: Path | None = None
    database: str = ""
    series: str = ""
    api: ApiConfig = ApiConfig()
    profile_dirs: tuple[Path, ...] = ()
    channels: tuple[ChannelConfig, ...] = ()
    auto_register: bool = True

    @property
    def database_url(self) -> str:
        """The relational store's address, the default filled in."""
        return self.database or f"sqlite+aiosqlite:///{self.data_dir / 'cloud.db'}"

    @property
    def series_url(self) -> str:
        """The series store's address, the default filled in."""
        return self.series or f"duckdb:{self.data_dir / 'series.duckdb'}"


class ConfigError(ValueError):
    """A configuration that cannot be used; `mistakes` holds every reason, in the order of lines."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(str(mistake) for mistake in self.mistakes))


def load_config(path: Path) -> CloudConfig:
    """The configuration in a TOML file; ConfigError with every mistake in it. Connects to nothing."""
    findings = Findings(str(path))
    content, lines = _read(path, findings)
    config: CloudConfig | None = None
    if content is not None:
        config = _Reader(findings, lines).config(content)
    if len(findings) or config is None:
        raise ConfigError(findings.in_order())
    return config


_MOST_BYTES: Final = 1024 * 1024
_HEADER: Final = re.compile(r"\s*(\[\[?)\s*([A-Za-z0-9_.-]+)\s*\]")
_KEY: Final = re.compile(r"\s*([A-Za-z0-9_-]+)\s*=")

_Place = tuple[str, ...]


def _read(path: Path, findings: Findings) -> tuple[dict[str, Any] | None, dict[_Place, int]]:
    try:
        data = path.read_bytes()
    except OSError as error:
        findings.add(1, "file", error.strerror or str(error), "the path of a file that can be read")
        return None, {}
    if len(data) > _MOST_BYTES:
        findings.add(1, "file", f"{len(data)} bytes", f"at most {_MOST_BYTES} bytes")
        return None, {}
    try:
        text = data.decode("utf-8")
        return tomllib.loads(text), _lines(text)
    except UnicodeDecodeError as error:
        findings.add(1 + data[: error.start].count(b"\n"), "file", "bytes that are not UTF-8", "the file in UTF-8")
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"line (\d+)", str(error))
        findings.add(int(found[1]) if found else 1 + data.count(b"\n"), "file", str(error), "valid TOML")
    return None, {}


def _lines(text: str) -> dict[_Place, int]:
    """Where each table and key stands; tomllib does not say."""
    found: dict[_Place, int] = {}
    seen: dict[str, int] = {}
    here: _Place = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            name = header[2]
            seen[name] = seen.get(name, -1) + 1
            here = (f"{name}[{seen[name]}]",) if header[1] == "[[" else (name,)
            found.setdefault(here, number)
        elif key := _KEY.match(line):
            found.setdefault((*here, key[1]), number)
    return found


class _Reader:
    """Goes through the tables by the fields of the structs they become."""

    def __init__(self, findings: Findings, lines: Mapping[_Place, int]) -> None:
        self._findings = findings
        self._lines = lines

    def config(self, content: Mapping[str, Any]) -> CloudConfig | None:
        root = dict(content)
        self._check(root, root.get("api"))
        api = self._struct(ApiConfig, root.pop("api", {}), ("api",))
        channels = self._channels(root.pop("channels", []))
        config: CloudConfig | None = self._struct(CloudConfig, root, ())
        if config is None or api is None:
            return None
        return msgspec.structs.replace(config, api=api, channels=channels)

    def _channels(self, tables: object) -> tuple[ChannelConfig, ...]:
        if not isinstance(tables, list):
            self._wrong(("channels",), "is not a list of tables", "[[channels]] above each of them")
            return ()
        found: dict[str, ChannelConfig] = {}
        for index, table in enumerate(tables):
            place = (f"channels[{index}]",)
            channel: ChannelConfig | None = self._struct(ChannelConfig, table, place)
            if channel is None:
                continue
            for problem in problems(channel):
                what, _, instead = problem.partition("; write ")
                self._wrong(place, what, instead or "it")
            if channel.name in found:
                self._wrong((*place, "name"), f"{channel.name!r} is a channel already", "another name")
            found[channel.name] = channel
        return tuple(found.values())

    def _struct(self, kind: type[Any], table: object, place: _Place) -> Any:
        """The struct, or None where a field of it is wrong."""
        if not isinstance(table, dict):
            self._wrong(place, "is not a table", f"[{place[0]}] above its keys")
            return None
        fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
        before = len(self._findings)
        for key in table.keys() - fields.keys():
            self._wrong((*place, key), "is not a key here", did_you_mean(key, fields))
        values = {}
        for name, field in fields.items():
            if name in table:
                values[name] = self._value(table[name], field.type, (*place, name))
            elif field.required:
                self._wrong((*place, name), "is missing", f'{name} = "..."')
        return kind(**values) if len(self._findings) == before else None

    def _value(self, value: object, kind: Any, place: _Place) -> Any:
        try:
            return msgspec.convert(value, kind, dec_hook=_path)
        except msgspec.ValidationError:
            self._wrong(place, f"{value!r}"[:80], _wanted(kind))
            return None

    def _check(self, root: Mapping[str, Any], api: object) -> None:
        """What a type does not say; also told beside mistakes of other keys."""
        found: list[tuple[_Place, Callable[[Any], object], Any]] = [
            (("broker",), broker_address, root.get("broker")),
            (("series",), parse_series, root.get("series") or None),
            (("database",), _check_database, root.get("database") or None),
            (("password_file",), _check_file, root.get("password_file")),
        ]
        folders = root.get("profile_dirs")
        found += [(("profile_dirs",), _check_folder, folder) for folder in folders or () if isinstance(folders, list)]
        if isinstance(api, dict) and type(port := api.get("port")) is int:
            found.append((("api", "port"), _check_port, str(port)))
        for place, check, value in found:
            if isinstance(value, str):
                try:
                    check(value)
                except ValueError as error:
                    what, _, instead = str(error).partition(": want ")
                    self._wrong(place, what.removeprefix(f"{place[-1]} "), instead)

    def _wrong(self, place: _Place, what: str, instead: str) -> None:
        at = place
        while at and at not in self._lines:
            at = at[:-1]
        self._findings.add(self._lines.get(at, 1), ".".join(place) or "file", what, instead)


def _path(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str) and value:
        return Path(value)
    raise ValueError


def _wanted(kind: Any) -> str:
    """A value of the type, in words."""
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return one_of(kind)
    for part in (kind, *get_args(kind)):
        if part in _WORDS:
            return _WORDS[part]
    return f"a list, each {_wanted(get_args(kind)[0])}" if get_args(kind) else str(kind)


_WORDS: Final[Mapping[Any, str]] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text in quotes",
    Path: "the path of a file or folder, in quotes",
}


def _check_port(port: str) -> None:
    if not 0 <= int(port) <= 65_535:
        raise ValueError(f"{port}: want a port from 0 (any free one) to 65535")


def _check_database(url: str) -> None:
    if not url.startswith("sqlite+aiosqlite:///"):
        raise ValueError(f"{url!r}: want sqlite+aiosqlite:///PATH")


def _check_file(path: str) -> None:
    if not Path(path).is_file():
        raise ValueError(f"{path}: want a file that can be read")


def _check_folder(path: str) -> None:
    if not Path(path).is_dir():
        raise ValueError(f"{path}: want a folder of profiles")
