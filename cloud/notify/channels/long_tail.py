"""Whatever else apprise knows (Bark, ServerChan, PushPlus, ...): never for critical cases, only where it is installed.

apprise tells no more than whether a service answered, and several of its Chinese robot plug-ins read the HTTP status
alone: what it calls sent may have been refused. The configuration keeps critical cases away from it.
"""

import asyncio
import importlib
from typing import Any, Protocol

from cloud.notify.messages import Message
from cloud.notify.results import Failure, SendResult

__all__ = ["Apprise", "load_apprise"]


class Notifier(Protocol):
    """The part of `apprise.Apprise` that is used."""

    def notify(self, body: str, title: str) -> Any:
        """Whether everybody was told; None where there is nobody."""
        ...


class Apprise:
    """Sends through `notifier` in a thread, for its plug-ins block."""

    def __init__(self, notifier: Notifier, timeout_s: float) -> None:
        self._notifier = notifier
        self.longest_s = timeout_s

    async def send(self, message: Message, now_ns: int) -> SendResult:
        """One attempt; never raises for the world's faults."""
        del now_ns
        try:
            async with asyncio.timeout(self.longest_s):
                told = await asyncio.to_thread(self._notifier.notify, body="\n".join(message.lines), title=message.title)
        except TimeoutError:
            return SendResult(failure=Failure.UNKNOWN_AFTER_TIMEOUT, detail="apprise did not end in time")
        if told:
            return SendResult(detail="apprise says so; the service's own answer is not known")
        return SendResult(failure=Failure.NETWORK, detail="apprise could not send it and does not say why")


def load_apprise(url: str) -> Notifier:
    """A notifier of the service at `url`; OSError where apprise is not installed or does not know the address."""
    try:
        apprise = importlib.import_module("apprise")  # an extra: who does not use it does not have it
    except ModuleNotFoundError as error:
        raise OSError("apprise is not installed; want: pip install citynerve[apprise]") from error
    notifier: Any = apprise.Apprise()
    if not notifier.add(url):
        raise OSError("apprise does not know the service of this address")
    found: Notifier = notifier
    return found
