"""What a device publishes over MQTT: its topics, the form of each payload, and how it says that it is there."""

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from itertools import chain

import msgspec

from device_profiles.branch import Branch
from device_profiles.mistakes import did_you_mean
from device_profiles.quantities import Metric, MetricType
from device_profiles.wires.documents import DocumentField, TimeField, document_rows, read_documents, read_path, read_time_field
from device_profiles.wires.fields import Row
from device_profiles.wires.items import ItemField, item_rows, read_items

__all__ = ["ADDRESS", "Form", "MqttTopic", "MqttWire", "Presence", "Several", "SparkplugWire", "mqtt_rows", "read_mqtt"]

ADDRESS = "{address}"
"""Stands for the device's address in a topic, an SenML base name or an order."""
_NAME = re.compile(r"\S(.{0,254}\S)?")  # Sparkplug's metric names may hold blanks, SenML's may not


class Form(StrEnum):
    """How a payload is written; plain is one bare value, a number or a word."""

    JSON = "json"
    CBOR = "cbor"
    PLAIN = "plain"
    SENML = "senml"
    SENML_CBOR = "senml_cbor"


class Several(msgspec.Struct, frozen=True, kw_only=True):
    """A payload that holds many devices: the list at `path`, each element with the device's address at `identity`."""

    path: tuple[str | int, ...]
    identity: tuple[str | int, ...]


class MqttTopic(msgspec.Struct, frozen=True, kw_only=True):
    """One topic of a device. SenML has `items`, by the name that follows `base`; the other forms have `fields`."""

    topic: str
    form: Form = Form.JSON
    fields: tuple[DocumentField, ...] = ()
    items: tuple[ItemField, ...] = ()
    base: str = ""
    time: TimeField | None = None
    each: Several | None = None


class Presence(msgspec.Struct, frozen=True, kw_only=True):
    """A topic that says whether the device, or what carries it, is there: a last will, an availability. The word may stand
    bare or at `path` of a JSON document."""

    topic: str
    online: str = "online"
    offline: str = "offline"
    path: tuple[str | int, ...] = ()


class SparkplugWire(msgspec.Struct, frozen=True, kw_only=True):
    """A device of a Sparkplug B edge node; an item is a metric's name. The address is GROUP/NODE or GROUP/NODE/DEVICE."""

    items: tuple[ItemField, ...]


class MqttWire(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a model publishes; a device is there when none of its presence topics says otherwise, and `online` is the
    metric that tells, where the profile has one."""

    topics: tuple[MqttTopic, ...] = ()
    presence: tuple[Presence, ...] = ()
    online: str = ""
    sparkplug: SparkplugWire | None = None

    @property
    def fields(self) -> tuple[DocumentField, ...]:
        """The fields of every topic."""
        return tuple(chain.from_iterable(topic.fields for topic in self.topics))


def read_mqtt(branch: Branch, metrics: Mapping[str, Metric]) -> MqttWire:
    """The topics of a device, and what it publishes: one topic, a list of them, or Sparkplug B."""
    inner = branch.optional("sparkplug")
    topics = _topics(branch, metrics, wanted=inner is None)
    presence, online = _presence(branch, metrics)
    sparkplug = None
    if inner is not None:
        sparkplug = SparkplugWire(items=read_items(inner, metrics, _NAME, "Environment/Temperature"))
        inner.finish()
    wire = MqttWire(topics=topics, presence=presence, online=online, sparkplug=sparkplug)
    branch.finish()
    return wire


def _topics(branch: Branch, metrics: Mapping[str, Metric], *, wanted: bool) -> tuple[MqttTopic, ...]:
    if branch.has("topics"):
        topics = []
        for each in branch.items("topics"):
            topics.append(_topic(each, metrics))
            each.finish()
        return tuple(topics)
    return (_topic(branch, metrics),) if wanted or branch.has("topic") else ()


def _topic(branch: Branch, metrics: Mapping[str, Metric]) -> MqttTopic:
    form = branch.choice("form", Form, Form.JSON)
    senml = form in {Form.SENML, Form.SENML_CBOR}
    each = _several(branch) if form in {Form.JSON, Form.CBOR} else None
    base = branch.text("base") if senml else ""
    shared = each is not None or ADDRESS in base
    topic = MqttTopic(
        topic=_read_topic(branch, "topic", addressed=not shared),
        form=form,
        fields=() if senml else read_documents(branch, metrics, rooted=form is Form.PLAIN),
        items=read_items(branch, metrics, _NAME, "temperature") if senml else (),
        base=base,
        time=read_time_field(branch) if form in {Form.JSON, Form.CBOR} else None,
        each=each,
    )
    if form is Form.PLAIN and len(topic.fields) > 1:
        branch.wrong("fields", f"{len(topic.fields)} metrics of one bare value", "one metric a topic")
    return topic


def _read_topic(branch: Branch, key: str, *, addressed: bool, like: str = "toilet/{address}/count") -> str:
    topic = branch.text(key)
    levels = topic.split("/").count(ADDRESS)
    if (addressed and levels != 1) or levels > 1 or (ADDRESS in topic and not levels):
        branch.wrong(key, f"{topic!r} has no level {ADDRESS}", f'"{like}"')
    if "+" in topic or "#" in topic:
        branch.wrong(key, "+ and # are for subscribers", f'"{like}"')
    return topic


def _several(branch: Branch) -> Several | None:
    inner = branch.optional("each")
    if inner is None:
        return None
    # "." is the root: the payload is the list itself.
    path = () if inner.text("path") == "." else read_path(inner, "path")
    several = Several(path=path, identity=read_path(inner, "identity"))
    inner.finish()
    return several


def _presence(branch: Branch, metrics: Mapping[str, Metric]) -> tuple[tuple[Presence, ...], str]:
    inner = branch.optional("presence")
    if inner is None:
        return (), ""
    online = inner.text("metric", "")
    if online and online not in metrics:
        inner.wrong("metric", f"{online!r} is not a metric of this profile", did_you_mean(online, metrics))
    elif online and metrics[online].type is not MetricType.BOOLEAN:
        inner.wrong("metric", f"{online} is a {metrics[online].type} metric", "a boolean metric")
    said = []
    for each in inner.items("topics"):
        said.append(
            Presence(
                topic=_read_topic(each, "topic", addressed=False, like="tele/{address}/LWT"),
                online=each.text("online", "online"),
                offline=each.text("offline", "offline"),
                path=read_path(each, "path") if each.has("path") else (),
            )
        )
        each.finish()
    inner.finish()
    return tuple(said), online


def mqtt_rows(wire: MqttWire) -> Iterator[Row]:
    """The map as a person reads it."""
    for topic in wire.topics:
        yield from document_rows(f"mqtt {topic.topic}", topic.fields)
        yield from item_rows(f"mqtt {topic.topic}", topic.items)
    if wire.sparkplug:
        yield from item_rows("mqtt spBv1.0", wire.sparkplug.items)
    if wire.online:
        yield "mqtt", wire.online, " and ".join(each.topic for each in wire.presence) or "births and deaths", "presence"
