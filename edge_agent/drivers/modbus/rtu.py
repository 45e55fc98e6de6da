"""Modbus RTU: one serial port, several units of whatever models on its bus."""

import asyncio
from collections.abc import Callable, Mapping

import serial_asyncio_fast

from device_profiles.model import Profile
from edge_agent.config import LinkConfig
from edge_agent.drivers.base import SetupError
from edge_agent.drivers.modbus.bus import ModbusDriver
from edge_agent.drivers.modbus.line import ModbusLine
from edge_agent.drivers.modbus.reply import RtuEnvelope
from edge_agent.link_kinds import SerialOptions
from telemetry.clock import Clock

__all__ = ["modbus_rtu"]


def modbus_rtu(link: LinkConfig, catalog: Mapping[str, Profile], clock: Clock) -> ModbusDriver:
    """The driver of a Modbus RTU bus; SetupError where a device does not fit it."""
    options = link.options
    if not isinstance(options, SerialOptions):
        raise SetupError(f"link {link.name}: driver modbus_rtu wants a serial port")

    async def opened(protocol: Callable[[], asyncio.Protocol]) -> asyncio.Transport:
        transport, _ = await serial_asyncio_fast.create_serial_connection(
            asyncio.get_running_loop(),
            protocol,
            options.port,
            baudrate=options.baudrate,
            parity=options.parity,
            stopbits=options.stopbits,
            exclusive=True,
        )
        found: asyncio.Transport = transport
        return found

    # A start bit, eight data bits, parity where there is one, stop bits.
    byte_s = (9 + (options.parity != "N") + options.stopbits) / options.baudrate
    return ModbusDriver(link, catalog, clock, ModbusLine(opened, RtuEnvelope(byte_s), shared_bus=True))
