"""How one channel to people is configured. What opens a robot (its address, its secret) never shows in a repr or a log."""

from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from cloud.notify.people import EVERY_PRIORITY, Person, Quiet
from telemetry.records import Priority

__all__ = ["PERSONAL", "ChannelConfig", "ChannelKind", "Language", "Security", "problems", "read_secret"]


class ChannelKind(StrEnum):
    """The services that can be spoken to."""

    WEBHOOK = "webhook"
    WECOM = "wecom"
    DINGTALK = "dingtalk"
    FEISHU = "feishu"
    EMAIL = "email"
    WECOM_APP = "wecom_app"
    ALIYUN_SMS = "aliyun_sms"
    TENCENT_SMS = "tencent_sms"
    SMS_MODEM = "sms_modem"
    APPRISE = "apprise"


PERSONAL = frozenset({ChannelKind.WECOM_APP, ChannelKind.ALIYUN_SMS, ChannelKind.TENCENT_SMS, ChannelKind.SMS_MODEM})
"""Kinds whose messages go to one person each: they need `[[people]]`; the others have none."""

# Where each vendor is reached; a `url` of one's own takes its place.
_VENDOR_URLS = {
    ChannelKind.WECOM_APP: "https://qyapi.weixin.qq.com",
    ChannelKind.ALIYUN_SMS: "https://dysmsapi.aliyuncs.com/",
    ChannelKind.TENCENT_SMS: "https://sms.tencentcloudapi.com/",
}

_WANTED: dict[ChannelKind, tuple[str, ...]] = {
    ChannelKind.EMAIL: ("host", "sender", "recipients"),
    ChannelKind.WECOM_APP: ("corp_id", "agent_id", "secret_file"),
    ChannelKind.ALIYUN_SMS: ("access_key_id", "secret_file", "sign_name", "template"),
    ChannelKind.TENCENT_SMS: ("access_key_id", "secret_file", "sign_name", "template", "app_id", "region"),
    ChannelKind.SMS_MODEM: ("device",),
}


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
    `host` to `recipients` are for e-mail, `corp_id` and `agent_id` for WeCom's application messages, `access_key_id` to
    `variables` for SMS by a vendor's approved template, whose variables are filled in this order (see
    `messages.VARIABLES`), `device` and `baudrate` for a modem on a serial port.

    Only cases of `priorities` are told; in the hours of `quiet` those below `loud` wait. Both hold for the channel as a
    whole; a person of `people` may narrow them.
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
    corp_id: str = ""
    agent_id: int = 0
    access_key_id: str = ""
    app_id: str = ""
    region: str = "ap-guangzhou"
    sign_name: str = ""
    template: str = ""
    variables: tuple[str, ...] = ()
    device: str = ""
    baudrate: int = 115_200
    priorities: tuple[Priority, ...] = EVERY_PRIORITY
    quiet: Quiet | None = None
    loud: Priority = Priority.CRITICAL
    people: tuple[Person, ...] = ()

    def __repr__(self) -> str:
        return f"ChannelConfig(name={self.name!r}, kind={self.kind.value!r})"

    def resolved_url(self) -> str:
        """The address itself; OSError where `url_file` cannot be read."""
        return self.url or (read_secret(self.url_file) if self.url_file else _VENDOR_URLS[self.kind])

    def person(self, name: str) -> Person | None:
        """The person of that name, None where there is none (any more)."""
        return next((person for person in self.people if person.name == name), None)

    def targets(self, priority: str) -> list[str]:
        """Who is told of a case of `priority`: names of people, or "" for a channel that has none."""
        if priority not in self.priorities:
            return []
        if self.kind not in PERSONAL:
            return [""]
        return [person.name for person in self.people if priority in person.priorities]

    def quiet_until_ns(self, target: str, priority: str, now_ns: int) -> int | None:
        """Until when `target` is not to be told of a case of `priority`; None for now."""
        order = tuple(Priority)
        if priority in order and order.index(Priority(priority)) <= order.index(self.loud):
            return None
        person = self.person(target)
        own = person.quiet if person else None
        hours = [quiet for quiet in (self.quiet, own) if quiet is not None]
        ends = [end for quiet in hours if (end := quiet.until_ns(now_ns, self.zone)) is not None]
        return max(ends, default=None)


def read_secret(path: str) -> str:
    """The first line of a secret file without its line end; OSError where it cannot be read. Blocks: call it at start."""
    text = Path(path).read_text(encoding="utf-8").strip()
    return text.splitlines()[0] if text else ""


def problems(channel: ChannelConfig) -> list[str]:
    """Everything that is wrong with one channel beyond its single keys, each as "what; write what instead"."""
    found = [f"{name} is empty; write what {channel.kind.value} needs" for name in _missing(channel)]
    if channel.kind not in {ChannelKind.EMAIL, ChannelKind.SMS_MODEM}:
        found += _http_problems(channel)
    if channel.kind is ChannelKind.APPRISE and Priority.CRITICAL in channel.priorities:
        # Several of its robot plug-ins look at the HTTP status only, which says nothing of whether the message was taken.
        found.append('apprise is not for critical cases; write priorities = ["high", "medium", "low"]')
    return found + _file_problems(channel)


def _missing(channel: ChannelConfig) -> list[str]:
    return [name for name in _WANTED.get(channel.kind, ()) if not getattr(channel, name)]


def _http_problems(channel: ChannelConfig) -> list[str]:
    given = bool(channel.url) + bool(channel.url_file)
    if given == 2 or (not given and channel.kind not in _VENDOR_URLS):
        return ["url and url_file; write exactly one of the two"]
    if channel.kind is ChannelKind.APPRISE:
        return []
    if channel.url and (urlsplit(channel.url).scheme not in {"http", "https"} or not urlsplit(channel.url).hostname):
        return ["url is no http address; write http://... or https://..."]
    return []


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
