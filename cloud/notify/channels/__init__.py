"""The channels, one file each; `open_channel` makes the one a configuration asks for."""

from typing import Protocol

import aiohttp

from cloud.notify.channels.dingtalk import Dingtalk
from cloud.notify.channels.email import Email
from cloud.notify.channels.feishu import Feishu
from cloud.notify.channels.post import HttpChannel, HttpVendor, secrets_of
from cloud.notify.channels.webhook import Webhook
from cloud.notify.channels.wecom import Wecom
from cloud.notify.config import ChannelConfig, ChannelKind, read_secret
from cloud.notify.messages import Message
from cloud.notify.results import Redactor, SendResult

__all__ = ["Channel", "open_channel"]


class Channel(Protocol):
    """Somewhere a message can go."""

    @property
    def longest_s(self) -> float:
        """No attempt takes longer."""
        ...

    async def send(self, message: Message, now_ns: int) -> SendResult:
        """One attempt at `message`; the world's faults come back as a result."""
        ...


def open_channel(config: ChannelConfig, session: aiohttp.ClientSession) -> Channel:
    """The channel of `config`, its secret files read; OSError where one cannot be. Blocks on those files."""
    if config.kind is ChannelKind.EMAIL:
        password = read_secret(config.password_file) if config.password_file else ""
        return Email(config, password, Redactor([password]))
    url = config.resolved_url()
    secret = read_secret(config.secret_file) if config.secret_file else ""
    redact = Redactor([*secrets_of(url), secret])
    return HttpChannel(_vendor(config.kind, url, secret), session, config.timeout_s, redact)


def _vendor(kind: ChannelKind, url: str, secret: str) -> HttpVendor:
    match kind:
        case ChannelKind.WEBHOOK:
            return Webhook(url, secret)
        case ChannelKind.WECOM:
            return Wecom(url)
        case ChannelKind.DINGTALK:
            return Dingtalk(url, secret)
        case ChannelKind.FEISHU:
            return Feishu(url, secret)
        case ChannelKind.EMAIL:
            raise ValueError("e-mail does not go over HTTP")
