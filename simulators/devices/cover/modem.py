"""A simulated NB-IoT modem (BC95 or BC26) on a pty: AT commands in, datagrams out, and notices at the wrong moment.

Answers are laid out as logs of such modems have them; the sockets are real ones. BC26's socket commands follow Quectel's
TCP/IP notes, as the machine's do (no dialogue of a real one was at hand).
"""

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable, Mapping

from simulators.listener import Address
from simulators.pty_line import PtyLine

__all__ = ["SimulatedModem"]

_MOST_HELD = 16
_FIXED: Mapping[str, tuple[str, ...]] = {
    "AT+CGSN=1": ("+CGSN:867726031076062",),
    "AT+CEREG?": ("+CEREG:1,1",),
    "AT+CSQ": ("+CSQ:18,99",),
    "AT+NUESTATS": ("Signal power:-758", "Total power:-706", "TX power:230", "Cell ID:3535136", "ECL:0", "SNR:132"),
}
_BOOTS = {"bc95": "REBOOT_CAUSE_APPLICATION_AT", "bc26": "RDY"}
_UNTIMELY = ("+CSCON:1", "+CSCON:0", "+NPSMR:0", "+CEREG:1", "+CEREG:5", "+NSONMI:5,10", "+NSOCLI:6", "+UNHEARD: 1", "noise\x07")


class _Network(asyncio.DatagramProtocol):
    def __init__(self, heard: Callable[[bytes, Address], None]) -> None:
        self._heard = heard

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._heard(data, (addr[0], addr[1]))


class SimulatedModem:
    """The modem's end of the line. With `untimely` a chance of 0 to 1 it says a notice before any line that it says, and now
    and then in the middle of one command's answer. `commands` counts what it was asked, by the command's name."""

    def __init__(self, family: str, *, untimely: float = 0.0, seed: int | str = 0) -> None:
        self.line = PtyLine()
        self.family = family
        self.commands: Counter[str] = Counter()
        self.sent = 0
        self.untimely = untimely
        self._chance = random.Random(seed)  # noqa: S311 (moments want to be repeatable, not secret)
        self._socket: asyncio.DatagramTransport | None = None
        self._target: Address = ("127.0.0.1", 9)
        self._held: deque[tuple[bytes, Address]] = deque(maxlen=_MOST_HELD)
        self._text = bytearray()

    @property
    def path(self) -> str:
        """What the machine's side opens."""
        return self.line.path

    async def run(self) -> None:
        """Be switched on until cancelled."""
        self.line.start()
        try:
            while True:
                for byte in await self.line.read():
                    if byte not in b"\r\n":
                        self._text.append(byte)
                        continue
                    command, self._text = self._text.decode("ascii", "replace"), bytearray()
                    if command:
                        await self._obey(command)
        finally:
            self._hang_up()
            self.line.close()

    def reboot(self) -> None:
        """Begin again, as modems do by themselves: sockets and datagrams are gone."""
        self._hang_up()
        self._say(_BOOTS[self.family])

    async def _obey(self, command: str) -> None:
        self.commands[command.partition("=")[0]] += 1
        name, _, said = command.partition("=")
        match name:
            case "AT+NSOCR":
                await self._open()
                self._answer("1")
            case "AT+NSOST":
                _, host, port, length, payload = said.split(",")
                self._send((host, int(port)), payload)
                self._answer(f"1,{length}")
            case "AT+NSORF":
                self._fetch()
            case "AT+QIOPEN":
                _, _, _, host, port, *_ = said.split(",")
                self._target = (host.strip('"'), int(port))
                await self._open()
                self._answer()
                self._say("+QIOPEN: 0,0")
            case "AT+QISEND":
                self._send(self._target, said.split(",")[-1])
                self._answer()
                self._say("SEND OK")
            case "AT+NSOCL" | "AT+QICLOSE":
                self._hang_up()
                self._answer()
            case "AT+NRB" | "AT+QRST":
                self.reboot()
            case _:
                self._answer(*next((lines for start, lines in _FIXED.items() if command.startswith(start)), ()))

    def _fetch(self) -> None:
        if not self._held:
            self._answer()
            return
        data, (host, port) = self._held.popleft()
        left = len(self._held[0][0]) if self._held else 0
        self._answer(f"1,{host},{port},{len(data)},{data.hex().upper()},{left}")

    def _answer(self, *lines: str) -> None:
        for line in (*lines, "OK"):
            self._say(line)

    def _say(self, line: str) -> None:
        if self._chance.random() < self.untimely:
            self.line.write(f"\r\n{self._chance.choice(_UNTIMELY)}\r\n".encode())
        self.line.write(f"\r\n{line}\r\n".encode())

    async def _open(self) -> None:
        self._hang_up()
        loop = asyncio.get_running_loop()
        self._socket, _ = await loop.create_datagram_endpoint(lambda: _Network(self._came), local_addr=("127.0.0.1", 0))

    def _send(self, target: Address, payload: str) -> None:
        if self._socket is not None:
            self.sent += 1
            self._socket.sendto(bytes.fromhex(payload), target)

    def _came(self, data: bytes, source: Address) -> None:
        if self.family == "bc26":
            self._say(f'+QIURC: "recv",0,{len(data)},"{data.hex().upper()}"')
        else:
            self._held.append((data, source))
            self._say(f"+NSONMI:1,{len(data)}")

    def _hang_up(self) -> None:
        self._held.clear()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
