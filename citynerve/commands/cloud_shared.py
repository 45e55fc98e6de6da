"""What the commands of the cloud share: its configuration, or one line and exit 1."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

if TYPE_CHECKING:
    from cloud.config import CloudConfig

__all__ = ["fail", "load"]


def load(config: Path) -> "CloudConfig":
    """The configuration in a file; every mistake in it, or why it cannot be read, ends the command."""
    from cloud.config import ConfigError, load_config

    try:
        return load_config(config)
    except (ConfigError, OSError) as error:
        fail(str(error))


def fail(message: str) -> NoReturn:
    """Say it on standard error, and end with 1."""
    print(message, file=sys.stderr)
    raise typer.Exit(1)
