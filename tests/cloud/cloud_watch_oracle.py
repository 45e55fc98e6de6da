"""Who is silent, found the slow way: by looking at every half minute of what was heard so far."""

from collections.abc import Mapping

__all__ = ["GRACE", "LEFT", "PAUSE", "QUIET", "SHORT", "Oracle"]

# In half minutes.
GRACE, PAUSE, LEFT, QUIET, SHORT = 10, 6, 4, 20, 2


class Oracle:
    """`devices` says for each its gateway and its limit, `silent` and `gone` what holds, `told` what people heard, in turn."""

    def __init__(self, devices: Mapping[str, tuple[str, int]]) -> None:
        self._devices = devices
        gateways = {gateway for gateway, _ in devices.values()}
        # What was heard at each half minute; all were heard at the first.
        self._heard: dict[str, set[int]] = {name: {0} for name in (*devices, *gateways)}
        self._left: dict[str, int] = {}
        self._back: dict[str, set[int]] = {name: set() for name in gateways}
        self._since: int | None = None
        self._ticked: int | None = None
        self._up = True
        self._lost = 0
        self.gone: dict[str, int] = {}
        self.silent: dict[str, bool] = {}
        self.told: list[str] = []
        self._hidden: set[str] = set()

    def hear(self, now: int, name: str) -> None:
        self._heard[name].add(now)
        self._left.pop(name, None)

    def leave(self, now: int, gateway: str) -> None:
        self._heard[gateway].add(now)  # a goodbye is a word, too
        self._left[gateway] = now

    def link(self, now: int, *, up: bool) -> None:
        if up and not self._up and now - self._lost >= SHORT:
            self._since = now
        self._lost = now if not up and self._up else self._lost
        self._up = up

    def restart(self) -> None:
        self._since, self._ticked, self._up = None, None, True

    def tick(self, now: int) -> None:
        if self._since is None or (self._ticked is not None and now - self._ticked >= PAUSE):
            self._since = now
        self._ticked = now
        before = len(self.told)
        if self._up:
            self._judge_gateways(now, self._since)
        for name in [name for name in self.silent if self._speaks_within(name, now, self._devices[name][1])]:
            self.silent[name] = False
        if self._up and now - self._since >= GRACE:
            self._judge_devices(now)
        self._let_go(now)
        self.told[before:] = sorted(self.told[before:])  # what is told at once is told by name

    def _judge_gateways(self, now: int, since: int) -> None:
        for name in sorted(self._back):
            # So many half minutes of listening in which it was not heard, or only said goodbye.
            is_left = name in self._left and min(now - self._left[name], now - since) >= LEFT
            is_gone = is_left or not any(now - k in self._heard[name] or now - k <= since for k in range(QUIET))
            if is_gone and name not in self.gone:
                self.gone[name] = now
                self.told.append(f"{name}/cloud.gateway_offline")
            elif name in self.gone and not is_gone and max(self._heard[name]) > self.gone[name]:
                del self.gone[name]
                self._back[name].add(now)

    def _judge_devices(self, now: int) -> None:
        for name, (gateway, limit) in sorted(self._devices.items()):
            upto = now if gateway in self.gone else max(self._heard[gateway])
            is_back = any(upto - k in self._back[gateway] for k in range(-(now - upto), limit))
            if not self.silent.get(name) and not is_back and not self._speaks_within(name, upto, limit, now - upto):
                self.silent[name] = True
                if gateway not in self.gone and name not in self._hidden:
                    self.told.append(f"{name}/cloud.silent")
                else:
                    self._hidden.add(name)

    def _let_go(self, now: int) -> None:
        """What is kept back is told, or let be, when its gateway is back."""
        for name in sorted(self._hidden):
            gateway, limit = self._devices[name]
            if gateway in self.gone:
                continue
            if not self.silent[name]:
                self._hidden.discard(name)
            elif now - max(self._back[gateway]) >= limit:
                self._hidden.discard(name)
                self.told.append(f"{name}/cloud.silent")

    def _speaks_within(self, name: str, upto: int, limit: int, after: int = 0) -> bool:
        return any(upto - k in self._heard[name] for k in range(-after, limit))
