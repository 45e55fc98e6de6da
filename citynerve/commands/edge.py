"""`citynerve edge init|check|run|status|outbox|update`: the agent of a gateway."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from edge_agent.agent import Agent
    from edge_agent.config import AgentConfig
    from edge_agent.status import AgentStatus, LaneStatus, OutboxStatus

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The agent that runs on a gateway.")

ConfigFile = Annotated[Path, typer.Argument(help="The configuration, a TOML file.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")]


@app.command()
def init(
    config: ConfigFile = Path("edge.toml"),
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
) -> None:
    """Write a sample configuration: every key there is, explained."""
    from importlib.resources import files

    if config.exists() and not force:
        _fail(f"{config}: exists already; write --force to replace it")
    config.write_text(files("edge_agent").joinpath("sample.toml").read_text("utf-8"), "utf-8")
    print(f"{config}: written. Change it, then: citynerve edge check {config}")


@app.command()
def check(config: ConfigFile, as_json: AsJson = False) -> None:
    """Tell every mistake in a configuration at once; exit 1 when there is one. Connects to nothing."""
    import msgspec

    from edge_agent.config import ConfigError, load_config

    try:
        loaded = load_config(config)
    except ConfigError as error:
        if as_json:
            print(json.dumps({"ok": False, "mistakes": msgspec.to_builtins(error.mistakes)}, ensure_ascii=False, indent=2))
        else:
            print(error, file=sys.stderr)
        raise typer.Exit(1) from error
    devices = sum(len(link.devices) for link in loaded.links)
    if as_json:
        told = {"gateway": loaded.gateway, "links": len(loaded.links), "devices": devices, "asleep": loaded.asleep}
        print(json.dumps({"ok": True, **told}))
    else:
        print(f"{config}: good. Gateway {loaded.gateway}, {len(loaded.links)} links, {devices} devices.")
        for sentence in loaded.asleep:
            print(sentence)


@app.command()
def run(
    config: ConfigFile,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what is usually not worth a line.")] = False,
) -> None:
    """Run the agent until SIGTERM or SIGINT; one JSON object a line on stderr."""
    import asyncio
    import logging

    from device_profiles.mistakes import ProfileError
    from edge_agent.agent import Agent
    from edge_agent.drivers.base import SetupError
    from edge_agent.logs import json_lines
    from edge_agent.outbox.outbox import OutboxError

    loaded = _load(config)
    json_lines(logging.DEBUG if verbose else logging.INFO)
    try:
        asyncio.run(_serve(Agent(loaded)))
    except (OutboxError, SetupError, ProfileError) as error:
        _fail(str(error))
    except PermissionError as error:
        _fail(f"{error.filename}: {error.strerror}; the agent's user must be able to write there")


@app.command()
def status(config: ConfigFile, as_json: AsJson = False) -> None:
    """Ask the running agent how it is: clock, links, devices, backlog, refusals."""
    answer = _ask(_load(config))
    if answer is None:
        _fail(f"{config}: no agent is running with this configuration")
    if as_json:
        import msgspec

        print(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode())
    else:
        _print_status(answer)


@app.command()
def outbox(config: ConfigFile, as_json: AsJson = False) -> None:
    """What waits for the cloud, each lane's account and what was declared lost; the agent may be running or not."""
    from citynerve.commands.edge_text import outbox_lines
    from telemetry.clock import SystemClock

    loaded = _load(config)
    shown = _outbox_of(loaded)
    if as_json:
        import msgspec

        print(msgspec.json.format(msgspec.json.encode(shown), indent=2).decode())
        return
    now_ns = SystemClock().wall_ns() if shown.now_ns is None else shown.now_ns
    for line in outbox_lines(shown.lanes, shown.losses, epoch=shown.epoch, max_bytes=shown.max_bytes, now_ns=now_ns):
        print(line)


@app.command()
def update(
    config: ConfigFile,
    device: Annotated[str, typer.Argument(help="The device's id in the configuration.")],
    package: Annotated[Path, typer.Argument(help="A package that `citynerve firmware sign` wrote.")],
    as_json: AsJson = False,
) -> None:
    """Have the running agent update a device's firmware, with progress; exit 1 where the device does not run it in the end.

    The update is the agent's: it goes on when this command is ended. After the agent was ended, say it once more.
    """
    from citynerve.commands.edge_update import bring

    raise typer.Exit(bring(_load(config), config, device, package, as_json=as_json))


def _outbox_of(config: "AgentConfig") -> "OutboxStatus":
    """The outbox as its agent sees it, or as it lies there where no agent runs."""
    from edge_agent.outbox.outbox import OutboxError
    from edge_agent.status import OutboxStatus

    answer = _ask(config)
    if answer is not None:
        return answer.outbox
    try:
        return OutboxStatus.of_folder(config.data_dir, config.outbox.max_bytes)
    except OutboxError as error:
        _fail(str(error))


def _fail(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    raise typer.Exit(1)


def _load(config: Path) -> "AgentConfig":
    from edge_agent.config import ConfigError, load_config

    try:
        return load_config(config)
    except ConfigError as error:
        _fail(str(error))


def _ask(config: "AgentConfig") -> "AgentStatus | None":
    """The status of the agent that runs with `config`; None when none does."""
    import asyncio

    from edge_agent.status import ask

    try:
        return asyncio.run(ask(config.data_dir))
    except OSError:
        return None


async def _serve(agent: "Agent") -> None:
    """Run the agent and let a signal end it; systemd is told when it is up, alive and about to end."""
    import asyncio
    import signal

    from edge_agent.notify import notify, watchdog

    async def tell() -> None:
        await agent.ready.wait()
        notify("READY=1")
        await watchdog()

    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(agent.run(), name="agent")
        telling = tasks.create_task(tell(), name="notify")
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, running.cancel)
        running.add_done_callback(lambda _: telling.cancel())
        running.add_done_callback(lambda _: notify("STOPPING=1"))


def _print_status(answer: "AgentStatus") -> None:
    def ago(at_ns: int | None) -> str:
        return "never" if at_ns is None else f"{(answer.now_ns - at_ns) / 1e9:.0f} s ago"

    from citynerve.commands.edge_text import clock_lines

    print(f"gateway {answer.gateway}, epoch {answer.epoch}")
    for line in clock_lines(answer.clock):
        print(line)
    link = "connected" if answer.uplink_connected else f"not connected: {answer.uplink_error or 'no attempt yet'}"
    print(f"cloud   {link}; {answer.uplink.batches_sent} batches sent, {answer.uplink.retransmissions} retransmissions")
    for lane, account in answer.lanes.items():
        _print_lane(lane, account)
    if answer.commit_error:
        print(f"outbox  cannot be written: {answer.commit_error}; {answer.commit_failures} times so far, trying again")
    print(f"        oldest record waiting: {ago(answer.oldest_unacked_ns) if answer.oldest_unacked_ns else 'none'}")
    counts = answer.counts
    print(f"heard   {counts.heard}: {counts.committed} committed, {counts.held_back} held back, {counts.refused} refused")
    _print_links(answer)
    for device, at_ns in answer.devices.items():
        print(f"device  {device}: heard {ago(at_ns)}")
    for alarm in answer.alarms:
        print(f"alarm   {alarm}")
    for refusal in answer.refusals:
        print(f"refused {refusal.source}: {refusal.count} x {refusal.reason}, last {ago(refusal.last_ns)}: {refusal.detail}")


def _print_links(answer: "AgentStatus") -> None:
    for state in answer.links:
        health = state.health
        up = "up" if health.up else f"down: {health.detail}"
        print(
            f"link    {health.link} ({health.driver}) {up}; "
            f"{health.heard} heard, {health.refused} refused, {state.restarts} restarts"
        )
        if health.absent:
            print(f"        gone, by their last will or their bridge: {', '.join(health.absent)}")
    for update in answer.updates:
        how_far = f"release {update.release}, {update.state}, {update.chunk} of {update.chunks} chunks"
        print(f"update  {update.device} on {update.link}: {how_far if update.state else 'its package is on the way'}")


def _print_lane(lane: str, account: "LaneStatus") -> None:
    print(
        f"lane    {lane}: {account.backlog} waiting ({account.bytes} bytes), {account.acked} acknowledged, "
        f"{account.quarantined} quarantined, {account.lost} declared lost, next is {account.next_seq}"
    )
