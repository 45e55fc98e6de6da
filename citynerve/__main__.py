"""`citynerve`: one command for every half. A group's module is imported when it is asked for, so that help stays quick."""

import difflib
import importlib
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Final

__all__ = ["GROUPS", "main"]

# Group -> (module, one line of help). The module exposes `app`, a typer.Typer.
GROUPS: Final = {
    "demo": ("citynerve.commands.demo", "Run a small city on this machine: broker, cloud, agent and simulated devices."),
    "edge": ("citynerve.commands.edge", "The agent that runs on a gateway."),
    "cloud": ("citynerve.commands.cloud", "Ingest, stores, cases, API and console."),
    "query": ("citynerve.commands.query", "The past of one device, as dashboards see it."),
    "profile": ("citynerve.commands.profile", "Device profiles: check them, show them."),
    "frame": ("citynerve.commands.frame", "Read a device's bytes field by field."),
    "firmware": ("citynerve.commands.firmware", "C headers for a device's firmware, signed packages, updates."),
    "sim": ("citynerve.commands.sim", "Simulated devices, record and replay."),
    "bench": ("citynerve.commands.bench", "Measure on this machine, beside what it is compared with."),
}


def main(argv: Sequence[str] | None = None) -> None:
    """The console script: hands the rest of the command line to the group it names."""
    match list(sys.argv[1:] if argv is None else argv):
        case ["-h" | "--help"]:
            print(_help())
        case ["--version"]:
            print(f"citynerve {version('citynerve')}")
        case [group, *rest] if group in GROUPS:
            importlib.import_module(GROUPS[group][0]).app(args=rest, prog_name=f"citynerve {group}")
        case [unknown, *_]:
            close = difflib.get_close_matches(unknown, GROUPS, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            print(f"citynerve: no command {unknown!r}.{hint}\n\n{_help()}", file=sys.stderr)
            sys.exit(2)
        case _:
            print(_help(), file=sys.stderr)
            sys.exit(2)


def _help() -> str:
    lines = [f"  {name:<8} {line}" for name, (_, line) in GROUPS.items()]
    return "\n".join(
        [
            "Usage: citynerve COMMAND ...",
            "",
            "Telemetry from a city's street furniture to the people who look after it.",
            "",
            *lines,
            "",
            "citynerve COMMAND --help says more of each; citynerve --version says which this is.",
        ]
    )


if __name__ == "__main__":
    main()
