"""What is lost, and when: `python -m benchmarks.peers.losstest [--quick] [--json]`.

The product and the ThingsBoard gateway in five forms live through the same faults at the same time, each in a world of
its own: the same devices, a broker, and a link that fails. See docs/peers.md.
"""

import argparse
import asyncio
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import msgspec

from benchmarks.peers.ours import Ours
from benchmarks.peers.tables import as_markdown
from benchmarks.peers.thingsboard import ThingsBoard, ThingsBoardForm, install
from benchmarks.peers.world import Fault, Gateway, Row, Timing, run_world
from benchmarks.servers import ServerMissingError, find_program

__all__ = ["Results", "main"]

_UNITS = 20
_PERIOD_S = 0.5
_ALL = (Fault.NONE, Fault.RESET, Fault.STALL, Fault.STALL, Fault.STALL, Fault.KILL, Fault.RESET_KILL)
_QUICK = (Fault.STALL,)
_HERE = Path(__file__).resolve().parent


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """The rows with what they were measured on."""

    at: str
    machine: str
    versions: dict[str, str]
    units: int = _UNITS
    period_s: float = _PERIOD_S
    timing: Timing
    rows: list[Row]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, save; 0 when we lost nothing, 1 when we did, 4 when a server is missing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.losstest", description="What is lost, and when.")
    parser.add_argument("--quick", action="store_true", help="one silent stall, one form of the peer: about two minutes")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    parser.add_argument("--environment", type=Path, default=Path(".peers/thingsboard"), help="where the peer is installed")
    options = parser.parse_args(arguments)
    try:
        find_program("mosquitto", "mosquitto")
    except ServerMissingError as missing:
        print(missing, file=sys.stderr)
        return 4
    _tell(f"Peer: {options.environment} (made with pip when it is not there) ...")
    programs = install(options.environment.absolute())
    timing = Timing()
    rows = asyncio.run(_measure(programs, _QUICK if options.quick else _ALL, timing, quick=options.quick))
    results = Results(at=datetime.now(UTC).date().isoformat(), machine=_machine(), versions=_versions(), timing=timing, rows=rows)
    if not options.quick:
        _save(results)
    print(msgspec.json.encode(results).decode() if options.json else as_markdown(results.rows))
    return 1 if any(row.missing for row in rows if row.gateway == Ours.name) else 0


async def _measure(programs: Path, faults: Sequence[Fault], timing: Timing, *, quick: bool) -> list[Row]:
    rows: list[Row] = []
    for at, fault in enumerate(faults):
        left_s = (len(faults) - at) * (timing.before + timing.fault + timing.after + 15)
        _tell(f"[{at + 1}/{len(faults)}] {fault}; about {left_s / 60:.0f} min left ...")
        run = faults[:at].count(fault) + 1
        with tempfile.TemporaryDirectory(prefix="citynerve-peers-") as folder:
            worlds = list(_gateways(programs, Path(folder), quick=quick))
            # All at the same time, so that all have the same machine.
            async with asyncio.TaskGroup() as tasks:
                running = [
                    tasks.create_task(run_world(gateway, where, fault, run, timing, units=_UNITS)) for gateway, where in worlds
                ]
        new = [task.result() for task in running]
        rows += new
        for row in new:
            _tell(f"    {row.gateway:<40} {row.offered} read, {row.missing} missing, {row.under_way} under way at the kill")
    return rows


def _gateways(programs: Path, folder: Path, *, quick: bool) -> list[tuple[Gateway, Path]]:
    forms = [ThingsBoardForm.MEMORY] if quick else list(ThingsBoardForm)
    gateways: list[tuple[Gateway, Path]] = []
    for at, form in enumerate(forms):
        where = folder / f"peer{at}"
        where.mkdir()
        gateways.append((ThingsBoard(form, programs, where, units=_UNITS, period_s=_PERIOD_S), where))
    where = folder / "ours"
    where.mkdir()
    return [*gateways, (Ours(where, units=_UNITS, period_s=_PERIOD_S), where)]


def _save(results: Results) -> None:
    head = (
        f"# What is lost, and when\n\nMeasured {results.at} by `python -m benchmarks.peers.losstest` on {results.machine}: "
        + ", ".join(f"{name} {number}" for name, number in results.versions.items())
        + ".\nHow it is measured, and how to read it: [docs/peers.md](../../docs/peers.md).\n\n"
    )
    (_HERE / "results.md").write_text(head + as_markdown(results.rows) + "\n")
    (_HERE / "results.json").write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")


def _versions() -> dict[str, str]:
    pinned = dict(line.split("==") for line in (_HERE / "requirements.txt").read_text().splitlines() if "==" in line)
    return {
        "citynerve": version("citynerve"),
        "ThingsBoard gateway": pinned["thingsboard-gateway"],
        "Python": platform.python_version(),
    }


def _machine() -> str:
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, load average {os.getloadavg()[2]:.1f}"


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
