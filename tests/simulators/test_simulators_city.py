"""A whole city, the command line, and what both tell an agent."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from device_profiles.shelf import load_catalog
from simulators.city import City
from simulators.devices.modbus.lines import RtuBus
from simulators.links import Endpoints, links_toml
from simulators.listener import Address, Listener
from simulators.scenario import Scenario, load_scenario

# The CoAP library reaches 127.0.0.1 through an IPv6 socket, as ::ffff:127.0.0.1: loopback by another name.
pytestmark = [pytest.mark.integration, pytest.mark.allow_hosts(["127.0.0.1", "::1", "::ffff:127.0.0.1"])]

CATALOG = load_catalog()

SMALL = """\
name: small
seed: 5
speed: 20
links:
  loop: {driver: modbus_tcp}
  bus: {driver: modbus_rtu}
  line: {driver: serial}
  fleet: {driver: jt808}
  covers: {driver: coap}
  counters: {driver: mqtt}
devices:
  - {id: lamp-1, kind: lamp_loop, profile: lamp_loop, address: "1", link: loop, position: HERE}
  - {id: lamp-2, kind: lamp_loop, profile: lamp_loop, address: "1", link: bus, position: HERE}
  - {id: air-1, kind: toilet_air, profile: toilet_air_modbus, address: "2", link: bus, position: HERE}
  - {id: node-1, kind: toilet_node, profile: toilet_node_serial, address: "3", link: line, name: "厕\\"一", position: HERE}
  - {id: bus-1, kind: vehicle, profile: vehicle_terminal, address: "013800000001", link: fleet, position: HERE}
  - {id: cover-1, kind: cover, profile: cover_nbiot, address: "86", link: covers, position: HERE}
  - {id: counter-1, kind: people_counter, profile: toilet_counter_mqtt, address: c1, link: counters, position: HERE}
events:
  - {at: 4, device: lamp-1, do: lose_phase_a}
  - {at: 2, device: air-1, do: nh3_peak}
""".replace("HERE", "{longitude: 1, latitude: 3}")


def small(folder: Path) -> Scenario:
    path = folder / "small.yaml"
    path.write_text(SMALL, encoding="utf-8")
    return load_scenario(path)


async def ends(address: Address) -> bool:
    """Whether nobody listens there."""
    try:
        _, writer = await asyncio.open_connection(*address)
    except ConnectionRefusedError:
        return True
    writer.close()
    return False


async def test_the_links_are_what_an_agents_config_needs_and_survive_toml(tmp_path: Path) -> None:
    city = City(
        small(tmp_path), Endpoints(listeners={"fleet": ("127.0.0.1", 7612)}, broker="mqtt://127.0.0.1:1884"), catalog=CATALOG
    )
    await city.start_servers()
    try:
        links = city.agent_links()
        assert tomllib.loads(links_toml(links)) == {"links": links}
        by_name = {str(link["name"]): link for link in links}
        assert by_name["loop"]["driver"] == "modbus_tcp"
        assert f"{by_name['loop']['host']}:{by_name['loop']['port']}" == city.places["loop"]
        assert by_name["bus"]["port"] == city.places["bus"] != city.places["line"]
        assert city.places["bus"].startswith("/dev/")
        assert by_name["fleet"]["port"] == 7612
        assert by_name["covers"]["port"] == 0
        assert by_name["counters"]["broker"] == "mqtt://127.0.0.1:1884"
        assert [device["id"] for device in by_name["bus"]["devices"]] == ["lamp-2", "air-1"]  # type: ignore[attr-defined]
        node = {"id": "node-1", "profile": "toilet_node_serial", "address": "3", "name": '厕"一', "position": [1.0, 3.0]}
        assert by_name["line"]["devices"] == [node]
    finally:
        await city.close()


async def test_events_happen_in_order_at_their_scaled_time_and_are_told(tmp_path: Path) -> None:
    city = City(small(tmp_path), Endpoints(listeners=await _nobody(), broker="mqtt://127.0.0.1:9"), catalog=CATALOG)
    await city.start_servers()
    lamp_port = city.places["loop"]
    async with asyncio.TaskGroup() as group:
        running = group.create_task(city.run())
        started = asyncio.get_running_loop().time()
        told = city.happenings()
        async with asyncio.timeout(5):
            first, second = await anext(told), await anext(told)
        assert asyncio.get_running_loop().time() - started == pytest.approx(4 / 20, abs=0.15)
        running.cancel()
    assert [(h.at_s, h.device, h.what) for h in (first, second)] == [(2, "air-1", "nh3_peak"), (4, "lamp-1", "lose_phase_a")]
    assert first.title.zh
    assert first.title.en == "ammonia peaks"
    assert city.devices["lamp-1"].values(second.time_ns)["voltage_a_v"] == 0
    host, _, port = lamp_port.rpartition(":")
    assert await ends((host, int(port)))
    bus = next(line for line in city._lines if isinstance(line, RtuBus))
    assert not bus.line.write(b"unplugged")


async def _nobody() -> dict[str, Address]:
    """Addresses at which nothing listens."""

    async def hang_up(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        return

    async with Listener(hang_up) as gone:
        address = gone.address
    return {"fleet": address, "covers": address}


def sim(*arguments: str, language: str = "en") -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "citynerve", "sim", *arguments]
    environment = {**os.environ, "CITYNERVE_LANG": language}
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, env=environment)


def test_sim_list_names_the_shipped_scenarios() -> None:
    done = sim("list", "--json")
    assert done.returncode == 0, done.stderr
    assert {"bad_neighbours", "small_city", "underground"} <= {entry["name"] for entry in json.loads(done.stdout)}


def test_sim_run_writes_the_links_tells_what_happens_and_counts(tmp_path: Path) -> None:
    small(tmp_path)
    config = tmp_path / "links.toml"
    done = sim("run", str(tmp_path / "small.yaml"), "--agent-config", str(config), "--for", "1", "--json")
    assert done.returncode == 0, done.stderr
    assert len(tomllib.loads(config.read_text("utf-8"))["links"]) == 6
    assert "air-1: ammonia peaks" in done.stderr
    assert set(json.loads(done.stdout)["devices"]) == {"lamp-1", "lamp-2", "air-1", "node-1", "bus-1", "cover-1", "counter-1"}


def test_sim_run_tells_what_happens_in_chinese_too(tmp_path: Path) -> None:
    small(tmp_path)
    done = sim("run", str(tmp_path / "small.yaml"), "--for", "0.5", "--json", language="zh")
    assert "air-1: 氨气浓度骤升" in done.stderr


def test_sim_run_with_a_broken_scenario_tells_every_mistake_and_exits_with_2(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("name: x\nsed: 1\n", encoding="utf-8")
    done = sim("run", str(path))
    assert done.returncode == 2
    assert "s.yaml:2: sed: unknown key" in done.stderr
    assert "Traceback" not in done.stderr


async def test_sim_record_and_replay_carry_a_session_from_the_wire_to_another_listener(tmp_path: Path) -> None:
    log, heard = tmp_path / "wire.jsonl", bytearray()

    async def listen(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            heard.extend(data)

    async with Listener(listen) as agent:
        target = f"127.0.0.1:{agent.address[1]}"
        recorder = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "citynerve", "sim", "record", "--listen", "127.0.0.1:0"),
            *("--target", target, "--out", str(log), "--json"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert recorder.stderr is not None
        assert recorder.stdout is not None
        told = (await recorder.stderr.readline()).decode()
        port = int(told.split("127.0.0.1:")[1].split(",")[0])
        _, device = await asyncio.open_connection("127.0.0.1", port)
        device.write(b"abc")
        await device.drain()
        async with asyncio.timeout(10):
            while heard != b"abc":  # noqa: ASYNC110 (a test watches from outside)
                await asyncio.sleep(0.01)
        device.close()
        recorder.send_signal(signal.SIGINT)
        counts = json.loads(await recorder.stdout.read())
        assert await recorder.wait() == 0
        assert counts == {"entries": 1, "bytes": 3}
        done = await asyncio.to_thread(sim, "replay", str(log), "--target", target, "--speed", "100", "--wait", "0.5", "--json")
        assert done.returncode == 0, done.stderr
        assert bytes(heard) == b"abcabc"
        assert json.loads(done.stdout)["chunks"] == 1


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        pytest.param(("--target", "127.0.0.1:1"), 2, "either a wire log or", id="neither a log nor frames"),
        pytest.param(("nothing.jsonl", "--target", "127.0.0.1:1"), 4, "nothing.jsonl", id="a log that is not there"),
        pytest.param(("--jt808", "nothing.hex", "--target", "127.0.0.1:1"), 4, "nothing.hex", id="frames that are not there"),
        pytest.param(("x", "--target", "nowhere"), 2, "HOST:PORT", id="an address that is none"),
    ],
)
def test_a_replay_that_cannot_be_says_why_in_one_line(arguments: tuple[str, ...], code: int, told: str) -> None:
    done = sim("replay", *arguments)
    assert done.returncode == code
    assert told in done.stderr
    assert "Traceback" not in done.stderr


async def test_sim_replay_of_frames_skips_what_is_not_hex_and_counts_the_rest(tmp_path: Path) -> None:
    heard = bytearray()

    async def listen(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            heard.extend(data)

    frames = tmp_path / "frames.hex"
    frames.write_text("7e0002000001380000000100013b7e\nnot hex\n", encoding="utf-8")
    async with Listener(listen) as agent:
        target = f"127.0.0.1:{agent.address[1]}"
        done = await asyncio.to_thread(sim, "replay", "--jt808", str(frames), "--target", target, "--wait", "0.1", "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["sent"], summary["unanswered"], [entry["line"] for entry in summary["skipped"]]) == (1, 1, [2])
    assert "frames.hex:2: not hex" in done.stderr
    assert bytes(heard).hex() == "7e0002000001380000000100013b7e"
