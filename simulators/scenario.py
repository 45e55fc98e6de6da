"""A scenario: which devices there are, how they are reached, and what happens to them when.

    name: small_city
    seed: 20260807
    links:
      bus-1: {driver: modbus_rtu}
    devices:
      - {id: lamp-0002, kind: lamp_loop, profile: lamp_loop, address: "1", link: bus-1, interval_s: 5,
         position: {longitude: 120.62, latitude: 31.31}}
    events:
      - {at: 12, device: lamp-0002, do: phase_loss}

`at` counts seconds from the start of the run; `speed` divides every duration of the scenario. The same seed gives
the same bytes. Everything a person can write wrong is told at once, by file and line.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from device_profiles.branch import Branch
from device_profiles.mistakes import Findings, ProfileError, did_you_mean
from device_profiles.yaml_nodes import read_yaml
from simulators.actions import ACTIONS
from simulators.deeds import GENERAL, Argument, Deed, Kind
from simulators.ways import WAYS, Driver, Form
from telemetry.records import Value

__all__ = [
    "DeviceSpec",
    "EventSpec",
    "LinkSpec",
    "Scenario",
    "ScenarioError",
    "load_scenario",
    "shipped",
    "shipped_names",
]

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
_HERE = Path(__file__).parent / "scenarios"


class ScenarioError(ProfileError):
    """A scenario cannot be used; `mistakes` holds every reason."""


class LinkSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One way to devices: a bus, a line, a listener of the agent's, a broker."""

    name: str
    driver: Driver


class DeviceSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One simulated device. `interval_s` is how often it speaks by itself; a polled one takes it for nothing."""

    id: str
    kind: Kind
    profile: str
    address: str
    link: str
    name: str = ""
    longitude: float
    latitude: float
    component_code: str = ""
    interval_s: float = 30.0
    form: Form | None = None


class EventSpec(msgspec.Struct, frozen=True, kw_only=True):
    """At `at_s` of the run, `device` does `do`, with whatever `args` that takes."""

    at_s: float
    device: str
    do: str
    args: Mapping[str, Value] = {}


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """A checked scenario; devices and links by their order in the file, events by time."""

    name: str
    seed: int
    speed: float
    links: tuple[LinkSpec, ...]
    devices: tuple[DeviceSpec, ...]
    events: tuple[EventSpec, ...] = ()

    def device(self, device_id: str) -> DeviceSpec:
        """The device of that id; KeyError where there is none."""
        for device in self.devices:
            if device.id == device_id:
                return device
        raise KeyError(device_id)


def shipped_names() -> tuple[str, ...]:
    """The scenarios that come with the product."""
    return tuple(sorted(file.stem for file in _HERE.glob("*.yaml")))


def shipped(name: str) -> Path:
    """Where the shipped scenario of that name lies; KeyError where there is none."""
    if name not in shipped_names():
        raise KeyError(name)
    return _HERE / f"{name}.yaml"


def load_scenario(source: Path | str) -> Scenario:
    """The scenario in a file, or the shipped one of that name. ScenarioError lists every mistake."""
    path = shipped(str(source)) if str(source) in shipped_names() else Path(source)
    findings = Findings(str(path))
    scenario = _Reader(findings).read(Branch(findings, read_yaml(path, findings), ""))
    if len(findings):
        raise ScenarioError(findings.in_order())
    return scenario


class _Reader:
    """Reads the parts in the order in which they name one another."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._links: dict[str, LinkSpec] = {}
        self._devices: dict[str, DeviceSpec] = {}
        self._addresses: dict[tuple[str, str], str] = {}

    def read(self, root: Branch) -> Scenario:
        name = root.text("name", form=_ID, like="small_city")
        seed = root.integer("seed", low=0, high=2**53)
        speed = root.number("speed", 1.0, low=0.01, high=1000)
        for link_name, branch in root.branch("links").inner():
            self._link(link_name, branch)
        for branch in root.items("devices"):
            self._device(branch)
        if not root.has("devices"):
            root.wrong("devices", "missing", "devices: a list with at least one device")
        events = [self._event(branch) for branch in root.items("events")]
        root.finish()
        return Scenario(
            name=name,
            seed=seed,
            speed=speed,
            links=tuple(self._links.values()),
            devices=tuple(self._devices.values()),
            events=tuple(sorted(events, key=lambda event: event.at_s)),
        )

    def _link(self, name: str, branch: Branch) -> None:
        self._links[name] = LinkSpec(name=name, driver=branch.choice("driver", Driver))
        branch.finish()

    def _device(self, branch: Branch) -> None:
        kind = branch.choice("kind", Kind)
        place = branch.branch("position")
        device = DeviceSpec(
            id=branch.text("id", form=_ID, like="cover-0001"),
            kind=kind,
            profile=branch.text("profile"),
            address=branch.text("address"),
            link=branch.text("link"),
            name=branch.text("name", ""),
            longitude=place.number("longitude", low=-180, high=180),
            latitude=place.number("latitude", low=-90, high=90),
            component_code=branch.text("component_code", ""),
            interval_s=branch.number("interval_s", 30.0, low=0.01, high=86400),
            form=self._form(branch),
        )
        place.finish()
        self._check_device(branch, device)
        branch.finish()
        self._devices.setdefault(device.id, device)

    def _form(self, branch: Branch) -> Form | None:
        link = self._links.get(branch.text("link"))
        allowed = () if link is None else WAYS[link.driver].forms
        if not branch.has("form"):
            return allowed[0] if allowed else None
        if not allowed and link is not None:
            branch.wrong("form", f"{link.driver} has only one form", "nothing: leave form out")
            return None
        return Form(branch.word("form", [str(form) for form in allowed])) if allowed else None

    def _check_device(self, branch: Branch, device: DeviceSpec) -> None:
        if branch.is_sound("id") and device.id in self._devices:
            branch.wrong("id", f"{device.id!r} is taken by another device", "an id of its own")
        if not branch.is_sound("link", "address"):
            return
        link = self._links.get(device.link)
        if link is None:
            branch.wrong("link", f"{device.link!r} is none of the links", did_you_mean(device.link, self._links))
            return
        way = WAYS[link.driver]
        if not way.address.fullmatch(device.address):
            branch.wrong("address", f"{device.address!r} is no address on {link.driver}", way.wanted)
        other = self._addresses.setdefault((device.link, device.address), device.id)
        if other != device.id:
            branch.wrong("address", f"{device.address!r} on {device.link} is that of {other}", "an address of its own")

    def _event(self, branch: Branch) -> EventSpec:
        at_s = branch.number("at", low=0, high=86400)
        device = branch.text("device")
        do = branch.text("do")
        args: dict[str, Value] = {}
        spec = self._devices.get(device)
        if spec is None and branch.is_sound("device"):
            branch.wrong("device", f"{device!r} is none of the devices", did_you_mean(device, self._devices))
        if spec is not None and branch.is_sound("do"):
            deed = self._deed(branch, spec.kind, do)
            args = {} if deed is None else _arguments(branch, deed.takes)
        if branch.is_sound("device", "do"):
            branch.finish()
        return EventSpec(at_s=at_s, device=device, do=do, args=args)

    def _deed(self, branch: Branch, kind: Kind, do: str) -> Deed | None:
        known = {**GENERAL, **ACTIONS.get(kind, {})}
        if do not in known:
            branch.wrong("do", f"a {kind} cannot {do!r}", did_you_mean(do, known))
        return known.get(do)


def _arguments(branch: Branch, takes: Iterable[Argument]) -> dict[str, Value]:
    args: dict[str, Value] = {}
    for argument in takes:
        if not branch.has(argument.name) and argument.optional:
            continue
        if argument.words:
            args[argument.name] = branch.word(argument.name, argument.words)
        elif argument.seconds:
            args[argument.name] = branch.number(argument.name, low=0, high=86400)
        else:
            args[argument.name] = branch.value(argument.name)
    return args
