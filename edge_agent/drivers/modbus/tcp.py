"""Modbus TCP: one connection to one server, which may be a gateway with several units behind it; and RTU frames over TCP."""

import asyncio
import socket
from collections.abc import Callable, Mapping

from device_profiles.model import Profile
from edge_agent.config import LinkConfig
from edge_agent.drivers.base import SetupError
from edge_agent.drivers.modbus.bus import ModbusDriver
from edge_agent.drivers.modbus.line import ModbusLine, Open
from edge_agent.drivers.modbus.reply import RtuEnvelope, TcpEnvelope
from edge_agent.link_kinds import ModbusTcpOptions
from telemetry.clock import Clock

__all__ = ["modbus_rtu_tcp", "modbus_tcp"]


def modbus_tcp(link: LinkConfig, catalog: Mapping[str, Profile], clock: Clock) -> ModbusDriver:
    """The driver of a Modbus TCP link; SetupError where a device does not fit it."""
    return ModbusDriver(link, catalog, clock, ModbusLine(_opens(link), TcpEnvelope(), shared_bus=False))


def modbus_rtu_tcp(link: LinkConfig, catalog: Mapping[str, Profile], clock: Clock) -> ModbusDriver:
    """The driver of a serial server that passes RTU frames on as they are, with their CRC and without MBAP header.

    What is behind it is a bus: a reply names no request there, either. SetupError where a device does not fit the link.
    """
    return ModbusDriver(link, catalog, clock, ModbusLine(_opens(link), RtuEnvelope(), shared_bus=True))


def _opens(link: LinkConfig) -> Open:
    options = link.options
    if not isinstance(options, ModbusTcpOptions):
        raise SetupError(f"link {link.name}: driver {link.driver} wants a host and a port")

    async def opened(protocol: Callable[[], asyncio.Protocol]) -> asyncio.Transport:
        transport, _ = await asyncio.get_running_loop().create_connection(protocol, options.host, options.port)
        # A cable that was pulled is noticed where a whole bus may be silent for good reasons.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return transport

    return opened
