"""Fuzzes one language with atheris, guided by the coverage of `firmware_bridge`: what the entry of the tests takes, for as long
as it is told.

    python tests/firmware_bridge/fuzz.py --language hj212 --seconds 60
    python tests/firmware_bridge/fuzz.py --language all --seconds 600

Prints one JSON object a language: what was found (None for nothing), the input that shows it, seconds and runs. Ends with 1 where
anything was found. `--planted NAME` puts one of `planted_bugs.PLANTED` in first. The same seed tries the same inputs first.
"""

import argparse
import contextlib
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

INPUT_LIMIT_S = 5
"""What one input may take at most, in seconds of the clock: beyond it the decoder is stuck."""

_START_S = 300
"""A process that has not begun by then, or does not end, never will."""


def main() -> int:
    arguments = _arguments()
    if arguments.work:
        _work(arguments)
    from fuzzing import LANGUAGES

    languages = LANGUAGES if arguments.language == "all" else (arguments.language,)
    if arguments.language not in {"all", *LANGUAGES}:
        sys.stderr.write(f"no language {arguments.language!r}: want all, {', '.join(LANGUAGES)}\n")
        return 2
    seconds = arguments.seconds / len(languages)
    found = False
    for language in languages:
        verdict = fuzz(language, seconds, arguments.seed, planted=arguments.planted, bare=arguments.bare)
        print(json.dumps(verdict, ensure_ascii=False), flush=True)  # noqa: T201 (a command speaks)
        found |= verdict["found"] is not None
    return int(found)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Fuzz one language of devices.")
    parser.add_argument("--language", required=True)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--planted", default="", help="put this one of the planted bugs in first")
    parser.add_argument("--bare", action="store_true", help="begin with the entry's own seeds only")
    parser.add_argument("--work", default="", help=argparse.SUPPRESS)
    return parser.parse_args()


def fuzz(language: str, seconds: float, seed: int, *, planted: str = "", bare: bool = False) -> dict[str, object]:
    """Fuzz `language` in a process of its own: a stuck decoder, or one that eats the memory, ends that process only."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        command = [sys.executable, __file__, "--language", language, "--seconds", str(seconds), "--seed", str(seed)]
        started = time.monotonic()
        done = subprocess.run(
            [*command, "--planted", planted, *(["--bare"] if bare else []), "--work", folder],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=seconds + _START_S,
        )
        took = time.monotonic() - started
        shown = [path.read_bytes() for pattern in ("crash-*", "timeout-*", "oom-*") for path in work.glob(pattern)]
    if done.returncode and not shown:
        raise RuntimeError(f"{language}: the fuzzer itself failed: {done.stderr[-2000:]}")
    runs = re.findall(r"^stat::number_of_executed_units: *(\d+)", done.stderr, re.MULTILINE)
    return {
        "language": language,
        "found": _what(done.stdout + done.stderr) if shown else None,
        "input": shown[0].hex() if shown else None,
        "seconds": round(took, 1),
        "runs": int(runs[-1]) if runs else 0,
        "seed": seed,
    }


def _what(said: str) -> str:
    raised = re.search(r"=== Uncaught Python exception: ===\n(.*)", said)
    return raised[1] if raised else "stuck: one input took too long" if "libFuzzer: timeout" in said else "ended"


def _work(arguments: argparse.Namespace) -> None:
    """The fuzzing process: does not come back."""
    import atheris

    with atheris.instrument_imports(include=["firmware_bridge"]):
        from fuzzing import entry, seeds
        from planted_bugs import PLANTED

        fuzz_one = entry(arguments.language).fuzz_one
    work = Path(arguments.work)
    corpus = work / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(seeds(arguments.language, bare=arguments.bare)):
        (corpus / f"{number:04}").write_bytes(seed)
    limits = [
        f"-max_total_time={max(1, round(arguments.seconds))}",
        f"-timeout={INPUT_LIMIT_S}",
        "-rss_limit_mb=2048",
        "-print_final_stats=1",
    ]
    how = [f"-seed={arguments.seed}", "-max_len=2048", f"-artifact_prefix={work}/"]
    with PLANTED[arguments.planted].put_in() if arguments.planted else contextlib.nullcontext():
        atheris.Setup([sys.argv[0], *limits, *how, str(corpus)], fuzz_one)
        atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
