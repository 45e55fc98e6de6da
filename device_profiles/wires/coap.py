"""A document posted over CoAP."""

from collections.abc import Iterator, Mapping

import msgspec

from device_profiles.branch import Branch
from device_profiles.quantities import Metric
from device_profiles.wires.documents import DocumentField, TimeField, document_rows, read_documents, read_path, read_time_field
from device_profiles.wires.fields import Row

__all__ = ["CoapWire", "coap_rows", "read_coap"]


class CoapWire(msgspec.Struct, frozen=True, kw_only=True):
    """A document posted over CoAP; content format 50 (JSON) and 60 (CBOR) are both understood."""

    path: str
    fields: tuple[DocumentField, ...]
    time: TimeField | None = None
    identity: tuple[str | int, ...] = ("id",)


def read_coap(branch: Branch, metrics: Mapping[str, Metric]) -> CoapWire:
    """The resource that a device posts to, and what it posts."""
    wire = CoapWire(
        path=branch.text("path").strip("/"),
        fields=read_documents(branch, metrics),
        time=read_time_field(branch),
        identity=read_path(branch, "identity", "id"),
    )
    branch.finish()
    return wire


def coap_rows(wire: CoapWire) -> Iterator[Row]:
    """The map as a person reads it."""
    return document_rows(f"coap /{wire.path}", wire.fields)
