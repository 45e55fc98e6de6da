"""Modbus RTU: one serial port, several units of whatever models on its bus."""

import termios
from collections.abc import Mapping

from pymodbus.client import AsyncModbusSerialClient

from device_profiles.model import Profile
from edge_agent.config import LinkConfig
from edge_agent.drivers.base import SetupError
from edge_agent.drivers.modbus_bus import ModbusDriver
from edge_agent.drivers.modbus_line import Client, ModbusLine, TracePacket
from edge_agent.drivers.modbus_reply import RtuFinder
from edge_agent.link_kinds import SerialOptions
from telemetry.clock import Clock

__all__ = ["modbus_rtu"]

_LONGEST_S = 60.0
"""pymodbus's own time limit; above every profile's, which the line keeps itself."""


class _SerialClient(AsyncModbusSerialClient):
    """pymodbus's client, with a port that vanished told as what it is."""

    async def connect(self) -> bool:
        try:
            return await super().connect()
        except termios.error as error:  # not an OSError, though it says the same
            raise OSError(*error.args) from error


def modbus_rtu(link: LinkConfig, catalog: Mapping[str, Profile], clock: Clock) -> ModbusDriver:
    """The driver of a Modbus RTU bus; SetupError where a device does not fit it."""
    options = link.options
    if not isinstance(options, SerialOptions):
        raise SetupError(f"link {link.name}: driver modbus_rtu wants a serial port")

    def client(trace: TracePacket) -> Client:
        return _SerialClient(
            options.port,
            baudrate=options.baudrate,
            parity=options.parity,
            stopbits=options.stopbits,
            name=link.name,
            timeout=_LONGEST_S,
            retries=0,
            reconnect_delay=0,
            trace_packet=trace,
        )

    return ModbusDriver(link, catalog, clock, ModbusLine(client, RtuFinder(), shared_bus=True))
