"""Who is there: what last wills, availabilities, births and deaths say of the devices of a link."""

from collections.abc import Mapping

from edge_agent.drivers.base import Tally
from edge_agent.drivers.mqtt.routes import Publisher, Routes
from firmware_bridge.publications import read_presence
from firmware_bridge.values import Decoded

__all__ = ["PresenceBook"]


class PresenceBook:
    """A device is there when no topic says otherwise: neither its own nor that of the bridge which carries it.

    What it learns stands in the link's tally at once, and becomes a reading of the metric that the profile has for it.
    """

    def __init__(self, routes: Routes, tally: Tally) -> None:
        self._topics = routes.presence
        self._by_id = {each.device.id: each for each in routes.publishers}
        self._tally = tally
        self._gone: dict[str, set[str]] = {device: set() for device in self._by_id}
        self._lives: dict[str, bool] = {}

    def hear(self, topic: str, payload: bytes) -> list[tuple[Publisher, Decoded]]:
        """What a presence topic says of whom it speaks of. ParseError where it is not one of the profile's words."""
        told = []
        for publisher, presence in self._topics[topic]:
            there = read_presence(presence, payload)
            self._note(publisher.device.id, topic, there=there is not False)
            if there is not None:
                told.append(publisher)
        return [(each, self._reading(each)) for each in told if each.wire.online]

    def tell(self, there: Mapping[str, bool]) -> list[tuple[Publisher, Decoded]]:
        """What births, deaths and data say, by device id; only what is new becomes a reading, for data say it all the time."""
        news = [device for device, is_there in there.items() if self._lives.get(device) is not is_there]
        self._lives |= there
        for device, is_there in there.items():
            self._note(device, "", there=is_there)
        return [(each, self._reading(each)) for each in map(self._by_id.__getitem__, news) if each.wire.online]

    def _note(self, device: str, topic: str, *, there: bool) -> None:
        (self._gone[device].discard if there else self._gone[device].add)(topic)
        (self._tally.absent.add if self._gone[device] else self._tally.absent.discard)(device)

    def _reading(self, publisher: Publisher) -> Decoded:
        return Decoded(values={publisher.wire.online: not self._gone[publisher.device.id]})
