"""A document published over MQTT, on a topic of the device's own."""

from collections.abc import Iterator, Mapping

import msgspec

from device_profiles.branch import Branch
from device_profiles.quantities import Metric
from device_profiles.wires.documents import DocumentField, TimeField, document_rows, read_documents, read_time_field
from device_profiles.wires.fields import Row

__all__ = ["MqttWire", "mqtt_rows", "read_mqtt"]


class MqttWire(msgspec.Struct, frozen=True, kw_only=True):
    """A JSON document published on the device's own topic; `{address}` in `topic` is the device's address."""

    topic: str
    fields: tuple[DocumentField, ...]
    time: TimeField | None = None
    command_topic: str = ""


def read_mqtt(branch: Branch, metrics: Mapping[str, Metric]) -> MqttWire:
    """The topics of a device, and what it publishes."""
    topic = branch.text("topic")
    if topic.split("/").count("{address}") != 1:
        branch.wrong("topic", f"{topic!r} has no level {{address}}", '"toilet/{address}/count"')
    for key in ("topic", "command_topic"):
        if any(wild in branch.text(key, "") for wild in "+#"):
            branch.wrong(key, "+ and # are for subscribers", '"toilet/{address}/count"')
    wire = MqttWire(
        topic=topic,
        fields=read_documents(branch, metrics),
        time=read_time_field(branch),
        command_topic=branch.text("command_topic", ""),
    )
    branch.finish()
    return wire


def mqtt_rows(wire: MqttWire) -> Iterator[Row]:
    """The map as a person reads it."""
    return document_rows(f"mqtt {wire.topic}", wire.fields)
