"""One edge node as a host application follows it: births give metrics their names, sequence numbers show what is missing.

    birth (NBIRTH)       the node is there; aliases, datatypes and the death's bdSeq begin anew, its devices wait for their own
    birth (DBIRTH)       the same of one device
    data                 counted by seq, 0 to 255 and round again, over the node and all its devices together
    death (NDEATH)       counts when its bdSeq is the birth's: an older one is the will of a connection that is gone
    death (DDEATH)       the device is gone, the node is not

Whoever joins late, or misses a message, knows no aliases for certain: a birth may have been the message that is missing, and
with it an alias may mean something else. From then on only metrics that bring name and datatype are used, and `rebirth` asks
the node to be born again (clause 6.4.20 of Eclipse Sparkplug 3.0.0, node control). A message that comes twice (MQTT may repeat
one at QoS 1) is not used again. Messages that overtake each other are not put in order: they end in a rebirth.
"""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from firmware_bridge.errors import ParseError, Refused
from firmware_bridge.sparkplug.payload import DataType, Metric, Payload, encode_payload, typed, value_of
from firmware_bridge.sparkplug.topics import Kind, Place
from telemetry.reason import Reason

__all__ = ["MAX_NAMES", "NodeSession", "Outcome", "Spoken", "rebirth_request"]

MAX_NAMES = 4096
"""Metrics that one node and its devices may be born with."""
_BDSEQ = "bdSeq"
_REBIRTH = "Node Control/Rebirth"
_MS = 1_000_000
_LATEST_MS = 2**63 // _MS


class Spoken(msgspec.Struct, frozen=True, kw_only=True):
    """What one device (GROUP/NODE or GROUP/NODE/DEVICE) said of one instant. `items` maps names to values, None for null;
    `unreadable` names the metrics that were there and cannot be used. `time_ns` is None where no readable time is told."""

    address: str
    time_ns: int | None
    items: Mapping[str, object]
    unreadable: Mapping[str, Reason] = {}
    historical: bool = False


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a message came to. `there` maps addresses to whether they are now known to be there; `rebirth` says why the node
    should be asked to be born again, empty where it should not."""

    spoken: tuple[Spoken, ...] = ()
    there: Mapping[str, bool] = {}
    refused: tuple[Refused, ...] = ()
    rebirth: str = ""


class _Born(msgspec.Struct, frozen=True):
    name: str
    datatype: int | None


class NodeSession:
    """Follows one edge node; `devices` are the names of those behind it that anybody wants to hear."""

    def __init__(self, node: str, devices: Sequence[str] = ()) -> None:
        self.node = node
        self._devices = frozenset(devices)
        self._bdseq: object = None
        self._seq: int | None = None
        self._sure = False
        self._names: dict[str, dict[str, int | None]] = {}
        self._aliases: dict[int, tuple[str, _Born]] = {}

    def lose_touch(self) -> None:
        """Messages may have been missed: nothing is certain until the next birth."""
        self._sure = False

    def take(self, place: Place, payload: Payload) -> Outcome:
        """What the message at `place` says."""
        match place.kind:
            case Kind.NBIRTH:
                return self._node_born(place, payload)
            case Kind.NDEATH:
                return self._node_died(payload)
            case Kind.NCMD | Kind.DCMD:
                return Outcome()
            case Kind.NDATA | Kind.DDATA | Kind.DBIRTH | Kind.DDEATH:
                return self._counted(place, payload)

    def _counted(self, place: Place, payload: Payload) -> Outcome:
        if payload.seq is not None and payload.seq == self._seq and self._sure:
            return Outcome(refused=(Refused(reason=Reason.DUPLICATE, detail=f"{place.kind}: seq {payload.seq} came before"),))
        gap = self._gap(payload)
        if place.kind is Kind.DDEATH:
            self._forget(place.device)
            return Outcome(there={place.address: False}, rebirth=gap)
        if place.kind is Kind.DBIRTH:
            problem = self._learn(place.device, payload.metrics)
            return self._heard(place, payload, problem or gap, there=True)
        return self._heard(place, payload, gap, there=False)

    def _node_born(self, place: Place, payload: Payload) -> Outcome:
        self._names.clear()
        self._aliases.clear()
        self._seq, self._sure = payload.seq, True
        self._bdseq = next((_plain(metric) for metric in payload.metrics if metric.name == _BDSEQ), None)
        return self._heard(place, payload, self._learn("", payload.metrics), there=True)

    def _node_died(self, payload: Payload) -> Outcome:
        told = next((_plain(metric) for metric in payload.metrics if metric.name == _BDSEQ), None)
        if None not in (told, self._bdseq) and told != self._bdseq:
            detail = f"a death of bdSeq {told}, the node was born with {self._bdseq}"
            return Outcome(refused=(Refused(reason=Reason.LATE, detail=detail),))
        self._sure = False
        gone = [self.node, *(f"{self.node}/{device}" for device in self._devices)]
        return Outcome(there=dict.fromkeys(gone, False))

    def _gap(self, payload: Payload) -> str:
        """Why a rebirth is wanted, as far as the sequence tells."""
        before, self._seq = self._seq, payload.seq
        if not self._sure:
            return "not heard since its birth"
        if payload.seq is None or (before is not None and payload.seq != (before + 1) % 256):
            self._sure = False
            return f"seq {payload.seq} after {before}"
        return ""

    def _learn(self, device: str, metrics: Sequence[Metric]) -> str:
        """Remember a birth's names and aliases; why that did not succeed."""
        if device and device not in self._devices:
            return ""
        self._forget(device)
        if sum(map(len, self._names.values())) + len(metrics) > MAX_NAMES:
            return f"born with more than {MAX_NAMES} metrics"
        self._names[device] = {metric.name: metric.datatype for metric in metrics if metric.name}
        for metric in metrics:
            if metric.name and metric.alias is not None:
                self._aliases[metric.alias] = (device, _Born(metric.name, metric.datatype))
        return ""

    def _forget(self, device: str) -> None:
        self._names.pop(device, None)
        self._aliases = {alias: born for alias, born in self._aliases.items() if born[0] != device}

    def _heard(self, place: Place, payload: Payload, rebirth: str, *, there: bool) -> Outcome:
        if place.device and place.device not in self._devices:
            refused = Refused(reason=Reason.UNKNOWN_DEVICE, detail=f"{place.address} is nobody's")
            return Outcome(refused=(refused,), rebirth=rebirth)
        if self._sure and place.device not in self._names:
            rebirth = rebirth or f"{place.device} was not born"
        gathered = _Gathered(place.address)
        unborn: list[str] = []
        for metric in payload.metrics:
            born = self._who(place.device, metric)
            if born is None:
                unborn.append(metric.name or f"alias {metric.alias}")
            elif born.name not in {_BDSEQ, _REBIRTH} and not metric.is_transient:
                gathered.add(metric, born, payload.timestamp_ms)
        spoken = tuple(gathered.spoken())
        return Outcome(
            spoken=spoken,
            there={place.address: True} if there or spoken else {},
            refused=_unborn(place, unborn),
            rebirth=rebirth or (f"{unborn[0]} was not born" if unborn else ""),
        )

    def _who(self, device: str, metric: Metric) -> _Born | None:
        """The metric's name and datatype: its own, or its birth's where that is certain."""
        if metric.name and metric.datatype is not None:
            return _Born(metric.name, metric.datatype)
        if not self._sure:
            return None
        names = self._names.get(device, {})
        if metric.name:
            return _Born(metric.name, names[metric.name]) if metric.name in names else None
        whose, born = self._aliases.get(-1 if metric.alias is None else metric.alias, ("", None))
        return born if whose == device else None


def _unborn(place: Place, names: Sequence[str]) -> tuple[Refused, ...]:
    if not names:
        return ()
    detail = f"{place.address}: no birth tells of {names[0]}" + (f" and {len(names) - 1} more" if names[1:] else "")
    return (Refused(reason=Reason.UNKNOWN_METRIC, detail=detail),)


class _Gathered:
    """The metrics of one message, by the instant they are true of."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._items: dict[tuple[int | None, bool], dict[str, object]] = {}
        self._unreadable: dict[tuple[int | None, bool], dict[str, Reason]] = {}

    def add(self, metric: Metric, born: _Born, sent_ms: int | None) -> None:
        # Without a time of its own a present value is as old as its message; how old a past one is nobody knows.
        told_ms = metric.timestamp_ms if metric.timestamp_ms is not None or metric.is_historical else sent_ms
        key = _time_ns(told_ms), metric.is_historical
        items, unreadable = self._items.setdefault(key, {}), self._unreadable.setdefault(key, {})
        if metric.is_historical and key[0] is None:
            unreadable[born.name] = Reason.IMPLAUSIBLE_TIME
            return
        # One that stands there twice counts as it stood last.
        try:
            items[born.name] = value_of(metric, born.datatype)
            unreadable.pop(born.name, None)
        except ParseError as error:
            unreadable[born.name] = error.reason
            items.pop(born.name, None)

    def spoken(self) -> Iterator[Spoken]:
        """Oldest first; what tells no time last."""
        for time_ns, historical in sorted(self._items, key=lambda key: (key[0] is None, key[0] or 0)):
            key = time_ns, historical
            yield Spoken(
                address=self._address,
                time_ns=time_ns,
                items=self._items[key],
                unreadable=self._unreadable[key],
                historical=historical,
            )


def _time_ns(time_ms: int | None) -> int | None:
    return time_ms * _MS if time_ms is not None and 0 < time_ms < _LATEST_MS else None


def _plain(metric: Metric) -> object:
    try:
        return value_of(metric, DataType.UINT64)
    except ParseError:
        return None


def rebirth_request(time_ms: int) -> bytes:
    """The payload of the NCMD that asks a node to be born again; QoS 0, never retained."""
    metric = Metric(
        name=_REBIRTH, timestamp_ms=time_ms, datatype=DataType.BOOLEAN, raw=typed(value=True, datatype=DataType.BOOLEAN)
    )
    return encode_payload(Payload(timestamp_ms=time_ms, metrics=(metric,)))
