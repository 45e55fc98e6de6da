"""Runs one update session against one device until it ends."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from edge_agent.backoff import Backoff
from edge_agent.updates.base import SilentError, Updatable
from firmware_bridge.update.session import Ending, Limits, Session
from firmware_bridge.update.standing import Standing
from firmware_bridge.update.table import Action, State

__all__ = ["Progress", "Prove", "run_update"]


class Progress(msgspec.Struct, frozen=True):
    """Where a session is: `chunk` of `chunks` have been confirmed by the device."""

    state: State
    chunk: int
    chunks: int


Prove = Callable[[], Awaitable[str]]
"""Whether the device does its work with the new image: "" where it does, else what is wrong."""


async def run_update(
    device: Updatable,
    *,
    prove: Prove | None = None,
    limits: Limits | None = None,
    tell: Callable[[Progress], None] = lambda _: None,
    pauses: Backoff | None = None,
    cancelled: asyncio.Event | None = None,
) -> Ending:
    """Lead `device` to its package; how that ended. Without `prove` a device that answers on trial is taken for well.

    After silence, or an answer that is no step forward, it waits as `pauses` says (1 s doubling to 30 s without). Setting
    `cancelled` ends the session at its next step: before the new image runs by leaving everything, afterwards by going back.
    """
    session = Session(device.package, limits)
    waits = pauses or Backoff(1.0, 30.0)
    chunks = device.package.manifest.chunks
    told_cancelled = False
    while session.ending is None:
        tell(Progress(session.state, session.chunk, chunks))
        before = (session.state, session.action, session.chunk)
        await _step(device, session, prove)
        if cancelled is not None and cancelled.is_set() and not told_cancelled:
            told_cancelled = True
            session.cancel()
        if session.action is Action.ASK or before == (session.state, session.action, session.chunk):
            await asyncio.sleep(waits.next_s())
        else:
            waits.reset()
    return session.ending


async def _step(device: Updatable, session: Session, prove: Prove | None) -> None:
    if session.action is Action.PROVE:
        wrong = await prove() if prove is not None else ""
        session.proved(well=not wrong, detail=wrong)
        return
    try:
        session.heard(await _act(device, session))
    except SilentError as silence:
        session.silent(silence.reason, silence.detail)


async def _act(device: Updatable, session: Session) -> Standing:
    match session.action:
        case Action.OFFER:
            return await device.offer()
        case Action.SEND:
            return await device.send(session.chunk)
        case Action.VERIFY:
            return await device.verify()
        case Action.START:
            return await device.start()
        case Action.CONFIRM:
            return await device.confirm()
        case Action.REVERT:
            return await device.revert()
        case Action.ASK | Action.PROVE | Action.STOP:
            return await device.ask()
