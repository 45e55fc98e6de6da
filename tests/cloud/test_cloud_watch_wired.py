"""A gateway that is gone is one case for the people who look after it, and its devices' silence is told to nobody."""

from cloud_cases import CREW, all_rows
from cloud_records import T0, S
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.alarms.announce import Announcer
from cloud.cases.desk import Desk
from cloud.feed import Feed
from cloud.relational.engine import writing
from cloud.relational.tables import alarms, cases, devices, gateways, notifications
from cloud.watch.config import WatchRules
from cloud.watch.names import GATEWAY
from cloud.watch.ticking import WatchTicker
from cloud.watch.watch import Watch
from device_profiles.shelf import load_catalog

DEVICES = 50
CATALOG = load_catalog()


async def city(engine: AsyncEngine) -> None:
    async with writing(engine) as conn:
        seen = {"first_seen_ns": T0, "last_seen_ns": T0}
        await conn.execute(gateways.insert().values(id="gw-1", online=True, **seen))
        rows = [
            {"id": f"air-{n}", "gateway": "gw-1", "profile": "toilet_air_modbus", "profile_version": 1, "kind": "toilet_air",
             "first_seen_ns": T0, "last_reading_ns": T0}
            for n in range(DEVICES)
        ]  # fmt: skip
        await conn.execute(devices.insert(), rows)


async def test_a_gateway_that_is_gone_is_one_case_with_its_children(cloud_engine: AsyncEngine) -> None:
    await city(cloud_engine)
    desk = Desk(catalog=CATALOG, channels=[CREW])
    ticker = WatchTicker(Announcer(cloud_engine, desk, Feed(), lambda: None), Watch(CATALOG, WatchRules()))
    for second in range(0, 1500, 5):
        await ticker.tick(T0 + second * S)
    [case] = await all_rows(cloud_engine, cases)
    assert (case["device"], case["matter"], case["state"]) == ("gw-1", "gateway_offline", "dispatched")
    assert [row["step"] for row in await all_rows(cloud_engine, notifications)] == ["opened"]
    [gone] = [row for row in await all_rows(cloud_engine, alarms) if row["rule"] == GATEWAY]
    assert gone["case_id"] == case["id"]
    assert DEVICES in gone["evidence"].values()
