"""The cloud's configuration as values; what is in here has been checked."""

from pathlib import Path

import msgspec

from cloud.notify.config import ChannelConfig

__all__ = ["ApiConfig", "CloudConfig"]


class ApiConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where the API and the console listen; port 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = 8080


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
