"""`citynerve bench`: figures of this machine, each beside what it is compared with."""

import asyncio
import sys
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(add_completion=False, help="Measure on this machine, beside what it is compared with.")


@app.callback()
def bench() -> None:
    """Measure on this machine, beside what it is compared with."""


@app.command()
def ingest(
    store: Annotated[str, typer.Option(help="duckdb or influx")] = "duckdb",
    seconds: Annotated[float, typer.Option(min=3, help="How long the whole road is measured.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of words.")] = False,
) -> None:
    """Edge outbox -> broker -> ingest -> store -> acknowledgement, beside what the bare store takes."""
    import msgspec

    from benchmarks.ingest import StoreKind, measure_ingest
    from benchmarks.servers import ServerMissingError

    if store not in set(StoreKind):
        raise typer.BadParameter(f"{store!r}: want {' or '.join(StoreKind)}", param_hint="--store")
    typer.echo(f"Measuring for about {seconds * 4 / 3 + 10:.0f} s ...", err=True)
    try:
        figures = asyncio.run(measure_ingest(StoreKind(store), seconds))
    except ServerMissingError as missing:
        typer.echo(str(missing), err=True)
        raise typer.Exit(4) from missing
    if as_json:
        sys.stdout.write(msgspec.json.encode(figures).decode() + "\n")
        return
    typer.echo(f"outbox -> broker -> ingest -> {store} -> ack   {figures.end_to_end_values_per_s:>12,.0f} values/s")
    typer.echo(f"bare {store} writer {figures.bare_store_values_per_s:>38,.0f} values/s")
    typer.echo(f"ratio {figures.ratio:>53.2f}")
