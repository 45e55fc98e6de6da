"""One command to a vehicle terminal: the order that its profile names, and what the terminal's answer makes of it."""

from device_profiles.model import CommandSpec
from edge_agent.drivers.base import turn_down
from edge_agent.drivers.jt808.desk import Seat
from edge_agent.drivers.jt808.requests import Request
from firmware_bridge.errors import ParseError
from firmware_bridge.jt808.messages import Attributes, LocationAnswer, Message, Other, message_name
from firmware_bridge.jt808.orders import build_order
from firmware_bridge.jt808.parameters import parameters_text
from telemetry.clock import Clock
from telemetry.reason import Reason
from telemetry.records import Command, CommandResult, Outcome

__all__ = ["carry_out"]

_RESULTS = {1: "failed", 2: "the message is wrong", 3: "not supported"}
_LONGEST_DETAIL = 1500


async def carry_out(command: Command, spec: CommandSpec, seat: Seat | None, clock: Clock) -> CommandResult:
    """Send the order to where the terminal is and wait for its answer. Refused where nothing was sent, done or failed by the
    terminal's word, unknown where it said nothing: it may have acted all the same."""
    try:
        order = build_order(spec, command.args, 2013 if seat is None else seat.version)
        if seat is None:
            return turn_down(command, clock, Reason.UNREACHABLE, "the terminal is not connected")
        request = await seat.connection.caller.ask(seat.phone, seat.version, order)
    except ParseError as error:
        return turn_down(command, clock, error.reason, error.detail)
    if request is None:
        return turn_down(command, clock, Reason.QUEUE_FULL, "too much waits for answers on this connection")
    outcome, reason, detail = _outcome(request)
    return CommandResult(
        id=command.id,
        device=command.device,
        outcome=outcome,
        time_ns=clock.wall_ns(),
        reason=reason,
        detail=detail[:_LONGEST_DETAIL],
    )


def _outcome(request: Request) -> tuple[Outcome, Reason | None, str]:
    if request.answer is not None:
        return Outcome.DONE, None, _told(request.answer)
    if request.result == 0:
        return Outcome.DONE, None, ""
    if request.result is not None:
        said = _RESULTS.get(request.result, f"result {request.result}")
        return Outcome.FAILED, Reason.DEVICE_EXCEPTION, f"the terminal answered: {said}"
    if request.lost:
        return Outcome.UNKNOWN, Reason.INTERRUPTED, "the connection broke before an answer came"
    heard = "was confirmed, but" if request.confirmed_whole else "was not answered:"
    return Outcome.UNKNOWN, Reason.TIMEOUT, f"{heard} no {message_name(request.wanted)} came"


def _told(answer: Message) -> str:
    """What the terminal answered, for the person who asked."""
    match answer:
        case LocationAnswer(location=at):
            return f"{at.latitude:.6f}, {at.longitude:.6f}, {at.speed_kmh:g} km/h"
        case Attributes():
            firmware = f"hardware {answer.hardware_version}, firmware {answer.firmware_version}"
            return f"{answer.manufacturer} {answer.model} {answer.terminal_id}, SIM {answer.iccid}, {firmware}"
        case Other() if "parameters" in answer.fields:
            return parameters_text(answer.fields)
        case Other():
            return ", ".join(f"{name}={value}" for name, value in answer.fields.items() if not name.endswith("_hex"))
        case _:
            return ""
