"""The dialogue with a modem: what to write next, given what it said and what time it is.

Notices are heard whenever they come: they change what is known and leave the command that is out alone. What they ask
for (a datagram to fetch, a socket to open again, a network to find again) is done once the machine is READY. Only the
modem's own restart breaks in at once.
"""

import re
from collections import deque
from collections.abc import Iterator
from typing import TypeAlias

import msgspec

from firmware_bridge.errors import ParseError, Refused
from firmware_bridge.nbiot.lines import LineAssembler
from firmware_bridge.nbiot.sayings import Kind, Saying, parse_saying
from firmware_bridge.nbiot.steps import FAMILIES, PAUSES_S, TABLE, Event, State, Step
from firmware_bridge.nbiot.timers import active_time_s, edrx_ms, periodic_update_s
from telemetry.reason import Reason

__all__ = ["MAX_PAYLOAD_BYTES", "MAX_QUEUE", "Modem", "ModemConfig", "Received", "Said", "StateChanged", "Write"]

MAX_PAYLOAD_BYTES = 512
"""What every one of these firmwares takes in one command."""
MAX_QUEUE = 32
_MAX_DATAGRAM_BYTES = 1358
"""The most that one AT+NSORF gives (BC95, BC28, BC35)."""
_NS = 1_000_000_000
_RETRY_S = 1
_LONGEST_PAUSE_S = 600
_NAME = re.compile(r"AT\+?([A-Z]*)")

FACTS = frozenset(
    {
        *("imei", "stat", "registered", "attached", "psm", "connected"),
        *("rssi_index", "rssi_dbm", "rsrp_dbm", "rsrq_db", "snr_db", "coverage_level", "cell_id", "pci", "earfcn"),
    }
)
"""What is remembered of the modem's sayings."""


class Write(msgspec.Struct, frozen=True):
    """Bytes for the serial line."""

    data: bytes


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """A datagram, or the bytes of a platform's message; host and port where the modem names them."""

    payload: bytes
    at_ns: int
    host: str | None = None
    port: int | None = None


class StateChanged(msgspec.Struct, frozen=True, kw_only=True):
    """The dialogue went on. From `sending` by `done` the modem has taken the oldest payload: no word yet of its arrival."""

    before: State
    event: Event
    state: State


Said: TypeAlias = Write | Received | StateChanged | Refused


class ModemConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where datagrams go, and how the modem sleeps. ValueError for what no command can carry.

    `active_time` (T3324) and `periodic_update` (T3412 extended) are eight binary digits, `edrx` four; None leaves it off.
    """

    family: str
    host: str
    port: int
    local_port: int = 4587
    active_time: str | None = None
    periodic_update: str | None = None
    edrx: str | None = None

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise ValueError(f"family {self.family!r}, want one of {', '.join(FAMILIES)}")
        if re.fullmatch(r"[0-9A-Za-z.:-]{1,100}", self.host) is None:
            raise ValueError(f"host {self.host!r}, want an address or a name")
        if not (0 < self.port < 65536 and 0 < self.local_port < 65536):
            raise ValueError(f"ports {self.port} and {self.local_port}, want 1 to 65535")
        if (self.active_time is None) != (self.periodic_update is None):
            raise ValueError("active_time and periodic_update: want both or neither")
        if self.active_time is not None and self.periodic_update is not None:
            active_time_s(self.active_time)
            periodic_update_s(self.periodic_update)
        if self.edrx is not None:
            edrx_ms(self.edrx)

    @property
    def psm(self) -> str:
        """The parameters of AT+CPSMS (3GPP TS 27.007, 7.38)."""
        return "0" if self.active_time is None else f'1,,,"{self.periodic_update}","{self.active_time}"'

    @property
    def edrx_parameters(self) -> str:
        """The parameters of AT+CEDRXS (3GPP TS 27.007, 7.40); 5 is NB-S1."""
        return "0,5" if self.edrx is None else f'1,5,"{self.edrx}"'


class Modem:
    """One modem. Holds at most MAX_QUEUE payloads, one line and what FACTS names.

    `due_ns` tells when to call `tick` at the latest, None where nothing is waited for or no time was told since.
    """

    def __init__(self, config: ModemConfig) -> None:
        self.state = State.OFF
        self.facts: dict[str, object] = {}
        self.due_ns: int | None = None
        self._config = config
        self._steps = FAMILIES[config.family]
        self._lines = LineAssembler()
        self._queue: deque[bytes] = deque()
        self._out: list[Said] = []
        self._resets = 0
        self._socket: int | None = None
        self._waiting = 0  # bytes of datagrams that the modem holds
        self._closed = self._lost = False
        self._tries = 0
        self._asked: Step | None = None
        self._wait_s: int | None = None
        self._ok = self._answered = self._late = self._fetched = False

    def start(self) -> Iterator[Said]:
        """Begin the dialogue. ValueError where it has begun."""
        self._move(Event.START)
        return self._told()

    def stop(self) -> Iterator[Said]:
        """Close the socket, if there is one. Payloads that were not sent stay for the next start."""
        if self.state is not State.OFF:
            self._move(Event.STOP)
        return self._told()

    def send(self, payload: bytes) -> Iterator[Said]:
        """Send a datagram as soon as that can be; in turn. Refused: oversized, missing (empty), queue_full."""
        reason = None
        if not payload:
            reason = Reason.MISSING
        elif len(payload) > MAX_PAYLOAD_BYTES:
            reason = Reason.OVERSIZED
        elif len(self._queue) >= MAX_QUEUE:
            reason = Reason.QUEUE_FULL
        if reason is None:
            self._queue.append(payload)
            self._next()
        else:
            self._refuse(reason, f"a payload of {len(payload)} bytes, {len(self._queue)} are waiting", payload)
        return self._told()

    def feed(self, data: bytes, now_ns: int) -> Iterator[Said]:
        """What follows from bytes that came at `now_ns`."""
        self._arm(now_ns)
        for line in self._lines.feed(data):
            if isinstance(line, Refused):
                self._out.append(line)
            elif not line.upper().startswith("AT"):  # an echo: no modem's own line begins so
                self._hear(line, now_ns)
            self._arm(now_ns)
        return self._told()

    def tick(self, now_ns: int) -> Iterator[Said]:
        """What follows from the time being `now_ns`."""
        self._arm(now_ns)
        if self.due_ns is not None and now_ns >= self.due_ns:
            self.due_ns = None
            self._time_is_up()
            self._arm(now_ns)
        return self._told()

    def _told(self) -> Iterator[Said]:
        out, self._out = self._out, []
        return iter(out)

    def _arm(self, now_ns: int) -> None:
        if self._wait_s is not None:
            self.due_ns, self._wait_s = now_ns + self._wait_s * _NS, None

    def _refuse(self, reason: Reason, detail: str, raw: bytes = b"") -> None:
        self._out.append(Refused(reason=reason, detail=detail, raw=raw))

    # The table.

    def _move(self, event: Event) -> None:
        before = self.state
        if (before, event) not in TABLE:
            raise ValueError(f"{event} while {before}")
        self.state = TABLE[before, event]
        if before is State.SENDING and event in {Event.DONE, Event.REFUSED}:
            payload = self._queue.popleft()
            if event is Event.REFUSED:
                self._refuse(Reason.DEVICE_EXCEPTION, "the modem did not take a payload", payload)
        if before is State.READING and event is Event.REFUSED:
            self._waiting = 0
        self._out.append(StateChanged(before=before, event=event, state=self.state))
        self._enter(before, event)

    def _enter(self, before: State, event: Event) -> None:
        if event is Event.BOOTED or self.state in {State.RESETTING, State.OFF}:
            self._forget()
        if event is Event.CLOSED:
            self._socket, self._closed = None, False
        step = self._steps.get(self.state)
        polling = before is State.SEARCHING and self.state is State.REGISTERING
        if step is not None:
            self._tries = self._tries if polling else step.tries
            self._ask()
        elif self.state is State.READY:
            self._resets = 0
            self._begin(None)
            self._next()
        else:
            self._begin(self._pause_s())

    def _forget(self) -> None:
        """A modem that was reset has neither sockets nor datagrams."""
        self._socket = None
        self._waiting = 0
        self._closed = self._lost = False
        self._tries = 0

    def _pause_s(self) -> int | None:
        if self.state is State.WAITING:
            self._resets += 1
            return min(PAUSES_S[State.WAITING] << min(self._resets - 1, 10), _LONGEST_PAUSE_S)
        return PAUSES_S.get(self.state)

    def _begin(self, wait_s: int | None, *, asked: Step | None = None) -> None:
        self.due_ns, self._wait_s, self._asked = None, wait_s, asked
        self._ok = self._answered = self._late = self._fetched = False

    def _next(self) -> None:
        """What a READY machine has to do, the most pressing first."""
        if self.state is not State.READY:
            return
        if self._lost:
            self._move(Event.LOST)
        elif self._closed:
            self._move(Event.CLOSED)
        elif self._waiting:
            self._move(Event.DATA)
        elif self._queue:
            self._move(Event.SEND)

    # Asking.

    def _ask(self) -> None:
        step = self._steps[self.state]
        held = self.state is State.OPENING and self._socket is not None
        unheld = self.state is State.CLOSING and self._socket is None
        if step.command is None or held or unheld:
            self._waiting = 0 if self.state is State.READING else self._waiting
            self._move(Event.DONE)
            return
        self._tries -= 1
        self._begin(step.timeout_s, asked=step)
        self._out.append(Write(f"{self._command(step.command)}\r\n".encode()))

    def _command(self, template: str) -> str:
        payload = self._queue[0] if self._queue else b""
        return template.format(
            host=self._config.host,
            port=self._config.port,
            local_port=self._config.local_port,
            psm=self._config.psm,
            edrx=self._config.edrx_parameters,
            socket=self._socket,
            waiting=min(self._waiting, _MAX_DATAGRAM_BYTES),
            length=len(payload),
            payload=payload.hex().upper(),
        )

    def _time_is_up(self) -> None:
        if self._asked is not None:
            self._refuse(Reason.TIMEOUT, f"{self.state}: no answer within {self._asked.timeout_s} s")
            self._again(Event.SILENT, at_once=True)
        elif self.state in PAUSES_S:
            self._move(Event.PASSED if self.state is State.WAITING or self._tries > 0 else Event.SILENT)
        else:
            self._ask()

    def _again(self, event: Event, *, at_once: bool) -> None:
        """Ask once more, now or after a pause, or give up by `event`."""
        if self._tries <= 0:
            self._move(event)
        elif at_once:
            self._ask()
        else:
            self._begin(_RETRY_S)

    # Hearing.

    def _hear(self, line: str, now_ns: int) -> None:
        found = None if self._asked is None else _NAME.match(self._asked.command or "")
        try:
            saying = parse_saying(line, found[1] if found else None)
        except ParseError as error:
            self._out.append(Refused.of(error, line.encode()))
            return
        self.facts |= {name: value for name, value in saying.fields.items() if name in FACTS}
        if saying.kind is Kind.RESULT:
            self._hear_result(saying)
            return
        self._hear_data(saying, now_ns)
        if saying.name == "BOOT":
            self._hear_boot()
        elif saying.kind is Kind.NOTICE:
            self._hear_notice(saying)
        else:
            self._hear_answer(saying)

    def _hear_result(self, saying: Saying) -> None:
        if self._asked is None:
            if saying.name == "ERROR":
                self._refuse(Reason.DEVICE_EXCEPTION, saying.text)
        elif saying.name == "ERROR":
            self._refuse(Reason.DEVICE_EXCEPTION, f"{self.state}: {saying.text}")
            self._again(Event.REFUSED, at_once=False)
        elif self._answered or self._asked.answer is None:
            self._ok = True
            self._finish()
        # Else the OK is of a command given up before: this one's answer is still to come.

    def _hear_boot(self) -> None:
        if self.state is not State.OFF:
            self._move(Event.BOOTED)

    def _hear_notice(self, saying: Saying) -> None:
        fields = saying.fields
        ours = self._socket is not None and fields.get("socket") == self._socket
        if saying.name == "CEREG":
            self._lost = not fields["registered"]
        elif saying.name == "NSONMI" and (ours or self._socket is None):  # it may overtake the answer that names the socket
            self._waiting = _count(fields.get("bytes_waiting", self._waiting))
        elif ours and (saying.name == "NSOCLI" or fields.get("event") == "closed"):
            self._closed = True
        self._next()

    def _hear_data(self, saying: Saying, now_ns: int) -> None:
        payload = saying.fields.get("payload_hex")
        if not isinstance(payload, str) or not payload:
            return
        host, port = saying.fields.get("host"), saying.fields.get("port")
        self._out.append(
            Received(
                payload=bytes.fromhex(payload),
                at_ns=now_ns,
                host=host if isinstance(host, str) else None,
                port=port if isinstance(port, int) else None,
            )
        )
        if saying.name == "NSORF":
            self._waiting = _count(saying.fields.get("remaining"))
            self._fetched = True

    def _hear_answer(self, saying: Saying) -> None:
        if self._asked is None:
            self._next()
        elif saying.name == self._asked.answer:
            self._answered = True
            if self.state is State.REGISTERING:
                self._lost = not saying.fields["registered"]
            if self.state is State.OPENING:
                self._socket = _count(saying.fields["socket"])
        elif saying.name == self._asked.late and self._ok:
            self._hear_late(saying)

    def _hear_late(self, saying: Saying) -> None:
        if saying.fields.get("ok", saying.fields.get("result") == 0):
            self._late = True
            if self.state is State.OPENING:
                self._socket = 0
            self._finish()
        else:
            self._refuse(Reason.DEVICE_EXCEPTION, f"{self.state}: {saying.text}")
            self._again(Event.REFUSED, at_once=False)

    def _finish(self) -> None:
        """The command is done once all of it is there."""
        if self._asked is None or not self._ok or (self._asked.late is not None and not self._late):
            return
        if self.state is State.READING and not self._fetched:
            self._waiting = 0  # an OK and no datagram: there was none
        self._move(Event.NOT_YET if self.state is State.REGISTERING and self._lost else Event.DONE)


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0
