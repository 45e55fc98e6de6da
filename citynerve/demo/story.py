"""What happens in the demo, in words: the city's incidents, the edge's alarms, the cloud's cases, the crew's phone."""

from collections.abc import Mapping
from typing import Any

from citynerve.demo.accounts import Latency
from citynerve.demo.screen import Show
from citynerve.messages import language, say
from cloud.feed import Feed
from device_profiles.model import Profile
from device_profiles.quantities import Text
from simulators.city import City
from telemetry.clock import SECOND_NS, Clock

__all__ = ["Story"]


class Story:
    """Follows a city and its cloud, tells each step, and keeps the time from a fact's hearing to its case."""

    def __init__(self, show: Show, clock: Clock, catalog: Mapping[str, Profile], profile_of: Mapping[str, str]) -> None:
        self._show = show
        self._clock = clock
        self._catalog = catalog
        self._profile_of = profile_of
        self._raised_ns: dict[str, int] = {}
        self._cases: set[int] = set()
        self._latencies: list[float] = []

    @property
    def latency(self) -> Latency:
        """From the gateway's hearing of the deciding reading to the committed case, over all cases so far."""
        return Latency.of(self._latencies)

    async def watch_city(self, city: City) -> None:
        """Tells the scripted incidents as they happen."""
        async for happening in city.happenings():
            self._show.tell(say("demo.incident", device=happening.name, what=_in_words(happening.title)))

    async def watch_cloud(self, feed: Feed) -> None:
        """Tells transitions and cases as the cloud commits them."""
        async for item in feed.subscribe():
            if item.kind == "transition":
                self._on_transition(item.data)
            elif item.kind == "case":
                self._on_case(item.data)

    def on_message(self, message: Mapping[str, Any]) -> None:
        """The crew's phone received a message."""
        self._show.tell(say("demo.notified", title=message["title"], link=message["link"]))

    def _on_transition(self, news: Mapping[str, Any]) -> None:
        if news["cause"] == "raise":
            self._raised_ns[news["device"]] = news["recorded_ns"]
        rule = self._catalog[self._profile_of[news["device"]]].alarms[news["rule"]]
        self._show.tell(
            say("demo.transition", device=news["device"], title=_in_words(rule.title), cause=say(f"cause.{news['cause']}"))
        )

    def _on_case(self, news: Mapping[str, Any]) -> None:
        number, device = news["id"], news["device"]
        if news["state"] == "closed":
            self._show.tell(say("demo.case_closed", number=number))
        elif number not in self._cases:
            self._cases.add(number)
            matter = self._catalog[self._profile_of[device]].matters[news["matter"]]
            self._latencies.append((self._clock.wall_ns() - self._raised_ns[device]) / SECOND_NS)
            self._show.tell(say("demo.case_opened", number=number, title=_in_words(matter.title), device=device))


def _in_words(text: Text) -> str:
    return text.zh if language() == "zh" else text.en
