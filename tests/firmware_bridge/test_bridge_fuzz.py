"""Both fuzzers on every language, and proof that they would find the bugs that decoders have."""

import sys
from pathlib import Path

import pytest
from fuzz import fuzz
from fuzzing import LANGUAGES, StuckError, guarded, limited, seeds
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from planted_bugs import PLANTED

import firmware_bridge

ROOM = Path(firmware_bridge.__file__).parent
NEEDS_ATHERIS = pytest.mark.skipif(
    sys.version_info >= (3, 14) or sys.platform != "linux", reason="atheris is made for CPython below 3.14 on Linux"
)
WRITES_ONLY = {"c_header"}
FOUND = (AssertionError, IndexError, ValueError)


def _changed(seed: bytes, times: int, at: int, new: bytes, gone: int, *, cut: bool) -> bytes:
    data = seed * times
    at %= len(data) + 1
    return data[:at] + new + (b"" if cut else data[at + gone :])


def search(language: str, examples: int) -> None:
    """Hypothesis on one language: any bytes, and seeds with a byte or a place changed, or cut; the same inputs every time."""
    one = guarded(language, seconds=0.5)
    seed, at = st.sampled_from(seeds(language, bare=True) or [b""]), st.integers(0, 2000)
    byte = st.builds(_changed, seed, st.just(1), at, st.binary(min_size=1, max_size=1), st.just(1), cut=st.just(False))
    place = st.builds(_changed, seed, st.integers(1, 4), at, st.binary(max_size=3), st.integers(0, 3), cut=st.booleans())
    inputs = st.binary(max_size=64) | byte | place

    @settings(
        max_examples=examples,
        database=None,
        derandomize=True,
        deadline=None,
        phases=[Phase.generate],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs)
    def run(data: bytes) -> None:
        one(data)

    run()


def test_every_language_has_an_entry() -> None:
    spoken = {path.parent.name for path in ROOM.glob("*/__init__.py")} | {"coap", "documents", "serial"}
    assert spoken - WRITES_ONLY <= set(LANGUAGES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_example_frame_and_no_captured_one_raises_anything_but_parse_error(language: str) -> None:
    one = guarded(language)
    for seed in seeds(language):
        one(seed)


@pytest.mark.parametrize("language", LANGUAGES)
def test_hypothesis_finds_nothing_in_any_language(language: str) -> None:
    search(language, 40)


@pytest.mark.parametrize("name", PLANTED)
def test_hypothesis_finds_a_planted_bug(name: str) -> None:
    planted = PLANTED[name]
    with planted.put_in(), pytest.raises(FOUND):
        search(planted.language, 1500)


def test_a_planted_bug_is_gone_afterwards() -> None:
    for planted in PLANTED.values():
        right = getattr(planted.owner, planted.name)
        with planted.put_in():
            assert getattr(planted.owner, planted.name) is planted.wrong
        assert getattr(planted.owner, planted.name) is right


def test_an_input_that_takes_too_long_is_found_and_what_comes_after_it_has_its_full_time() -> None:
    def never_ends() -> None:
        while True:
            pass

    with limited(0.05), pytest.raises(StuckError):
        never_ends()
    with limited(0.5):
        assert sum(range(1000)) == 499500


@pytest.mark.slow
@pytest.mark.timeout(400)
@NEEDS_ATHERIS
@pytest.mark.parametrize("name", PLANTED)
def test_atheris_finds_a_planted_bug_within_minutes_from_the_entrys_own_seeds(name: str) -> None:
    verdict = fuzz(PLANTED[name].language, 300, 1, planted=name, bare=True)
    assert verdict["found"] is not None, verdict


@pytest.mark.slow
@NEEDS_ATHERIS
@pytest.mark.parametrize("language", LANGUAGES)
def test_atheris_finds_nothing_in_some_seconds_of_each_language(language: str) -> None:
    verdict = fuzz(language, 2, 1, bare=True)
    assert verdict["found"] is None, verdict
