"""A UDP link that misbehaves: datagrams are lost, late, out of order or doubled, as on a bad NB-IoT cell."""

import asyncio
import random

import msgspec

from simulators.listener import Address
from simulators.relay import Direction, UdpRelay

__all__ = ["DatagramCounts", "DatagramProxy", "Weather"]

_MOST_LATE = 10_000
"""Datagrams that may be under way at once; what comes on top is lost and counted, as in a network."""


class Weather(msgspec.Struct, frozen=True, kw_only=True):
    """How bad it is. `drop`, `duplicate` and `reorder` are chances from 0 to 1 for each datagram.

    Every datagram comes `delay_s` late and by chance up to `jitter_s` more; one that is put out of order comes another
    `late_s` after that.
    """

    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    delay_s: float = 0.0
    jitter_s: float = 0.0
    late_s: float = 0.1


class DatagramCounts(msgspec.Struct, kw_only=True):
    """What became of datagrams, both directions together. `overflow`: dropped because too many were under way."""

    heard: int = 0
    dropped: int = 0
    duplicated: int = 0
    reordered: int = 0
    overflow: int = 0


class DatagramProxy:
    """A UDP proxy before `target`, whose `weather` may be changed while it runs. The same seed, the same weather."""

    def __init__(
        self, target: Address, weather: Weather | None = None, *, host: str = "127.0.0.1", port: int = 0, seed: int | str = 0
    ) -> None:
        self.weather = weather or Weather()
        self.counts = DatagramCounts()
        self._chance = random.Random(seed)  # noqa: S311 (weather wants to be repeatable, not secret)
        self._relay = UdpRelay(target, self, host=host, port=port)
        self._under_way: set[asyncio.TimerHandle] = set()

    async def start(self) -> Address:
        """Bind; the address to send to."""
        return await self._relay.start()

    async def run(self) -> None:
        """Pass datagrams on until cancelled."""
        await self._relay.run()

    async def stop(self) -> None:
        """Close every socket; what is under way is lost."""
        for timer in self._under_way:
            timer.cancel()
        await self._relay.stop()

    def opened(self, peer: str) -> None:
        """Datagrams have no connections (the `Tap` of its relay)."""

    def closed(self, peer: str) -> None:
        """Datagrams have no connections (the `Tap` of its relay)."""

    async def take(self, peer: str, direction: Direction, data: bytes) -> bytes | None:
        """Decide over one datagram (the `Tap` of its relay); it leaves here later, or at once, or never."""
        now, counts, chance = self.weather, self.counts, self._chance
        counts.heard += 1
        # Drawn always and in this order: what the weather does to one datagram changes nothing for the next.
        lost, twice, late, jitter = chance.random(), chance.random(), chance.random(), chance.uniform(0, now.jitter_s)
        if lost < now.drop:
            counts.dropped += 1
            return None
        wait_s = now.delay_s + jitter
        if late < now.reorder:
            counts.reordered += 1
            wait_s += now.late_s
        if twice < now.duplicate:
            counts.duplicated += 1
            self._later(wait_s + now.late_s, peer, direction, data)
        if wait_s == 0:
            return data
        self._later(wait_s, peer, direction, data)
        return None

    def _later(self, seconds: float, peer: str, way: Direction, data: bytes) -> None:
        if len(self._under_way) >= _MOST_LATE:
            self.counts.overflow += 1
            return
        host, _, port = peer.rpartition(":")

        def arrive() -> None:
            self._under_way.discard(timer)
            self._relay.pass_on((host, int(port)), way, data)

        timer = asyncio.get_running_loop().call_later(seconds, arrive)
        self._under_way.add(timer)
