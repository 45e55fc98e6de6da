"""A gateway that runs out of something: disk, inodes, memory, file handles, time of its event loop."""

import asyncio
import contextlib
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fleet import CLOUD
from kills import Campaign
from kills_town import GATEWAY, SOME, again, heard, town

from edge_agent.status import AgentStatus, ask
from telemetry.records import Lane

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

_SMALL_RESERVE = "[outbox]\nreserve_bytes = 1048576\nkeep_bytes = 262144\n"
_BACKLOG = 600


@pytest.fixture(autouse=True)
def _servers(need_server: Callable[[str, str], str]) -> None:
    need_server("mosquitto", "mosquitto")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a file system in memory, of so many bytes and inodes, where the agent's data folder will be."""
    folder = tmp_path / GATEWAY

    def mounted(options: str) -> Path:
        folder.mkdir()
        made = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True, check=False
        )
        if made.returncode:
            pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}")
        return folder

    yield mounted
    subprocess.run(["umount", str(folder)], capture_output=True, check=False)


async def status_of(crew: Campaign) -> AgentStatus:
    """What the agent says of itself; it has to say something in time."""
    async with asyncio.timeout(10):
        return await ask(crew.ships.edge_folder(GATEWAY))


def fill(path: Path) -> None:
    """A file that takes all the room there is."""
    with path.open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
        for size in (65536, 4096, 512):
            with contextlib.suppress(OSError):
                while ballast.write(b"\x55" * size) == size:
                    pass


async def test_a_full_disk_costs_the_oldest_readings_and_no_alarm(tmp_path: Path, small_disk: Callable[[str], Path]) -> None:
    disk = small_disk("size=8m")
    async with town(tmp_path, edge=_SMALL_RESERVE, reports=200, lossless=False) as crew:
        await crew.ships.kill(CLOUD)
        await heard(crew, _BACKLOG)
        fill(disk / "somebody-elses.log")
        await heard(crew, 2 * _BACKLOG)  # devices go on being answered
        status = await status_of(crew)
        assert status.lanes[Lane.READINGS].lost > 0
        assert status.lanes[Lane.EVENTS].lost == 0
        (disk / "somebody-elses.log").unlink()
        await again(crew, CLOUD)
        await heard(crew, SOME)
        lost = (await status_of(crew)).lanes[Lane.READINGS].lost
    assert 0 < crew.result.books.readings_stored < crew.result.books.readings_told
    assert lost == crew.result.books.readings_lost, "with room again nothing more is dropped"


async def test_a_full_disk_survives_a_restart(tmp_path: Path, small_disk: Callable[[str], Path]) -> None:
    disk = small_disk("size=8m")
    async with town(tmp_path, edge=_SMALL_RESERVE, reports=200, lossless=False) as crew:
        await crew.ships.kill(CLOUD)
        await heard(crew, _BACKLOG)
        fill(disk / "somebody-elses.log")
        await heard(crew, SOME)
        await crew.ships.kill(GATEWAY)
        await again(crew, GATEWAY)
        await heard(crew, SOME)
        (disk / "somebody-elses.log").unlink()
        await again(crew, CLOUD)


async def test_an_agent_that_finds_its_disk_read_only_says_so_and_starts_once_it_is_not(
    tmp_path: Path, small_disk: Callable[[str], Path]
) -> None:
    disk = small_disk("size=16m")
    async with town(tmp_path) as crew:
        await crew.ships.kill(GATEWAY)
        remount(disk, "ro")
        await crew.ships.start(GATEWAY)
        async with asyncio.timeout(30):
            assert await crew.ships.end(GATEWAY) == 1 << 8
        assert "Read-only file system" in crew.ships.log(GATEWAY)
        remount(disk, "rw")
        await again(crew, GATEWAY)


def remount(folder: Path, mode: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{mode}", str(folder)], check=True)


async def test_an_agent_without_inodes_goes_on_and_starts_again(tmp_path: Path, small_disk: Callable[[str], Path]) -> None:
    disk = small_disk("size=16m,nr_inodes=40")
    async with town(tmp_path) as crew:
        spoilers = exhaust_inodes(disk)
        await heard(crew, SOME)
        await crew.ships.kill(GATEWAY)
        await again(crew, GATEWAY)
        await heard(crew, SOME)
        for path in spoilers:
            path.unlink()


def exhaust_inodes(folder: Path) -> list[Path]:
    """Empty files until there can be no more."""
    made: list[Path] = []
    with contextlib.suppress(OSError):
        while True:
            path = folder / f"spoiler-{len(made)}"
            path.touch()
            made.append(path)
    assert made
    return made


async def test_memory_stays_bounded_under_a_flood_and_a_backlog(tmp_path: Path) -> None:
    async with town(tmp_path, reports=2000) as crew:
        await crew.ships.kill(CLOUD)
        pid = crew.ships.pid(GATEWAY)
        before = memory_kib(pid, "VmRSS")
        limit = memory_kib(pid, "VmSize") * 1024 + (32 << 20)
        resource.prlimit(pid, resource.RLIMIT_AS, (limit, limit))
        await heard(crew, 4000)
        grown = memory_kib(pid, "VmRSS") - before
        await again(crew, CLOUD)
        await heard(crew, SOME)
        assert crew.ships.pid(GATEWAY) == pid
    assert not crew.ships.crashed
    assert grown < 16 * 1024, f"{grown} KiB"


def memory_kib(pid: int, name: str) -> int:
    """One figure of a process's memory."""
    found = re.search(rf"^{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text("ascii"), re.MULTILINE)
    assert found is not None
    return int(found[1])


async def test_an_agent_without_file_handles_says_so_and_comes_back(tmp_path: Path) -> None:
    async with town(tmp_path) as crew:
        pid = crew.ships.pid(GATEWAY)
        room = len(os.listdir(f"/proc/{pid}/fd")) + 2  # noqa: PTH208 - their number is all that counts
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (room, before[1]))
        with contextlib.ExitStack() as callers:
            for _ in range(30):
                callers.enter_context(socket.create_connection(("127.0.0.1", crew.ships.ports[GATEWAY])))
            await heard(crew, SOME)  # whoever is connected is served
            async with asyncio.timeout(10):
                while "out of system resource" not in crew.ships.log(GATEWAY):  # noqa: ASYNC110 - a log tells nobody
                    await asyncio.sleep(0.1)
        assert (await status_of(crew)).uplink_connected
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        assert crew.ships.pid(GATEWAY) == pid


# Where an event loop stands still the agent says nothing to its service manager any more, and is ended and started again.


class Manager:
    """A service manager's ear: sd_notify(3) over a datagram socket."""

    def __init__(self, folder: Path) -> None:
        self.address = folder / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.address))

    def hear(self, seconds: float) -> str:
        """The next word; empty where none comes in time."""
        self._socket.settimeout(seconds)
        try:
            return self._socket.recv(1024).decode()
        except TimeoutError:
            return ""

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    ear = Manager(tmp_path)
    yield ear
    ear.close()


def test_a_driver_that_blocks_the_loop_stops_the_watchdog_s_food(tmp_path: Path, manager: Manager) -> None:
    config = tmp_path / "edge.toml"
    config.write_text(
        'gateway = "gw-1"\ndata_dir = "data"\nbroker = "mqtt://127.0.0.1:1"\n'
        '[[links]]\nname = "stuck"\ndriver = "jt808"\nhost = "127.0.0.1"\nport = 0\nrequire_auth = false\n'
        '[[links.devices]]\nid = "car-1"\nprofile = "vehicle_terminal"\naddress = "1"\n'
    )
    environment = os.environ | {"NOTIFY_SOCKET": str(manager.address), "WATCHDOG_USEC": "1000000"}
    program = [sys.executable, str(Path(__file__).with_name("stalled_agent.py")), str(config)]
    with subprocess.Popen(program, env=environment, stderr=subprocess.DEVNULL) as agent:
        try:
            assert manager.hear(30) == "READY=1"
            began = time.monotonic()
            fed = 0
            while manager.hear(1.0) == "WATCHDOG=1":
                fed += 1
            assert fed >= 2, "while the loop turned"
            assert time.monotonic() - began < 10
            assert agent.poll() is None, "the process itself is still there: only the silence tells"
        finally:
            agent.send_signal(signal.SIGABRT)  # as systemd does
    assert agent.returncode == -signal.SIGABRT
