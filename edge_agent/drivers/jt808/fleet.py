"""Which vehicle terminals a JT/T 808 listener knows, and the codes they authenticate with."""

import hashlib
import hmac
import secrets
from collections.abc import Mapping

import msgspec

from device_profiles.model import Profile
from edge_agent.config import DeviceConfig, LinkConfig
from edge_agent.drivers.base import SetupError, profile_of
from edge_agent.drivers.jt808.desk import Desk, bare_phone
from edge_agent.link_kinds import Admit, Jt808Options

__all__ = ["Fleet", "Vehicle"]

_MOST_ADMITTED = 10_000
"""Terminals that a listener lets in by itself; a stranger who makes up phone numbers fills no memory with them."""


class Vehicle(msgspec.Struct, frozen=True, kw_only=True):
    """A terminal that may speak, and what its messages mean."""

    device: DeviceConfig
    profile: Profile


class Fleet:
    """Terminals by phone number. The same number is written with 12 digits until 2013 and with 20 in 2019, padded with
    zeros on the left; padding never tells two terminals apart.

    The authentication code of a phone is an HMAC of it with a key that lives as long as the process: a terminal whose
    code is of an earlier run is refused and registers anew, as the standard has it.
    """

    def __init__(self, link: LinkConfig, options: Jt808Options, catalog: Mapping[str, Profile]) -> None:
        self.desk = Desk()
        self._options = options
        self._key = secrets.token_bytes(32)
        self._vehicles: dict[str, Vehicle] = {}
        self._admitted = 0
        self._stranger = self._default(link, options, catalog)
        for device in link.devices:
            profile = profile_of(link, device, catalog)
            if profile.wire.jt808 is None:
                raise SetupError(f"link {link.name}, device {device.id}: profile {profile.name} does not speak JT/T 808")
            self._vehicles[bare_phone(device.address)] = Vehicle(device=device, profile=profile)

    @staticmethod
    def _default(link: LinkConfig, options: Jt808Options, catalog: Mapping[str, Profile]) -> Profile | None:
        if options.admit is Admit.LISTED:
            return None
        profile = catalog.get(options.default_profile)
        if profile is None or profile.wire.jt808 is None:
            wanted = "want the name of a profile that speaks JT/T 808"
            raise SetupError(f"link {link.name}: admits any terminal with default_profile {options.default_profile!r}; {wanted}")
        return profile

    def may_register(self, phone: str) -> bool:
        """Whether a terminal with this phone would be let in."""
        return bare_phone(phone) in self._vehicles or self._has_room()

    def code(self, phone: str) -> str:
        """The authentication code of `phone`: 32 hex digits."""
        return hmac.new(self._key, bare_phone(phone).encode(), hashlib.sha256).hexdigest()[:32]

    def authentic(self, phone: str, code: str) -> bool:
        """Whether `code` lets `phone` in; any does where the listener requires none."""
        if not self._options.require_auth:
            return True
        return hmac.compare_digest(self.code(phone).encode(), code.encode())

    @property
    def requires_auth(self) -> bool:
        return self._options.require_auth

    def known(self, phone: str) -> Vehicle | None:
        """The terminal with this phone that is listed or was admitted."""
        return self._vehicles.get(bare_phone(phone))

    def admit(self, phone: str) -> Vehicle | None:
        """Let in a terminal that is not known yet; None where strangers are not welcome or too many came."""
        if self._stranger is None or not self._has_room():
            return None
        device = DeviceConfig(id=f"jt808-{bare_phone(phone)}", profile=self._stranger.name, address=bare_phone(phone))
        vehicle = self._vehicles[bare_phone(phone)] = Vehicle(device=device, profile=self._stranger)
        self._admitted += 1
        return vehicle

    def _has_room(self) -> bool:
        return self._stranger is not None and self._admitted < _MOST_ADMITTED
