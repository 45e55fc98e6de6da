"""The cloud's configuration: read whole, checked whole, every mistake told at once; what is in here has been checked."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from cloud.atlas.config import MapConfig, read_map
from cloud.cases.policy import Auto, CasePolicy
from cloud.notify.config import PERSONAL, ChannelConfig, ChannelKind, Language, Security, problems
from cloud.notify.messages import VARIABLES
from cloud.notify.people import EVERY_PRIORITY, Person, Quiet, parse_quiet
from cloud.open311.config import Open311Config, read_open311
from cloud.public.config import PublicConfig, read_public
from cloud.relational.engine import check_database
from cloud.series.mirror import parse_mirror
from cloud.series.open import parse_series
from cloud.series.tiering import Retention
from cloud.workflow.case import Policy
from cloud.workflow.terms import Told
from device_profiles.mistakes import ConfigError, Findings
from device_profiles.toml_table import Table, read_toml
from telemetry.broker import broker_address
from telemetry.records import Priority

__all__ = ["ApiConfig", "CasesConfig", "CloudConfig", "ConfigError", "load_config"]


_DATABASES = "sqlite+aiosqlite:///PATH, or postgresql+asyncpg://USER@HOST:PORT/DATABASE and database_password_file"

_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")  # E.164


class ApiConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where the API and the console listen; port 0 takes a free one.

    `base_url` is how people reach them, for links in messages; where it is empty, the address they listen on.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    base_url: str = ""


class CasesConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How cases are run: `[cases]` of the cloud's TOML.

    `matters` are the city's own tables, `calendar` its working calendar, `duty` its districts, departments and rosters; without
    them the product's own table and the published calendar of mainland China hold, and people assign.
    """

    policy: CasePolicy = CasePolicy()
    matters: tuple[Path, ...] = ()
    calendar: Path | None = None
    duty: Path | None = None


class CloudConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the cloud needs to know before it connects to anything.

    `broker` is `mqtt://host:port`. `database` is a SQLAlchemy address (`sqlite+aiosqlite:///path`, or
    `postgresql+asyncpg://user@host:port/database` with the password in `database_password_file`), `series` either
    `duckdb:PATH` or `influx:http://host:port/db?...`; where they are empty, both are files in `data_dir`.
    `retention` is how long values are kept.
    `mirror` is `http://host:port[/database]?...`, a server of line protocol that gets what is stored as well.
    `watch` is the file of what is silent and what explains what. With `auto_register` a gateway that says hello is admitted
    with the devices it declares. Without `open311` citizens have no door here, without `public` no pages.
    """

    data_dir: Path
    broker: str
    username: str = ""
    password_file: Path | None = None
    database: str = ""
    database_password_file: Path | None = None
    series: str = ""
    mirror: str = ""
    retention: Retention = Retention()
    api: ApiConfig = ApiConfig()
    cases: CasesConfig = CasesConfig()
    open311: Open311Config | None = None
    map: MapConfig = MapConfig()
    public: PublicConfig | None = None
    profile_dirs: tuple[Path, ...] = ()
    watch: Path | None = None
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
        retention=_retention(root.table("retention")),
        api=_api(root.table("api")),
        cases=_cases(root.table("cases"), here),
        open311=read_open311(root.table("open311"), here),
        map=read_map(root.table("map"), here),
        public=read_public(root.table("public"), here),
        mirror=root.checked("mirror", parse_mirror, "http://host:port", ""),
        profile_dirs=root.folders("profile_dirs", here),
        watch=root.file("watch", here),
        channels=_channels(root.tables("channels"), root.tables("people"), here),
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


def _retention(table: Table) -> Retention:
    usual = Retention()
    days = {name: table.integer(name, getattr(usual, name), low=0, high=36_500) for name in Retention.__struct_fields__}
    retention = Retention(**days)
    table.finish()
    if not retention.sound:
        told = f"{retention.minute_days} days, less than raw_days = {retention.raw_days}"
        table.wrong("minute_days", told, "as many as raw_days or more; 0 is for ever")
    return retention


def _cases(table: Table, here: Path) -> CasesConfig:
    days = CasePolicy().reopen_within_s / 86400
    policy = CasePolicy(
        auto=Auto(table.choice("auto", list(Auto), Auto.ASSIGN)),
        workflow=Policy(
            extensions=table.integer("extensions", 2, low=0, high=100),
            holds=table.integer("holds", 1, low=0, high=100),
            hold_days=table.integer("hold_days", 366, low=1, high=3660),
            reopen_days=table.integer("reopen_days", 7, low=0, high=366),
        ),
        join_within_m=table.number("join_within_m", 30.0, low=0, high=10_000),
        join_within_s=table.number("join_within_days", 7.0, low=0, high=366) * 86400,
        reopen_within_s=table.number("alarm_reopens_within_days", days, low=0, high=366) * 86400,
        close_by_device=table.flag("close_by_device", default=True),
    )
    files = {name: table.file(name, here) for name in ("calendar", "duty")}
    found = CasesConfig(policy=policy, matters=table.files("matters", here), **files)
    table.finish()
    return found


def _channels(tables: Iterable[Table], people: Iterable[Table], here: Path) -> tuple[ChannelConfig, ...]:
    """The channels with their people."""
    channels: dict[str, ChannelConfig] = {}
    for table in tables:
        channel = _channel(table, here)
        if channel.name and channel.name in channels:
            table.wrong("name", f"{channel.name!r} is a channel already", "another name")
        channels[channel.name] = channel
    of: dict[str, list[Person]] = defaultdict(list)
    for table in people:
        _person(table, channels, of)
    return tuple(msgspec.structs.replace(channel, people=tuple(of[name])) for name, channel in channels.items())


def _person(table: Table, channels: Mapping[str, ChannelConfig], of: dict[str, list[Person]]) -> None:
    """Read one `[[people]]` table into the people of its channel."""
    personal = [name for name, channel in channels.items() if channel.kind in PERSONAL]
    channel = table.text("channel")
    person = Person(
        name=table.text("name"),
        address=table.text("address"),
        priorities=_priorities(table),
        quiet=_quiet(table),
        per_minute=table.integer("per_minute", 6, low=1, high=600),
        offices=_offices(table),
        departments=table.texts("departments"),
        districts=table.texts("districts"),
    )
    table.finish()
    if channel and channel not in personal:
        table.wrong("channel", f"{channel!r} is no channel with people", " or ".join(personal) or "a wecom_app or SMS channel")
    if channel in personal and channels[channel].kind is not ChannelKind.WECOM_APP and not _NUMBER.fullmatch(person.address):
        table.wrong("address", "is no number of an SMS", 'address = "+8613800000000"')
    if any(other.name == person.name for other in of[channel]):
        table.wrong("name", f"{person.name!r} is on {channel} already", "another name")
    of[channel].append(person)


def _priorities(table: Table) -> tuple[Priority, ...]:
    words = table.texts("priorities")
    for word in words:
        if word not in list(Priority):
            table.wrong("priorities", f"{word!r} is no priority", ", ".join(Priority))
    return tuple(priority for priority in Priority if priority in words) if words else EVERY_PRIORITY


def _offices(table: Table) -> tuple[str, ...]:
    words = table.texts("offices")
    for word in words:
        if word not in list(Told):
            table.wrong("offices", f"{word!r} is no office", ", ".join(Told))
    return words


def _quiet(table: Table) -> Quiet | None:
    text = table.checked("quiet", parse_quiet, "HH:MM-HH:MM", "")
    try:
        return parse_quiet(text) if text else None
    except ValueError:
        return None  # told by `checked`


def _variables(table: Table) -> tuple[str, ...]:
    names = table.texts("variables")
    for name in names:
        if name not in VARIABLES:
            table.wrong("variables", f"{name!r} is no variable", ", ".join(sorted(VARIABLES)))
    return names


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
        **_vendor(table),
        priorities=_priorities(table),
        quiet=_quiet(table),
        loud=Priority(table.choice("loud", list(Priority), Priority.CRITICAL)),
    )
    table.finish()
    if table.sound:
        for problem in problems(channel):
            what, _, instead = problem.partition("; write ")
            table.wrong("", what, instead or "it")
    return channel


def _vendor(table: Table) -> dict[str, Any]:
    """What only the kinds with people and the modem have."""
    return {
        "corp_id": table.text("corp_id", ""),
        "agent_id": table.integer("agent_id", 0, low=0, high=2**31),
        "access_key_id": table.text("access_key_id", ""),
        "app_id": table.text("app_id", ""),
        "region": table.text("region", "ap-guangzhou"),
        "sign_name": table.text("sign_name", ""),
        "template": table.text("template", ""),
        "variables": _variables(table),
        "device": table.text("device", ""),
        "baudrate": table.integer("baudrate", 115_200, low=300, high=4_000_000),
    }


def _beside(here: Path, name: str) -> str:
    return str(here / name) if name else ""
