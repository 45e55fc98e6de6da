"""Real processes of both programs, to be killed: gateways' agents, a broker and a cloud, in one folder on loopback ports.

Agents and clouds run the command line's own `edge run` and `cloud run`. They are forked from a process that has imported
everything, so that a start costs some milliseconds and ten thousand of them some minutes; each is a process of its own
that is ended with SIGKILL like any other.

    this process -> one warm process -> a nursery for each fleet -> agents and clouds
"""

import asyncio
import atexit
import contextlib
import ctypes
import functools
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from benchmarks.servers import find_program, free_port

__all__ = ["BROKER", "CLOUD", "Fleet", "Nursery", "Process", "fleet", "gateway_name"]

BROKER, CLOUD = "broker", "cloud"
_LOG_BYTES = 4 << 20
"""A log above this is begun anew at the next start: thousands of starts must not fill a disk."""
_PR_SET_PDEATHSIG = 1  # prctl(2)
_MOST_BYTES = 65_536


def gateway_name(number: int) -> str:
    """The id of the gateway with this number, which is its process's name, too."""
    return f"gw-{number}"


class Process:
    """One run of a program. `killed_s` is when it was ended by us; `status` as waitpid(2) gives it, None while it runs."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.pid = 0
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()
        self.status: int | None = None
        self.asked_to_end = False

    @property
    def crashed(self) -> bool:
        """Whether it ended without being told to."""
        return self.status is not None and not self.asked_to_end


@functools.cache
def _warm() -> socket.socket:
    """The line to the one process that has imported everything; it ends with this one."""
    ours, theirs = socket.socketpair()
    # One thread for arithmetic: what is forked must not need the threads of its parent.
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    with theirs:
        command = [sys.executable, str(Path(__file__).resolve()), str(theirs.fileno())]
        process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=environment)

    def end() -> None:
        ours.close()
        process.wait(20)

    atexit.register(end)
    return ours


class Nursery:
    """The parent of a fleet's programs, in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self._socket = ours
        with theirs:
            socket.send_fds(_warm(), [b"n"], [theirs.fileno()])
        self._processes: dict[int, Process] = {}
        self._asked: dict[int, Process] = {}
        self._number = 0
        self.on_crash: Callable[[Process], None] = lambda _: None
        """Told of each program that ended by itself."""

    async def run(self) -> None:
        """Hear what becomes of the programs, until cancelled."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(ConnectionError):
            while news := await loop.sock_recv(self._socket, _MOST_BYTES):
                self._note(json.loads(news))
        raise RuntimeError("the parent of all programs ended; what it said is on stderr")

    def _note(self, news: dict[str, int]) -> None:
        if "status" in news:
            process = self._processes.pop(news["pid"])
            process.status = news["status"]
            process.ended.set()
            if process.crashed:
                self.on_crash(process)
        else:
            process = self._asked.pop(news["number"])
            process.pid = news["pid"]
            self._processes[process.pid] = process
            process.begun.set()

    async def start(self, name: str, program: str, config: Path, environment: dict[str, str]) -> Process:
        """Fork one program; returns when it has a process id."""
        self._number += 1
        process = self._asked[self._number] = Process(name)
        order = {"number": self._number, "program": program, "config": str(config), "environment": environment}
        await self._tell(order | {"log": str(self._folder / f"{name}.log")})
        await process.begun.wait()
        return process

    async def signal(self, process: Process, number: signal.Signals) -> None:
        """Send a signal to a program, unless it has ended already."""
        await self._tell({"signal": number.value, "pid": process.pid})

    async def _tell(self, order: dict[str, Any]) -> None:
        await asyncio.get_running_loop().sock_sendall(self._socket, json.dumps(order).encode())

    def close(self) -> None:
        """End the parent and every program that still runs; returns when they are gone."""
        with self._socket as line:
            line.settimeout(20)
            line.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionError):
                while line.recv(_MOST_BYTES):
                    pass


class Fleet:
    """Everything that runs: `gateways` agents with one listener for vehicle terminals each, a broker and a cloud.

    `environment` is added to a program's own when it starts next, by process name.
    """

    def __init__(self, folder: Path, gateways: int, *, terminals: int = 3, series: str = "", edge: str = "") -> None:
        self.folder = folder
        self.gateways = [gateway_name(number) for number in range(gateways)]
        self.terminals = terminals
        self.ports = {name: free_port() for name in self.gateways}
        self.broker_port = free_port()
        self.api_port = free_port()
        self.environment: dict[str, dict[str, str]] = {}
        self.crashed: list[str] = []
        self.nursery = Nursery(folder)
        self.nursery.on_crash = self._note_crash
        self._broker: subprocess.Popen[bytes] | None = None
        self._running: dict[str, Process] = {}
        self._configs = {name: self._edge_config(name, edge) for name in self.gateways}
        self._configs[CLOUD] = self._cloud_config(series)

    # Where things lie.

    def edge_folder(self, gateway: str) -> Path:
        """The data folder of a gateway's agent."""
        return self.folder / gateway

    @property
    def cloud_folder(self) -> Path:
        """The cloud's data folder, with both stores."""
        return self.folder / CLOUD

    def phones(self, gateway: str) -> list[str]:
        """The terminals that call this gateway."""
        first = 13_000_000_000 + 1000 * self.gateways.index(gateway)
        return [str(first + number) for number in range(self.terminals)]

    def log(self, name: str) -> str:
        """What a program said."""
        path = self.folder / f"{name}.log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    # What runs.

    async def start(self, name: str) -> None:
        """Start the broker, the cloud or a gateway's agent by its name."""
        if name == BROKER:
            await self._start_broker()
            return
        program = "cloud" if name == CLOUD else "edge"
        self._running[name] = await self.nursery.start(name, program, self._configs[name], self.environment.get(name, {}))

    async def kill(self, name: str) -> None:
        """SIGKILL, and wait until nothing of it is left."""
        if name == BROKER:
            assert self._broker is not None
            self._broker.kill()
            await asyncio.to_thread(self._broker.wait, 10)
            return
        process = self._running[name]
        process.asked_to_end = True
        await self.nursery.signal(process, signal.SIGKILL)
        await process.ended.wait()

    async def stop(self, name: str, seconds: float = 15) -> None:
        """SIGTERM, and wait for a decent end; RuntimeError where it does not come."""
        process = self._running[name]
        process.asked_to_end = True
        await self.nursery.signal(process, signal.SIGTERM)
        async with asyncio.timeout(seconds):
            await process.ended.wait()
        if process.status:
            raise RuntimeError(f"{name} ended with status {process.status} when it was asked to end: {self.log(name)[-2000:]}")

    async def end(self, name: str) -> int | None:
        """Wait until a program has ended by itself; its status as waitpid(2) has it."""
        process = self._running[name]
        process.asked_to_end = True
        await process.ended.wait()
        return process.status

    async def send(self, name: str, number: signal.Signals) -> None:
        """Any other signal, such as SIGSTOP."""
        await self.nursery.signal(self._running[name], number)

    def signal_broker(self, number: signal.Signals) -> None:
        """Any signal but SIGKILL to the broker."""
        assert self._broker is not None
        self._broker.send_signal(number)

    async def start_another(self, name: str, log: str) -> Process:
        """One more process with a program's own configuration; whatever becomes of it is no crash."""
        another = await self.nursery.start(log, "edge", self._configs[name], {})
        another.asked_to_end = True
        return another

    def pid(self, name: str) -> int:
        """The process id of a program that runs."""
        return self._running[name].pid

    async def answering(self, name: str, seconds: float = 30) -> None:
        """Returns when the broker or the cloud takes connections, or a gateway's listener does."""
        port = {BROKER: self.broker_port, CLOUD: self.api_port}.get(name) or self.ports[name]
        async with asyncio.timeout(seconds):
            while not await _answers(port, asked=name == CLOUD):  # noqa: ASYNC110 - nobody tells us
                await asyncio.sleep(0.01)

    async def _start_broker(self) -> None:
        log = (self.folder / "broker.log").open("ab")
        command = [find_program("mosquitto", "mosquitto"), "-c", str(self._broker_config())]
        with log:
            self._broker = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: ASYNC220 - some milliseconds

    def _note_crash(self, process: Process) -> None:
        self.crashed.append(f"{process.name}: ended with status {process.status}: {self.log(process.name)[-1500:]}")

    def close(self) -> None:
        """End everything, decently or not."""
        if self._broker is not None:
            self._broker.kill()
            self._broker.wait(10)
        self.nursery.close()

    # How it is configured.

    def _edge_config(self, gateway: str, more: str) -> Path:
        devices = "".join(
            f'[[links.devices]]\nid = "car-{phone}"\nprofile = "vehicle_terminal"\naddress = "{phone}"\n\n'
            for phone in self.phones(gateway)
        )
        return self._written(
            f"{gateway}.toml",
            f'gateway = "{gateway}"\ndata_dir = "{gateway}"\nbroker = "mqtt://127.0.0.1:{self.broker_port}"\n'
            f"status_s = 5\nretransmit_s = 2\n[uplink]\nhistory_jitter_s = 0\n{more}\n"
            f'[[links]]\nname = "fleet"\ndriver = "jt808"\nhost = "127.0.0.1"\nport = {self.ports[gateway]}\n'
            f"require_auth = false\n{devices}",
        )

    def _cloud_config(self, series: str) -> Path:
        where = f'series = "{series}"\n' if series else ""
        return self._written(
            "cloud.toml",
            f'data_dir = "{self.cloud_folder}"\nbroker = "mqtt://127.0.0.1:{self.broker_port}"\n{where}'
            f'[api]\nhost = "127.0.0.1"\nport = {self.api_port}\n',
        )

    def _broker_config(self) -> Path:
        store = self.folder / BROKER
        store.mkdir(exist_ok=True)
        return self._written(
            "broker.conf",
            # As deploy/mosquitto has it, without the certificates.
            f"listener {self.broker_port} 127.0.0.1\nallow_anonymous true\nuser root\npersistence true\n"
            f"persistence_location {store}/\nmax_packet_size 4194304\nmax_queued_messages 10000\nset_tcp_nodelay true\n",
        )

    def _written(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text, "utf-8")
        return path


@contextlib.asynccontextmanager
async def fleet(folder: Path, gateways: int, **more: Any) -> AsyncIterator[Fleet]:
    """A fleet with everything started and answering; ended when the context is left."""
    find_program("mosquitto", "mosquitto")
    ships = Fleet(folder, gateways, **more)
    try:
        async with asyncio.TaskGroup() as tasks:
            hearing = tasks.create_task(ships.nursery.run(), name="nursery")
            for name in (BROKER, CLOUD, *ships.gateways):
                await ships.start(name)
            for name in (BROKER, CLOUD, *ships.gateways):
                await ships.answering(name, 60)
            yield ships
            hearing.cancel()
    finally:
        ships.close()


async def _answers(port: int, *, asked: bool) -> bool:
    """Whether somebody listens on a port; with `asked`, whether he answers a question by HTTP."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    try:
        if not asked:
            return True
        writer.write(b"GET /api/counts HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(5):
            return b" 200 " in await reader.readline()
    except (OSError, TimeoutError):
        return False
    finally:
        writer.transport.abort()


# The warm process and its nurseries: no event loop and no threads, so that a fork takes nothing half done along.


def _fork_nurseries(handle: int) -> None:
    programs = _programs()
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(fileno=handle) as line:
        while True:
            word, handles, _, _ = socket.recv_fds(line, 1, 1)
            if not word:
                # What libraries say when an interpreter ends is of no use here.
                os._exit(0)
            if os.fork() == 0:
                line.close()
                _fork_programs(handles[0], programs)
            os.close(handles[0])


def _fork_programs(handle: int, programs: dict[str, Callable[[Path], None]]) -> NoReturn:
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    children: set[int] = set()
    with socket.socket(fileno=handle) as line:
        while True:
            ready, _, _ = select.select([line.fileno(), woken], [], [])
            if woken in ready:
                os.read(woken, 4096)
                for pid, status in _dead():
                    children.discard(pid)
                    line.send(json.dumps({"pid": pid, "status": status}).encode())
            if line.fileno() in ready:
                order = line.recv(_MOST_BYTES)
                if not order:
                    break
                _obey(json.loads(order), programs, line, children)
        for pid in children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    os._exit(0)


def _programs() -> dict[str, Callable[[Path], None]]:
    """What can be forked; imports all of it."""
    import cloud.run  # noqa: F401 - imported so that those who are forked need not
    import edge_agent.agent  # noqa: F401
    from citynerve.commands.cloud import run as run_cloud
    from citynerve.commands.edge import run as run_edge
    from edge_agent.drivers import jt808  # noqa: F401

    return {"edge": lambda path: run_edge(path, verbose=False), "cloud": lambda path: run_cloud(path, verbose=False)}


def _dead() -> Iterator[tuple[int, int]]:
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            yield ended


def _obey(order: dict[str, Any], programs: dict[str, Callable[[Path], None]], line: socket.socket, children: set[int]) -> None:
    if "signal" in order:
        if order["pid"] in children:
            os.kill(order["pid"], order["signal"])
        return
    pid = os.fork()
    if pid == 0:
        line.detach()
        _become(order, programs[order["program"]])
    children.add(pid)
    line.send(json.dumps({"number": order["number"], "pid": pid}).encode())


def _become(order: dict[str, Any], program: Callable[[Path], None]) -> None:
    """From here on this process is the program; it never returns."""
    code = 1
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        path = Path(order["log"])
        mode = os.O_TRUNC if path.exists() and path.stat().st_size > _LOG_BYTES else os.O_APPEND
        log = os.open(path, os.O_WRONLY | os.O_CREAT | mode)
        for stream in (1, 2):
            os.dup2(log, stream)
        os.closerange(3, 1024)
        os.environ.update(order["environment"])
        program(Path(order["config"]))
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - whatever ended it is told in its log and by its status
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _fork_nurseries(int(sys.argv[1]))
