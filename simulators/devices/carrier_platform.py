"""A carrier's platform (OneNET) for one device behind it: pushes what the device said, signed, and again where that fails."""

import asyncio
import logging
import random
from collections.abc import Callable

import aiohttp

from device_profiles.model import Profile
from device_profiles.wires.carrier import CarrierWire
from firmware_bridge.carriers.onenet import signed_push
from firmware_bridge.items import encode_items
from simulators.deeds import How
from simulators.devices.base import Calling, Surroundings
from simulators.listener import Address
from simulators.scenario import DeviceSpec
from telemetry.clock import SECOND_NS

__all__ = ["SIMULATED_TOKEN", "CarrierDevice"]

log = logging.getLogger(__name__)

SIMULATED_TOKEN = "simulated-platform"  # noqa: S105 (nobody's: agent and simulator agree on it)
_PUSHES = 4
"""One push and three repeats, as CTWing's documents say; then the platform gives it up."""
_RETRY_S, _ANSWER_S, _FLOOD_S, _LATE_S = 1.0, 10.0, 0.02, 30.0
_ACCEPTED = 200


class CarrierDevice(Calling):
    """`spoken` counts pushes, each once however often it was repeated, `confirmed` those answered 200, `overflow` those given
    up after three repeats."""

    def __init__(self, spec: DeviceSpec, profile: Profile, around: Surroundings, target: Callable[[], Address]) -> None:
        super().__init__(spec, profile, around)
        if profile.wire.carrier is None:
            raise ValueError(f"{spec.id}: profile {profile.name} has no carrier wire")
        self._wire: CarrierWire = profile.wire.carrier
        self._target = target
        self._chance = random.Random(self.seed)  # noqa: S311 (nonces of a run want to be repeatable, not secret)

    def speak(self, now_ns: int) -> bytes:
        """The push of everything as of `now_ns`; ParseError where a value has no form in it."""
        how = self.misbehaves(now_ns)
        device: int | str = int(self.spec.address) if self.spec.address.isdecimal() else self.spec.address
        stranger = f"{self.spec.address}0" if how is How.WRONG_UNIT else device
        at = (now_ns - (round(self.lasting(_LATE_S) * SECOND_NS) if how is How.LATE else 0)) // 1_000_000
        items = encode_items(self.profile, self._wire.items, self.values(now_ns))
        points = [
            {"type": 1, "dev_id": stranger, "ds_id": _ds_id(item), "at": at, "value": value}
            for item, value in items.items()
            if value is not None
        ]
        body = signed_push(points, SIMULATED_TOKEN, f"{self._chance.randrange(16**8):08x}")
        if how is How.NOISE:
            return self.noise.spoil(body) + b"\xff"
        return body[: len(body) // 2] if how is How.CUT else body

    async def run(self) -> None:
        """Live until cancelled."""
        timeout = aiohttp.ClientTimeout(total=_ANSWER_S)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            due = self.clock.monotonic_ns()
            while True:
                now_ns = self.clock.wall_ns()
                how = self.misbehaves(now_ns)
                if how is not How.SILENT:
                    await self._push_until_taken(session, self.speak(now_ns), whole=how not in {How.NOISE, How.CUT})
                due = self.following(due)
                flood_due = self.clock.monotonic_ns() + round(_FLOOD_S * SECOND_NS)
                await self.wait(flood_due if how is How.FLOOD else due)

    async def _push_until_taken(self, session: aiohttp.ClientSession, body: bytes, *, whole: bool) -> None:
        self.account.spoken += whole
        self.account.spoiled += not whole
        for turn in range(_PUSHES):
            self.account.resent += turn > 0
            status = await self._push(session, body)
            if status == _ACCEPTED:
                self.account.confirmed += 1
                return
            self.account.refused += status is not None
            await asyncio.sleep(self.lasting(_RETRY_S * 2**turn))
        self.account.overflow += 1

    async def _push(self, session: aiohttp.ClientSession, body: bytes) -> int | None:
        """The receiver's status; None where there was none."""
        host, port = self._target()
        url = f"http://{f'[{host}]' if ':' in host else host}:{port}/push"
        try:
            async with session.post(url, data=body, headers={"Content-Type": "application/json"}) as answer:
                return answer.status
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            log.debug("no answer", extra={"event": "sim.carrier.unanswered", "device": self.spec.id, "error": repr(error)})
            return None


def _ds_id(item: str) -> str:
    """`/3303/0/5700` as the platform writes it; a property's name as it is."""
    return item.removeprefix("/").replace("/", "_") if item.startswith("/") else item
