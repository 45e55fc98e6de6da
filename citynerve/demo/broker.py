"""The demo's MQTT broker: amqtt in this process, or whichever one is named."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from telemetry.broker import broker_address

__all__ = ["BrokerUnreachableError", "broker"]


class BrokerUnreachableError(ConnectionError):
    """The broker that was named does not answer."""

    def __init__(self, address: str, detail: str) -> None:
        super().__init__(f"{address}: {detail}")
        self.address = address
        self.detail = detail


@asynccontextmanager
async def broker(url: str | None) -> AsyncIterator[str]:
    """The address of a broker that answers for as long as the context lasts; BrokerUnreachableError when `url` does not."""
    if url is not None:
        await _knock(url)
        yield url
        return
    from amqtt.broker import Broker

    # What its clients do wrong is told by the clients; amqtt itself speaks MQTT 3.1.1 only.
    logging.getLogger("amqtt").setLevel(logging.CRITICAL)
    logging.getLogger("transitions").setLevel(logging.CRITICAL)
    port = _free_port()
    embedded = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
    )
    await embedded.start()
    try:
        yield f"mqtt://127.0.0.1:{port}?version=3.1.1"
    finally:
        await embedded.shutdown()


async def _knock(url: str) -> None:
    try:
        address = broker_address(url)
        async with asyncio.timeout(5):
            _, writer = await asyncio.open_connection(address.host, address.port)
    except (ValueError, OSError, TimeoutError) as error:
        raise BrokerUnreachableError(url, str(error) or "no answer within 5 s") from error
    writer.close()
    await writer.wait_closed()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
