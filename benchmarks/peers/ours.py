"""citynerve on the same job: the agent, and the real cloud behind the broker with its embedded stores."""

import asyncio
import sys
from pathlib import Path

import aiomqtt
import duckdb
import zstandard

from benchmarks.peers.field import REGISTERS, Told
from benchmarks.peers.program import Program
from telemetry.wire import decode_readings

__all__ = ["Ours"]

_GATEWAY = "gw-peers"
_MOST_BYTES = 1 << 24
_METRICS = (
    "frame_counter",
    "voltage_a_v",
    "voltage_b_v",
    "voltage_c_v",
    "current_a_a",
    "current_b_a",
    "current_c_a",
    "power_w",
    "frequency_hz",
    "temperature_c",
)
"""What the field's registers are called here; the first counts."""
_CLOUD_START_S = 30.0


class Ours:
    """One agent and one cloud in `folder`. What has arrived is what the cloud's series store holds in the end.

    Before that, and for the duplicates, the batches are counted as they come out of the broker.
    """

    name = "citynerve"

    def __init__(self, folder: Path, *, units: int, period_s: float) -> None:
        self._folder = folder
        self._units = units
        self._period_s = period_s
        command = [sys.executable, "-m", "citynerve"]
        self.program = Program([*command, "edge", "run", "edge.toml"], folder, "edge.log")
        self._cloud = Program([*command, "cloud", "run", "cloud.toml"], folder, "cloud.log")
        self.arrived: set[Told] = set()
        self.duplicates = 0

    def configure(self, field_port: int, link_port: int) -> None:
        """Write the agent's configuration and a profile of the field's units."""
        profile = self._folder / "profiles" / "counting_unit"
        profile.mkdir(parents=True, exist_ok=True)
        (profile / "profile.yaml").write_text(self._profile())
        links = "".join(
            f'[[links.devices]]\nid = "dev{unit}"\nprofile = "counting_unit"\naddress = {unit}\n'
            for unit in range(1, self._units + 1)
        )
        (self._folder / "edge.toml").write_text(
            f'gateway = "{_GATEWAY}"\ndata_dir = "edge"\nbroker = "mqtt://127.0.0.1:{link_port}"\n'
            f'profile_dirs = ["profiles"]\n\n'
            f'[[links]]\nname = "field"\ndriver = "modbus_tcp"\nhost = "127.0.0.1"\nport = {field_port}\n{links}'
        )

    async def begin(self, broker_port: int) -> None:
        """Start the cloud, directly at the broker: the link between gateway and broker is what fails."""
        (self._folder / "cloud.toml").write_text(
            f'data_dir = "{self._folder / "cloud"}"\nbroker = "mqtt://127.0.0.1:{broker_port}"\n'
            f'profile_dirs = ["{self._folder / "profiles"}"]\n[api]\nport = 0\n'
        )
        await self._cloud.start()
        try:
            await self._ready()
        except BaseException:
            await self._cloud.kill()
            raise

    async def _ready(self) -> None:
        """Returns when the cloud has told the address of its pages, which it does last."""
        log = self._folder / "cloud.log"
        async with asyncio.timeout(_CLOUD_START_S):
            while "http://" not in await asyncio.to_thread(log.read_text, "utf-8"):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.2)

    async def listen(self, broker_port: int) -> None:
        """Count what comes out of the broker, until cancelled."""
        seen: set[tuple[str, int]] = set()
        async with aiomqtt.Client("127.0.0.1", broker_port) as client:
            await client.subscribe(f"gw/{_GATEWAY}/up/readings", qos=1)
            async for message in client.messages:
                batch = decode_readings(bytes(message.payload), _decompress)
                for group in batch.groups:
                    for offset, row in group.readings():
                        place = batch.epoch, batch.first_seq + offset
                        self.duplicates += place in seen
                        seen.add(place)
                        self.arrived.add((int(row.device.removeprefix("dev")), int(str(row.values["frame_counter"]))))

    async def settle(self) -> None:
        """Stop the cloud and believe its store alone."""
        await asyncio.sleep(2.0)  # its last commit
        await self._cloud.stop()
        self.arrived = await asyncio.to_thread(self._stored)

    def _stored(self) -> set[Told]:
        with duckdb.connect(str(self._folder / "cloud" / "series.duckdb"), read_only=True) as store:
            rows = store.execute(
                "SELECT device.name, value FROM wholes "
                "JOIN names AS device ON device.no = wholes.device AND device.space = 'device' "
                "JOIN names AS metric ON metric.no = wholes.metric AND metric.space = 'metric' "
                "WHERE metric.name = 'frame_counter'"
            ).fetchall()
        return {(int(name.removeprefix("dev")), int(value)) for name, value in rows}

    def _profile(self) -> str:
        registers = "".join(
            f"      {metric}: {{area: holding, address: {address}, type: u16}}\n"
            for metric, address in zip(_METRICS, range(len(REGISTERS)), strict=True)
        )
        return (
            "name: counting_unit\nversion: 1\nkind: counting_unit\n"
            'title: {zh: "计数单元", en: "Unit that counts how often it was read"}\nsource: "the field of this measurement"\n'
            "metrics:\n" + "".join(f"  {metric}:\n" for metric in _METRICS) + "wire:\n  modbus:\n"
            f"    poll_s: {self._period_s}\n    max_gap: 0\n    max_block: 100\n    turnaround_ms: 0\n    timeout_s: 5\n"
            f"    registers:\n{registers}"
            f"reporting:\n  interval_s: {self._period_s}\n"
        )


def _decompress(data: bytes, most: int) -> bytes:
    return zstandard.ZstdDecompressor().decompress(data, max_output_size=min(most, _MOST_BYTES))
