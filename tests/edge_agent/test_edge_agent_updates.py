"""Firmware updates against a simulated bootloader in four languages, cut at every step of either side."""

import asyncio
from functools import cache

import pytest
from edge_agent_updates_world import KEY, STRANGER, WAYS, GatewayCutError, World, package_of
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from edge_agent.backoff import Backoff
from edge_agent.updates.runner import Progress, run_update
from firmware_bridge.update.manifest import HEADER_BYTES
from firmware_bridge.update.package import Package
from firmware_bridge.update.session import Limits
from firmware_bridge.update.standing import Phase
from firmware_bridge.update.table import State
from telemetry.reason import Reason

NEW = package_of(4)


@cache
def lengths(way: str) -> tuple[int, int]:
    """Flash writes and contacts of an update that nothing disturbs."""
    world = World(way)
    asyncio.run(world.update(NEW))
    return world.device.flash.power.used, world.contacts


def cut_points() -> list[tuple[str, int]]:
    return [(way, writes) for way in WAYS for writes in range(lengths(way)[0] + 1)]


def contact_points() -> list[tuple[str, int]]:
    return [(way, contact) for way in WAYS for contact in range(1, lengths(way)[1] + 1)]


@pytest.mark.parametrize("way", WAYS)
async def test_an_update_ends_with_the_new_image_confirmed(way: str) -> None:
    world = World(way)
    ending = await world.update(NEW)
    assert ending.state is State.DONE
    assert world.device.running == NEW.manifest
    assert world.device.flash.record().counter == 4
    assert (await world.update(NEW)).state is State.DONE  # said once more, nothing is sent
    assert world.device.flash.record().phase is Phase.EMPTY


@pytest.mark.parametrize(("way", "writes"), cut_points())
async def test_power_may_fail_within_any_write(way: str, writes: int) -> None:
    world = World(way, power_cuts=(writes,))
    ending = await world.update(NEW)
    assert ending.state is State.DONE, ending
    assert world.device.running == NEW.manifest
    world.check()


@pytest.mark.parametrize(("way", "contact"), contact_points())
async def test_any_answer_may_be_lost(way: str, contact: int) -> None:
    world = World(way, lost=frozenset({contact}))
    assert (await world.update(NEW)).state is State.DONE
    assert world.device.running == NEW.manifest


@pytest.mark.parametrize(("way", "contact"), contact_points())
@pytest.mark.parametrize("sign", [1, -1], ids=["before the device hears", "after it heard"])
async def test_the_gateway_may_die_at_any_contact(way: str, contact: int, sign: int) -> None:
    world = World(way, gateway_cuts=frozenset({sign * contact}))
    with pytest.raises(GatewayCutError):
        await world.update(NEW)
    world.check()
    assert (await world.update(NEW)).state is State.DONE
    assert world.device.running == NEW.manifest


@settings(max_examples=60)
@given(
    way=st.sampled_from(WAYS),
    power_cuts=st.lists(st.integers(0, 40), max_size=8),
    lost=st.frozensets(st.integers(1, 150), max_size=12),
    gateway_cuts=st.frozensets(st.integers(-150, 150), max_size=5),
)
def test_whatever_fails_together_it_boots_never_older_and_ends_with_a_reason(
    way: str, power_cuts: list[int], lost: frozenset[int], gateway_cuts: frozenset[int]
) -> None:
    world = World(way, power_cuts=tuple(power_cuts), lost=lost, gateway_cuts=gateway_cuts)
    for _ in range(30):
        try:
            ending = asyncio.run(world.update(NEW))
        except GatewayCutError:
            continue
        finally:
            world.check()
        if ending.state is State.DONE:
            break
        assert ending.state in {State.GAVE_UP, State.ROLLED_BACK, State.REFUSED}
        assert ending.reason is not None
        assert ending.detail
    assert world.device.running == NEW.manifest


@pytest.mark.parametrize("way", ["records", "prompt"])
async def test_a_session_goes_on_at_the_last_confirmed_chunk(way: str) -> None:
    package = package_of(4, size=7000, chunk_bytes=1024 if way == "prompt" else 240)
    whole = World(way)
    await whole.update(package)
    cut = World(way, gateway_cuts=frozenset({whole.contacts // 2}))
    with pytest.raises(GatewayCutError):
        await cut.update(package)
    kept = cut.device.flash.record().next_chunk
    assert kept > 1
    stored = cut.pieces_written
    told: list[Progress] = []
    ending = await run_update(cut.updatable(package), tell=told.append, pauses=Backoff(0, 0))
    assert ending.state is State.DONE
    first = next(progress for progress in told if progress.state is State.SENDING)
    assert first.chunk == kept
    if way == "records":
        assert cut.pieces_written - stored == package.manifest.chunks - kept


def _swapped(package: Package, other: Package) -> Package:
    """A package with another's signature, as mix-and-match makes it."""
    return Package(header=package.header[:112] + other.header[112:HEADER_BYTES], manifest=package.manifest, image=package.image)


REFUSED = [
    pytest.param(package_of(2), Reason.EXPIRED, "newer", id="an older version"),
    pytest.param(package_of(3, release="3.1"), Reason.EXPIRED, "newer", id="the same version with another image"),
    pytest.param(package_of(4, model="toilet_node"), Reason.NOT_ALLOWED, "model", id="another model"),
    pytest.param(package_of(4, hardware="A"), Reason.NOT_ALLOWED, "hardware", id="other hardware"),
    pytest.param(package_of(4, key=STRANGER), Reason.NOT_AUTHENTICATED, "signature", id="a stranger's signature"),
    pytest.param(_swapped(package_of(4), package_of(5)), Reason.NOT_AUTHENTICATED, "signature", id="another's signature"),
    pytest.param(package_of(4, size=8001), Reason.OVERSIZED, "slot", id="an image larger than the slot"),
    pytest.param(
        Package(header=NEW.header, manifest=NEW.manifest, image=NEW.image[:-1] + b"?"),
        Reason.BAD_CHECKSUM,
        "promised",
        id="an image with one byte changed",
    ),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("package", "reason", "word"), REFUSED)
async def test_what_a_device_must_not_run_is_refused_with_its_reason(
    way: str, package: Package, reason: Reason, word: str
) -> None:
    world = World(way)
    before = bytes(world.device.flash.slots[0])
    ending = await world.update(package)
    assert ending.state in {State.REFUSED, State.GAVE_UP}
    assert ending.reason is not None
    if way in {"records", "prompt"}:
        assert ending.reason is reason
        assert word in ending.detail
    assert bytes(world.device.flash.slots[0]) == before
    assert world.device.boot().version == 3
    assert (await world.update(package_of(5))).state is State.DONE  # and a good one is still taken


@pytest.mark.parametrize("way", WAYS)
async def test_an_image_that_never_works_is_left_after_its_trials(way: str) -> None:
    world = World(way)
    world.device.broken.add(4)
    ending = await world.update(NEW)
    assert ending.state in {State.ROLLED_BACK, State.REFUSED}
    assert ending.reason is Reason.DEVICE_EXCEPTION
    assert world.device.running.version == 3
    assert world.device.flash.record().counter == 3
    assert (await world.update(package_of(5))).state is State.DONE


@pytest.mark.parametrize("way", ["records", "prompt"])
async def test_an_image_that_does_not_do_its_work_is_rolled_back(way: str) -> None:
    async def prove() -> str:
        assert world.device.running.version == 4
        return "no reading within 60 s"

    world = World(way)
    ending = await world.update(NEW, prove=prove)
    assert (ending.state, ending.detail) == (State.ROLLED_BACK, "no reading within 60 s")
    assert world.device.running.version == 3
    assert world.device.boot().version == 3


async def test_an_image_that_nobody_confirms_is_left_at_the_fourth_boot() -> None:
    world = World("records")
    device = world.device
    device.offer(NEW.header)
    for number in range(NEW.manifest.chunks):
        device.store(number, NEW.chunk(number))
    device.verify()
    device.start()
    versions = [device.running.version, *(device.boot().version for _ in range(4))]
    assert versions == [4, 4, 4, 3, 3]
    assert device.standing().phase is Phase.REFUSED


@pytest.mark.parametrize("version", [2, 3])
def test_a_trial_of_what_is_not_newer_is_not_booted_whoever_wrote_it(version: int) -> None:
    device = World("records").device
    record = device.flash.record()
    device.flash.write(1, 0, package_of(version, release="x").whole)
    device.flash.note(replace(record, phase=Phase.TRIAL))
    assert device.boot() == package_of(3).manifest
    assert device.standing().phase is Phase.REFUSED


async def test_a_cancelled_session_leaves_what_was_sent() -> None:
    world = World("records")
    cancelled = asyncio.Event()

    def tell(progress: Progress) -> None:
        if progress.chunk == 5:
            cancelled.set()

    ending = await run_update(world.updatable(NEW), tell=tell, cancelled=cancelled, pauses=Backoff(0, 0))
    assert ending.state is State.CANCELLED
    assert world.device.running.version == 3
    assert world.device.flash.record().next_chunk >= 5


async def test_a_dead_device_is_given_up_after_its_tries() -> None:
    world = World("records", lost=frozenset(range(1, 1000)))
    ending = await world.update(NEW, limits=Limits(tries=4))
    assert (ending.state, ending.reason) == (State.GAVE_UP, Reason.TIMEOUT)
    assert world.contacts == 5


def test_a_bit_flipped_anywhere_in_the_header_is_refused() -> None:
    world = World("records")
    for bit in range(0, 8 * HEADER_BYTES, 7):
        header = bytearray(NEW.header)
        header[bit // 8] ^= 1 << bit % 8
        assert world.device.offer(bytes(header)).phase is Phase.REFUSED
        world.check()


def test_the_key_of_these_tests_signs() -> None:
    assert KEY.public_key() != STRANGER.public_key()
