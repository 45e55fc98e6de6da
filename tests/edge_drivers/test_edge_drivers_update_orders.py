"""`citynerve edge update`: from the command line through a whole running agent to a device that runs the new version."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import edge_drivers_peers as peers
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from edge_drivers_firmware import KEY, Unit, Vehicle, client, device, package, register
from edge_drivers_terminal import PHONE
from typer.testing import CliRunner

from citynerve.commands.edge import app
from edge_agent.agent import Agent
from edge_agent.config import load_config
from edge_agent.status import ask, connected
from edge_agent.updates.asking import ask_update
from edge_agent.uplink.compression import decompress
from firmware_bridge.update.package import Package
from firmware_bridge.update.standing import Phase
from simulators.devices.firmware.faces import Object5
from telemetry.reason import Reason
from telemetry.records import CommandResult, Lane, Outcome
from telemetry.wire import decode_events

pytestmark = [pytest.mark.integration, pytest.mark.allow_hosts(["127.0.0.1", "::1", "::ffff:127.0.0.1"])]

STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(32))
ENDPOINT = "lamp-17"


def modbus(port: int) -> str:
    devices = "".join(
        f'[[links.devices]]\nid = "lamp-{unit}"\nprofile = "lamp_loop"\naddress = {unit}\n' for unit in (1, 2)
    )  # both are the same unit's files
    return f'[[links]]\nname = "net"\ndriver = "modbus_tcp"\nhost = "127.0.0.1"\nport = {port}\n{devices}'


def one_device(link: str, driver: str, profile: str, address: str) -> str:
    listens = f'[[links]]\nname = "{link}"\ndriver = "{driver}"\nhost = "127.0.0.1"\nport = {peers.free_port()}\n'
    listens += "require_auth = false\n" if driver == "jt808" else ""
    return f'{listens}[[links.devices]]\nid = "{link}-1"\nprofile = "{profile}"\naddress = "{address}"\n'


def write_config(folder: Path, *links: str, key: str = 'firmware_key_file = "key.pub"') -> Path:
    """A gateway's files: its configuration and the public key."""
    public = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "key.pub").write_bytes(public)
    head = f'gateway = "gw1"\ndata_dir = "data"\nbroker = "mqtt://127.0.0.1:{peers.free_port()}"\n{key}\n'
    config = folder / "edge.toml"
    config.write_text(head + "".join(links))
    return config


@asynccontextmanager
async def running(config: Path) -> AsyncIterator[Agent]:
    """The agent of this configuration; it ends within 5 s, whatever it is at."""
    agent = Agent(await asyncio.to_thread(load_config, config))
    task = asyncio.ensure_future(agent.run())
    try:
        await asyncio.wait_for(agent.ready.wait(), 10)
        await asyncio.wait_for(asyncio.gather(*(driver.started.wait() for driver in agent.drivers.values())), 10)
        await peers.eventually((config.parent / "data" / "agent.sock").exists)
        yield agent
    finally:
        began = time.monotonic()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled() or task.exception() is None
        assert time.monotonic() - began < 5


async def update(config: Path, device_id: str, wanted: Package, *words: str) -> tuple[int, dict[str, object], str]:
    """`citynerve edge update`: exit code, the JSON object, all that was shown."""
    file = config.parent / f"{wanted.manifest.release}.cnfw"
    file.write_bytes(wanted.whole)
    ended = await asyncio.to_thread(CliRunner().invoke, app, ["update", str(config), device_id, str(file), *words])
    return ended.exit_code, json.loads(ended.stdout) if "--json" in words else {}, ended.output


async def update_apart(config: Path, device_id: str, wanted: Package) -> tuple[int, dict[str, object], str]:
    """The same in a process of its own."""
    file = config.parent / "apart.cnfw"
    file.write_bytes(wanted.whole)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "citynerve", "edge", "update", str(config), device_id, str(file), "--json",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, json.loads(out), err.decode()


async def results(agent: Agent, count: int = 1) -> Sequence[CommandResult]:
    """What waits for the cloud of what became of updates, once `count` are there: an end is shown before it is on disk."""
    async with asyncio.timeout(8):
        while len(found := await _results(agent)) < count:  # noqa: ASYNC110 (a test watches from outside)
            await asyncio.sleep(0.01)
    return found


async def _results(agent: Agent) -> Sequence[CommandResult]:
    assert agent._parts is not None
    found: list[CommandResult] = []
    block = await agent._parts.outbox.next_block(Lane.EVENTS, 0)
    while block is not None:
        found += [event for event in decode_events(block.payload, decompress).events if isinstance(event, CommandResult)]
        block = await agent._parts.outbox.next_block(Lane.EVENTS, block.last_seq)
    return found


async def test_a_modbus_unit_is_updated_and_the_cloud_is_told(tmp_path: Path) -> None:
    one = device()
    async with peers.serving(Unit(one)) as port, running(write_config(tmp_path, modbus(port))) as agent:
        code, said, shown = await update_apart(tmp_path / "edge.toml", "lamp-1", package(2))
        assert (code, said["outcome"], said["ended"], said["release"], said["version"]) == (0, "done", "done", "2.0", 2), shown
        assert "sending (" in shown
        assert one.running == package(2).manifest
        polls = agent.drivers["net"].health().polls
        assert polls
        (result,) = await results(agent)
        assert (result.device, result.outcome, result.reason) == ("lamp-1", Outcome.DONE, None)
        assert result.id.startswith("update_firmware-")
        assert "release 2.0, version 2: done" in result.detail


async def test_a_vehicle_terminal_is_updated_from_the_command_line(tmp_path: Path) -> None:
    one = device()
    async with running(write_config(tmp_path, one_device("bus", "jt808", "vehicle_terminal", PHONE))) as agent:
        driver = agent.drivers["bus"]
        living = asyncio.create_task(Vehicle(one).live(driver))  # type: ignore[arg-type]
        await peers.eventually(lambda: driver.health().connections)
        code, _, shown = await update(tmp_path / "edge.toml", "bus-1", package(2))
        assert (code, one.running) == (0, package(2).manifest), shown
        assert "bus-1: done. It runs release 2.0, version 2" in shown
        living.cancel()
        await asyncio.wait([living])


async def test_an_lwm2m_client_is_updated_from_the_command_line(tmp_path: Path) -> None:
    one = device()
    object5 = Object5(one)
    config = write_config(tmp_path, one_device("nb", "lwm2m", "lamp_single_lwm2m", ENDPOINT))
    async with running(config) as agent, client(object5) as context:
        await register(context, agent.drivers["nb"], ENDPOINT, object5)
        asked = asyncio.ensure_future(update(config, "nb-1", package(2), "--json"))
        await peers.eventually(lambda: one.standing().phase is Phase.TRIAL, 20)
        await register(context, agent.drivers["nb"], ENDPOINT, object5)
        code, said, shown = await asked
        assert (code, said["ended"]) == (0, "done"), shown
        assert one.running == package(2).manifest
        (result,) = await results(agent)
        assert (result.device, result.outcome) == ("nb-1", Outcome.DONE)


async def test_what_may_not_be_is_refused_with_its_reason(tmp_path: Path) -> None:
    one = device()
    async with peers.serving(Unit(one)) as port:
        config = write_config(tmp_path, modbus(port), one_device("pit", "coap", "cover_nbiot", "cover-9"))
        async with running(config) as agent:
            code, said, _ = await update(config, "lamp-1", package(2, key=STRANGER), "--json")
            assert (code, said["outcome"], said["ended"], said["reason"]) == (1, "refused", None, "not_authenticated")
            code, said, _ = await update(config, "lamp-9", package(2), "--json")
            assert (code, said["reason"]) == (1, "unknown_device")
            code, _, shown = await update(config, "pit-1", package(2))
            assert code == 1
            assert "pit-1: refused, not_allowed: pit-1 is on link pit, which speaks coap: no update goes that way" in shown
            assert not await _results(agent)
            code, said, _ = await update(config, "lamp-1", package(1, size=100), "--json")  # the device has the last word
            assert (code, said["outcome"], said["ended"], said["reason"]) == (1, "failed", "refused", "expired")
            (result,) = await results(agent)
            assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.EXPIRED)
    assert one.running == package(1).manifest


async def test_without_a_key_nothing_is_updated(tmp_path: Path) -> None:
    one = device()
    async with peers.serving(Unit(one)) as port, running(write_config(tmp_path, modbus(port), key="")):
        code, _, shown = await update(tmp_path / "edge.toml", "lamp-1", package(2))
    assert code == 1
    assert "firmware_key_file is not set" in shown
    assert one.running == package(1).manifest


async def test_one_device_of_a_link_is_updated_at_a_time_and_status_shows_it(tmp_path: Path) -> None:
    one = device()
    async with peers.serving(Unit(one, takes_s=0.04)) as port, running(write_config(tmp_path, modbus(port))):
        config = tmp_path / "edge.toml"
        first = asyncio.ensure_future(update_apart(config, "lamp-1", package(2)))
        await peers.eventually(lambda: one.standing().next_chunk, 20)
        (shown,) = (await ask(tmp_path / "data")).updates
        assert (shown.device, shown.link, shown.release, shown.state, shown.chunks) == ("lamp-1", "net", "2.0", "sending", 19)
        seen = await asyncio.to_thread(CliRunner().invoke, app, ["status", str(config)])
        assert "update  lamp-1 on net: release 2.0, sending, " in seen.output
        code, said, _ = await update(config, "lamp-2", package(2), "--json")
        assert (code, said["outcome"], said["reason"]) == (1, "refused", "conflict")
        assert "lamp-1 is being updated" in str(said["detail"])
        assert (await first)[0] == 0
        assert not (await ask(tmp_path / "data")).updates


async def test_an_update_that_the_agents_end_cuts_goes_on_when_it_is_asked_for_again(tmp_path: Path) -> None:
    one = device()
    unit = Unit(one, takes_s=0.02)
    async with peers.serving(unit) as port:
        config = write_config(tmp_path, modbus(port))
        async with running(config):
            cut = asyncio.ensure_future(update(config, "lamp-1", package(2)))
            await peers.eventually(lambda: one.standing().next_chunk >= 5)
        assert (await cut)[0] == 1
        await asyncio.sleep(0.1)  # a request that was on its way is still carried out
        kept = one.standing().next_chunk
        assert 5 <= kept < 19
        assert one.running == package(1).manifest
        async with running(config) as agent:
            code, _, shown = await update(config, "lamp-1", package(2))
            assert code == 0, shown
            assert f"sending ({kept} of 19 chunks)" in shown
            assert [(each.outcome, each.reason) for each in await results(agent, 2)] == [
                (Outcome.UNKNOWN, Reason.INTERRUPTED),
                (Outcome.DONE, None),
            ]
    assert one.running == package(2).manifest


async def test_an_update_goes_on_when_nobody_watches_it_any_more(tmp_path: Path) -> None:
    one = device()
    async with peers.serving(Unit(one, takes_s=0.02)) as port, running(write_config(tmp_path, modbus(port))):
        watching = asyncio.ensure_future(_watch(tmp_path, package(2)))
        await peers.eventually(lambda: one.standing().next_chunk >= 2)
        watching.cancel()
        await asyncio.wait([watching])
        await peers.eventually(lambda: one.running == package(2).manifest)


async def _watch(folder: Path, wanted: Package) -> None:
    async with connected(folder / "data") as (reader, writer):
        await ask_update(reader, writer, "lamp-1", wanted.whole, lambda _: None)


async def test_the_command_says_when_no_agent_runs_or_no_package_is_there(tmp_path: Path) -> None:
    config = write_config(tmp_path, modbus(1))
    code, _, shown = await update(config, "lamp-1", package(2))
    assert code == 1
    assert "no agent is running" in shown
    ended = CliRunner().invoke(app, ["update", str(config), "lamp-1", str(tmp_path / "none.cnfw")])
    assert ended.exit_code == 1
    assert "none.cnfw: No such file" in ended.output
