"""The gateway's alarm engine for the cloud's trials: only here do both halves meet, and neither imports the other."""

from collections.abc import Mapping, Sequence

from cloud.trial.engine import Engine, Judge
from device_profiles.model import Profile
from edge_agent.alarms.engine import Judged, judge_reading, judge_silence
from edge_agent.alarms.state import DeviceState
from edge_agent.alarms.zones import Zone
from telemetry.records import Reading, Transition

__all__ = ["gateway_engine"]


def gateway_engine(zones: Mapping[str, Zone] | None = None) -> Engine:
    """Judges as on the gateway, which knows these places; without them a rule about a place is never known to be true."""

    def judge(profile: Profile, device: str) -> Judge:
        return _GatewayJudge(profile, device, zones or {})

    return judge


class _GatewayJudge:
    def __init__(self, profile: Profile, device: str, zones: Mapping[str, Zone]) -> None:
        self._profile, self._device, self._zones = profile, device, zones
        self._state = DeviceState()

    def reading(self, reading: Reading) -> Sequence[Transition]:
        return self._after(judge_reading(self._profile, self._state, reading, self._zones))

    def silence(self, silent_s: float, now_ns: int) -> Sequence[Transition]:
        return self._after(judge_silence(self._profile, self._state, self._device, silent_s, now_ns, zones=self._zones))

    def _after(self, judged: Judged) -> Sequence[Transition]:
        self._state = judged.state
        return judged.transitions
