"""`citynerve cloud export|import|dead-letters`: values out of the series store and back in, and what it would not take."""

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from cloud.transfer.formats import FileKind, kind_of_file

if TYPE_CHECKING:
    from cloud.config import CloudConfig
    from cloud.transfer.exporting import Exported
    from cloud.transfer.importing import Imported

__all__ = ["dead_letters", "export", "import_values"]

ConfigFile = Annotated[Path, typer.Option("--config", help="The configuration of the cloud, a TOML file.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on standard error.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Read and count everything, write nothing.")]
Kind = Annotated[FileKind | None, typer.Option("--format", help="Left out: by the ending of the file's name.")]
_DEFAULT = Path("cloud.toml")


def export(  # noqa: PLR0917 - typer reads the command line from them
    out: Annotated[Path, typer.Argument(help="The file to write: .csv, .jsonl or .parquet.")],
    config: ConfigFile = _DEFAULT,
    device: Annotated[
        list[str] | None, typer.Option(help="Only this device; again for more. Left out: all that are known.")
    ] = None,
    metric: Annotated[list[str] | None, typer.Option(help="Only this metric; again for more.")] = None,
    since: Annotated[str, typer.Option(help="How far back, such as 30d; left out: everything.")] = "",
    start: Annotated[str, typer.Option(help="ISO 8601 with a zone, included.")] = "",
    end: Annotated[str, typer.Option(help="ISO 8601 with a zone, excluded; left out: now.")] = "",
    kind: Kind = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write raw values with type, quality and reason, exact to the nanosecond. Stopped or killed, it goes on where it was."""
    import asyncio

    with _ends():
        span = _span(since, start, end)
        chosen = kind or kind_of_file(out)
        done = asyncio.run(_export(_load(config), out, chosen, device or [], metric or [], span, dry_run=dry_run, quiet=quiet))
    if as_json:
        _print({"file": str(out), "dry_run": dry_run, **_shown(done)})
    else:
        print(f"{out}: {'would hold' if dry_run else 'holds'} {done.rows} values of {done.series} series")


def import_values(  # noqa: PLR0917 - typer reads the command line from them
    file: Annotated[Path, typer.Argument(help="The file to read: .csv, .jsonl or .parquet, as export writes them.")],
    config: ConfigFile = _DEFAULT,
    kind: Kind = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write the values of a file into the series store, as back-fill; again, it changes nothing. Stopped or killed, it goes on
    where it was. Ends with 6 where rows were refused."""
    import asyncio

    with _ends():
        chosen = kind or kind_of_file(file)
        done = asyncio.run(_import(_load(config), file, chosen, dry_run=dry_run, quiet=quiet))
    if as_json:
        _print({"file": str(file), "dry_run": dry_run, **_shown(done)})
    else:
        for refusal in done.told:
            print(f"{file}:{refusal.line}: {refusal.reason}: {refusal.detail}", file=sys.stderr)
        more = done.refused - len(done.told)
        if more > 0:
            print(f"{file}: and {more} more", file=sys.stderr)
        print(f"{file}: {done.stored} values {'would be' if dry_run else 'are'} stored, {done.refused} refused")
    if done.refused:
        raise typer.Exit(6)


def dead_letters(
    config: Annotated[Path, typer.Argument(help="The configuration, a TOML file.")] = _DEFAULT,
    limit: Annotated[int, typer.Option(help="How many, newest first.", min=1, max=100_000)] = 100,
    before: Annotated[int | None, typer.Option(help="Only those before this number.", min=1)] = None,
    as_json: AsJson = False,
) -> None:
    """The lines that the series store refused, as they were sent; the cloud may run."""
    from cloud.series.dead_letters import DeadLetters

    with _ends():
        page = DeadLetters(_load(config).data_dir / "dead-letters").page(before, limit)
    if as_json:
        _print(_shown(page))
        return
    from cloud.transfer.rows import iso_ns

    for letter in page.items:
        print(f"{letter.n} {iso_ns(letter.at_ns)} {letter.gateway}/{letter.epoch}/{letter.seq} {letter.reason}: {letter.detail}")
        print(f"    {letter.line}")
    print(f"{page.written} written, {page.forgotten} of them forgotten", file=sys.stderr)


async def _export(  # noqa: PLR0917 - the command's own
    config: "CloudConfig", out: Path, kind: FileKind, devices: list[str], metrics: list[str], span: tuple[int, int, bool],
    *, dry_run: bool, quiet: bool,
) -> "Exported":  # fmt: skip
    from cloud.transfer.exporting import Wanted, export, metrics_of
    from cloud.transfer.opening import open_series, registered
    from cloud.transfer.progress import Told
    from cloud.transfer.sinks import open_sink

    known = await registered(config, devices)
    async with open_series(config) as store:
        asked = {device: metrics or await metrics_of(store, device, names) for device, names in known.items()}
        start_ns, end_ns, fixed = span
        wanted = Wanted(metrics=asked, start_ns=start_ns, end_ns=end_ns, fixed_end=fixed)
        with Told("export", sum(map(len, asked.values())), quiet=quiet) as told:
            return await export(store, None if dry_run else open_sink(out, kind), wanted, told.tell)


async def _import(config: "CloudConfig", file: Path, kind: FileKind, *, dry_run: bool, quiet: bool) -> "Imported":
    from cloud.transfer.importing import Imported, import_file
    from cloud.transfer.opening import open_series
    from cloud.transfer.progress import Told
    from cloud.transfer.sources import open_source

    source = open_source(file, kind)
    with Told("import", source.size, quiet=quiet) as told:

        def tell(place: int, so_far: Imported) -> None:
            told.tell(place, so_far.rows, so_far.refused)

        if dry_run:
            return await import_file(None, source, file, config.series_url, tell)
        async with open_series(config) as store:
            return await import_file(store, source, file, config.series_url, tell)


def _span(since: str, start: str, end: str) -> tuple[int, int, bool]:
    """(start, end, whether somebody said the end), in nanoseconds; ValueError where they are none."""
    import time

    from cloud.transfer.asking import seconds
    from cloud.transfer.rows import parse_time

    end_ns = parse_time(end) if end else time.time_ns()
    if since and start:
        raise ValueError("--since and --start: want one of them")
    start_ns = end_ns - seconds(since) * 10**9 if since else parse_time(start) if start else 0
    return max(0, start_ns), end_ns, bool(end)


def _load(config: Path) -> "CloudConfig":
    import logging

    from cloud.config import load_config

    logging.getLogger("alembic").setLevel(logging.WARNING)
    return load_config(config)


@contextlib.contextmanager
def _ends() -> Iterator[None]:
    """Every way in which the work may end, as one line and an exit code."""
    from cloud.config import ConfigError
    from cloud.series.store import StoreUnavailable

    try:
        yield
    except ConfigError as error:
        _end(str(error), 3)
    except StoreUnavailable as error:
        _end(str(error), 4)
    except ValueError as error:
        _end(str(error), 2)
    except OSError as error:
        _end(str(error), 1)
    except KeyboardInterrupt:
        _end("stopped; the same command goes on where it was", 130)


def _shown(document: Any) -> dict[str, Any]:
    import msgspec

    shown: dict[str, Any] = msgspec.to_builtins(document)
    return shown


def _print(document: dict[str, Any]) -> None:
    print(json.dumps(document, ensure_ascii=False, indent=2))


def _end(message: str, code: int) -> NoReturn:
    print(message, file=sys.stderr)
    raise typer.Exit(code)
