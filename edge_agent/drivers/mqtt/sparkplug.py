"""The Sparkplug B edge nodes of a link: their sessions, and when to ask one to be born again."""

from collections.abc import Iterator, Mapping

import msgspec

from edge_agent.drivers.mqtt.routes import Publisher
from firmware_bridge.errors import Refused
from firmware_bridge.items import decode_items
from firmware_bridge.sparkplug.payload import parse_payload
from firmware_bridge.sparkplug.session import NodeSession, Outcome, rebirth_request
from firmware_bridge.sparkplug.topics import Kind, node_topic, parse_topic
from firmware_bridge.values import Decoded
from telemetry.clock import SECOND_NS, Clock
from telemetry.reason import Reason

__all__ = ["Heeded", "SparkplugNodes"]

_ASK_AGAIN_NS = 10 * SECOND_NS
"""A node that does not answer a rebirth request is asked again after this time, and not with every message."""


class Heeded(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one message: readings, who is known to be there or gone, what was refused, and which node is to be asked."""

    readings: tuple[tuple[Publisher, Decoded], ...] = ()
    there: Mapping[str, bool] = {}
    refused: tuple[Refused, ...] = ()
    ask: str = ""


class SparkplugNodes:
    """Follows the nodes of the publishers that speak Sparkplug; `there` maps device ids."""

    def __init__(self, publishers: list[Publisher], clock: Clock) -> None:
        self._clock = clock
        self._publishers = {each.device.address: each for each in publishers if each.wire.sparkplug}
        names: dict[str, list[str]] = {each.node: [] for each in self._publishers.values()}
        for address, each in self._publishers.items():
            if address != each.node:
                names[each.node].append(address.rpartition("/")[2])
        self._nodes = {node: NodeSession(node, devices) for node, devices in names.items()}
        self._asked_ns: dict[str, int] = {}

    def begin(self) -> list[str]:
        """A connection is new: what was said meanwhile is not known. The nodes to be asked."""
        for node in self._nodes.values():
            node.lose_touch()
        self._asked_ns = dict.fromkeys(self._nodes, self._clock.monotonic_ns())
        return list(self._nodes)

    def take(self, topic: str, payload: bytes, *, retained: bool) -> Heeded:
        """What a message says. ParseError where topic or payload cannot be read."""
        place = parse_topic(topic)
        session = self._nodes.get(place.node)
        if session is None:
            return Heeded(refused=(Refused(reason=Reason.UNKNOWN_DEVICE, detail=f"{place.node} is nobody's"),))
        if place.kind in {Kind.NCMD, Kind.DCMD}:
            return Heeded()
        if retained:
            # Births and deaths are never retained (clause 6.4): a kept one tells of a session that may be over.
            return Heeded(refused=(Refused(reason=Reason.LATE, detail=f"a retained {place.kind}"),))
        outcome = session.take(place, parse_payload(payload))
        return Heeded(
            readings=tuple(self._readings(outcome)),
            there={self._publishers[a].device.id: there for a, there in outcome.there.items() if a in self._publishers},
            refused=outcome.refused,
            ask=place.node if outcome.rebirth and self._may_ask(place.node) else "",
        )

    def _readings(self, outcome: Outcome) -> Iterator[tuple[Publisher, Decoded]]:
        for spoken in outcome.spoken:
            publisher = self._publishers.get(spoken.address)
            if publisher is None or publisher.wire.sparkplug is None:
                continue
            items = publisher.wire.sparkplug.items
            decoded = decode_items(publisher.profile, items, spoken.items, time_ns=spoken.time_ns, unreadable=spoken.unreadable)
            if decoded.values:  # a node also tells what no profile asks for
                yield publisher, decoded

    def _may_ask(self, node: str) -> bool:
        now_ns, before_ns = self._clock.monotonic_ns(), self._asked_ns.get(node)
        if before_ns is not None and now_ns - before_ns < _ASK_AGAIN_NS:
            return False
        self._asked_ns[node] = now_ns
        return True

    def request(self, node: str) -> tuple[str, bytes]:
        """Topic and payload that ask a node to be born again."""
        return node_topic(Kind.NCMD, node), rebirth_request(self._clock.wall_ns() // 1_000_000)
