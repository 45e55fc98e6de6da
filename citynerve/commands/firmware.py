"""`citynerve firmware header|key|sign|verify|update`: for the people who write a device's firmware, and who bring it there."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_agent.updates.runner import Progress
    from firmware_bridge.update.manifest import Manifest
    from firmware_bridge.update.package import Package
    from firmware_bridge.update.session import Ending

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, add_completion=False, help="C headers for firmware, signed packages, updates.")

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")]
PublicKey = Annotated[Path, typer.Option("--key", help="The public key that must have signed it, PEM.")]
PackageFile = Annotated[Path, typer.Argument(help="A package that `sign` wrote.")]


@app.command()
def header(
    profile: Annotated[str, typer.Argument(help="A profile of the catalog, or a profile's folder.")],
    out: Annotated[Path | None, typer.Option("--out", help="Write here instead of to standard output.")] = None,
) -> None:
    """Write a C99 header for a profile: register numbers, structs, scales, enums, masks, checksum, static asserts."""
    from device_profiles.loader import load_profile
    from device_profiles.mistakes import ProfileError, did_you_mean
    from device_profiles.shelf import catalog_path, profile_folders
    from firmware_bridge.c_header import c_header

    folders = {folder.name: folder for folder in profile_folders(catalog_path())}
    try:
        if profile in folders or "/" in profile:
            text = c_header(load_profile(folders.get(profile, Path(profile))))
        else:
            _fail(f"{profile}: no profile of this name; write {did_you_mean(profile, folders)}")
    except ProfileError as error:
        _fail(str(error))
    if out is None:
        sys.stdout.write(text)
    else:
        _write(out, text.encode())
        print(f"{out}: written")


@app.command()
def key(
    out: Annotated[Path, typer.Argument(help="Where the private key goes; the public one goes to the same name with .pub.")],
) -> None:
    """Make a key that signs firmware. The private half is readable for its owner alone and is never printed."""
    import os

    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    made = Ed25519PrivateKey.generate()
    private = made.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = made.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    try:
        with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(private)
    except OSError as error:
        _fail(f"{out}: {error.strerror}; a key that is there is never overwritten")
    _write(out.with_name(f"{out.name}.pub"), public)
    print(f"{out}: keep it where no device and no gateway is. {out.name}.pub goes into every device.")


@app.command()
def sign(
    image: Annotated[Path, typer.Argument(help="The image, as the device runs it.")],
    *,
    key: Annotated[Path, typer.Option("--key", help="The private key, PEM.")],
    model: Annotated[str, typer.Option(help="The model that may run it, at most 32 characters.")],
    hardware: Annotated[str, typer.Option(help="The hardware it is for, at most 16 characters.")],
    version: Annotated[int, typer.Option(help="The security counter: above that of every earlier image.")],
    release: Annotated[str, typer.Option(help="What people call it, at most 16 characters.")],
    chunk: Annotated[int, typer.Option(help="Bytes that are sent and confirmed at a time.")] = 240,
    out: Annotated[Path | None, typer.Option("--out", help="The package; IMAGE.cnfw without.")] = None,
) -> None:
    """Sign an image: write the package that `update` and the gateways bring to devices."""
    from firmware_bridge.errors import ParseError
    from firmware_bridge.update.manifest import Manifest, digest_of
    from firmware_bridge.update.package import read_private_key, sign_package

    data = _read(image)
    manifest = Manifest(
        model=model,
        hardware=hardware,
        release=release,
        version=version,
        size=len(data),
        sha256=digest_of(data),
        chunk_bytes=chunk,
    )
    try:
        package = sign_package(manifest, data, read_private_key(_read(key)))
    except ParseError as error:
        _fail(f"{image}: not signed, {error.reason}: {error}")
    written = out or image.with_name(f"{image.name}.cnfw")
    _write(written, package.whole)
    print(f"{written}: {_told(manifest)}")


@app.command()
def verify(package: PackageFile, key: PublicKey, as_json: AsJson = False) -> None:
    """Check a package's signature and image, and say what it is; exit 1 where it is refused."""
    from firmware_bridge.errors import ParseError

    try:
        manifest = _opened(package, key).manifest
    except ParseError as error:
        if as_json:
            print(json.dumps({"refused": error.reason, "where": str(error)}))
            raise typer.Exit(1) from error
        _fail(f"{package}: refused, {error.reason}: {error}")
    if as_json:
        said = {name: getattr(manifest, name) for name in manifest.__struct_fields__} | {"sha256": manifest.sha256.hex()}
        print(json.dumps(said | {"chunks": manifest.chunks}))
    else:
        print(f"{package}: good. {_told(manifest)}")


@app.command()
def update(
    package: PackageFile,
    *,
    key: PublicKey,
    port: Annotated[str, typer.Option(help="The serial port.")],
    baudrate: Annotated[int, typer.Option(help="8 data bits, no parity.")] = 115200,
    protocol: Annotated[
        str,
        typer.Option(
            help="prompt: a whole update at a bootloader's prompt as docs/firmware.md describes it; "
            "xmodem, ymodem: the file alone, to a bootloader that waits for it."
        ),
    ] = "prompt",
    bare: Annotated[bool, typer.Option("--bare", help="With xmodem and ymodem: the image without the package's header.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring a package to the device on a serial port, with progress; exit 1 where the device does not run it in the end."""
    import asyncio

    from firmware_bridge.errors import ParseError

    if protocol not in {"prompt", "xmodem", "ymodem"}:
        _fail(f"no protocol {protocol!r}; write prompt, xmodem or ymodem")
    try:
        opened = _opened(package, key)
    except ParseError as error:
        _fail(f"{package}: refused, {error.reason}: {error}")
    bring = _at_a_prompt if protocol == "prompt" else _as_a_file
    try:
        ending = asyncio.run(bring(opened, port, baudrate, protocol, opened.image if bare else opened.whole))
    except KeyboardInterrupt:
        _fail("stopped; the device runs what it ran before, and an update goes on where this one ended")
    _show(ending, opened.manifest, as_json)


async def _at_a_prompt(package: "Package", path: str, baudrate: int, protocol: str, data: bytes) -> "Ending":
    """A whole session; `protocol` and `data` are those of the other way."""
    from edge_agent.updates.base import SilentError
    from edge_agent.updates.runner import run_update
    from edge_agent.updates.serial_prompt import PromptUpdate
    from edge_agent.updates.transfer import open_port
    from firmware_bridge.update.session import Ending
    from firmware_bridge.update.table import State

    del protocol, data
    show = _bar(package.manifest.size)
    try:
        async with open_port(path, baudrate) as port:
            return await run_update(PromptUpdate(port, package, tell=show), tell=_say_state())
    except SilentError as silence:
        return Ending(state=State.GAVE_UP, reason=silence.reason, detail=silence.detail)


async def _as_a_file(package: "Package", path: str, baudrate: int, protocol: str, data: bytes) -> "Ending":
    from edge_agent.updates.base import SilentError
    from edge_agent.updates.transfer import open_port, send_blocks
    from firmware_bridge.update.session import Ending
    from firmware_bridge.update.table import State
    from firmware_bridge.xmodem import NamedFile, Sender, xmodem_steps, ymodem_steps

    named = NamedFile(name=f"{package.manifest.model}-{package.manifest.release}.bin", data=data)
    steps = ymodem_steps([named]) if protocol == "ymodem" else xmodem_steps(data)
    try:
        async with open_port(path, baudrate) as port:
            await send_blocks(port, Sender(steps), tell=_bar(len(data)))
    except SilentError as silence:
        return Ending(state=State.GAVE_UP, reason=silence.reason, detail=silence.detail)
    return Ending(state=State.DONE)


def _show(ending: "Ending", manifest: "Manifest", as_json: bool) -> None:
    from firmware_bridge.update.table import State

    if as_json:
        print(json.dumps({"ended": ending.state, "reason": ending.reason, "detail": ending.detail, "version": manifest.version}))
    elif ending.state is State.DONE:
        print(f"done: {_told(manifest)}")
    else:
        print(f"{ending.state}, {ending.reason}: {ending.detail}", file=sys.stderr)
    raise typer.Exit(0 if ending.state is State.DONE else 1)


def _bar(size: int) -> "Callable[[int], None]":
    """Progress on stderr: a line that is written over on a terminal, a line for each tenth elsewhere."""
    is_terminal = sys.stderr.isatty()
    last = -1

    def show(sent: int) -> None:
        nonlocal last
        percent = min(100, 100 * sent // max(1, size))
        step = percent if is_terminal else percent // 10 * 10
        if step == last:
            return
        last = step
        if is_terminal:
            print(f"\r{step:>3} % of {size} bytes", file=sys.stderr, end="\n" if step == 100 else "", flush=True)
        else:
            print(f"{step} %", file=sys.stderr)

    return show


def _say_state() -> "Callable[[Progress], None]":
    """Each step of the session once."""
    last = ""

    def say(progress: "Progress") -> None:
        nonlocal last
        if progress.state != last:
            last = progress.state
            print(f"{progress.state} ({progress.chunk} of {progress.chunks} chunks)", file=sys.stderr)

    return say


def _told(manifest: "Manifest") -> str:
    return (
        f"{manifest.model} hardware {manifest.hardware}, release {manifest.release}, version {manifest.version}, "
        f"{manifest.size} bytes in {manifest.chunks} chunks, SHA-256 {manifest.sha256.hex()}"
    )


def _opened(package: Path, key: Path) -> "Package":
    from firmware_bridge.update.package import open_package, read_public_key

    return open_package(_read(package), read_public_key(_read(key)))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        _fail(f"{path}: {error.strerror}")


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        _fail(f"{path}: {error.strerror}")


def _fail(text: str) -> NoReturn:
    print(text, file=sys.stderr)
    raise typer.Exit(1)
