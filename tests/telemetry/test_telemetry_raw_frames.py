"""Frames written as texts: what fits comes back as it was, what does not is counted, and no text breaks the reader."""

from hypothesis import given
from hypothesis import strategies as st

from telemetry.raw_frames import EVIDENCE_FRAME, RAW_FRAME, RawFrame, is_raw_frame, read_frames, without_frames, written_frames

LANGUAGES = st.sampled_from(["jt808", "modbus-rtu", "sparkplug-b", "toilet_node_serial"])
FRAMES = st.lists(st.builds(RawFrame, LANGUAGES, st.binary(max_size=1400)), max_size=6)


@given(FRAMES, st.integers(1, 8))
def test_what_was_written_is_read_again_and_the_rest_is_counted(frames: list[RawFrame], most: int) -> None:
    texts, left_out = written_frames(RAW_FRAME, frames, most)
    again = read_frames(RAW_FRAME, texts)
    assert len(texts) <= most
    assert all(isinstance(text, str) and len(text) <= 1024 for text in texts.values())
    assert [frame.language for frame in again] == [frame.language for frame in frames[: len(again)]]
    assert all(whole.raw.startswith(frame.raw) for frame, whole in zip(again, frames, strict=False))
    assert all(len(frame.raw) + frame.left_out == len(whole.raw) for frame, whole in zip(again, frames, strict=False))
    assert sum(len(frame.raw) for frame in frames) == sum(len(frame.raw) for frame in again) + left_out


@given(
    st.dictionaries(st.sampled_from([RAW_FRAME, "raw_frame.2", "raw_frame.3"]), st.text(max_size=40) | st.none() | st.integers())
)
def test_a_text_of_another_form_ends_the_list(values: dict[str, str | int | None]) -> None:
    assert all(isinstance(frame.raw, bytes) for frame in read_frames(RAW_FRAME, values))


def test_a_short_frame_is_one_text_that_a_person_can_read() -> None:
    assert written_frames(RAW_FRAME, [RawFrame("jt808", b"\x7e\x02\x7e")], 8) == ({"raw_frame": "jt808:7e027e"}, 0)


def test_a_long_frame_goes_on_in_the_next_text_and_the_last_one_says_what_is_missing() -> None:
    texts, left_out = written_frames(EVIDENCE_FRAME, [RawFrame("jt808", bytes(1200))], 2)
    assert list(texts) == ["frame", "frame.2"]
    assert str(texts["frame.2"]).endswith(f"00~{left_out}")
    assert left_out == 1200 - (2048 - 12 - len("jt808:")) // 2


def test_frames_of_one_reading_share_a_text_and_stay_apart() -> None:
    frames = [RawFrame("dlt645", b"\x68\x16"), RawFrame("dlt645", b"\x68\x00\x16")]
    texts, _ = written_frames(RAW_FRAME, frames, 8)
    assert texts == {"raw_frame": "dlt645:6816,dlt645:680016"}
    assert read_frames(RAW_FRAME, texts) == frames


def test_evidence_without_its_frames_is_what_it_was_before() -> None:
    evidence = {"level": 3.5, "frame": "jt808:7e", "frame.2": "+7e", "frame.received_ns": 5, "frames_seen": 2}
    assert without_frames(evidence) == {"level": 3.5, "frames_seen": 2}


def test_only_the_reserved_name_is_a_frame() -> None:
    assert is_raw_frame("raw_frame")
    assert is_raw_frame("raw_frame.3")
    assert not is_raw_frame("raw_frames")
