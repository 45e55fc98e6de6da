"""How many frames a second each language decodes on one core: from bytes to a reading in the vocabulary's units.

What is decoded are the example frames of the catalog's profiles (frames.yaml), so anybody's installation measures the same.
"""

import time
from collections.abc import Iterator, Sequence
from statistics import median

import msgspec

from benchmarks.decoders import DECODERS, Decoder
from device_profiles.frames import ExampleFrame, load_frames
from device_profiles.model import Profile
from device_profiles.shelf import catalog_path, load_catalog

__all__ = ["DecodeFigures", "LanguageFigures", "measure_decode"]

_WINDOWS = 5
"""Each language is measured so often; the median counts, so that a busy moment of the machine does not."""


class LanguageFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One language. `frames` and `bytes` are what one pass over the examples decodes, `values` the metrics it yields;
    `slowest` and `fastest` are the windows beside the median."""

    language: str
    examples: int
    frames: int
    bytes: int
    values: int
    frames_per_s: float
    slowest_frames_per_s: float
    fastest_frames_per_s: float
    values_per_s: float
    microseconds_per_frame: float


class DecodeFigures(msgspec.Struct, frozen=True, kw_only=True):
    """All languages that the catalog has examples of; `not_measured` are those without a decoder here."""

    languages: tuple[LanguageFigures, ...]
    not_measured: tuple[str, ...]


def measure_decode(seconds: float) -> DecodeFigures:
    """Measure for about `seconds` of one core in all."""
    by_language: dict[str, list[tuple[Profile, ExampleFrame]]] = {}
    for profile, example in _examples():
        by_language.setdefault(example.transport, []).append((profile, example))
    measured = sorted(by_language.keys() & DECODERS.keys())
    window_s = seconds / max(1, len(measured) * _WINDOWS)
    return DecodeFigures(
        languages=tuple(_measure(language, by_language[language], window_s) for language in measured),
        not_measured=tuple(sorted(by_language.keys() - DECODERS.keys())),
    )


def _examples() -> Iterator[tuple[Profile, ExampleFrame]]:
    for name, profile in load_catalog().items():
        for example in load_frames(catalog_path() / name, profile):
            yield profile, example


def _measure(language: str, examples: Sequence[tuple[Profile, ExampleFrame]], window_s: float) -> LanguageFigures:
    decoders = [DECODERS[language](profile, example) for profile, example in examples]
    values = sum(len(decoded.values) for decoder in decoders for decoded in decoder())  # warms up, too
    asked = 2 if language == "modbus_rtu" else 1  # of questions and answers only the answers are decoded
    frames = sum(len(example.payloads) // asked for _, example in examples)
    size = sum(len(raw) for _, example in examples for raw in example.payloads[asked - 1 :: asked])
    passes = sorted(_passes_per_s(decoders, window_s) for _ in range(_WINDOWS))
    rate = median(passes)
    return LanguageFigures(
        language=language,
        examples=len(examples),
        frames=frames,
        bytes=size,
        values=values,
        frames_per_s=rate * frames,
        slowest_frames_per_s=passes[0] * frames,
        fastest_frames_per_s=passes[-1] * frames,
        values_per_s=rate * values,
        microseconds_per_frame=1e6 / (rate * frames),
    )


def _passes_per_s(decoders: Sequence[Decoder], window_s: float) -> float:
    """Passes over all decoders in a second of this core, however many others wanted it."""
    passes, began = 0, time.process_time()
    while (spent := time.process_time() - began) < window_s or not passes:
        for decoder in decoders:
            for _ in decoder():
                pass
        passes += 1
    return passes / spent
