"""`citynerve sim run|list|record|replay|faults`: simulated devices, record and replay, bad links."""

import asyncio
import contextlib
import json
import signal
import sys
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from simulators.city import City
    from simulators.jt808_replay import FrameSummary
    from simulators.listener import Address
    from simulators.replay import ReplaySummary
    from simulators.wire_log import LogTap

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Simulated devices, record and replay, bad links.")

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
Seconds = Annotated[float | None, typer.Option("--for", min=0.1, help="Run for so many seconds; until Ctrl-C without it.")]


@app.command("list")
def list_scenarios(as_json: AsJson = False) -> None:
    """The scenarios that come with the product."""
    from simulators.scenario import load_scenario, shipped_names

    scenarios = [load_scenario(name) for name in shipped_names()]
    if as_json:
        print(json.dumps([{"name": s.name, "devices": len(s.devices), "events": len(s.events)} for s in scenarios]))
        return
    for scenario in scenarios:
        print(f"{scenario.name:<20} {len(scenario.devices)} devices, {len(scenario.events)} events")


@app.command()
def run(
    scenario: Annotated[str, typer.Argument(help="A scenario file, or the name of a shipped one (see `list`).")],
    *,
    agent_config: Annotated[
        Path | None, typer.Option(help="Write the agent's links here as TOML instead of printing them.")
    ] = None,
    coap: Annotated[str, typer.Option(help="Where the agent's CoAP listener is.")] = "127.0.0.1:5683",
    jt808: Annotated[str, typer.Option(help="Where the agent's JT/T 808 listener is.")] = "127.0.0.1:7611",
    hj212: Annotated[str, typer.Option(help="Where the agent's HJ 212 listener is.")] = "127.0.0.1:9212",
    sl651: Annotated[str, typer.Option(help="Where the agent's SL 651 listener is.")] = "127.0.0.1:9651",
    lwm2m: Annotated[str, typer.Option(help="Where the agent's LwM2M listener is.")] = "127.0.0.1:5683",
    carrier: Annotated[str, typer.Option(help="Where the agent takes a carrier's pushes.")] = "127.0.0.1:8190",
    broker: Annotated[str, typer.Option(help="The broker that MQTT devices publish to.")] = "mqtt://127.0.0.1:1883",
    seconds: Seconds = None,
    as_json: AsJson = False,
) -> None:
    """Start a scenario's devices and let its events happen; tell the links an agent's config needs for them."""
    from device_profiles.mistakes import ProfileError
    from simulators.city import City
    from simulators.links import Endpoints
    from simulators.scenario import load_scenario
    from simulators.ways import Driver

    at = {
        Driver.COAP: _address(coap),
        Driver.JT808: _address(jt808),
        Driver.HJ212: _address(hj212),
        Driver.SL651: _address(sl651),
        Driver.LWM2M: _address(lwm2m),
        Driver.CARRIER: _address(carrier),
    }
    try:
        script = load_scenario(scenario)
        listeners = {link.name: at[link.driver] for link in script.links if link.driver in at}
        city = City(script, Endpoints(listeners=listeners, broker=broker))
    except ProfileError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    _until_stopped(_live(city, agent_config, as_json=as_json), seconds)
    if as_json:
        print(json.dumps({"produced": city.produced(), "devices": {k: _plain(a) for k, a in city.accounts().items()}}))


@app.command()
def record(
    *,
    listen: Annotated[str, typer.Option(help="Where devices call, HOST:PORT; port 0 takes a free one.")],
    target: Annotated[str, typer.Option(help="The agent's own port, HOST:PORT.")],
    out: Annotated[Path, typer.Option(help="The wire log; grows if it is there already.")],
    udp: Annotated[bool, typer.Option("--udp", help="Datagrams instead of connections.")] = False,
    seconds: Seconds = None,
    as_json: AsJson = False,
) -> None:
    """Stand between devices and the agent, and write down what passes and when."""
    from simulators.recorder import record as record_wire

    taps: list[LogTap] = []

    def started(address: "Address", tap: "LogTap") -> None:
        taps.append(tap)
        typer.echo(f"recording: devices call {address[0]}:{address[1]}, the agent is {target}, the log is {out}", err=True)

    with _friendly():
        _until_stopped(record_wire(_address(listen), _address(target), out, udp=udp, started=started), seconds)
    counts = {"entries": sum(tap.entries for tap in taps), "bytes": sum(tap.bytes for tap in taps)}
    print(json.dumps(counts) if as_json else f"recorded {counts['entries']} chunks, {counts['bytes']} bytes")


@app.command()
def faults(
    *,
    listen: Annotated[str, typer.Option(help="Where to be called, HOST:PORT; port 0 takes a free one.")],
    target: Annotated[str, typer.Option(help="Where to pass it on to, HOST:PORT.")],
    rate: Annotated[str, typer.Option(help="Bits a second each way, for example 64k or 2M; 0 is unlimited.")] = "0",
    delay: Annotated[float, typer.Option(min=0, help="Seconds of delay each way.")] = 0.0,
    jitter: Annotated[float, typer.Option(min=0, help="By chance so many seconds more.")] = 0.0,
    flap: Annotated[str | None, typer.Option(help="UP/DOWN in seconds: a link that comes and goes, for example 7/7.")] = None,
    down: Annotated[str, typer.Option(help="What it is like when it is gone: reset, cut, hold or swallow.")] = "reset",
    seed: Annotated[int, typer.Option(help="The same seed, the same chances.")] = 0,
    seconds: Seconds = None,
    as_json: AsJson = False,
) -> None:
    """A bad link before any TCP port: slow, late, or coming and going."""
    from itertools import cycle

    from simulators.faults import FaultyProxy, Impairment, Mode

    if down not in set(Mode) - {Mode.PASS}:
        raise typer.BadParameter(f"{down!r}: want reset, cut, hold or swallow", param_hint="--down")
    bad = Impairment(rate_bits_s=_rate(rate), delay_s=delay, jitter_s=jitter)
    host, port = _address(listen)
    proxy = FaultyProxy(_address(target), bad, host=host, port=port, seed=seed)

    async def stand() -> None:
        async with proxy:
            typer.echo(f"a bad link: call {proxy.address[0]}:{proxy.address[1]}, it leads to {target}", err=True)
            if flap is None:
                await asyncio.get_running_loop().create_future()
            else:
                up_s, down_s = _flapping(flap)
                await proxy.play(cycle([(up_s, bad), (down_s, Impairment(mode=Mode(down)))]))

    with _friendly():
        _until_stopped(stand(), seconds)
    counts = _plain(proxy.counts)
    print(json.dumps(counts) if as_json else ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in counts.items()))


def _rate(text: str) -> float:
    """Bits a second from 64k, 64kbit, 2M or a plain number."""
    short = text.lower().removesuffix("/s").removesuffix("bit")
    factor = {"k": 1e3, "m": 1e6}.get(short[-1:], 1.0)
    try:
        rate = float(short.rstrip("km")) * factor
    except ValueError:
        rate = -1.0
    if rate < 0:
        raise typer.BadParameter(f"{text!r}: want bits a second, for example 64k or 2M", param_hint="--rate")
    return rate


def _flapping(text: str) -> tuple[float, float]:
    """Seconds up and seconds down from UP/DOWN."""
    try:
        up_s, down_s = (float(part) for part in text.split("/"))
    except ValueError:
        up_s = down_s = 0.0
    if min(up_s, down_s) <= 0:
        raise typer.BadParameter(f"{text!r}: want UP/DOWN in seconds, for example 7/7", param_hint="--flap")
    return up_s, down_s


@app.command()
def replay(
    log: Annotated[Path | None, typer.Argument(help="A wire log written by `record`.")] = None,
    *,
    target: Annotated[str, typer.Option(help="The agent's port, HOST:PORT.")],
    jt808: Annotated[Path | None, typer.Option(help="JT/T 808 frames instead: a line each, hex or JSON with `hex`.")] = None,
    speed: Annotated[float, typer.Option(min=0.001, max=1000, help="How many times faster than recorded.")] = 1.0,
    rate: Annotated[float, typer.Option(min=0, help="With --jt808: frames a second; 0 is as fast as they are taken.")] = 0.0,
    udp: Annotated[bool | None, typer.Option("--udp/--tcp", help="Datagrams or connections; as recorded if neither.")] = None,
    one_connection: Annotated[bool, typer.Option(help="With --jt808: one connection for all, not one per terminal.")] = False,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for the last answers.")] = 3.0,
    as_json: AsJson = False,
) -> None:
    """Say again what was recorded, or send captured JT/T 808 frames, and tell what came of it."""
    if (log is None) == (jt808 is None):
        raise typer.BadParameter("give either a wire log or --jt808 FILE")
    with _friendly():
        if jt808 is not None:
            _replay_frames(jt808, _address(target), rate, wait, one_connection=one_connection, as_json=as_json)
        elif log is not None:
            _replay_log(log, _address(target), speed, wait, udp=udp, as_json=as_json)


def _replay_log(log: Path, target: "Address", speed: float, wait: float, *, udp: bool | None, as_json: bool) -> None:
    from simulators.replay import replay as replay_wire
    from simulators.wire_log import read_wire_log

    line = _ProgressLine()

    def progress(s: "ReplaySummary") -> None:
        rate = s.chunks / s.seconds if s.seconds else 0.0
        line.show(f"{s.chunks}/{s.total} chunks, {rate:.0f}/s, {s.left_seconds:.0f} s left", last=s.chunks == s.total)

    summary = asyncio.run(replay_wire(read_wire_log(log), target, speed=speed, udp=udp, linger_s=wait, progress=progress))
    if as_json:
        print(json.dumps(_plain(summary)))
    else:
        print(f"replayed {summary.chunks} chunks, {summary.bytes} bytes, {summary.peers} peers in {summary.seconds:.1f} s")
        print(
            f"heard {summary.heard_bytes} bytes; {summary.broken} broken connections; late by {summary.lag_ms_max:.1f} ms at most"
        )


def _replay_frames(file: Path, target: "Address", rate: float, wait: float, *, one_connection: bool, as_json: bool) -> None:
    from simulators.jt808_replay import Captured, Skipped, read_frames, send_frames

    lines = list(read_frames(file))
    captured = [entry for entry in lines if isinstance(entry, Captured)]
    skipped = [entry for entry in lines if isinstance(entry, Skipped)]
    for entry in skipped:
        typer.echo(f"{file}:{entry.line}: {entry.reason}; skipped", err=True)
    line = _ProgressLine()

    def progress(s: "FrameSummary") -> None:
        speed = s.sent / s.seconds if s.seconds else 0.0
        left = (s.frames - s.sent) / speed if speed else 0.0
        line.show(f"{s.sent}/{s.frames} frames, {speed:.0f}/s, {left:.0f} s left", last=s.sent == s.frames)

    summary = asyncio.run(send_frames(captured, target, rate=rate, one_connection=one_connection, wait_s=wait, progress=progress))
    summary.skipped = skipped
    if as_json:
        print(json.dumps(_plain(summary)))
        return
    print(f"sent {summary.sent} of {summary.frames} frames over {summary.connections} connections; {len(skipped)} lines skipped")
    for kind, counts in summary.answers.items():
        print(f"answers {kind}: {', '.join(f'{name} {n}' for name, n in sorted(counts.items())) or 'none'}")
    print(f"unanswered {summary.unanswered}, unreadable {summary.unreadable}, hung up on {summary.hung_up} times")


async def _live(city: "City", agent_config: Path | None, *, as_json: bool) -> None:
    from citynerve.messages import language
    from simulators.links import links_toml

    await city.start_servers()
    links = links_toml(city.agent_links())
    if agent_config is not None:
        await asyncio.to_thread(agent_config.write_text, links, encoding="utf-8")
        for name, token in city.tokens().items():
            await asyncio.to_thread((agent_config.parent / name).write_text, token, encoding="utf-8")
        typer.echo(f"links written to {agent_config}", err=True)
    elif not as_json:
        print(links, flush=True)
    async with asyncio.TaskGroup() as group:
        group.create_task(city.run())
        async for happening in city.happenings():
            title = happening.title.zh if language() == "zh" else happening.title.en
            typer.echo(f"{happening.at_s:8.1f} s  {happening.device}: {title}", err=True)


def _until_stopped(work: Coroutine[Any, Any, None], seconds: float | None) -> None:
    """Run until Ctrl-C or SIGTERM, also where a script in the background had told to ignore the former, or for so long."""

    async def limited() -> None:
        loop, running = asyncio.get_running_loop(), asyncio.current_task()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, lambda: running and running.cancel())
        with contextlib.suppress(TimeoutError, asyncio.CancelledError):
            async with asyncio.timeout(seconds):
                await work

    asyncio.run(limited())


@contextlib.contextmanager
def _friendly() -> Iterator[None]:
    """The world's faults as one line and exit 4; a file that is wrong as one line and exit 2."""
    try:
        yield
    except OSError as error:
        typer.echo(f"citynerve sim: {error}", err=True)
        raise typer.Exit(4) from error
    except ValueError as error:
        typer.echo(f"citynerve sim: {error}", err=True)
        raise typer.Exit(2) from error


def _address(text: str) -> "Address":
    from simulators.listener import parse_address

    try:
        return parse_address(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _plain(value: object) -> Any:
    import msgspec

    return msgspec.to_builtins(value)


class _ProgressLine:
    """One line on standard error, rewritten at most four times a second on a terminal, once every five elsewhere."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._every_s = 0.25 if self._terminal else 5.0
        self._next_s = time.monotonic() + self._every_s

    def show(self, text: str, *, last: bool) -> None:
        """Tell how far it is; the last word is always told on a terminal."""
        now = time.monotonic()
        if now < self._next_s and not (last and self._terminal):
            return
        self._next_s = now + self._every_s
        end = "\n" if last or not self._terminal else ""
        print(
            f"\r\033[K{text}" if self._terminal else text,
            end=end or ("\n" if not self._terminal else ""),
            file=sys.stderr,
            flush=True,
        )
