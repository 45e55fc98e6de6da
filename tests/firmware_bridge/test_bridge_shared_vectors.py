"""Every shared frame, against what its source and an independent reading state. Skips where the frames are absent."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from firmware_bridge.describe import PROTOCOLS
from firmware_bridge.errors import ParseError
from firmware_bridge.jt808.frames import Frame, Jt808Framer, encode_frame, parse_frame
from firmware_bridge.jt808.record import record
from firmware_bridge.modbus.frames import parse_rtu
from firmware_bridge.modbus.pdus import ReadReply, ReadRequest, parse_reply, parse_request
from telemetry.reason import Reason


def entries(vectors: Path, name: str) -> Iterator[dict[str, Any]]:
    for line in (vectors / name).read_text("utf-8").splitlines():
        yield json.loads(line)


@pytest.fixture(scope="module")
def frames(vectors: Path) -> list[dict[str, Any]]:
    return list(entries(vectors, "jt808_shared.jsonl"))


def whole(frames: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The frames whose checksum is right, with their independent reading."""
    return ((entry, entry["derived"]) for entry in frames if entry.get("derived", {}).get("checksum_ok"))


def test_exactly_the_frames_with_a_wrong_checksum_or_none_are_refused(frames: list[dict[str, Any]]) -> None:
    for entry in frames:
        checksum = entry["derived"].get("checksum_ok")
        try:
            parse_frame(bytes.fromhex(entry["hex"]))
            reason = None
        except ParseError as error:
            reason = error.reason
        assert reason is {True: None, False: Reason.BAD_CHECKSUM, None: Reason.TRUNCATED}[checksum], entry


def test_every_header_reads_as_stated(frames: list[dict[str, Any]]) -> None:
    count = 0
    for entry, want in whole(frames):
        frame = parse_frame(bytes.fromhex(entry["hex"]))
        assert (f"0x{frame.message_id:04x}", frame.phone, frame.serial) == (want["msg_id"], want["phone_bcd"], want["serial"])
        assert (frame.declared_length, len(frame.body)) == (want["body_len_attr"], want["body_len_actual"])
        assert (frame.version == 2019, frame.encryption) == (want["version_flag"], want["encrypt_bits"])
        assert frame.packet == ((want["total_packets"], want["packet_no"]) if want["subpackage"] else None)
        count += 1
    assert count > 200


def located(said: dict[str, Any]) -> list[dict[str, Any]]:
    if "latitude" in said:
        return [said]
    places: list[dict[str, Any]] = said.get("locations", [said["location"]] if "location" in said else [])
    return places


def test_every_location_reads_as_stated(frames: list[dict[str, Any]]) -> None:
    count = 0
    for entry, want in whole(frames):
        wanted = [want["location"]] if "location" in want else want.get("items", [])
        if not wanted:
            continue
        for place, got in zip(wanted, located(record(bytes.fromhex(entry["hex"]))), strict=True):
            assert (got["latitude"], got["longitude"]) == (place["lat"], place["lon"])
            assert got["time"] == place["time_gmt8"].replace(" ", "T") + "+08:00"
            assert (got["alarm"], got["status"], got["altitude_m"]) == (place["alarm"], place["status"], place["altitude_m"])
            assert (got["speed_kmh"], got["course_deg"]) == (place["speed_kmh"], place["course_deg"])
            additional = [item for item in place.get("additional", []) if "hex" in item]
            assert [(item["id"], item["hex"]) for item in got["items"]] == [(item["id"], item["hex"]) for item in additional]
            count += 1
    assert count > 80


def test_the_framer_finds_the_same_frames_in_one_long_stream(frames: list[dict[str, Any]]) -> None:
    sent = [parse_frame(bytes.fromhex(entry["hex"])) for entry, _ in whole(frames)]
    wire = [frame.raw for frame in sent if frame.escaped]
    said = Jt808Framer().feed(b"\x00".join(wire))
    assert [frame.raw for frame in said if isinstance(frame, Frame)] == wire


def test_headers_encode_back_to_the_same_bytes(frames: list[dict[str, Any]]) -> None:
    for entry, _ in whole(frames):
        frame = parse_frame(bytes.fromhex(entry["hex"]))
        if not (frame.escaped and frame.length_ok) or frame.encryption or frame.protocol_version not in {None, 1}:
            continue
        again = encode_frame(frame.message_id, frame.phone, frame.serial, frame.body, frame.version, packet=frame.packet)
        assert again.hex() == entry["hex"]


def test_modbus_frames_read_as_stated(vectors: Path) -> None:
    for entry in entries(vectors, "modbus.jsonl"):
        want = entry["derived"]
        frame = parse_rtu(bytes.fromhex(entry["hex"]))
        assert (frame.unit, frame.pdu[0]) == (want["addr"], want["func"])
        assert PROTOCOLS["modbus-rtu"](bytes.fromhex(entry["hex"]))["function"] == want["func"]
        if "request" in want:
            request = parse_request(frame.pdu)
            assert isinstance(request, ReadRequest)
            assert {"start": request.address, "count": request.count} == want["request"]
        else:
            reply = parse_reply(frame.pdu)
            assert isinstance(reply, ReadReply)
            assert list(reply.values) == want["registers"]
