"""A broker with a certificate that nobody vouches for gets nothing, and the gateway says why (F35)."""

import asyncio
import gc
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.servers import free_port, serving
from edge_agent.config import OutboxLimits
from edge_agent.outbox.outbox import Outbox
from edge_agent.uplink.uplink import Uplink, UplinkSettings
from telemetry.clock import SystemClock
from telemetry.wire import GatewayStatus

pytestmark = pytest.mark.integration


@pytest.fixture
def forged(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 signed by itself, and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make a certificate with")
    certificate, key = tmp_path / "broker.crt", tmp_path / "broker.key"
    name = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]
    subprocess.run([*command, *name, *files], check=True, capture_output=True)
    key.chmod(0o644)  # the broker gives up its rights before it reads the key
    return certificate, key


# paho leaves the socket of a failed handshake to the garbage collector, which must run while this is told.
@pytest.mark.filterwarnings("ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning")
async def test_a_broker_that_nobody_vouches_for_is_refused(
    tmp_path: Path, forged: tuple[Path, Path], need_server: Callable[[str, str], str]
) -> None:
    port, config = free_port(), tmp_path / "mosquitto.conf"
    lines = [f"listener {port} 127.0.0.1", "allow_anonymous true", f"certfile {forged[0]}", f"keyfile {forged[1]}"]
    config.write_text("\n".join([*lines, "user root", ""]), "utf-8")
    clock = SystemClock()
    outbox = await Outbox.open(tmp_path / "edge", "gw1", OutboxLimits(), clock)
    uplink = Uplink(
        UplinkSettings(gateway="gw1", broker=f"mqtts://127.0.0.1:{port}", boot_id="b", agent_version="1", reconnect_first_s=60.0),
        outbox,
        clock,
        devices=list,
        status=lambda online: GatewayStatus(gateway="gw1", online=online, at_ns=clock.wall_ns()),
        on_command=lambda _: None,
        refuse=lambda *_: None,
    )
    try:
        with serving([need_server("mosquitto", "mosquitto"), "-c", str(config)], port):
            async with asyncio.TaskGroup() as tasks:
                running = tasks.create_task(uplink.run())
                async with asyncio.timeout(10):
                    while not uplink.last_error:  # noqa: ASYNC110 - what a person sees
                        await asyncio.sleep(0.02)
                running.cancel()  # between attempts: a handshake under way goes on in its thread, and outlives the test
        assert "certificate" in uplink.last_error.lower()
        assert (uplink.counts.connections, uplink.counts.bytes_sent, uplink.connected) == (0, 0, False)
    finally:
        await outbox.close()
    gc.collect()
