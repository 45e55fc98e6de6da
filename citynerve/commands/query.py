"""`citynerve query`: the past of one device, from a running cloud's API or from the stores of one that does not run."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from cloud.transfer.asking import Question

__all__ = ["app"]

app = typer.Typer(add_completion=False, help="The past of one device, as dashboards see it.")


class Format(StrEnum):
    """How the answer is written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


@app.command()
def query(  # noqa: PLR0917 - typer reads the command line from them
    device: Annotated[str, typer.Argument(help="The id of the device.")],
    metric: Annotated[list[str] | None, typer.Argument(help="Its metrics; left out: all of its profile.")] = None,
    since: Annotated[str, typer.Option(help="How far back, such as 6h or 30d; left out: a day.")] = "",
    start: Annotated[str, typer.Option(help="ISO 8601 with a zone, included.")] = "",
    end: Annotated[str, typer.Option(help="ISO 8601 with a zone, excluded; left out: now.")] = "",
    bucket: Annotated[str, typer.Option(help="Min, max, mean, last and count of each such time, as 15m, 1h or 1d.")] = "",
    zone: Annotated[str, typer.Option(help="The zone whose days buckets follow.")] = "Asia/Shanghai",
    pixels: Annotated[int, typer.Option(help="As many points as fit so many pixels, extremes kept.", min=0, max=4000)] = 0,
    shape: Annotated[Format, typer.Option("--format", help="How the answer is written.")] = Format.TABLE,
    out: Annotated[Path | None, typer.Option("-o", "--output", help="The file to write; left out: standard output.")] = None,
    api: Annotated[str, typer.Option(help="Where the cloud runs.")] = "http://127.0.0.1:8080",
    config: Annotated[Path | None, typer.Option(help="Ask the stores of this cloud, which must not run.")] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="Where the token is; left out: the environment's CITYNERVE_TOKEN.")
    ] = None,
) -> None:
    """Ask for values. Ends with 2 for a wrong question, 3 for a wrong configuration, 4 where nobody answers, 5 where it is
    not allowed, 6 where there was more than an answer holds."""
    import os

    from cloud.config import ConfigError
    from cloud.transfer.asking import Fault, ask_api

    if shape is Format.PARQUET and out is None:
        _end("--format parquet: want -o FILE", 2)
    question = _question(device, metric or [], since=since, start=start, end=end, bucket=bucket, zone=zone, pixels=pixels)
    try:
        if config is not None:
            answer = _from_stores(config, question)
        else:
            token = token_file.read_text("utf-8").strip() if token_file else os.environ.get("CITYNERVE_TOKEN", "")
            answer = ask_api(api, token, question)
        _write(answer, shape, out)
    except Fault as fault:
        _end(str(fault), fault.code)
    except ConfigError as error:
        _end(str(error), 3)
    except OSError as error:
        _end(str(error), 1)
    if answer.get("truncated"):
        _end(f"{device}: there is more; ask for a shorter time, or for buckets", 6)


def _question(
    device: str, metrics: list[str], *, since: str, start: str, end: str, bucket: str, zone: str, pixels: int
) -> "Question":
    import time

    from cloud.transfer.asking import Question, seconds
    from cloud.transfer.rows import iso_ns, parse_time

    if since and start:
        _end("--since and --start: want one of them", 2)
    try:
        end_ns = parse_time(end) if end else time.time_ns()
        begin = iso_ns(max(1, end_ns - seconds(since) * 10**9)) if since else start
        bucket_s = seconds(bucket) if bucket else 0
    except ValueError as error:
        _end(str(error), 2)
    return Question(device=device, metrics=tuple(metrics), start=begin, end=end, bucket_s=bucket_s, zone=zone, pixels=pixels)


def _from_stores(config: Path, question: "Question") -> dict[str, Any]:
    import asyncio
    import logging

    from cloud.config import load_config
    from cloud.transfer.asking import ask_stores

    logging.getLogger("alembic").setLevel(logging.WARNING)
    return asyncio.run(ask_stores(load_config(config), question))


def _write(answer: dict[str, Any], shape: Format, out: Path | None) -> None:
    import json

    from cloud.transfer.tables import as_csv, as_text, table_of, write_parquet

    if shape is Format.PARQUET and out is not None:
        write_parquet(out, *table_of(answer))
        return
    if shape is Format.JSON:
        text = json.dumps(answer, ensure_ascii=False, indent=2) + "\n"
    else:
        columns, rows = table_of(answer)
        text = (as_csv if shape is Format.CSV else as_text)(columns, rows)
        told = f"{answer['device']}: {len(rows)} rows, tier {answer['tier']}, method {answer['method']}"
        print(told, file=sys.stderr)
    if out is not None:
        out.write_text(text, "utf-8")
    else:
        print(text, end="")


def _end(message: str, code: int) -> NoReturn:
    print(message, file=sys.stderr)
    raise typer.Exit(code)
