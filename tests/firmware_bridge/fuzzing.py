"""What both fuzzers share: the languages' entries, what they begin with, and a limit to the time that one input may take.

An entry is a module `fuzz_<language>.py` with `fuzz_one(data)`: any bytes, nothing raised unless the product is wrong. It may
have `SEEDS`, inputs that reach far into the language.
"""

import contextlib
import json
import signal
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from types import FrameType, ModuleType

from device_profiles.frames import ExampleFrame, load_frames
from device_profiles.shelf import catalog_path, load_catalog

__all__ = ["LANGUAGES", "StuckError", "entry", "guarded", "limited", "seeds"]

HERE = Path(__file__).parent
CAPTURED = HERE.parents[2] / "shared" / "vectors"
LANGUAGES = tuple(sorted(path.stem.removeprefix("fuzz_") for path in HERE.glob("fuzz_*.py")))

_TRANSPORTS = {
    "documents": ("coap_json", "coap_cbor", "mqtt_json"),
    "modbus": ("modbus_rtu",),
    "carriers": ("carrier_json",),
    "publications": ("mqtt",),
}
"""The examples in the profiles' frames.yaml that a language's entry begins with, where it is not called as they are."""
_CAPTURES = {"modbus": "modbus", "carriers": "onenet ctwing", "jt808": "jt808_shared jt808_framing", "nbiot": "nbiot_at"}
"""The files of captured frames of a language, where they are not called as it is."""


class StuckError(AssertionError):
    """One input took longer than any may."""


def entry(language: str) -> ModuleType:
    """The module with `fuzz_one` of `language`."""
    return import_module(f"fuzz_{language}")


def seeds(language: str, *, bare: bool = False) -> list[bytes]:
    """Inputs to begin with: the entry's own; but for `bare`, the profiles' example frames too, and captured frames where they
    are to be had."""
    own = tuple(getattr(entry(language), "SEEDS", ()))
    return list(own if bare else dict.fromkeys((*own, *_examples(language), *_captured(language))))


def _examples(language: str) -> Iterator[bytes]:
    wanted = _TRANSPORTS.get(language, (language,))
    for example in _catalog_examples():
        if example.transport.startswith(wanted):
            yield from example.payloads


@cache
def _catalog_examples() -> tuple[ExampleFrame, ...]:
    shown = {name: profile for name, profile in load_catalog().items() if (catalog_path() / name / "frames.yaml").is_file()}
    return tuple(example for name, profile in shown.items() for example in load_frames(catalog_path() / name, profile))


def _captured(language: str) -> Iterator[bytes]:
    for name in _CAPTURES.get(language, language).split():
        path = CAPTURED / f"{name}.jsonl"
        for line in path.read_text("utf-8").splitlines() if path.is_file() else ():
            captured = json.loads(line)
            if "hex" in captured:
                yield bytes.fromhex(captured["hex"])
            elif "text" in captured:
                yield captured["text"].encode()
            elif "json" in captured:
                yield json.dumps(captured["json"], ensure_ascii=False).encode()


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """StuckError where what is done within takes more than `seconds` of the processor; main thread only."""

    def stuck(_: int, __: FrameType | None) -> None:
        raise StuckError(f"more than {seconds:g} s for one input")

    before = signal.signal(signal.SIGVTALRM, stuck)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def guarded(language: str, seconds: float = 5.0) -> Callable[[bytes], None]:
    """The language's `fuzz_one` with a limit to its time."""
    fuzz_one = entry(language).fuzz_one

    def one(data: bytes) -> None:
        with limited(seconds):
            fuzz_one(data)

    return one
