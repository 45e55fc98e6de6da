"""`citynerve firmware`, as a person at a keyboard has it: header, keys, packages, and an update over a pty."""

import asyncio
import contextlib
import json
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from firmware_bridge.update.manifest import Manifest, digest_of
from firmware_bridge.update.package import read_private_key, read_public_key, sign_package
from simulators.devices.firmware.bootloader import Bootloader
from simulators.devices.firmware.prompt_line import PromptLine

IMAGE = bytes(at * at % 253 for at in range(6000))


def firmware(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "citynerve", "firmware", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


SIGN = ("--model", "lamp_loop", "--hardware", "B", "--version", "4", "--release", "2.4.1", "--chunk", "512")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a key, an image and its package."""
    made = tmp_path_factory.mktemp("firmware")
    (made / "image.bin").write_bytes(IMAGE)
    for words in (("key", "release.key"), ("sign", "image.bin", "--key", "release.key", *SIGN)):
        run = firmware(made, *words)
        assert run.returncode == 0, run.stderr
        secret = (made / "release.key").read_text().splitlines()[1]
        assert secret not in run.stdout + run.stderr
    return made


def test_a_key_is_its_owners_alone_and_never_overwritten(folder: Path) -> None:
    assert stat.S_IMODE((folder / "release.key").stat().st_mode) == 0o600
    before = (folder / "release.key").read_bytes()
    again = firmware(folder, "key", "release.key")
    assert again.returncode == 1
    assert (folder / "release.key").read_bytes() == before


def test_a_package_says_what_it_is(folder: Path) -> None:
    run = firmware(folder, "verify", "image.bin.cnfw", "--key", "release.key.pub", "--json")
    assert run.returncode == 0
    said = json.loads(run.stdout)
    assert said == {
        "model": "lamp_loop",
        "hardware": "B",
        "release": "2.4.1",
        "version": 4,
        "size": 6000,
        "sha256": digest_of(IMAGE).hex(),
        "chunk_bytes": 512,
        "chunks": 12,
    }


def test_a_changed_package_and_another_key_are_refused_with_their_reason(folder: Path, tmp_path: Path) -> None:
    whole = bytearray((folder / "image.bin.cnfw").read_bytes())
    whole[-1] ^= 1
    (tmp_path / "changed.cnfw").write_bytes(whole)
    run = firmware(folder, "verify", str(tmp_path / "changed.cnfw"), "--key", "release.key.pub", "--json")
    assert (run.returncode, json.loads(run.stdout)["refused"]) == (1, "bad_checksum")
    assert firmware(tmp_path, "key", "other.key").returncode == 0
    run = firmware(folder, "verify", "image.bin.cnfw", "--key", str(tmp_path / "other.key.pub"), "--json")
    assert (run.returncode, json.loads(run.stdout)["refused"]) == (1, "not_authenticated")
    run = firmware(folder, "verify", "image.bin.cnfw", "--key", "release.key")
    assert run.returncode == 1
    assert (folder / "release.key").read_text().splitlines()[1] not in run.stderr


def test_a_header_goes_to_a_file(tmp_path: Path) -> None:
    run = firmware(tmp_path, "header", "lamp_loop", "--out", "lamp_loop.h")
    assert run.returncode == 0, run.stderr
    assert "lamp_loop_input_t" in (tmp_path / "lamp_loop.h").read_text("ascii")
    unknown = firmware(tmp_path, "header", "lamp_lop")
    assert unknown.returncode == 1
    assert "lamp_loop" in unknown.stderr


@contextlib.asynccontextmanager
async def prompt_on_a_line(device: Bootloader) -> AsyncIterator[str]:
    """A simulated bootloader's prompt at the end of a pty; the path of the other end."""
    line = PromptLine(device)
    path = await line.start()
    living = asyncio.ensure_future(line.run())
    try:
        yield path
    finally:
        living.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await living
        await line.close()


def device(folder: Path, *, version: int, hardware: str = "B") -> Bootloader:
    key = read_private_key((folder / "release.key").read_bytes())
    old = Manifest(
        model="lamp_loop", hardware=hardware, release="old", version=version, size=len(IMAGE), sha256=digest_of(IMAGE[::-1])
    )
    public = read_public_key((folder / "release.key.pub").read_bytes())
    return Bootloader(public, sign_package(old, IMAGE[::-1], key), room_bytes=8192)


async def update(folder: Path, path: str) -> tuple[int, dict[str, object], str]:
    words = ["update", "image.bin.cnfw", "--key", "release.key.pub", "--port", path, "--json"]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "citynerve",
        "firmware",
        *words,
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, json.loads(out), err.decode()


async def test_an_update_over_a_serial_port_shows_its_progress(folder: Path) -> None:
    one = device(folder, version=3)
    async with prompt_on_a_line(one) as path:
        code, said, told = await update(folder, path)
    assert (code, said["ended"]) == (0, "done"), told
    assert one.running.version == 4
    assert "100 %" in told
    assert "verifying (" in told


async def test_a_device_that_refuses_ends_it_with_its_reason(folder: Path) -> None:
    one = device(folder, version=4)
    async with prompt_on_a_line(one) as path:
        code, said, _ = await update(folder, path)
    assert (code, said["ended"], said["reason"]) == (1, "refused", "expired")
    assert one.running.release == "old"


async def test_a_port_that_is_not_there_is_told(folder: Path) -> None:
    code, said, _ = await update(folder, str(folder / "ttyS9"))
    assert (code, said["ended"], said["reason"]) == (1, "gave_up", "unreachable")
