"""Captured terminal frames sent to a port, and what came back."""

import asyncio
import json
from pathlib import Path

import pytest

from firmware_bridge.jt808.frames import Frame, Jt808Framer, encode_frame, parse_frame
from simulators.jt808_replay import Captured, Skipped, read_frames, send_frames
from simulators.listener import Listener

LOCATION = bytes.fromhex("000000000000000301ddd940073083e00004010b005a261122225718")
FIRST, SECOND = (encode_frame(0x0200, phone, 7, LOCATION) for phone in ("013800000001", "013800000002"))
REGISTER = encode_frame(0x0100, "013800000001", 8, bytes(37) + b"X")
DOWNLINK = encode_frame(0x8104, "013800000001", 9, b"")


class Answering:
    """A platform that keeps what each connection said, and answers everything whole with `result`."""

    def __init__(self, result: int = 0, *, hang_up_after: int = 0) -> None:
        self.streams: list[bytearray] = []
        self.frames: list[bytes] = []
        self._result = result
        self._hang_up_after = hang_up_after
        self.listener = Listener(self._serve)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stream, framer = bytearray(), Jt808Framer()
        self.streams.append(stream)
        while data := await reader.read(65536):
            stream += data
            for frame in framer.feed(data):
                if isinstance(frame, Frame):
                    self.frames.append(frame.raw)
                    writer.write(self._answer(frame))
                if self._hang_up_after and len(self.frames) == self._hang_up_after:
                    return

    def _answer(self, frame: Frame) -> bytes:
        serial = frame.serial.to_bytes(2, "big")
        if frame.message_id == 0x0100:
            return encode_frame(0x8100, frame.phone, 1, serial + bytes((self._result,)), frame.version)
        body = serial + frame.message_id.to_bytes(2, "big") + bytes((self._result,))
        return encode_frame(0x8001, frame.phone, 1, body, frame.version)


def written(folder: Path, *lines: str) -> Path:
    path = folder / "frames.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_lines_are_hex_or_objects_with_hex_and_all_else_is_skipped_with_its_line_and_reason(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "# a comment",
        FIRST.hex(),
        "",
        json.dumps({"hex": SECOND.hex(" ")}),
        "7e7",
        "{broken",
        json.dumps({"frame": "7e"}),
        json.dumps({"hex": ""}),
        "7e00",
    )
    entries = list(read_frames(path))
    assert [entry.wire for entry in entries if isinstance(entry, Captured)] == [FIRST, SECOND, b"\x7e\x00"]
    skipped = [(entry.line, entry.reason.split(":")[0]) for entry in entries if isinstance(entry, Skipped)]
    assert skipped == [(5, "not hex"), (6, "not JSON"), (7, 'no "hex" in the object'), (8, "no bytes")]


def captured(*frames: bytes) -> list[Captured]:
    return [Captured(line=n, wire=frame, frame=_parsed(frame)) for n, frame in enumerate(frames, 1)]


def _parsed(frame: bytes) -> Frame | None:
    return parse_frame(frame) if frame.startswith(b"\x7e") and frame.endswith(b"\x7e") else None


@pytest.mark.integration
async def test_each_terminal_has_a_connection_of_its_own_and_every_answer_is_counted_by_its_result() -> None:
    platform = Answering()
    async with platform.listener:
        summary = await send_frames(captured(FIRST, SECOND, REGISTER, DOWNLINK), platform.listener.address, wait_s=1)
    assert [bytes(stream) for stream in platform.streams] == [FIRST + REGISTER + DOWNLINK, SECOND]
    assert (summary.sent, summary.connections, summary.unanswered, summary.hung_up) == (4, 2, 0, 0)
    # The platform here answers the downlink, too, which nobody waits for: counted where it comes before the end.
    assert summary.answers in ({"0x8001": {"ok": ok}, "0x8100": {"ok": 1}} for ok in (2, 3))


@pytest.mark.integration
async def test_a_refusal_is_counted_by_its_name() -> None:
    platform = Answering(result=1)
    async with platform.listener:
        summary = await send_frames(captured(FIRST, REGISTER), platform.listener.address, wait_s=1)
    assert summary.answers == {"0x8001": {"failed": 1}, "0x8100": {"vehicle_already_registered": 1}}


@pytest.mark.integration
async def test_one_connection_carries_everything_in_order_when_asked_to_bad_frames_too() -> None:
    platform = Answering()
    bad = FIRST[:-3] + b"\x00\x7e"
    wires = [Captured(line=1, wire=bad, frame=None), *captured(FIRST, SECOND)]
    async with platform.listener:
        summary = await send_frames(wires, platform.listener.address, one_connection=True, wait_s=1)
    assert [bytes(stream) for stream in platform.streams] == [bad + FIRST + SECOND]
    assert (summary.sent, summary.unreadable, summary.unanswered) == (3, 1, 0)


@pytest.mark.integration
async def test_an_agent_that_hangs_up_is_called_again_and_what_stays_unanswered_is_told() -> None:
    platform = Answering(hang_up_after=1)
    async with platform.listener:
        summary = await send_frames(captured(FIRST, FIRST, FIRST), platform.listener.address, rate=20, wait_s=0.2)
    assert summary.connections >= 2
    assert summary.hung_up >= 1
    assert summary.sent == 3
    assert summary.answers["0x8001"]["ok"] + summary.unanswered == 3


@pytest.mark.integration
async def test_frames_go_out_at_the_rate_asked_for() -> None:
    platform = Answering()
    async with platform.listener:
        summary = await send_frames(captured(*[FIRST] * 5), platform.listener.address, rate=25, wait_s=1)
    assert 0.16 <= summary.seconds < 1
    assert summary.answers["0x8001"] == {"ok": 5}


@pytest.mark.integration
async def test_every_shared_capture_that_can_be_read_arrives_whole(vectors: Path) -> None:
    entries = list(read_frames(vectors / "jt808_shared.jsonl"))
    frames = [entry for entry in entries if isinstance(entry, Captured)]
    assert len(frames) == len(entries)
    platform = Answering()
    async with platform.listener:
        summary = await send_frames(frames, platform.listener.address, wait_s=1)
    readable = [entry for entry in frames if entry.frame is not None]
    assert summary.sent == len(frames)
    assert summary.unanswered == 0
    assert sorted(platform.frames) == sorted(entry.wire for entry in readable)
