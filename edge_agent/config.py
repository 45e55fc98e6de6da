"""The agent's configuration: the values, and how they are read from a TOML file with every mistake told at once."""

import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from device_profiles.mistakes import ConfigError, Findings, Mistake, ProfileError, did_you_mean
from device_profiles.model import Profile, zones_of
from device_profiles.shelf import catalog_path, load_catalog, profile_folders
from device_profiles.toml_table import Table, read_toml
from edge_agent.alarms.zones import Zone, load_zones
from edge_agent.link_kinds import LINK_KINDS, Admit, CoapOptions, DriverName, Jt808Options, Options, read_broker
from firmware_bridge.errors import ParseError
from firmware_bridge.update.package import read_public_key
from telemetry.records import check_id, check_text

__all__ = ["AgentConfig", "ConfigError", "DeviceConfig", "LinkConfig", "OutboxLimits", "UplinkLimits", "load_config"]


class DeviceConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One device behind a link.

    `address` is what its link knows it by: a Modbus or serial unit number, the identity in a document, a topic part,
    a JT/T 808 phone number. `position` is (longitude, latitude), WGS-84 degrees. With `frames` every frame that it sends is
    kept in the cloud as it came.
    """

    id: str
    profile: str
    address: str
    name: str = ""
    position: tuple[float, float] | None = None
    component_code: str = ""
    frames: bool = False


class LinkConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One way to reach devices, and the devices there; `options` is the struct that belongs to `driver`."""

    name: str
    driver: DriverName
    devices: tuple[DeviceConfig, ...]
    options: Options


class OutboxLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The outbox's quotas in bytes of payload, and how long a group commit may wait for more company.

    Events have `events_max_bytes` of `max_bytes` to themselves. `keep_bytes` of what is acknowledged stay for a cloud
    that was restored from a backup, while nothing else needs the room. `reserve_bytes` of disk are held empty, so that
    a full disk can still be tidied up.
    """

    max_bytes: int = 512 * 1024 * 1024
    events_max_bytes: int = 64 * 1024 * 1024
    keep_bytes: int = 64 * 1024 * 1024
    reserve_bytes: int = 8 * 1024 * 1024
    commit_s: float = 1.0
    linger_ms: int = 30


class UplinkLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How the link to the cloud is shared. `rate_bits_s` 0 means as fast as the link takes it.

    `history_jitter_s` is the longest time that a gateway waits, by chance, before it sends old readings after an outage:
    a whole district may come back in the same minute. Alarms and new readings never wait.
    """

    rate_bits_s: int = 0
    history_jitter_s: float = 300.0


class AgentConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Everything an agent needs to know before it connects to anything.

    `asleep` tells, a sentence each, which rules of built-in models are never raised here: those about places without a zone.
    """

    gateway: str
    data_dir: Path
    broker: str
    username: str = ""
    password_file: Path | None = None
    firmware_key_file: Path | None = None
    profile_dirs: tuple[Path, ...] = ()
    zones: Mapping[str, Zone] = {}
    asleep: tuple[str, ...] = ()
    links: tuple[LinkConfig, ...] = ()
    outbox: OutboxLimits = OutboxLimits()
    uplink: UplinkLimits = UplinkLimits()
    status_s: float = 60.0
    retransmit_s: float = 10.0


def load_config(path: Path) -> AgentConfig:
    """The configuration in a TOML file; paths in it are taken from the file's own folder.

    Raises ConfigError with every mistake, those of the site's own profiles included; nothing is connected to.
    """
    findings = Findings(str(path))
    root = read_toml(path, findings)
    profile_dirs = root.folders("profile_dirs", path.parent)
    catalog, foreign = _catalog(profile_dirs)
    zones, misplaced = _zones(root.file("zones", path.parent))
    config = _agent(root, path.parent, profile_dirs, catalog)
    asleep = () if catalog is None or misplaced else _check_zones(root, config, catalog, zones)
    root.finish()
    if len(findings) or foreign or misplaced:
        raise ConfigError((*findings.in_order(), *foreign, *misplaced))
    return msgspec.structs.replace(config, zones=zones, asleep=asleep)


def _catalog(profile_dirs: tuple[Path, ...]) -> tuple[Mapping[str, Profile] | None, tuple[Mistake, ...]]:
    try:
        return load_catalog(*profile_dirs), ()
    except ProfileError as error:
        return None, error.mistakes


def _zones(file: Path | None) -> tuple[Mapping[str, Zone], tuple[Mistake, ...]]:
    if file is None:
        return {}, ()
    try:
        return load_zones(file), ()
    except ConfigError as error:
        return {}, error.mistakes


def _check_zones(root: Table, config: AgentConfig, catalog: Mapping[str, Profile], zones: Mapping[str, Zone]) -> tuple[str, ...]:
    """Every zone that a rule of the site's own models names is there: an alarm about no place would never be raised. What
    built-in models have of such rules sleeps, for they cannot know the site; a sentence for each of these."""
    used = {device.profile for link in config.links for device in link.devices}
    used |= {link.options.default_profile for link in config.links if isinstance(link.options, Jt808Options)}
    built_in = {folder.name for folder in profile_folders(catalog_path())}
    asleep = []
    for name in sorted(used & catalog.keys()):
        for rule in catalog[name].alarms.values():
            for zone in sorted(zones_of(rule.when) - zones.keys()):
                what = f"the rule {rule.name} of {name} is about the zone {zone!r}, which is not there"
                if name in built_in:
                    asleep.append(f"{what}: it is never raised")
                else:
                    root.wrong("zones", what, "the path of a GeoJSON file with a feature of this name")
    return tuple(asleep)


def _agent(root: Table, folder: Path, profile_dirs: tuple[Path, ...], catalog: Mapping[str, Profile] | None) -> AgentConfig:
    gateway = _id(root, "gateway")
    links = tuple(_link(table, folder, catalog) for table in root.tables("links"))
    _refuse_repeats(root, links)
    return AgentConfig(
        gateway=gateway,
        data_dir=folder / root.text("data_dir"),
        broker=read_broker(root),
        username=root.text("username", ""),
        password_file=root.file("password_file", folder),
        firmware_key_file=_key_file(root, folder),
        profile_dirs=profile_dirs,
        links=links,
        outbox=_outbox(root.table("outbox")),
        uplink=_uplink(root.table("uplink")),
        status_s=root.number("status_s", 60.0, low=1, high=86400),
        retransmit_s=root.number("retransmit_s", 10.0, low=1, high=3600),
    )


def _key_file(root: Table, folder: Path) -> Path | None:
    """The key that updates must be signed with; one that is none is told before a device waits for it."""
    path = root.file("firmware_key_file", folder)
    if path is not None and path.is_file():
        try:
            read_public_key(path.read_bytes())
        except (ParseError, OSError) as error:
            root.wrong("firmware_key_file", f"{error}: {path}", "the file NAME.pub that `citynerve firmware key NAME` wrote")
    return path


def _outbox(table: Table) -> OutboxLimits:
    usual = OutboxLimits()
    max_bytes = table.integer("max_bytes", usual.max_bytes, low=1024 * 1024, high=1 << 40)
    half = max_bytes // 2
    limits = OutboxLimits(
        max_bytes=max_bytes,
        events_max_bytes=table.integer("events_max_bytes", min(usual.events_max_bytes, half), low=256 * 1024, high=half),
        keep_bytes=table.integer("keep_bytes", min(usual.keep_bytes, half), low=0, high=half),
        reserve_bytes=table.integer("reserve_bytes", usual.reserve_bytes, low=1 << 20, high=1 << 30),
        commit_s=table.number("commit_s", usual.commit_s, low=0.01, high=60),
        linger_ms=table.integer("linger_ms", usual.linger_ms, low=0, high=1000),
    )
    table.finish()
    return limits


def _uplink(table: Table) -> UplinkLimits:
    usual = UplinkLimits()
    limits = UplinkLimits(
        rate_bits_s=table.integer("rate_bits_s", usual.rate_bits_s, low=0, high=10**12),
        history_jitter_s=table.number("history_jitter_s", usual.history_jitter_s, low=0, high=86400),
    )
    table.finish()
    return limits


def _link(table: Table, folder: Path, catalog: Mapping[str, Profile] | None) -> LinkConfig:
    name = _id(table, "name")
    driver = DriverName(table.choice("driver", list(DriverName)))
    if table.raw("driver") != driver.value:
        # Nothing else in the link can be judged without knowing its driver.
        return LinkConfig(name=name, driver=driver, devices=(), options=CoapOptions())
    options = LINK_KINDS[driver].read(table, folder)
    devices = tuple(_device(inner, driver, catalog) for inner in table.tables("devices"))
    admits = isinstance(options, Jt808Options) and options.admit is Admit.ANY
    if isinstance(options, Jt808Options) and (options.default_profile or admits):
        _check_profile(table, "default_profile", options.default_profile, driver, catalog)
    if not devices and not admits:
        table.wrong("devices", "no device", "a [[links.devices]] table for each device of this link")
    table.finish()
    return LinkConfig(name=name, driver=driver, devices=devices, options=options)


def _device(table: Table, driver: DriverName, catalog: Mapping[str, Profile] | None) -> DeviceConfig:
    profile = table.text("profile")
    _check_profile(table, "profile", profile, driver, catalog)
    device = DeviceConfig(
        id=_id(table, "id"),
        profile=profile,
        address=_address(table, driver),
        name=table.checked("name", lambda value: check_text(value, "name", 200), "a shorter name", ""),
        position=_position(table),
        component_code=table.checked("component_code", _component_code, "16 digits", ""),
        frames=table.flag("frames", default=False),
    )
    table.finish()
    return device


def _id(table: Table, key: str) -> str:
    return table.checked(key, lambda value: check_id(value, key), "another id")


def _check_profile(table: Table, key: str, name: str, driver: DriverName, catalog: Mapping[str, Profile] | None) -> None:
    if catalog is None or (not name and key == "profile"):
        return
    wire = LINK_KINDS[driver].wire
    fitting = [profile.name for profile in catalog.values() if getattr(profile.wire, wire) is not None]
    if name not in catalog:
        table.wrong(key, f"{name!r} is not in the catalog", did_you_mean(name, fitting))
    elif name not in fitting:
        speaks = ", ".join(catalog[name].wire.spoken())
        table.wrong(key, f"{name} speaks {speaks or 'nothing'}, not {wire}", did_you_mean(name, fitting))


def _address(table: Table, driver: DriverName) -> str:
    kind = LINK_KINDS[driver]
    allowed, wanted = kind.address, kind.wanted
    value = table.raw("address")
    # A unit number may be written as a number; a phone number may not: its leading zeros count.
    counted = kind.numeric or isinstance(allowed, range)
    text = str(value) if counted and isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str):
        table.wrong("address", "is missing" if value is None else f"{value!r}"[:80], f"{wanted}, in quotes")
        return ""
    good = text.isdecimal() and int(text) in allowed if isinstance(allowed, range) else allowed.fullmatch(text)
    if not good:
        table.wrong("address", f"{text!r}"[:80], wanted)
    return text


def _position(table: Table) -> tuple[float, float] | None:
    value = table.raw("position")
    if value is None:
        return None
    numbers = isinstance(value, list) and all(isinstance(item, int | float) and not isinstance(item, bool) for item in value)
    if not numbers or len(value) != 2 or not (-180 <= value[0] <= 180 and -90 <= value[1] <= 90):
        table.wrong("position", f"{value!r}"[:80], "[longitude, latitude], degrees from -180 to 180 and from -90 to 90")
        return None
    return float(value[0]), float(value[1])


def _component_code(value: str) -> None:
    # GB/T 30428.2: six digits of district, four of category, six of serial number.
    if not re.fullmatch(r"\d{16}", value):
        raise ValueError(f"{value!r}")


def _refuse_repeats(root: Table, links: tuple[LinkConfig, ...]) -> None:
    """No two links of one name, no two devices of one id, no two devices of one link at one address."""
    names: set[str] = set()
    ids: set[str] = set()
    for index, (table, link) in enumerate(zip(root.tables("links"), links, strict=False)):
        if link.name in names:
            table.wrong("name", f"{link.name!r} is the name of an earlier link", f"another name for link {index + 1}")
        names.add(link.name)
        addresses: set[str] = set()
        for inner, device in zip(table.tables("devices"), link.devices, strict=False):
            if device.id and device.id in ids:
                inner.wrong("id", f"{device.id!r} is the id of an earlier device", "an id that no other device has")
            if device.address and device.address in addresses:
                inner.wrong("address", f"{device.address!r} is taken on this link", "an address that no other device here has")
            ids.add(device.id)
            addresses.add(device.address)
