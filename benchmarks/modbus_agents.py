"""The two gateways that poll the same field: our agent, and the ThingsBoard gateway in its better form, with range reads."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiomqtt

from benchmarks.backlog import PageCloud
from benchmarks.load import GATEWAY
from benchmarks.modbus_field import REGISTERS
from benchmarks.peers.program import Program
from benchmarks.peers.thingsboard import ThingsBoard, ThingsBoardForm
from device_profiles.loader import load_vocabulary
from device_profiles.quantities import Metric, MetricType
from telemetry.wire import ReadingsBatch

__all__ = ["Arrived", "OurGateway", "PeerGateway"]

_LOWEST, _HIGHEST = 200, 480
"""What the field's registers hold lies between these."""

Arrived = dict[tuple[int, int], int]
"""By (device, number of the reading): the time in ns that the gateway says it was read."""


class OurGateway:
    """The agent, with one link for each port and one for the bus."""

    name = "citynerve"

    def __init__(self, folder: Path, period_s: float) -> None:
        self._folder = folder
        self._period_s = period_s
        self.program = Program([sys.executable, "-m", "citynerve", "edge", "run", "edge.toml"], folder, "edge.log")
        self.read_at: Arrived = {}

    def configure_field(self, broker_port: int, devices: Sequence[tuple[int, int]], serial: tuple[str, int, int] | None) -> None:
        """Write the agent's configuration and a profile of the field's units."""
        profile = self._folder / "profiles" / "polled_unit"
        profile.mkdir(parents=True)
        (profile / "profile.yaml").write_text(self._profile(), "utf-8")
        text = (
            f'gateway = "{GATEWAY}"\ndata_dir = "data"\nbroker = "mqtt://127.0.0.1:{broker_port}"\nprofile_dirs = ["profiles"]\n'
        )
        for port in dict.fromkeys(port for port, _ in devices):
            text += f'\n[[links]]\nname = "net-{port}"\ndriver = "modbus_tcp"\nhost = "127.0.0.1"\nport = {port}\n'
            text += "".join(_device(at, unit) for at, (its, unit) in enumerate(devices, 1) if its == port)
        if serial is not None:
            path, baudrate, units = serial
            text += f'\n[[links]]\nname = "bus"\ndriver = "modbus_rtu"\nport = "{path}"\nbaudrate = {baudrate}\n'
            text += "".join(_device(len(devices) + unit, unit) for unit in range(1, units + 1))
        (self._folder / "edge.toml").write_text(text, "utf-8")

    async def listen(self, broker_port: int) -> None:
        """Take and acknowledge everything, as the cloud does, until cancelled."""
        async with aiomqtt.Client("127.0.0.1", broker_port) as client:
            await _Collector(client, self.read_at).run()

    def _profile(self) -> str:
        metrics = _metrics()
        registers = "".join(
            f"      {metric}: {{area: holding, address: {address}, type: u16}}\n" for address, metric in enumerate(metrics)
        )
        return (
            "name: polled_unit\nversion: 1\nkind: polled_unit\n"
            'title: {zh: "被轮询单元", en: "Unit that counts how often it was read"}\nsource: "the field of this measurement"\n'
            "metrics:\n" + "".join(f"  {metric}:\n" for metric in metrics) + "wire:\n  modbus:\n"
            f"    poll_s: {self._period_s}\n    timeout_s: 2\n    registers:\n{registers}"
            f"reporting:\n  interval_s: {self._period_s}\n"
        )


class PeerGateway(ThingsBoard):
    """The ThingsBoard gateway over one port, with its memory store and one request a device."""

    def __init__(self, programs: Path, folder: Path, units: int, period_s: float) -> None:
        super().__init__(ThingsBoardForm.MEMORY, programs, folder, units=units, period_s=period_s)
        self.read_at: Arrived = {}

    def _unit(self, unit: int, port: int) -> dict[str, Any]:
        told = super()._unit(unit, port)
        told["timeseries"] = [{**told["timeseries"][0], "address": f"0-{REGISTERS - 1}"}]
        return told

    async def _take(self, client: aiomqtt.Client, topic: str, said: Any) -> None:
        await super()._take(client, topic, said)
        if topic != "v1/gateway/telemetry":
            return
        for device, entries in said.items():
            for entry in entries:
                number = entry["values"].get("r_0")
                if number is not None:
                    self.read_at[int(device.removeprefix("dev")), number] = entry["ts"] * 1_000_000


class _Collector(PageCloud):
    """Acknowledges as the cloud does, and notes each reading's number and time."""

    def __init__(self, client: aiomqtt.Client, arrived: Arrived) -> None:
        super().__init__(client)
        self._arrived = arrived

    async def _take(self, batch: ReadingsBatch) -> None:
        for group in batch.groups:
            for _, row in group.readings():
                self._arrived[int(row.device.removeprefix("dev-")), int(str(row.values["frame_counter"]))] = row.time_ns
        await super()._take(batch)


def _device(number: int, unit: int) -> str:
    return f'[[links.devices]]\nid = "dev-{number}"\nprofile = "polled_unit"\naddress = {unit}\n'


def _metrics() -> list[str]:
    """As many metrics as there are registers; the one that counts first."""
    fitting = [name for name, metric in load_vocabulary().items() if _holds(metric) and name != "frame_counter"]
    return ["frame_counter", *fitting[: REGISTERS - 1]]


def _holds(metric: Metric) -> bool:
    if metric.type not in {MetricType.FLOAT, MetricType.INTEGER} or metric.low is None or metric.high is None:
        return False
    return metric.low <= _LOWEST and metric.high >= _HIGHEST
