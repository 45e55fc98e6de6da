"""The ThingsBoard gateway, from its own package, configured as its documentation says and as fairly as we know how."""

import asyncio
import json
import re
import subprocess
import sys
import uuid
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from typing import Any

import aiomqtt

from benchmarks.peers.field import REGISTERS, Told
from benchmarks.peers.program import Program

__all__ = ["ThingsBoard", "ThingsBoardForm", "install"]

_BATCH = 100
"""Records a read of its store takes: what it calls sent at once. Equal for all three stores, since losses follow it."""
_SESSION_LIMITS = {"maxPayloadSize": 65536, "maxInflightMessages": 100, "rateLimits": {}, "gatewayRateLimits": {}}
_NOWHERE = "http://127.0.0.1:9"
"""Its check for a newer version goes through this proxy, to nobody."""


class ThingsBoardForm(StrEnum):
    """How it is configured: its store, and whether it reads each register alone or a device's registers at once."""

    PER_TAG = "per tag, memory"
    MEMORY = "ranges, memory"
    FILE = "ranges, file"
    SQLITE = "ranges, sqlite"


def install(folder: Path) -> Path:
    """The folder of its programs; makes the environment with pip where it is not there yet."""
    wanted = files("benchmarks.peers") / "requirements.txt"
    programs, stamp = folder / "bin", folder / "installed.txt"
    if not stamp.exists() or stamp.read_text() != wanted.read_text():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(programs / "pip"), "install", "--quiet", "-r", str(wanted)], check=True)
        stamp.write_text(wanted.read_text())
    return programs


class ThingsBoard:
    """One installation in `folder`: reads the units of `field_port`, publishes to `link_port`.

    `heard` subscribes at the broker itself, as ThingsBoard's server would.
    """

    def __init__(self, form: ThingsBoardForm, programs: Path, folder: Path, *, units: int, period_s: float) -> None:
        self.name = f"ThingsBoard gateway, {form}"
        self._form = form
        self._folder = folder
        self._units = units
        self._period_s = period_s
        environment = {
            "TB_GW_CONFIG_DIR": str(folder),
            "HTTP_PROXY": _NOWHERE,
            "HTTPS_PROXY": _NOWHERE,
            "http_proxy": _NOWHERE,
            "https_proxy": _NOWHERE,
            "no_proxy": "",
        }
        self.program = Program([str(programs / "thingsboard-gateway")], folder, "gateway.log", environment)
        self._logs_template = next(programs.parent.glob("lib/python*/site-packages/thingsboard_gateway/config/logs.json"))
        self.arrived: set[Told] = set()
        self.duplicates = 0

    def configure(self, field_port: int, link_port: int) -> None:
        """Write its configuration."""
        (self._folder / "logs").mkdir(parents=True, exist_ok=True)
        (self._folder / "data").mkdir(exist_ok=True)
        for name, what in (("tb_gateway", self._main(link_port)), ("modbus", self._modbus(field_port))):
            (self._folder / f"{name}.json").write_text(json.dumps(what, indent=1))
        (self._folder / "logs.json").write_text(self._logs_template.read_text())

    async def begin(self, broker_port: int) -> None:
        """Nothing has to run behind the broker."""

    async def listen(self, broker_port: int) -> None:
        """Hear what comes out of the broker, and answer as the server does, until cancelled."""
        async with aiomqtt.Client("127.0.0.1", broker_port) as client:
            await client.subscribe("v1/gateway/telemetry", qos=1)
            await client.subscribe("v1/devices/me/rpc/request/+", qos=1)
            async for message in client.messages:
                await self._take(client, str(message.topic), json.loads(bytes(message.payload)))

    async def settle(self) -> None:
        """What was heard is what has arrived."""
        await asyncio.sleep(0)

    async def _take(self, client: aiomqtt.Client, topic: str, said: Any) -> None:
        if topic.startswith("v1/devices/me/rpc/request/"):
            if said.get("method") == "getSessionLimits":
                await client.publish(topic.replace("request", "response"), json.dumps(_SESSION_LIMITS), qos=1)
            return
        for device, entries in said.items():
            unit = int(re.sub(r"\D", "", device))
            for entry in entries:
                number = entry["values"].get("r_0")
                if number is not None:
                    self.duplicates += (unit, number) in self.arrived
                    self.arrived.add((unit, number))

    def _main(self, port: int) -> dict[str, Any]:
        return {
            "thingsboard": {
                "host": "127.0.0.1",
                "port": port,
                "remoteShell": False,
                "remoteConfiguration": False,
                "statistics": {"enable": False, "enableCustom": False},
                "deviceFiltering": {"enable": False},
                "maxPayloadSizeBytes": 8196,
                "minPackSendDelayMS": 50,
                "minPackSizeToSend": 500,
                "checkConnectorsConfigurationInSeconds": 60,
                "security": {"type": "accessToken", "accessToken": "x"},
                "qos": 1,
                "reportStrategy": {"type": "ON_RECEIVED"},
                "checkingDeviceActivity": {"checkDeviceInactivity": False},
            },
            "storage": self._storage(),
            "grpc": {"enabled": False},
            "connectors": [{"name": "Modbus", "type": "modbus", "configuration": "modbus.json"}],
        }

    def _storage(self) -> dict[str, Any]:
        folder = f"{self._folder / 'data'}/"
        match self._form:
            case ThingsBoardForm.PER_TAG | ThingsBoardForm.MEMORY:
                return {"type": "memory", "read_records_count": _BATCH, "max_records_count": 100_000}
            case ThingsBoardForm.FILE:
                return {
                    "type": "file",
                    "data_folder_path": folder,
                    "max_file_count": 50,
                    "max_read_records_count": _BATCH,
                    "max_records_per_file": 10_000,
                }
            case ThingsBoardForm.SQLITE:
                return {
                    "type": "sqlite",
                    "data_file_path": folder,
                    "max_read_records_count": _BATCH,
                    "messages_ttl_check_in_hours": 1,
                    "messages_ttl_in_days": 7,
                    "size_limit": 1024,
                    "max_db_amount": 10,
                    "oversize_check_period": 1,
                    "writing_batch_size": 1000,
                }

    def _modbus(self, port: int) -> dict[str, Any]:
        units = [self._unit(unit, port) for unit in range(1, self._units + 1)]
        return {"name": "Modbus", "id": str(uuid.uuid4()), "logLevel": "INFO", "master": {"slaves": units}}

    def _unit(self, unit: int, port: int) -> dict[str, Any]:
        tag = {"type": "16uint", "functionCode": 3, "objectsCount": 1}
        if self._form is ThingsBoardForm.PER_TAG:
            tags = [{**tag, "tag": f"r_{address}", "address": address} for address in range(len(REGISTERS))]
        else:
            tags = [{**tag, "tag": "r_${address}", "address": f"0-{len(REGISTERS) - 1}", "maxRegistersPerRequest": 100}]
        return {
            "host": "127.0.0.1",
            "port": port,
            "type": "tcp",
            "method": "socket",
            "unitId": unit,
            "deviceName": f"dev{unit}",
            "deviceType": "default",
            "timeout": 5,
            "byteOrder": "BIG",
            "wordOrder": "BIG",
            "retries": 3,
            "pollPeriod": round(self._period_s * 1000),
            "connectAttemptTimeMs": 500,
            "connectAttemptCount": 5,
            "waitAfterFailedAttemptsMs": 30_000,
            "attributes": [],
            "timeseries": tags,
            "attributeUpdates": [],
            "rpc": [],
        }
