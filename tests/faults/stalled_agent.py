"""The real agent with a driver that, after some seconds, blocks the event loop for good: `stalled_agent.py CONFIG`."""

import asyncio
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from citynerve.commands.edge import run
from device_profiles.model import Profile
from edge_agent import agent
from edge_agent.config import LinkConfig
from edge_agent.drivers.jt808.driver import Jt808Driver
from edge_agent.heard import Inlet
from telemetry.clock import Clock

_SOUND_S = 2.0


class Stalling(Jt808Driver):
    """Works, until a library of its own never returns."""

    async def run(self, inlet: Inlet) -> None:
        await asyncio.sleep(_SOUND_S)
        time.sleep(600)  # noqa: ASYNC251 - this is the fault


def make_driver(link: LinkConfig, catalog: Mapping[str, Profile], clock: Clock) -> Stalling:
    return Stalling(link, catalog, clock)


if __name__ == "__main__":
    agent.make_driver = make_driver
    run(Path(sys.argv[1]), verbose=False)
