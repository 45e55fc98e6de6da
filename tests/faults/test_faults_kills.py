"""Kills and freezes of real processes under load: agents, the broker, the cloud, the database behind it."""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fleet import BROKER, CLOUD
from kills import Plan, campaign
from kills_town import GATEWAY, SOME, again, caught_up, heard, town

from benchmarks.servers import free_port, wait_for_port

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


@pytest.fixture(autouse=True)
def _servers(need_server: Callable[[str, str], str]) -> None:
    need_server("mosquitto", "mosquitto")


async def test_sixty_kills_at_random_moments_lose_and_double_nothing(tmp_path: Path) -> None:
    plan = Plan(kills=60, seed=20, gateways=4, rate=4, brokers=12, clouds=8, together=3, reports=40)
    result = await campaign(tmp_path, plan)
    assert not result.problems
    assert result.kills.total() == 60
    assert len(result.kills) == 4, f"every kind of kill happened: {result.kills}"
    assert result.books.alarms_told > 0


@pytest.mark.parametrize("point", ["after_series", "before_commit", "after_commit"])
async def test_a_cloud_that_dies_between_its_stores_loses_and_doubles_nothing(tmp_path: Path, point: str) -> None:
    async with town(tmp_path) as crew:
        await crew.ships.kill(CLOUD)
        for times in (1, 4):
            crew.ships.environment[CLOUD] = {"CITYNERVE_CRASH_AT": f"{point}:{times}"}
            await crew.ships.start(CLOUD)
            async with asyncio.timeout(30):
                assert await crew.ships.end(CLOUD) == signal.SIGKILL
        crew.ships.environment[CLOUD] = {"CITYNERVE_CRASH_AT": ""}
        await again(crew, CLOUD)


@pytest.mark.parametrize("name", [GATEWAY, CLOUD])
async def test_what_was_frozen_goes_on_where_it_stood(tmp_path: Path, name: str) -> None:
    async with town(tmp_path) as crew:
        await crew.ships.send(name, signal.SIGSTOP)
        await asyncio.sleep(6)
        await crew.ships.send(name, signal.SIGCONT)


async def test_a_frozen_broker_holds_nothing_up_for_good(tmp_path: Path) -> None:
    async with town(tmp_path) as crew:
        crew.ships.signal_broker(signal.SIGSTOP)
        await heard(crew, SOME)  # devices are answered all the same
        await asyncio.sleep(4)
        crew.ships.signal_broker(signal.SIGCONT)


async def test_a_second_agent_on_the_same_data_folder_refuses_to_start(tmp_path: Path) -> None:
    async with town(tmp_path) as crew:
        owner = crew.ships.pid(GATEWAY)
        second = await crew.ships.start_another(GATEWAY, "second")
        async with asyncio.timeout(30):
            await second.ended.wait()
        assert second.status == 1 << 8
        assert f"another agent (process {owner}) uses this data_dir" in crew.ships.log("second")
        assert crew.ships.pid(GATEWAY) == owner


@pytest.mark.parametrize("wiped", [False, True], ids=["and comes back", "and comes back with its store wiped"])
async def test_a_broker_dies_with_a_backlog_in_it(tmp_path: Path, wiped: bool) -> None:
    async with town(tmp_path, gateways=2) as crew:
        await crew.ships.send(CLOUD, signal.SIGSTOP)  # it takes no more: everything stays with the broker
        await heard(crew, 2 * SOME)
        await crew.ships.kill(BROKER)
        if wiped:
            shutil.rmtree(tmp_path / BROKER)
            (tmp_path / BROKER).mkdir()
        await heard(crew, SOME)
        await again(crew, BROKER)
        await crew.ships.send(CLOUD, signal.SIGCONT)


async def test_an_agent_killed_again_and_again_while_it_starts_comes_up_in_the_end(tmp_path: Path) -> None:
    async with town(tmp_path) as crew:
        for pause_ms in range(0, 200, 8):
            await crew.ships.kill(GATEWAY)
            await crew.ships.start(GATEWAY)
            await asyncio.sleep(pause_ms / 1000)


async def test_a_backlog_survives_agent_broker_and_cloud_dying_together(tmp_path: Path) -> None:
    async with town(tmp_path) as crew:
        await crew.ships.kill(CLOUD)
        await heard(crew, 4 * SOME)
        for name in (GATEWAY, BROKER):
            await crew.ships.kill(name)
        await again(crew, BROKER, CLOUD, GATEWAY)
        async with asyncio.timeout(60):
            await crew.relays[GATEWAY].next_answer()


class Influx:
    """An InfluxDB that can be killed and started again where it was."""

    def __init__(self, folder: Path, program: str) -> None:
        self._program = program
        self.port, rpc = free_port(), free_port()
        self.url = f"influx:http://127.0.0.1:{self.port}/town"
        self._environment = os.environ | {
            "INFLUXDB_REPORTING_DISABLED": "true",
            "INFLUXDB_BIND_ADDRESS": f"127.0.0.1:{rpc}",
            "INFLUXDB_HTTP_BIND_ADDRESS": f"127.0.0.1:{self.port}",
            "INFLUXDB_HTTP_LOG_ENABLED": "false",
            "INFLUXDB_META_DIR": str(folder / "meta"),
            "INFLUXDB_DATA_DIR": str(folder / "data"),
            "INFLUXDB_DATA_WAL_DIR": str(folder / "wal"),
            "INFLUXDB_MONITOR_STORE_ENABLED": "false",
        }

    def start(self) -> None:
        self._process = subprocess.Popen(
            [self._program, "run"], env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for_port(self.port, self._process)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)


@pytest.fixture
def influx(tmp_path: Path, need_server: Callable[[str, str], str]) -> Iterator[Influx]:
    server = Influx(tmp_path / "influx", need_server("influxd", "influxdb"))
    server.start()
    yield server
    server.kill()


async def test_an_influxdb_killed_while_it_writes_loses_nothing_that_was_acknowledged(tmp_path: Path, influx: Influx) -> None:
    async with town(tmp_path, series=influx.url) as crew:
        for _ in range(3):
            await asyncio.to_thread(influx.kill)
            await heard(crew, SOME)
            await asyncio.to_thread(influx.start)
            await caught_up(crew)
