"""The tour for newcomers: one reading from a cover's bytes to a case and a message to the crew. No socket, no sleep, no mock."""

import asyncio
from pathlib import Path

from sqlalchemy import select

from cloud.cases.desk import Desk
from cloud.feed import Feed
from cloud.ingest.ingest import Ingest
from cloud.notify.config import ChannelConfig, ChannelKind
from cloud.refusals import Refusals
from cloud.registry import Registry
from cloud.relational.engine import make_engine, reading
from cloud.relational.migrate import migrate
from cloud.relational.tables import alarms, case_steps, cases, notifications
from cloud.series.duckdb_store import DuckStore
from device_profiles.shelf import load_catalog
from edge_agent.config import OutboxLimits
from edge_agent.heard import Heard
from edge_agent.outbox.outbox import Outbox
from edge_agent.pipeline import Work, process
from firmware_bridge.documents import decode_document, parse_document
from telemetry.alarm_states import AlarmState
from telemetry.clock import ManualClock
from telemetry.records import Lane
from telemetry.topics import Channel, channel
from telemetry.wire import Ack, DeviceDeclaration, Hello, encode

CBOR = 60  # CoAP content format, RFC 8949
GATEWAY, COVER = "gw-1", "cover-1"
# A cover flipped open says so: the first frame of device_profiles/catalog/cover_nbiot/frames.yaml.
BYTES = bytes.fromhex(
    "AA64696D6569 6F383632313737303430313233343536 627473 1A6AFFB300 616E 19019C 6474696C74 FB4047C00000000000 646F70656E F5"
    "656D6F766564 F5 686C6576656C5F6D6D 190145 6474656D70 FBC00C000000000000 6462617474 A2 626D76 190D54 63706374 184E"
    "65726164696F A2 6472737270 386B 63736E72 07"
)
MOMENT_NS = 0x6AFFB300 * 1_000_000_000


async def test_a_cover_s_bytes_become_a_case(tmp_path: Path) -> None:
    catalog, clock = load_catalog(), ManualClock(wall_ns=MOMENT_NS + 2_000_000_000)
    profile = catalog["cover_nbiot"]
    assert profile.wire.coap is not None

    # The language: bytes in, metrics out.
    document = parse_document(BYTES, CBOR)
    decoded = decode_document(profile, profile.wire.coap.fields, profile.wire.coap.time, document)
    assert decoded.values["cover_open"] is True

    # The edge: normalise, check, judge, report.
    heard = Heard(device=COVER, profile=profile, received_ns=clock.wall_ns(), decoded=decoded)
    work = process(Work(heard=heard))
    assert work.reading is not None
    assert work.reading.time_ns == MOMENT_NS
    assert {step.rule for step in work.transitions} >= {"cover_opened"}

    # The outbox: on disk before anybody else sees it; what lies there is what goes out.
    outbox = await Outbox.open(tmp_path / "edge", GATEWAY, OutboxLimits(max_bytes=1 << 20), clock)
    await outbox.commit([work.reading], list(work.transitions))
    hello = Hello(
        gateway=GATEWAY,
        epoch=outbox.epoch,
        boot_id="boot",
        agent_version="0",
        sent_ns=clock.wall_ns(),
        lanes=await outbox.spans(),
        devices=[
            DeviceDeclaration(
                device=COVER, profile=profile.name, profile_version=profile.version, kind=profile.kind, name="观前街 1 号井"
            )
        ],
    )
    messages = [(Channel.HELLO, encode(hello))]
    for lane in Lane:
        block = await outbox.next_block(lane, 0)
        assert block is not None
        messages.append((Channel.of_lane(lane), block.payload))

    # The cloud: series store, then one transaction with every effect, then the acknowledgement.
    engine, series = make_engine(f"sqlite+aiosqlite:///{tmp_path / 'cloud.db'}"), DuckStore(tmp_path / "series.duckdb")
    await migrate(engine)
    await series.open()
    acks: asyncio.Queue[Ack] = asyncio.Queue()
    crew = ChannelConfig(name="crew", kind=ChannelKind.WEBHOOK, url="http://127.0.0.1/crew")
    ingest = Ingest(
        engine=engine,
        series=series,
        registry=Registry(auto_register=True),
        refusals=Refusals(),
        desk=Desk(catalog=catalog, channels=(crew,)),
        feed=Feed(),
        clock=clock,
        answer=acks.put_nowait,
    )
    async with asyncio.TaskGroup() as group:
        working = group.create_task(ingest.run())
        for what, payload in messages:
            ingest.offer(channel(GATEWAY, what), payload)
        while any(account.depth for account in outbox.accounts.values()):
            await outbox.ack(await acks.get())
        working.cancel()

    # What a dashboard reads and what a crew is told.
    latest = (await series.latest([COVER]))[COVER]
    assert (latest["water_level_cm"].value, latest["water_level_cm"].time_ns) == (32.5, MOMENT_NS)
    async with reading(engine) as conn:
        alarm = (await conn.execute(select(alarms).where(alarms.c.rule == "cover_opened"))).mappings().one()
        case = (await conn.execute(select(cases))).mappings().one()
        steps = (await conn.execute(select(case_steps.c.step).order_by(case_steps.c.id))).scalars().all()
        message = (await conn.execute(select(notifications).where(notifications.c.step == "opened"))).mappings().one()
    assert (alarm["state"], alarm["raised_ns"], alarm["case_id"]) == (AlarmState.UNACKNOWLEDGED, MOMENT_NS, case["id"])
    assert (case["device"], case["state"], case["gbt_code"], case["priority"]) == (COVER, "dispatched", "0103", "critical")
    assert steps[:3] == ["report", "file", "dispatch"]
    assert (message["channel"], message["case_id"], message["state"]) == ("crew", case["id"], "pending")

    await outbox.close()
    await series.close()
    await engine.dispose()
