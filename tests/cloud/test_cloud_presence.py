"""When gateways were there, as it is noted while they are heard, on both databases."""

from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.presence import SILENT_NS, note, states_of
from cloud.registry import Registry
from cloud.relational.engine import reading, writing
from telemetry.clock import SECOND_NS
from telemetry.wire import GatewayStatus

NOW_NS = 1_763_647_200 * SECOND_NS


async def changes(engine: AsyncEngine, gateway: str = "gw-1") -> list[tuple[int, str]]:
    async with reading(engine) as conn:
        found = (await states_of(conn, [gateway]))[gateway]
    return [((at_ns - NOW_NS) // SECOND_NS, state.value) for at_ns, state in found]


async def say(engine: AsyncEngine, registry: Registry, after_s: int, *, online: bool = True) -> None:
    at_ns = NOW_NS + after_s * SECOND_NS
    async with writing(engine) as conn:
        await registry.status(conn, GatewayStatus(gateway="gw-1", online=online, at_ns=at_ns), at_ns)


async def test_only_changes_are_kept(cloud_engine: AsyncEngine) -> None:
    registry = Registry(auto_register=True)
    for after_s in (0, 60, 120, 180):
        await say(cloud_engine, registry, after_s)
    assert await changes(cloud_engine) == [(0, "online")]
    await say(cloud_engine, registry, 200, online=False)
    await say(cloud_engine, registry, 200, online=False)
    await say(cloud_engine, registry, 5000)
    assert await changes(cloud_engine) == [(0, "online"), (200, "offline"), (5000, "online")]


async def test_a_silence_begins_when_the_gateway_was_last_heard(cloud_engine: AsyncEngine) -> None:
    registry = Registry(auto_register=True)
    await say(cloud_engine, registry, 0)
    await say(cloud_engine, registry, 60)
    await say(cloud_engine, registry, 60 + SILENT_NS // SECOND_NS)
    assert await changes(cloud_engine) == [(0, "online")], "two missed beats may be a slow line"
    await say(cloud_engine, registry, 1000)
    assert await changes(cloud_engine) == [(0, "online"), (210, "silent"), (1000, "online")]


async def test_a_gateway_that_comes_and_goes_keeps_its_newest_changes(cloud_engine: AsyncEngine) -> None:
    async with writing(cloud_engine) as conn:
        for step in range(300):
            now_ns = NOW_NS + step * SECOND_NS
            await note(conn, "gw-1", (step % 2 == 1, now_ns), online=step % 2 == 0, now_ns=now_ns)
    found = await changes(cloud_engine)
    assert len(found) == 256
    assert found[-1] == (299, "offline")
