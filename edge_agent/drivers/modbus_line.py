"""One pymodbus client as a line that carries one checked request at a time."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU

from edge_agent.attempt import attempt
from edge_agent.drivers.modbus_reply import Failure, Finder, Request
from firmware_bridge.modbus.pdus import EXCEPTIONS
from telemetry.reason import Reason

__all__ = ["Client", "ModbusLine", "TracePacket"]

# What pymodbus logs about single frames is counted here and told through the inlet at a bounded rate.
logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)

TracePacket = Callable[[bool, bytes], bytes]


class Client(Protocol):
    """What is used of pymodbus's asynchronous clients (3.10 and later)."""

    @property
    def connected(self) -> bool: ...
    def connect(self) -> Coroutine[Any, Any, bool]: ...
    def close(self) -> None: ...
    def read_coils(self, address: int, *, count: int, device_id: int) -> Awaitable[ModbusPDU]: ...
    def read_discrete_inputs(self, address: int, *, count: int, device_id: int) -> Awaitable[ModbusPDU]: ...
    def read_holding_registers(self, address: int, *, count: int, device_id: int) -> Awaitable[ModbusPDU]: ...
    def read_input_registers(self, address: int, *, count: int, device_id: int) -> Awaitable[ModbusPDU]: ...
    def write_coil(self, address: int, value: bool, *, device_id: int) -> Awaitable[ModbusPDU]: ...  # noqa: FBT001  # theirs
    def write_register(self, address: int, value: int, *, device_id: int) -> Awaitable[ModbusPDU]: ...


class ModbusLine:
    """A connection on which requests go out strictly one after the other.

    `make_client` builds the pymodbus client around a packet hook; through that hook only the frame that answers the
    request in hand reaches pymodbus. `turnaround_s` is kept between a reply and the next request; after a request
    that brought nothing the line is left alone for half its time limit, so that a late reply finds nobody waiting.
    """

    def __init__(self, make_client: Callable[[TracePacket], Client], finder: Finder, *, shared_bus: bool) -> None:
        self._make_client = make_client
        self._finder = finder
        self._shared_bus = shared_bus
        self._client: Client | None = None
        self._lock = asyncio.Lock()
        self._request: Request | None = None
        self._received = b""
        self._free_at_s = 0.0

    @property
    def connected(self) -> bool:
        """Whether the port is open or the peer connected."""
        return self._client is not None and self._client.connected

    async def connect(self) -> str:
        """Open the line; what went wrong in words, empty when it is open."""
        self.close()
        try:
            self._client = self._make_client(self._packet)
            opened = await attempt(self._client.connect())
        except (OSError, ValueError, ModbusException) as error:
            return str(error) or type(error).__name__
        return "" if opened else "cannot connect"

    def close(self) -> None:
        """Close the line; harmless when it is."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    async def ask(self, request: Request, timeout_s: float, turnaround_s: float = 0.0) -> tuple[int, ...] | Failure:
        """Send one request and return the values of its reply (bits as 0 and 1; the echoed value of a write)."""
        async with self._lock:
            await self._keep_distance()
            client = self._client
            if client is None or not client.connected:
                return Failure(reason=Reason.UNREACHABLE, detail="not connected")
            self._request, self._received = request, b""
            # A question left alone, by its time limit or by whoever asked, may still be answered: nobody may wait then.
            pause_s = timeout_s / 2 if self._shared_bus else 0.0
            try:
                async with asyncio.timeout(timeout_s):
                    reply = await attempt(_send(client, request))
                pause_s = turnaround_s
            except (TimeoutError, ModbusException) as error:
                return self._explain(client, request, error)
            finally:
                self._request = None
                self._free_at_s = asyncio.get_running_loop().time() + pause_s
            return _values(request, reply)

    async def _keep_distance(self) -> None:
        pause_s = self._free_at_s - asyncio.get_running_loop().time()
        if pause_s > 0:
            await asyncio.sleep(pause_s)

    def _explain(self, client: Client, request: Request, error: Exception) -> Failure:
        if not client.connected:
            return Failure(reason=Reason.UNREACHABLE, detail="connection lost")
        if isinstance(error, TimeoutError):
            return self._finder.explain(self._received, request)
        return Failure(reason=Reason.BAD_FIELD, detail=str(error), raw=self._received)

    def _packet(self, sending: bool, data: bytes) -> bytes:  # noqa: FBT001  # pymodbus's signature
        if sending:
            self._finder.sent(data)
            return data
        if self._request is None:
            return b""
        self._received = data
        return self._finder.find(data, self._request)


async def _send(client: Client, request: Request) -> ModbusPDU:
    if request.function == 5:
        return await client.write_coil(request.address, bool(request.value), device_id=request.unit)
    if request.function == 6:
        return await client.write_register(request.address, request.value, device_id=request.unit)
    reads: dict[int, Callable[..., Awaitable[ModbusPDU]]] = {
        1: client.read_coils,
        2: client.read_discrete_inputs,
        3: client.read_holding_registers,
        4: client.read_input_registers,
    }
    return await reads[request.function](request.address, count=request.count, device_id=request.unit)


def _values(request: Request, reply: Any) -> tuple[int, ...] | Failure:
    if reply.isError():
        code = int(reply.exception_code)
        return Failure(reason=Reason.DEVICE_EXCEPTION, detail=f"exception {code}: {EXCEPTIONS.get(code, 'not in the standard')}")
    if request.function in (1, 2):
        return tuple(int(bit) for bit in reply.bits[: request.count])
    if request.function == 5:
        return (int(reply.bits[0]),)
    return tuple(reply.registers)
