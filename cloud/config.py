"""The cloud's configuration: read whole, checked whole, every mistake told at once; what is in here has been checked."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from cloud.notify.config import ChannelConfig, ChannelKind, Language, Security, problems
from cloud.relational.engine import check_database
from cloud.series.open import parse_series
from device_profiles.mistakes import ConfigError, Findings
from device_profiles.toml_table import Table, read_toml
from telemetry.broker import broker_address

__all__ = ["ApiConfig", "CloudConfig", "ConfigError", "load_config"]


_DATABASES = "sqlite+aiosqlite:///PATH, or postgresql+asyncpg://USER@HOST:PORT/DATABASE and database_password_file"


class ApiConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where the API and the console listen; port 0 takes a free one.

    `base_url` is how people reach them, for links in messages; where it is empty, the address they listen on.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    base_url: str = ""


class CloudConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the cloud needs to know before it connects to anything.

    `broker` is `mqtt://host:port`. `database` is a SQLAlchemy address (`sqlite+aiosqlite:///path`, or
    `postgresql+asyncpg://user@host:port/database` with the password in `database_password_file`), `series` either
    `duckdb:PATH` or `influx:http://host:port/db?...`; where they are empty, both are files in `data_dir`.
    With `auto_register` a gateway that says hello is admitted with the devices it declares.
    """

    data_dir: Path
    broker: str
    username: str = ""
    password_file: Path | None = None
    database: str = ""
    database_password_file: Path | None = None
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
    def database_password(self) -> str | None:
        """The relational store's password, None where it has none; OSError where its file cannot be read."""
        file = self.database_password_file
        return None if file is None else file.read_text(encoding="utf-8").strip()

    @property
    def series_url(self) -> str:
        """The series store's address, the default filled in."""
        return self.series or f"duckdb:{self.data_dir / 'series.duckdb'}"


def load_config(path: Path) -> CloudConfig:
    """The configuration in a TOML file; paths in it are taken from the file's own folder.

    Raises ConfigError with every mistake in it. Connects to nothing.
    """
    findings = Findings(str(path))
    root = read_toml(path, findings)
    here = path.parent
    config = CloudConfig(
        data_dir=here / root.text("data_dir"),
        broker=root.checked("broker", broker_address, "mqtt://host:port or mqtts://host:port"),
        username=root.text("username", ""),
        password_file=root.file("password_file", here),
        database=root.checked("database", check_database, _DATABASES, ""),
        database_password_file=root.file("database_password_file", here),
        series=root.checked("series", parse_series, "duckdb:PATH or influx:http://host:port/database", ""),
        api=_api(root.table("api")),
        profile_dirs=root.folders("profile_dirs", here),
        channels=tuple(_channels(root.tables("channels"), here)),
        auto_register=root.flag("auto_register", default=True),
    )
    root.finish()
    if len(findings):
        raise ConfigError(findings.in_order())
    return config


def _api(table: Table) -> ApiConfig:
    api = ApiConfig(
        host=table.text("host", "127.0.0.1"),
        port=table.integer("port", 8080, low=0, high=65_535),
        base_url=table.text("base_url", ""),
    )
    table.finish()
    return api


def _channels(tables: Iterable[Table], here: Path) -> Iterator[ChannelConfig]:
    names: set[str] = set()
    for table in tables:
        channel = _channel(table, here)
        if channel.name and channel.name in names:
            table.wrong("name", f"{channel.name!r} is a channel already", "another name")
        names.add(channel.name)
        yield channel


def _channel(table: Table, here: Path) -> ChannelConfig:
    channel = ChannelConfig(
        name=table.text("name"),
        kind=ChannelKind(table.choice("kind", list(ChannelKind))),
        lang=Language(table.choice("lang", list(Language), Language.ZH)),
        zone=table.text("zone", "Asia/Shanghai"),
        url=table.text("url", ""),
        url_file=_beside(here, table.text("url_file", "")),
        secret_file=_beside(here, table.text("secret_file", "")),
        timeout_s=table.number("timeout_s", 10.0, low=0.001, high=120),
        per_minute=table.integer("per_minute", None, low=1, high=6000),
        host=table.text("host", ""),
        port=table.integer("port", 25, low=1, high=65_535),
        security=Security(table.choice("security", list(Security), Security.STARTTLS)),
        username=table.text("username", ""),
        password_file=_beside(here, table.text("password_file", "")),
        sender=table.text("sender", ""),
        recipients=table.texts("recipients"),
    )
    table.finish()
    if table.sound:
        for problem in problems(channel):
            what, _, instead = problem.partition("; write ")
            table.wrong("", what, instead or "it")
    return channel


def _beside(here: Path, name: str) -> str:
    return str(here / name) if name else ""
