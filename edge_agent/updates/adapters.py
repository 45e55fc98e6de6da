"""Which update fits a device: told by what the driver of its link can do."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from edge_agent.config import DeviceConfig
from edge_agent.drivers import Driver
from edge_agent.updates.base import Updatable
from edge_agent.updates.jt808 import TerminalAccess, TerminalUpdate
from edge_agent.updates.lwm2m import ResourceAccess, ResourcesUpdate
from edge_agent.updates.modbus_files import FileBus, RecordsUpdate, UnitFiles
from firmware_bridge.update.package import Package

__all__ = ["Make", "fitting"]

Make = Callable[[Package], Updatable]
"""Makes a device's update, a new one for each session."""
_ITS_OWN = ""
"""The maker that the terminal itself names in its 0x0107."""


@runtime_checkable
class _Terminals(Protocol):
    """A driver of vehicle terminals."""

    def upgrade(self, device: DeviceConfig) -> TerminalAccess: ...


@runtime_checkable
class _Clients(Protocol):
    """A driver of LwM2M clients."""

    def resources(self, device: DeviceConfig) -> ResourceAccess: ...


def fitting(driver: Driver, device: DeviceConfig) -> Make | None:
    """How to update `device` over its link: file records, 0x8108 or object 5; None where its language has no way."""
    match driver:
        case FileBus():
            return _by_records(driver, device)
        case _Terminals():
            return _by_upgrade(driver, device)
        case _Clients():
            return _by_object_5(driver, device)
        case _:
            return None


def _by_records(bus: FileBus, device: DeviceConfig) -> Make:
    return lambda package: RecordsUpdate(UnitFiles(bus, int(device.address)), package)


def _by_upgrade(terminals: _Terminals, device: DeviceConfig) -> Make:
    return lambda package: TerminalUpdate(terminals.upgrade(device), package, _ITS_OWN)


def _by_object_5(clients: _Clients, device: DeviceConfig) -> Make:
    return lambda package: ResourcesUpdate(clients.resources(device), package)
