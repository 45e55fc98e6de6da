"""The demo's maintenance crew: works through the same API as anybody, and closes a case when its alarm is over."""

import asyncio
from typing import Any

import aiohttp

from cloud.feed import Feed

__all__ = ["Crew"]

_ACTOR = "crew:demo"


class Crew:
    """Accepts and dispatches a case whose device has returned to normal, and closes it with a note."""

    def __init__(self, api: str) -> None:
        self._api = api
        self._open: dict[str, int] = {}

    async def work(self, feed: Feed) -> None:
        """Until cancelled."""
        async with aiohttp.ClientSession(base_url=self._api, timeout=aiohttp.ClientTimeout(total=10)) as session:
            async for item in feed.subscribe():
                if item.kind == "case" and item.data["state"] == "open":
                    self._open[item.data["device"]] = item.data["id"]
                elif item.kind == "transition" and item.data["cause"].startswith("return"):
                    case = self._open.pop(item.data["device"], None)
                    if case is not None:
                        await self._finish(session, case)

    async def _finish(self, session: aiohttp.ClientSession, case: int) -> None:
        await asyncio.sleep(1)  # nobody is that quick, but a newcomer should see each step
        seen = await self._read(session, case)
        for step, more in (
            ("acknowledge", {}),
            ("dispatch", {"assignee": "demo"}),
            ("close", {"note": "现场已恢复 / restored on site"}),
        ):
            body = {"actor": _ACTOR, "note": "", "version": seen["version"]} | more
            async with session.post(f"/api/cases/{case}/{step}", json=body) as answer:
                answer.raise_for_status()
                seen = await answer.json()

    @staticmethod
    async def _read(session: aiohttp.ClientSession, case: int) -> dict[str, Any]:
        async with session.get(f"/api/cases/{case}") as answer:
            answer.raise_for_status()
            found: dict[str, Any] = await answer.json()
            return found
