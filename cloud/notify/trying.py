"""Trying a channel out: one message that asks for nothing, and the vendor's answer in words."""

import asyncio
import secrets
from collections.abc import AsyncIterator

import aiohttp

from cloud.notify.channels import open_channel
from cloud.notify.config import PERSONAL, ChannelConfig, Language
from cloud.notify.messages import say, trial
from cloud.notify.results import SendResult
from telemetry.clock import Clock

__all__ = ["in_words", "try_channel"]


async def try_channel(channel: ChannelConfig, clock: Clock, person: str = "") -> AsyncIterator[tuple[str, SendResult]]:
    """Send a test message to `person`, else to everybody of the channel; (target, what came of it) for each.

    Writes nothing to the outbox and keeps to no budget. OSError where a secret file cannot be read, LookupError where
    the channel has nobody of that name.
    """
    targets = [one.name for one in channel.people] if channel.kind in PERSONAL else [""]
    if person:
        targets = [target for target in targets if target == person]
    if not targets:
        raise LookupError(f"{channel.name}: nobody is called {person!r}" if person else f"{channel.name}: it has no people")
    async with aiohttp.ClientSession(trust_env=False, cookie_jar=aiohttp.DummyCookieJar()) as session:
        opened = await asyncio.to_thread(open_channel, channel, session)
        for target in targets:
            found, now_ns = channel.person(target), clock.wall_ns()
            message = trial(channel, found.address if found else "", now_ns, secrets.token_hex(16))
            yield target, await opened.send(message, now_ns)


def in_words(result: SendResult, lang: Language) -> str:
    """What the vendor answered and what to do about it, on one line."""
    said = say(lang, f"said_{result.failure.value}" if result.failure else "said_taken")
    given = [part for part in (result.vendor_code, result.receipt, result.detail) if part]
    return f"{said} [{'; '.join(given)}]" if given else said
