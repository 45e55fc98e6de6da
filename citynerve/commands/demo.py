"""`citynerve demo`: a small city on this machine."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(add_completion=False, help="Run a small city on this machine: broker, cloud, agent and simulated devices.")


@app.command()
def demo(
    seconds: Annotated[
        float | None, typer.Option("--for", min=1, help="Run for so many seconds; until Ctrl-C without it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="No screen; one JSON object with the accounts at the end.")] = False,
    broker: Annotated[str | None, typer.Option(help="A broker that runs already, as mqtt://HOST:PORT.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Keep the data here; without it they go when the demo ends.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="The console's port; 8808 or a free one without it.")] = None,
) -> None:
    """Run a small city on this machine until Ctrl-C. Exits with 0 only when the accounts of its parts agree."""
    from rich.console import Console

    from citynerve.demo.broker import BrokerUnreachableError
    from citynerve.demo.screen import PlainLines, show_on
    from citynerve.demo.town import Plan, PortTakenError, run_town
    from citynerve.messages import say

    show = PlainLines(Console(stderr=True)) if as_json else show_on(Console())
    try:
        with show:
            accounts = asyncio.run(run_town(Plan(seconds=seconds, broker=broker, data_dir=data_dir, port=port), show))
    except BrokerUnreachableError as error:
        typer.echo(say("demo.no_broker", address=error.address, detail=error.detail), err=True)
        raise typer.Exit(4) from error
    except PortTakenError as error:
        typer.echo(say("demo.port_taken", port=error.port), err=True)
        raise typer.Exit(4) from error
    disagreements = accounts.disagreements()
    if as_json:
        json.dump(accounts.as_json(), sys.stdout, ensure_ascii=False)
        sys.stdout.write("\n")
    elif disagreements:
        typer.echo(say("demo.unbalanced", detail="; ".join(disagreements)))
    else:
        r = accounts.readings
        typer.echo(say("demo.balanced", produced=r.produced, held=r.held_back, stored=r.stored, lost=r.lost_declared))
    raise typer.Exit(1 if disagreements else 0)
