"""How often somebody may knock; bounded in memory."""

import ipaddress
from collections import OrderedDict

from telemetry.clock import SECOND_NS

__all__ = ["Rates", "address_of"]

_MOST = 10_000


class Rates:
    """Token buckets by name, each full at first and filled evenly; the `most` that spoke last are remembered.

    Whoever is forgotten begins with a full bucket: with more than `most` names in a minute that is a hole, and a door that
    is known to so many has a proxy before it.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._held: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def wait_s(self, name: str, per_minute: int, now_ns: int) -> int:
        """Take one; 0 where there was one, else whole seconds until there is. `now_ns` never goes back."""
        left, since_ns = self._held.pop(name, (float(per_minute), now_ns))
        left = min(float(per_minute), left + (now_ns - since_ns) / SECOND_NS * per_minute / 60)
        wait_s = 0 if left >= 1 else int((1 - left) * 60 / per_minute) + 1
        self._held[name] = (left - 1 if left >= 1 else left, now_ns)
        if len(self._held) > self._most:
            self._held.popitem(last=False)
        return wait_s


def address_of(host: str | None) -> str:
    """Who counts as one: an IPv4 address, or an IPv6 network of 64 bits, within which one machine picks as it likes."""
    try:
        address = ipaddress.ip_address((host or "").partition("%")[0])
    except ValueError:
        return host or ""
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))
