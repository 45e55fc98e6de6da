"""The machine's own Bluetooth adapter by bleak, which speaks to BlueZ over D-Bus.

Imported only when a link is driven; its errors come out as OSError with the words of `Radio`. No real adapter was at hand
when this was written: what is tested is that its absence is told.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from bleak import BleakClient, BleakScanner
from bleak.args.bluez import BlueZClientArgs, BlueZScannerArgs, OrPattern
from bleak.assigned_numbers import AdvertisementDataType
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bleak.exc import (
    BleakBluetoothNotAvailableError,
    BleakCharacteristicNotFoundError,
    BleakError,
)
from dbus_fast.errors import AuthError, DBusError, InvalidAddressError

from edge_agent.drivers.ble.radio import Connection, OnHeard
from firmware_bridge.ble.advertising import Advertisement
from firmware_bridge.ble.bthome import SHORT_UUID

__all__ = ["BleakRadio"]

_CONNECT_S = 10.0
_NO_ADAPTER = "no Bluetooth adapter"
_NO_BUS = (FileNotFoundError, PermissionError, ConnectionError, EOFError, AuthError, DBusError, InvalidAddressError)
"""What comes out of the D-Bus library before there is any adapter to speak of."""


class BleakRadio:
    """The adapter of that name ("hci0"), the machine's usual one for "". Passive listening asks BlueZ for advertisement monitors
    of BTHome data, which older kernels and adapters do not have."""

    def __init__(self, adapter: str = "", *, passive: bool = False) -> None:
        self._adapter = adapter
        self._passive = passive

    async def listen(self, seconds: float, heard: OnHeard) -> None:
        def told(device: BLEDevice, said: AdvertisementData) -> None:
            heard(device.address.upper(), _advertisement(said))

        options = BlueZScannerArgs(adapter=self._adapter) if self._adapter else BlueZScannerArgs()
        if self._passive:
            kind = AdvertisementDataType.SERVICE_DATA_UUID16
            options["or_patterns"] = [OrPattern(0, kind, SHORT_UUID.to_bytes(2, "little"))]
        try:
            async with BleakScanner(told, scanning_mode="passive" if self._passive else "active", bluez=options):
                await asyncio.sleep(seconds)
        except BleakError as error:
            raise OSError(f"{_NO_ADAPTER}: {error}") from error
        except _NO_BUS as error:
            raise OSError(f"{_NO_ADAPTER}: no D-Bus with BlueZ ({error!r:.100})") from error

    @asynccontextmanager
    async def connect(self, address: str) -> AsyncIterator[Connection]:
        options = BlueZClientArgs(adapter=self._adapter) if self._adapter else BlueZClientArgs()
        try:
            async with BleakClient(address, timeout=_CONNECT_S, bluez=options) as client:
                yield _Connection(client)
        except BleakBluetoothNotAvailableError as error:
            raise OSError(f"{_NO_ADAPTER}: {error}") from error
        except BleakError as error:
            raise ConnectionError(f"{address}: {error}") from error
        except _NO_BUS as error:
            raise OSError(f"{_NO_ADAPTER}: no D-Bus with BlueZ ({error!r:.100})") from error


def _advertisement(said: AdvertisementData) -> Advertisement:
    return Advertisement(
        name=said.local_name or "",
        service_data=said.service_data,
        manufacturer_data=said.manufacturer_data,
        uuids=tuple(said.service_uuids),
        tx_power_dbm=said.tx_power,
        rssi_dbm=said.rssi,
    )


class _Connection:
    def __init__(self, client: BleakClient) -> None:
        self._client = client

    async def read(self, uuid: str) -> bytes:
        try:
            return bytes(await self._client.read_gatt_char(uuid))
        except BleakCharacteristicNotFoundError as error:
            raise KeyError(uuid) from error

    async def write(self, uuid: str, data: bytes) -> None:
        await self._client.write_gatt_char(uuid, data)

    async def notify(self, uuid: str, told: Callable[[bytes], None]) -> None:
        try:
            await self._client.start_notify(uuid, lambda _, data: told(bytes(data)))
        except BleakCharacteristicNotFoundError as error:
            raise KeyError(uuid) from error
