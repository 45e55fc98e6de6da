"""A simulated LwM2M 1.1 client: registers, is observed, notifies what changed, takes writes and executes.

A cover runs on a battery and uses queue mode: a while after it last spoke its radio hears nothing.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping

import msgspec

from device_profiles.model import Profile
from device_profiles.wires.lwm2m import Lwm2mWire
from firmware_bridge.coap import CoapMessage
from firmware_bridge.errors import ParseError
from firmware_bridge.items import encode_items
from firmware_bridge.lwm2m.links import Objects, encode_links
from firmware_bridge.lwm2m.messages import (
    ACCEPT,
    CONTENT_FORMAT,
    LOCATION_PATH,
    OBSERVE,
    URI_PATH,
    URI_QUERY,
    answer,
    number_option,
    option_number,
    option_texts,
    text_option,
)
from firmware_bridge.lwm2m.model import Kind as ValueKind
from firmware_bridge.lwm2m.paths import Path, parse_path
from firmware_bridge.lwm2m.payloads import Format, decode_payload, encode_payload
from firmware_bridge.lwm2m.registrations import AWAKE_S
from firmware_bridge.lwm2m.registry import type_at
from firmware_bridge.lwm2m.values import Value
from simulators.deeds import How, Kind
from simulators.devices.base import Calling, Surroundings
from simulators.devices.lwm2m.radio import Radio
from simulators.listener import Address
from simulators.scenario import DeviceSpec
from telemetry.clock import SECOND_NS

__all__ = ["Lwm2mClient"]

log = logging.getLogger(__name__)

_FLOOD_S, _LATE_S, _RETRY_S = 0.02, 8.0, 2.0
_LIFETIMES = 4
"""A registration holds for so many intervals; it is updated at each of them."""
_LAMP_COMMAND = (3416, 0, 1)
_OBEYS: Mapping[Path, tuple[str, ...]] = {_LAMP_COMMAND: ("dimming_command_pct", "dimming_pct")}
"""Metrics that follow a resource that is written."""


class _Observed(msgspec.Struct, kw_only=True):
    token: bytes
    form: int
    sequence: int
    told: Mapping[Path, Value]


class Lwm2mClient(Calling):
    """`spoken` counts notifications with something new, `confirmed` those that were acknowledged, `requests` what the server
    asked and was answered, `refused` registrations and notifications that the server would not have."""

    def __init__(
        self, spec: DeviceSpec, profile: Profile, around: Surroundings, target: Callable[[], Address], ack_timeout_s: float = 2.0
    ) -> None:
        super().__init__(spec, profile, around)
        if profile.wire.lwm2m is None:
            raise ValueError(f"{spec.id}: profile {profile.name} has no LwM2M wire")
        self._wire: Lwm2mWire = profile.wire.lwm2m
        self._target = target
        self._ack_timeout_s = ack_timeout_s
        self._instances = tuple(dict.fromkeys(parse_path(field.item)[:2] for field in self._wire.items))
        self._observed: dict[Path, _Observed] = {}
        self._location: list[str] = []
        self._queue_mode = spec.kind is Kind.COVER
        self._heard_ns = 0
        self._radio = self._new_radio()

    def speak(self, now_ns: int) -> bytes:
        """Every instance as of `now_ns`, as one SenML pack; ParseError where a value has no form in it."""
        return encode_payload((), Format.SENML_JSON, self._resources(now_ns))

    async def run(self) -> None:
        """Live until cancelled."""
        while True:
            self._radio = self._new_radio()
            try:
                await self._radio.open(self._target())
                await self._live()
            except OSError as error:
                log.debug("no way out", extra={"event": "sim.lwm2m.no_way", "device": self.spec.id, "error": str(error)})
            finally:
                self._radio.close()
            await asyncio.sleep(self.lasting(_RETRY_S))

    async def _live(self) -> None:
        """From one registration to the point where the server does not know it any more."""
        if not await self._register():
            return
        due = self.clock.monotonic_ns()
        while True:
            flooding = self.misbehaves(self.clock.wall_ns()) is How.FLOOD
            due = self.clock.monotonic_ns() + round(_FLOOD_S * SECOND_NS) if flooding else self.following(due)
            event = await self.wait(due)
            if self.misbehaves(self.clock.wall_ns()) is How.SILENT:
                continue
            if not event and not flooding and not await self._update():
                return
            if not await self._notify(everything=flooding):
                return

    async def _register(self) -> bool:
        lifetime_s = max(30, round(self.lasting(_LIFETIMES * self.spec.interval_s)))
        name = self.spec.address + ("-other" if self._how_now() is How.WRONG_UNIT else "")
        query = ["lwm2m=1.1", f"ep={name}", f"lt={lifetime_s}", "b=U", *(["Q"] if self._queue_mode else [])]
        links = encode_links(Objects(paths=self._instances, formats=(Format.SENML_JSON, Format.SENML_CBOR, Format.TLV)))
        said = await self._say(["rd"], query, links)
        if said is None or said.code != "2.01":
            self.account.refused += said is not None
            return False
        self._location = option_texts(said, LOCATION_PATH)
        self._observed.clear()
        return True

    async def _update(self) -> bool:
        """Whether the server still knows the registration; one that cannot be heard may."""
        said = await self._say(self._location, [], b"")
        return said is None or said.code == "2.04"

    async def _say(self, path: list[str], query: list[str], payload: bytes) -> CoapMessage | None:
        options = [*(text_option(URI_PATH, step) for step in path), *(text_option(URI_QUERY, each) for each in query)]
        options += [number_option(CONTENT_FORMAT, Format.LINKS)] if payload else []
        message = CoapMessage(
            type="CON", code="0.02", message_id=self._radio.next_id(), token=b"\x01", options=tuple(options), payload=payload
        )
        return await self._exchange(message)

    async def _exchange(self, message: CoapMessage) -> CoapMessage | None:
        said = await self._radio.exchange(message, self.lasting(self._ack_timeout_s), self._spoil)
        self._heard_ns = self.clock.monotonic_ns()
        return said

    def _spoil(self, data: bytes) -> bytes:
        match self._how_now():
            case How.NOISE:
                self.account.spoiled += 1
                return self.noise.spoil(data)
            case How.CUT:
                self.account.spoiled += 1
                return data[: len(data) // 2]
            case _:
                return data

    async def _notify(self, *, everything: bool) -> bool:
        """Tell of each observed instance that changed; False where the server is gone."""
        for path, observed in list(self._observed.items()):
            now = self._within(path, self.clock.wall_ns())
            if now == observed.told and not everything:
                continue
            observed.sequence, observed.told = observed.sequence + 1, now
            foreign = self._how_now() is How.WRONG_UNIT
            told = CoapMessage(
                type="CON",
                code="2.05",
                message_id=self._radio.next_id(),
                token=bytes(len(observed.token)) if foreign else observed.token,
                options=(number_option(OBSERVE, observed.sequence), number_option(CONTENT_FORMAT, observed.form)),
                payload=encode_payload(path, observed.form, now),
            )
            self.account.spoken += not foreign
            said = await self._exchange(told)
            if said is None:
                return False
            self.account.refused += said.type == "RST"
            self.account.confirmed += said.type == "ACK"
            if said.type == "RST" and not foreign:
                del self._observed[path]
        return True

    # What the server asks.

    def _asked(self, request: CoapMessage) -> CoapMessage | None:
        how, now_ns = self._how_now(), self.clock.monotonic_ns()
        asleep = self._queue_mode and now_ns - self._heard_ns > AWAKE_S * SECOND_NS
        if how is How.SILENT or asleep or not request.code.startswith("0."):
            return None
        self._heard_ns = now_ns
        self._radio.late_s = self.lasting(_LATE_S) if how is How.LATE else 0.0
        self.account.requests += 1
        try:
            path = parse_path("/".join(option_texts(request, URI_PATH)))
            return self._done(request, path)
        except ParseError:
            return answer(request, "4.00")

    def _done(self, request: CoapMessage, path: Path) -> CoapMessage:
        if path[:2] not in self._instances:
            return answer(request, "4.04")
        match request.code:
            case "0.01":
                return self._told(request, path)
            case "0.03" if option_texts(request, URI_QUERY):  # attributes: this client tells at once whatever they say
                return answer(request, "2.04")
            case "0.03":
                return self._written(request, path)
            case "0.02" if (row := type_at(path)) is not None and "E" in row.operations:
                return answer(request, "2.04")
            case _:
                return answer(request, "4.05")

    def _told(self, request: CoapMessage, path: Path) -> CoapMessage:
        wanted = option_number(request, ACCEPT)
        form = Format.SENML_JSON if wanted is None else wanted
        values = self._within(path, self.clock.wall_ns())
        said = answer(request, "2.05", [number_option(CONTENT_FORMAT, form)])
        if option_number(request, OBSERVE) == 0:
            self._observed[path] = _Observed(token=request.token, form=form, sequence=1, told=values)
            said = answer(request, "2.05", [number_option(OBSERVE, 1), number_option(CONTENT_FORMAT, form)])
        return msgspec.structs.replace(said, payload=encode_payload(path, form, values))

    def _written(self, request: CoapMessage, path: Path) -> CoapMessage:
        row = type_at(path)
        if row is None or "W" not in row.operations or request.content_format is None:
            return answer(request, "4.05")
        (reading,) = decode_payload(path, request.content_format, request.payload)
        if not isinstance(reading.value, (int, float)):
            return answer(request, "4.00")
        for metric in _OBEYS.get(path, ()):
            if metric in self.profile.metrics:
                self.body.pin(metric, float(reading.value))
        self._woken.set()
        return answer(request, "2.04")

    # What it measures.

    def _resources(self, now_ns: int) -> dict[Path, Value]:
        items = encode_items(self.profile, self._wire.items, self.values(now_ns))
        return {parse_path(item): _fitting(parse_path(item), value) for item, value in items.items() if value is not None}

    def _within(self, path: Path, now_ns: int) -> dict[Path, Value]:
        return {where: value for where, value in self._resources(now_ns).items() if where[: len(path)] == path}

    def _how_now(self) -> How | None:
        return self.misbehaves(self.clock.wall_ns())

    def _new_radio(self) -> Radio:
        # A device that was switched off does not know where it was; the numbers are drawn so that the same run draws the same.
        return Radio(self._asked, random.Random(f"{self.seed}/{self.account.spoken}").randrange(0x10000))  # noqa: S311


def _fitting(path: Path, value: float | str) -> Value:
    """A measurement as its resource's type holds it: the registry counts some angles and levels in whole numbers."""
    row = type_at(path)
    whole = row is not None and row.kind in {ValueKind.INTEGER, ValueKind.UNSIGNED, ValueKind.TIME}
    return round(value) if whole and isinstance(value, float) else value
