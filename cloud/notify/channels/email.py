"""E-mail over SMTP: the message id is made of the outbox's key, so that a repeat is recognisable as one."""

import asyncio
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime

import aiosmtplib

from cloud.notify.config import ChannelConfig, Security
from cloud.notify.messages import Message
from cloud.notify.results import Failure, Redactor, SendResult

__all__ = ["Email", "build_mail", "smtp_failure"]

# A conversation is some ten commands, each with its own timeout: this bounds them together.
_CONVERSATION_TIMEOUTS = 4


class Email:
    """One mail to all recipients of the channel."""

    def __init__(self, config: ChannelConfig, password: str, redact: Redactor) -> None:
        self._config = config
        self._password = password
        self._redact = redact
        self.longest_s = config.timeout_s * _CONVERSATION_TIMEOUTS

    async def send(self, message: Message, now_ns: int) -> SendResult:
        """One attempt; never raises for the world's faults."""
        mail = build_mail(message, self._config, now_ns)
        try:
            async with asyncio.timeout(self.longest_s):
                refused = await self._converse(mail)
        except (aiosmtplib.SMTPException, OSError) as error:
            failure, code = smtp_failure(error)
            return SendResult(failure=failure, vendor_code=code, detail=self._redact(f"{type(error).__name__}: {error}"))
        # Taken for some and refused for others is sent: trying again would tell the first ones twice.
        detail = f"refused for {refused} of {len(self._config.recipients)} recipients" if refused else ""
        return SendResult(vendor_code="250", detail=detail)

    async def _converse(self, mail: EmailMessage) -> int:
        config = self._config
        refused, _ = await aiosmtplib.send(
            mail,
            sender=config.sender,
            recipients=list(config.recipients),
            hostname=config.host,
            port=config.port,
            username=config.username or None,
            password=self._password or None,
            timeout=config.timeout_s,
            use_tls=config.security is Security.TLS,
            start_tls=config.security is Security.STARTTLS,
        )
        return len(refused)


def build_mail(message: Message, config: ChannelConfig, now_ns: int) -> EmailMessage:
    """The mail as RFC 5322 wants it, dated `now_ns`; marked as automatic (RFC 3834) so that nobody's absence answers it."""
    mail = EmailMessage()
    mail["Subject"] = message.title
    mail["From"] = config.sender
    mail["To"] = ", ".join(config.recipients)
    mail["Date"] = format_datetime(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=now_ns // 1000))
    mail["Message-ID"] = f"<{message.key}@{config.sender.rpartition('@')[2] or 'localhost'}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["Content-Language"] = "zh-CN" if message.lang == "zh" else "en"
    mail.set_content("\n".join(message.lines) + "\n")
    return mail


def smtp_failure(error: Exception) -> tuple[Failure, str]:
    """The class of failure and the server's code: 4xx passes, 5xx stays (RFC 5321, 4.2.1)."""
    match error:
        case aiosmtplib.SMTPRecipientsRefused(recipients=[first, *_]):
            return smtp_failure(first)
        case aiosmtplib.SMTPAuthenticationError(code=code):
            return Failure.AUTH, str(code)
        case aiosmtplib.SMTPResponseException(code=code):
            return _of_code(code), str(code)
        case aiosmtplib.SMTPConnectError():
            return Failure.NETWORK, ""
        case aiosmtplib.SMTPNotSupported():
            return Failure.AUTH, ""
        case TimeoutError() | aiosmtplib.SMTPServerDisconnected():
            return Failure.UNKNOWN_AFTER_TIMEOUT, ""
        case _:
            return Failure.NETWORK, ""


def _of_code(code: int) -> Failure:
    if 400 <= code < 500:
        return Failure.NETWORK
    match code:
        case 530 | 534 | 535 | 538:
            return Failure.AUTH
        case 550 | 551 | 553 | 556:
            return Failure.GONE
        case _:
            return Failure.FORMAT
