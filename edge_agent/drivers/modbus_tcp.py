"""Modbus TCP: one connection to one server, which may be a gateway with several units behind it."""

from collections.abc import Mapping

from pymodbus.client import AsyncModbusTcpClient

from device_profiles.model import Profile
from edge_agent.config import LinkConfig
from edge_agent.drivers.base import SetupError
from edge_agent.drivers.modbus_bus import ModbusDriver
from edge_agent.drivers.modbus_line import Client, ModbusLine, TracePacket
from edge_agent.drivers.modbus_reply import TcpFinder
from edge_agent.link_kinds import ModbusTcpOptions
from telemetry.clock import Clock

__all__ = ["modbus_tcp"]

_CONNECT_S = 5.0


def modbus_tcp(link: LinkConfig, catalog: Mapping[str, Profile], clock: Clock) -> ModbusDriver:
    """The driver of a Modbus TCP link; SetupError where a device does not fit it."""
    options = link.options
    if not isinstance(options, ModbusTcpOptions):
        raise SetupError(f"link {link.name}: driver modbus_tcp wants a host and a port")

    def client(trace: TracePacket) -> Client:
        # Retries and reconnecting are the driver's: a retry inside would hide a time-out from the account.
        return AsyncModbusTcpClient(
            options.host, port=options.port, name=link.name, timeout=_CONNECT_S, retries=0, reconnect_delay=0, trace_packet=trace
        )

    return ModbusDriver(link, catalog, clock, ModbusLine(client, TcpFinder(), shared_bus=False))
