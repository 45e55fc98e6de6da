"""How one channel to people is configured. What opens a robot (its address, its secret) never shows in a repr or a log."""

from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

__all__ = ["ChannelConfig", "ChannelKind", "Language", "Security", "problems", "read_secret"]


class ChannelKind(StrEnum):
    """The services that can be spoken to."""

    WEBHOOK = "webhook"
    WECOM = "wecom"
    DINGTALK = "dingtalk"
    FEISHU = "feishu"
    EMAIL = "email"


class Language(StrEnum):
    """The languages that messages are written in."""

    ZH = "zh"
    EN = "en"


class Security(StrEnum):
    """How a mail server is spoken to."""

    PLAIN = "plain"
    STARTTLS = "starttls"
    TLS = "tls"


class ChannelConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One place that messages go to: a `[[channels]]` table of the cloud's TOML.

    The address comes from `url` or, where it holds a key, from the one line of `url_file`; the signing secret from
    `secret_file`. `per_minute` narrows the kind's own rate. `zone` (IANA) is the zone that times are written in.
    `host` to `recipients` are for e-mail only.
    """

    name: str
    kind: ChannelKind
    lang: Language = Language.ZH
    zone: str = "Asia/Shanghai"
    url: str = ""
    url_file: str = ""
    secret_file: str = ""
    timeout_s: float = 10.0
    per_minute: int | None = None
    host: str = ""
    port: int = 25
    security: Security = Security.STARTTLS
    username: str = ""
    password_file: str = ""
    sender: str = ""
    recipients: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"ChannelConfig(name={self.name!r}, kind={self.kind.value!r})"

    def resolved_url(self) -> str:
        """The address itself; OSError where `url_file` cannot be read."""
        return self.url or read_secret(self.url_file)


def read_secret(path: str) -> str:
    """The first line of a secret file without its line end; OSError where it cannot be read. Blocks: call it at start."""
    text = Path(path).read_text(encoding="utf-8").strip()
    return text.splitlines()[0] if text else ""


def problems(channel: ChannelConfig) -> list[str]:
    """Everything that is wrong with one channel beyond its single keys, each as "what; write what instead"."""
    found = _email_problems(channel) if channel.kind is ChannelKind.EMAIL else _http_problems(channel)
    return found + _file_problems(channel)


def _http_problems(channel: ChannelConfig) -> list[str]:
    if bool(channel.url) == bool(channel.url_file):
        return ["url and url_file; write exactly one of the two"]
    if channel.url and (urlsplit(channel.url).scheme not in {"http", "https"} or not urlsplit(channel.url).hostname):
        return ["url is no http address; write http://... or https://..."]
    return []


def _email_problems(channel: ChannelConfig) -> list[str]:
    wanted = {"host": channel.host, "sender": channel.sender, "recipients": channel.recipients}
    return [f"{name} is empty; write what mail needs" for name, value in wanted.items() if not value]


def _file_problems(channel: ChannelConfig) -> list[str]:
    files = {"url_file": channel.url_file, "secret_file": channel.secret_file, "password_file": channel.password_file}
    found = []
    for name, path in files.items():
        try:
            if path and not read_secret(path):
                found.append(f"{name} {path} is empty; write the value on its first line")
        except (OSError, UnicodeDecodeError) as error:
            found.append(f"{name} {path} cannot be read ({error.__class__.__name__}); write the path of a text file")
    return found
