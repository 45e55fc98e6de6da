"""Having a meter's valve open or shut: the order, and the meter's word that it took it (CJ/T 188-2018, A017)."""

from firmware_bridge.cjt188.commands import valve_control
from firmware_bridge.cjt188.frames import Frame
from firmware_bridge.cjt188.rounds import Cjt188Plan, check_answer
from firmware_bridge.errors import ParseError, Refused
from firmware_bridge.meter_line import Told
from telemetry.reason import Reason

__all__ = ["ValveAsking"]

_WRITE, _VALVE = 0x04, "A017"


class ValveAsking:
    """One order to one meter, asked like a question. The meter's word is not yet the valve's place: that is read back."""

    def __init__(self, plan: Cjt188Plan, action: str) -> None:
        self._plan = plan
        self._action = action
        self._sequence = plan.next_sequence()
        self.refused: Refused | None = None

    def question(self) -> bytes:
        """The order's frame."""
        wire = self._plan.wire
        return valve_control(
            wire.meter_type,
            self._plan.address,
            self._action,
            self._sequence,
            low_first=wire.low_first,
            wake_up=wire.wake_up,
        )

    def hear(self, frame: Frame) -> Told:
        """Take a frame off the line; `refused` holds a refusal of the meter's."""
        if not frame.from_meter:
            return Told(answers=False)
        try:
            check_answer(self._plan, frame, _WRITE, _VALVE, self._sequence)
        except ParseError as error:
            return Told(answers=False, refused=Refused.of(error, frame.raw))
        if frame.is_error:
            problem = ParseError(Reason.DEVICE_EXCEPTION, f"the meter refuses to {self._action} its valve: {frame.data.hex()}")
            self.refused = Refused.of(problem, frame.raw)
        return Told(answers=True, refused=self.refused)
