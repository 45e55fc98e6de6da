"""What `citynerve edge update` says to the running agent, and shows of its answers."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_agent.config import AgentConfig
    from edge_agent.updates.asking import Over, Step

__all__ = ["bring"]


def bring(config: "AgentConfig", config_file: Path, device: str, package: Path, *, as_json: bool) -> int:
    """Have the agent that runs with `config` bring a package to a device, with progress on stderr; the exit code."""
    import asyncio

    import msgspec

    from telemetry.records import Outcome

    try:
        over = asyncio.run(_ask(config.data_dir, device, package.read_bytes()))
    except KeyboardInterrupt:
        return _sorry("not watched any more. The agent goes on with it: `citynerve edge status` shows how far it is")
    except msgspec.MsgspecError:
        return _sorry(f"{config_file}: the agent that runs there knows no updates; start it anew with this release")
    except ConnectionError:
        return _sorry(f"{config_file}: no agent is running with this configuration")
    except OSError as error:
        is_ours = error.filename == str(package)
        return _sorry(f"{package if is_ours else config_file}: {error.strerror if is_ours else 'no agent is running there'}")
    if over is None:
        return _sorry("the agent ended before the update did. Say it once more when it runs: it goes on where the device stands")
    if as_json:
        print(msgspec.json.encode({name: getattr(over, name) for name in over.__struct_fields__}).decode())
    else:
        _show(over)
    return 0 if over.outcome is Outcome.DONE else 1


async def _ask(folder: Path, device: str, data: bytes) -> "Over | None":
    from edge_agent.status import connected
    from edge_agent.updates.asking import ask_update

    async with connected(folder) as (reader, writer):
        return await ask_update(reader, writer, device, data, _teller())


def _teller() -> "Callable[[Step], None]":
    """Progress on stderr: each state once, and each tenth of the chunks."""
    last = ("", 0)

    def tell(step: "Step") -> None:
        nonlocal last
        tenth = 10 * step.chunk // max(1, step.chunks)
        if (step.state, tenth) != last:
            last = (step.state, tenth)
            print(f"{step.state} ({step.chunk} of {step.chunks} chunks)", file=sys.stderr, flush=True)

    return tell


def _show(over: "Over") -> None:
    from telemetry.records import Outcome

    if over.outcome is Outcome.DONE:
        print(f"{over.device}: done. It runs release {over.release}, version {over.version}")
    else:
        print(f"{over.device}: {over.ended or over.outcome}, {over.reason}: {over.detail}", file=sys.stderr)


def _sorry(text: str) -> int:
    print(text, file=sys.stderr)
    return 1
