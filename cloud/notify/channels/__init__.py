"""The channels, one file each; `open_channel` makes the one a configuration asks for."""

from typing import Protocol, runtime_checkable

import aiohttp

from cloud.notify.channels.aliyun_sms import AliyunSms
from cloud.notify.channels.dingtalk import Dingtalk
from cloud.notify.channels.email import Email
from cloud.notify.channels.feishu import Feishu
from cloud.notify.channels.long_tail import Apprise, load_apprise
from cloud.notify.channels.post import HttpChannel, HttpVendor, secrets_of
from cloud.notify.channels.sms import SmsChannel, SmsVendor
from cloud.notify.channels.tencent_sms import TencentSms
from cloud.notify.channels.webhook import Webhook
from cloud.notify.channels.wecom import Wecom
from cloud.notify.channels.wecom_app import WecomApp
from cloud.notify.config import ChannelConfig, ChannelKind, read_secret
from cloud.notify.messages import Message
from cloud.notify.results import Receipt, Redactor, SendResult

__all__ = ["AsksReceipt", "Channel", "open_channel"]


class Channel(Protocol):
    """Somewhere a message can go."""

    @property
    def longest_s(self) -> float:
        """No attempt takes longer."""
        ...

    async def send(self, message: Message, now_ns: int) -> SendResult:
        """One attempt at `message`; the world's faults come back as a result."""
        ...


@runtime_checkable
class AsksReceipt(Protocol):
    """A channel whose vendor can be asked what became of a message."""

    async def ask(self, message: Message, since_ns: int, now_ns: int) -> Receipt:
        """Whether the vendor has `message`, first tried at `since_ns` or later; never raises for the world's faults."""
        ...


def open_channel(config: ChannelConfig, session: aiohttp.ClientSession) -> Channel:
    """The channel of `config`, its secret files read; OSError where one cannot be. Blocks on those files."""
    if config.kind is ChannelKind.EMAIL:
        password = read_secret(config.password_file) if config.password_file else ""
        return Email(config, password, Redactor([password]))
    if config.kind is ChannelKind.SMS_MODEM:
        # Its serial library is not needed by those who have no modem.
        from cloud.notify.sms_modem.port import SmsModem  # noqa: PLC0415

        return SmsModem(config)
    url = config.resolved_url()
    secret = read_secret(config.secret_file) if config.secret_file else ""
    if config.kind is ChannelKind.APPRISE:
        return Apprise(load_apprise(url), config.timeout_s)
    if config.kind is ChannelKind.WECOM_APP:
        return WecomApp(config, url, secret, session)
    redact = Redactor([*secrets_of(url), secret])
    if config.kind in {ChannelKind.ALIYUN_SMS, ChannelKind.TENCENT_SMS}:
        vendor: SmsVendor = (AliyunSms if config.kind is ChannelKind.ALIYUN_SMS else TencentSms)(config, url, secret)
        return SmsChannel(vendor, session, config.timeout_s, Redactor([secret]))
    return HttpChannel(_robot(config.kind, url, secret), session, config.timeout_s, redact)


def _robot(kind: ChannelKind, url: str, secret: str) -> HttpVendor:
    match kind:
        case ChannelKind.WECOM:
            return Wecom(url)
        case ChannelKind.DINGTALK:
            return Dingtalk(url, secret)
        case ChannelKind.FEISHU:
            return Feishu(url, secret)
        case _:
            return Webhook(url, secret)
