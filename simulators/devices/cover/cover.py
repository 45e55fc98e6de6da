"""A smart manhole cover on NB-IoT: a CoAP client that sleeps, wakes for its heartbeat or an event, posts, and sleeps again.

Its datagrams leave by the computer's own socket, or, in the forms `bc95` and `bc26`, through a simulated modem on a serial line.
"""

import asyncio
import json
import logging
from collections.abc import Callable

import aiocoap
import cbor2
import msgspec
from aiocoap.error import Error as CoapError

from device_profiles.model import Profile
from device_profiles.wires.coap import CoapWire
from firmware_bridge.documents import CBOR, JSON, encode_document
from simulators.deeds import How
from simulators.devices.base import Calling, Surroundings
from simulators.devices.cover.by_modem import ModemRoad
from simulators.devices.memory import Kept, Memory
from simulators.listener import Address
from simulators.scenario import DeviceSpec
from simulators.ways import Form
from telemetry.clock import SECOND_NS

__all__ = ["Cover", "CoverReport"]

log = logging.getLogger(__name__)

_MEMORY = 64
_ANSWER_S = 30.0
_RETRY_FIRST_S, _RETRY_MOST_S = 1.0, 60.0


class CoverReport(msgspec.Struct, frozen=True, kw_only=True):
    """One post, ready to go: what goes out again after a silence is byte for byte the same."""

    payload: bytes
    content_format: int
    time_ns: int
    whole: bool = True


class _Patience(aiocoap.TransportTuning):  # type: ignore[misc]  # the library has no types
    """RFC 7252, clause 4.8: doubling from ACK_TIMEOUT; two repeats, then the radio sleeps and tries again later."""

    MAX_RETRANSMIT = 2

    def __init__(self, ack_timeout_s: float) -> None:
        self.ACK_TIMEOUT = ack_timeout_s


class Cover(Calling):
    """Posts a report at power-up, every `interval_s`, and at once when something happens; keeps what was not answered."""

    def __init__(
        self, spec: DeviceSpec, profile: Profile, around: Surroundings, target: Callable[[], Address], ack_timeout_s: float = 2.0
    ) -> None:
        super().__init__(spec, profile, around)
        if profile.wire.coap is None:
            raise ValueError(f"{spec.id}: profile {profile.name} has no CoAP wire")
        self._wire: CoapWire = profile.wire.coap
        self._target = target
        self._ack_timeout_s = ack_timeout_s
        self._count = 0
        self.modem = ModemRoad(spec.form, around.clock, target, self.seed) if spec.form in {Form.BC95, Form.BC26} else None
        self._memory: Memory[CoverReport] = Memory(_MEMORY)

    def speak(self, now_ns: int) -> CoverReport:
        """The next report, as of `now_ns`: the same calls at the same instants give the same bytes."""
        self._count += 1
        values = self.values(now_ns)
        if "frame_counter" in values:
            values["frame_counter"] = self._count
        document = encode_document(self.profile, self._wire.fields, self._wire.time, values, now_ns // SECOND_NS * SECOND_NS)
        _put_identity(document, self._wire.identity, self.spec.address)
        in_cbor = self.spec.form is Form.CBOR
        payload = cbor2.dumps(document) if in_cbor else json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
        content_format, how = CBOR if in_cbor else JSON, self.misbehaves(now_ns)
        if how is How.NOISE or how is How.CUT:
            payload = self.noise.spoil(payload) + b"\xff" if how is How.NOISE else payload[: len(payload) // 2]
            return CoverReport(payload=payload, content_format=content_format, time_ns=now_ns, whole=False)
        return CoverReport(payload=payload, content_format=content_format, time_ns=now_ns)

    async def run(self) -> None:
        """Live until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.keep_beat())
            group.create_task(self._transmit())
            if self.modem is not None:
                group.create_task(self.modem.run())

    def keep_now(self, now_ns: int, *, event: bool) -> None:
        self._memory.keep(self.speak(now_ns), event=event)
        self.account.overflow = self._memory.overflow

    async def _transmit(self) -> None:
        patience_s = _RETRY_FIRST_S
        while True:
            (kept,) = await self._memory.oldest()
            if await self._post_all(kept):
                patience_s = _RETRY_FIRST_S
                continue
            await asyncio.sleep(self.lasting(patience_s))
            patience_s = min(2 * patience_s, _RETRY_MOST_S)

    async def _post_all(self, first: Kept[CoverReport]) -> bool:
        """Wake the radio, hand over all that waits, sleep again; whether all was answered."""
        if self.modem is not None:
            return await self._post_by_modem(self.modem, first)
        context = await aiocoap.Context.create_client_context(transports=["simple6"])
        try:
            while await self._post(context, first):
                if not len(self._memory):
                    return True
                (first,) = await self._memory.oldest()
            return False
        finally:
            await context.shutdown()

    async def _post_by_modem(self, modem: ModemRoad, kept: Kept[CoverReport]) -> bool:
        self._count_sent(kept)
        message = kept.message
        code = await modem.post(self._wire.path, message.payload, message.content_format, self._ack_timeout_s)
        return code is not None and self._settle(kept, int(code[0]))

    async def _post(self, context: aiocoap.Context, kept: Kept[CoverReport]) -> bool:
        host, port = self._target()
        request = aiocoap.Message(
            code=aiocoap.POST,
            uri=f"coap://{f'[{host}]' if ':' in host else host}:{port}/{self._wire.path.lstrip('/')}",
            payload=kept.message.payload,
            content_format=kept.message.content_format,
            transport_tuning=_Patience(self._ack_timeout_s),
        )
        self._count_sent(kept)
        try:
            async with asyncio.timeout(_ANSWER_S):
                answer = await context.request(request).response
        except (CoapError, OSError, TimeoutError) as error:
            log.debug("no answer", extra={"event": "sim.cover.unanswered", "device": self.spec.id, "error": repr(error)})
            return False
        return self._settle(kept, answer.code.class_)

    def _count_sent(self, kept: Kept[CoverReport]) -> None:
        kept.sent += 1
        self.account.resent += kept.sent > 1
        self.account.spoken += kept.sent == 1 and kept.message.whole
        self.account.spoiled += kept.sent == 1 and not kept.message.whole

    def _settle(self, kept: Kept[CoverReport], code_class: int) -> bool:
        """Success and client errors end a report; a server that cannot take it now will be asked again."""
        if code_class == 5:
            return False
        self.account.confirmed += code_class == 2
        self.account.refused += code_class != 2
        self._memory.done(kept)
        return True


def _put_identity(document: object, path: tuple[str | int, ...], address: str) -> None:
    here = document
    for step in path[:-1]:
        assert isinstance(here, dict)  # noqa: S101 (encode_document made it, out of dicts)
        here = here.setdefault(step, {})
    assert isinstance(here, dict)  # noqa: S101 (as above)
    here[path[-1]] = address
