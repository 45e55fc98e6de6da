"""`citynerve cloud channel test`: does a channel reach anybody, and if not, why."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from citynerve.commands.cloud_shared import fail

if TYPE_CHECKING:
    from cloud.notify.config import ChannelConfig

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The ways messages go to people.")


@app.callback()
def channels() -> None:
    """The ways messages go to people."""


@app.command("test")
def send_test(
    name: Annotated[str, typer.Argument(help="The channel's name in the configuration.")],
    config: Annotated[Path, typer.Argument(help="The configuration, a TOML file.", show_default=True)] = Path("cloud.toml"),
    person: Annotated[str, typer.Option(help="Only this person of a channel that has people.")] = "",
) -> None:
    """Send a test message and tell the vendor's answer in words; exit 1 where it was not taken."""
    import asyncio

    from cloud.config import load_config
    from device_profiles.mistakes import ConfigError

    try:
        loaded = load_config(config)
    except (ConfigError, OSError) as error:
        fail(str(error))
    found = next((channel for channel in loaded.channels if channel.name == name), None)
    if found is None:
        known = ", ".join(channel.name for channel in loaded.channels) or "none is configured"
        fail(f"{config}: {name!r} is no channel; there are: {known}")
    try:
        well = asyncio.run(_try(found, person))
    except (OSError, LookupError) as error:
        fail(str(error))
    raise typer.Exit(0 if well else 1)


async def _try(channel: "ChannelConfig", person: str) -> bool:
    from cloud.notify.trying import in_words, try_channel
    from telemetry.clock import SystemClock

    well = True
    async for target, result in try_channel(channel, SystemClock(), person):
        well = well and result.ok
        print(f"{' / '.join(part for part in (channel.name, target) if part)}: {in_words(result, channel.lang)}")
    return well
