"""XMODEM and YMODEM with lrzsz at the other end of a real pty, both ways; and an update at a simulated prompt on one."""

import asyncio
import contextlib
import os
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from edge_agent_updates_world import KEY, package_of

from edge_agent.backoff import Backoff
from edge_agent.updates.base import SilentError
from edge_agent.updates.runner import run_update
from edge_agent.updates.serial_prompt import PromptUpdate
from edge_agent.updates.transfer import Port, open_port, receive_blocks, send_blocks
from firmware_bridge.update.table import State
from firmware_bridge.xmodem import NamedFile, Receiver, Sender, xmodem_steps, ymodem_steps
from simulators.devices.firmware.bootloader import Bootloader
from simulators.devices.firmware.flash import Power
from simulators.devices.firmware.prompt_line import PromptLine
from simulators.pty_line import PtyLine
from telemetry.reason import Reason

FILE = bytes(at * at // 7 % 256 for at in range(10_000))


@contextlib.asynccontextmanager
async def lrzsz(folder: Path, program: str, *arguments: str) -> AsyncIterator[tuple[Port, asyncio.subprocess.Process]]:
    """One lrzsz program with a terminal of its own, our port, and the wire between the two.

    When it ends lrzsz empties its terminal, its last answer included, which a real line would have carried by then: so it
    hears through a terminal and speaks into a pipe.
    """
    ours, theirs = PtyLine(), PtyLine()
    ours.start()
    theirs.start()
    try:
        async with asyncio.timeout(40), open_port(ours.path) as port, asyncio.TaskGroup() as tasks:
            terminal = os.open(theirs.path, os.O_RDWR | os.O_NOCTTY)
            process = await asyncio.create_subprocess_exec(
                program, "-q", *arguments, stdin=terminal, stdout=PIPE, stderr=DEVNULL, cwd=folder
            )
            os.close(terminal)
            wires = [tasks.create_task(_hear(ours, theirs)), tasks.create_task(_speak(process, ours))]
            try:
                yield port, process
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
                for wire in wires:
                    wire.cancel()
    finally:
        ours.close()
        theirs.close()


async def _hear(ours: PtyLine, theirs: PtyLine) -> None:
    while True:
        theirs.write(await ours.read())


async def _speak(process: asyncio.subprocess.Process, ours: PtyLine) -> None:
    assert process.stdout is not None
    while data := await process.stdout.read(2048):
        assert ours.write(data), "the line lost bytes"


@pytest.fixture(autouse=True)
def installed(need_server: Callable[[str, str], str]) -> None:
    need_server("sb", "lrzsz")


@pytest.mark.parametrize(
    ("arguments", "block"),
    [
        pytest.param(["--with-crc"], 1024, id="1K blocks with CRC"),
        pytest.param(["--with-crc"], 128, id="128-byte blocks with CRC"),
        pytest.param([], 128, id="128-byte blocks with sums"),
    ],
)
async def test_rx_takes_what_we_send(tmp_path: Path, arguments: list[str], block: int) -> None:
    told: list[int] = []
    async with lrzsz(tmp_path, "rx", *arguments, "image.bin") as (port, peer):
        await send_blocks(port, Sender(xmodem_steps(FILE, block)), tell=told.append)
        assert await peer.wait() == 0
    got = (tmp_path / "image.bin").read_bytes()
    assert got[: len(FILE)] == FILE
    assert set(got[len(FILE) :]) <= {0x1A}
    assert told[-1] == len(got)


@pytest.mark.parametrize("with_crc", [True, False], ids=["CRC", "sums"])
@pytest.mark.parametrize("arguments", [[], ["--1k"]], ids=["128", "1K"])
async def test_sx_sends_what_we_take(tmp_path: Path, arguments: list[str], with_crc: bool) -> None:
    (tmp_path / "image.bin").write_bytes(FILE)
    receiver = Receiver(with_crc=with_crc)
    async with lrzsz(tmp_path, "sx", *arguments, "image.bin") as (port, peer):
        await receive_blocks(port, receiver)
        assert await peer.wait() == 0
    assert receiver.files[0].data[: len(FILE)] == FILE


async def test_rb_takes_a_batch_by_name_and_to_the_byte(tmp_path: Path) -> None:
    files = [NamedFile(name="a.bin", data=FILE), NamedFile(name="b.txt", data=b"short\x1a")]
    async with lrzsz(tmp_path, "rb") as (port, peer):
        await send_blocks(port, Sender(ymodem_steps(files)))
        assert await peer.wait() == 0
    assert [(tmp_path / file.name).read_bytes() for file in files] == [file.data for file in files]


async def test_sb_sends_a_batch_that_we_take_by_name_and_to_the_byte(tmp_path: Path) -> None:
    files = [NamedFile(name="a.bin", data=FILE), NamedFile(name="b.txt", data=b"short\x1a"), NamedFile(name="none", data=b"")]
    for file in files:
        (tmp_path / file.name).write_bytes(file.data)
    receiver = Receiver(ymodem=True)
    async with lrzsz(tmp_path, "sb", *[file.name for file in files]) as (port, peer):
        await receive_blocks(port, receiver)
        assert await peer.wait() == 0
    assert receiver.files == files


async def test_a_peer_that_cancels_is_told_as_that(tmp_path: Path) -> None:
    (tmp_path / "image.bin").write_bytes(FILE)
    async with lrzsz(tmp_path, "sx", "image.bin") as (port, peer):
        with pytest.raises(SilentError) as silent:
            await receive_blocks(port, Receiver(limit_bytes=4096))
        assert silent.value.reason is Reason.OVERSIZED
        assert await peer.wait() != 0


async def test_a_port_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SilentError) as silent:
        async with open_port(str(tmp_path / "ttyS9")):
            pass
    assert silent.value.reason is Reason.UNREACHABLE


@pytest.mark.parametrize("writes", [None, 3, 30], ids=lambda writes: f"power fails after {writes} writes")
async def test_an_update_runs_at_a_prompt_on_a_real_line(writes: int | None) -> None:
    package = package_of(4, size=8_000)
    device = Bootloader(KEY.public_key(), package_of(3), room_bytes=8_000)
    device.flash.power = Power(writes)
    line = PromptLine(device)
    told: list[int] = []
    path = await line.start()
    living = asyncio.ensure_future(line.run())
    try:
        async with asyncio.timeout(30), open_port(path) as port:
            update = PromptUpdate(port, package, tell=told.append, answer_s=1.0, slow_s=1.0, quiet_s=0.25)
            ending = await run_update(update, pauses=Backoff(0.05, 0.2))
    finally:
        living.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await living
        await line.close()
    assert ending.state is State.DONE
    assert device.running == package.manifest
    assert told[-1] == 8_000
    assert line.boots == (writes is not None)
