"""Accounts in both stores: logging in, sessions and their ends, and the trail of who did what."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.accounts.accounts import AccountPolicy, Accounts, Caller
from cloud.accounts.errors import AccountError
from cloud.accounts.passwords import Cost, Hasher, check_password
from cloud.accounts.roles import AccountRole, Grant, check_grants
from cloud.accounts.sessions import IDLE_S, LONGEST_S, MOST_SESSIONS
from cloud.accounts.throttle import Throttle
from cloud.accounts.trail import Entry, Trail, found
from cloud.accounts.users import Change
from cloud.relational.engine import reading
from cloud.relational.tables import audit, metadata, sessions, users
from telemetry.clock import SECOND_NS, ManualClock
from telemetry.reason import Reason

CHEAP = Cost(passes=1, memory_kib=8, lanes=1)
CREW = (Grant(AccountRole.CREW, "east", "municipal"),)
WORDS = "lamp cover toilet drain"
HERE = Caller("10.0.0.7", "a browser")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def accounts(cloud_engine: AsyncEngine, clock: ManualClock) -> Accounts:
    """Li.wei of the crew has an account."""
    made = Accounts(cloud_engine, clock, AccountPolicy(cost=CHEAP))
    await made.add("Li.Wei", WORDS, CREW, "李伟")
    return made


async def refused(attempt: Any) -> AccountError:
    with pytest.raises(AccountError) as told:
        await attempt
    return told.value


async def trail(engine: AsyncEngine) -> list[Mapping[str, Any]]:
    async with reading(engine) as conn:
        return list((await conn.execute(select(audit).order_by(audit.c.id))).mappings())


async def test_there_are_no_accounts_until_there_is_one_and_then_for_good(cloud_engine: AsyncEngine) -> None:
    made = Accounts(cloud_engine, ManualClock(), AccountPolicy(cost=CHEAP))
    assert not await made.exist()
    other = Accounts(cloud_engine, ManualClock(), AccountPolicy(cost=CHEAP))
    await other.add("a", WORDS, CREW)
    await other.change("a", Change(disabled=True))
    assert await made.exist()


async def test_a_name_is_one_however_it_is_typed(accounts: Accounts) -> None:
    _, session = await accounts.log_in(" LI.WEI ", WORDS, HERE)
    assert (session.account.name, session.account.display, session.account.grants) == ("li.wei", "李伟", CREW)
    assert (await refused(accounts.add("lI.wEI", WORDS, CREW))).reason is Reason.CONFLICT


async def test_a_name_that_cannot_be_one_is_refused(accounts: Accounts) -> None:
    for name in ("", " ", "system", "SYSTEM", "a b", "-a", "a\nb", "a\0b", "a" * 65, "../x"):
        assert (await refused(accounts.add(name, WORDS, CREW))).reason is Reason.INVALID, name


@pytest.mark.parametrize(
    ("password", "said"),
    [
        pytest.param("short", "5 characters", id="too short"),
        pytest.param("x" * 129, "129 characters", id="too long"),
        pytest.param("Li.Wei.2026", "name", id="the name with a year"),
        pytest.param("Li Wei Li Wei"[:6] + "_____", "name", id="the display with lines"),
        pytest.param("PASSWORD123", "guessed", id="among the first to be guessed"),
        pytest.param("aaaaaaaaaaaaaab", "different", id="two characters"),
    ],
)
def test_a_password_that_is_guessed_at_once_is_refused(password: str, said: str) -> None:
    assert said in (check_password(password, "li.wei", "Li Wei") or "")


@pytest.mark.parametrize("password", [WORDS, "路灯井盖公厕排水口车辆", "aB3$ eF6& x"])
def test_a_good_password_is_taken(password: str) -> None:
    assert check_password(password, "li.wei", "Li Wei") is None


async def test_what_looks_the_same_on_another_keyboard_is_the_same_password() -> None:
    hasher = Hasher(CHEAP)
    assert await hasher.matches(await hasher.hash("th\u00e9 au lait 2"), "the\u0301 au lait \uff12")


async def test_unknown_wrong_and_disabled_cannot_be_told_apart(accounts: Accounts, cloud_engine: AsyncEngine) -> None:
    await accounts.add("gone", WORDS, CREW)
    await accounts.change("gone", Change(disabled=True))
    told = set()
    for name, password in (("nobody", WORDS), ("li.wei", WORDS + "!"), ("gone", WORDS)):
        before, rows = accounts.hasher.compared, len(await trail(cloud_engine))
        error = await refused(accounts.log_in(name, password, HERE))
        told.add((error.reason, str(error), accounts.hasher.compared - before, len(await trail(cloud_engine)) - rows))
    assert told == {(Reason.NOT_AUTHENTICATED, "no such name with this password", 1, 1)}


def test_the_hash_of_nobody_costs_what_that_of_somebody_does() -> None:
    hasher = Hasher(Cost(passes=2, memory_kib=16, lanes=2))
    assert not hasher.outdated(hasher._decoy)
    assert Hasher(CHEAP).outdated(hasher._decoy)


async def test_another_cost_is_paid_at_the_next_login_and_nobody_notices(accounts: Accounts, cloud_engine: AsyncEngine) -> None:
    token, _ = await accounts.log_in("li.wei", WORDS, HERE)
    dearer = Accounts(cloud_engine, ManualClock(), AccountPolicy(cost=Cost(passes=2, memory_kib=16, lanes=1)))
    await dearer.log_in("li.wei", WORDS, HERE)
    async with reading(cloud_engine) as conn:
        hashed = await conn.scalar(select(users.c.password).where(users.c.name == "li.wei"))
    assert "m=16,t=2,p=1" in str(hashed)
    assert await accounts.alive(token)
    await dearer.log_in("li.wei", WORDS, HERE)


async def test_a_flood_of_logins_holds_no_more_memory_than_two(monkeypatch: pytest.MonkeyPatch) -> None:
    hasher, at_once, most = Hasher(CHEAP, at_once=2, most_waiting=3), 0, 0
    real = hasher._verify

    def slow(hashed: str, password: str) -> bool:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        asyncio.run(asyncio.sleep(0.02))
        at_once -= 1
        return real(hashed, password)

    monkeypatch.setattr(hasher, "_verify", slow)
    outcomes = await asyncio.gather(*(hasher.matches(None, "x") for _ in range(9)), return_exceptions=True)
    assert most == 2
    assert [type(outcome) for outcome in outcomes] == [bool] * 5 + [AccountError] * 4
    assert await hasher.matches(None, "x") is False


async def test_who_leaves_while_it_is_computed_leaves_no_place_behind() -> None:
    hasher = Hasher(CHEAP, at_once=1, most_waiting=0)
    for _ in range(3):
        task = asyncio.ensure_future(hasher.matches(None, "x"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(hasher._threads.submit(lambda: None).result)
    assert await hasher.matches(None, "x") is False


async def test_guessing_is_slowed_by_account_whatever_the_address(accounts: Accounts, clock: ManualClock) -> None:
    for number in range(5):
        error = await refused(accounts.log_in("li.wei", "wrong", Caller(f"10.0.1.{number}")))
        assert error.reason is Reason.NOT_AUTHENTICATED
    compared = accounts.hasher.compared
    error = await refused(accounts.log_in("li.wei", WORDS, Caller("10.0.2.1")))
    assert (error.reason, error.wait_s, accounts.hasher.compared) == (Reason.TOO_OFTEN, 30, compared)
    clock.advance(30)
    await accounts.log_in("li.wei", WORDS, Caller("10.0.2.1"))


async def test_guessing_is_slowed_by_address_whatever_the_name(accounts: Accounts) -> None:
    for number in range(30):
        await refused(accounts.log_in(f"name-{number}", "wrong", Caller(f"2001:db8::{number:x}")))
    error = await refused(accounts.log_in("li.wei", WORDS, Caller("2001:db8::ffff")))
    assert error.reason is Reason.TOO_OFTEN
    await accounts.log_in("li.wei", WORDS, Caller("2001:db8:0:1::1"))


async def test_who_logs_in_well_is_never_slowed(accounts: Accounts) -> None:
    for _ in range(40):
        await accounts.log_in("li.wei", WORDS, HERE)


async def test_a_flood_is_one_row_a_minute(accounts: Accounts, cloud_engine: AsyncEngine, clock: ManualClock) -> None:
    for _ in range(50):
        await refused(accounts.log_in("li.wei", "wrong", HERE))
    clock.advance(29)
    await refused(accounts.log_in("li.wei", "wrong", HERE))
    clock.advance(61)
    for _ in range(5):
        await refused(accounts.log_in("li.wei", "wrong", HERE))
    rows = [row for row in await trail(cloud_engine) if row["outcome"] == "429 too_often"]
    assert [row["detail"] for row in rows] == [{"tries": 1}, {"tries": 46}]


def test_a_throttle_keeps_no_more_keys_than_it_may() -> None:
    throttle = Throttle(2, 1.0, most=10)
    for number in range(100):
        throttle.take(str(number), 0)
    assert len(throttle) == 10
    throttle.take("late", 3 * SECOND_NS)
    assert len(throttle) == 1


async def test_a_token_is_new_every_time_and_the_former_one_ends(accounts: Accounts) -> None:
    first, _ = await accounts.log_in("li.wei", WORDS, HERE)
    second, _ = await accounts.log_in("li.wei", WORDS, HERE, former=first)
    assert first != second
    assert len(second) >= 43  # 256 bits in base64
    assert (await accounts.alive(first), await accounts.alive(second)) == (False, True)


async def test_nobody_is_let_in_by_a_token_that_they_brought(accounts: Accounts) -> None:
    token, _ = await accounts.log_in("li.wei", WORDS, HERE, former="brought along")
    assert token != "brought along"  # noqa: S105 - brought by nobody
    assert await accounts.session("brought along") is None
    assert await accounts.session("") is None


async def test_a_session_ends_when_it_is_not_used(accounts: Accounts, clock: ManualClock) -> None:
    token, _ = await accounts.log_in("li.wei", WORDS, HERE)
    clock.advance(IDLE_S - 61)
    assert await accounts.session(token) is not None
    clock.advance(IDLE_S - 61)
    assert await accounts.alive(token)
    clock.advance(61)
    assert await accounts.session(token) is None


async def test_a_session_ends_after_a_week_however_much_it_is_used(accounts: Accounts, clock: ManualClock) -> None:
    token, _ = await accounts.log_in("li.wei", WORDS, HERE)
    for _ in range(LONGEST_S // 36_000):
        assert await accounts.session(token) is not None
        clock.advance(36_000)
    clock.advance(LONGEST_S % 36_000)
    assert await accounts.session(token) is None


async def test_what_is_over_is_forgotten_and_nobody_has_more_than_their_share(
    accounts: Accounts, cloud_engine: AsyncEngine, clock: ManualClock
) -> None:
    for _ in range(MOST_SESSIONS + 3):
        clock.advance(1)
        token, _ = await accounts.log_in("li.wei", WORDS, HERE)
    assert len(await accounts.sessions_of("li.wei")) == MOST_SESSIONS
    assert await accounts.alive(token)
    clock.advance(LONGEST_S)
    await accounts.log_in("li.wei", WORDS, HERE)
    async with reading(cloud_engine) as conn:
        assert await conn.scalar(select(func.count()).select_from(sessions)) == 1


async def test_whoever_is_disabled_is_out_at_once(accounts: Accounts) -> None:
    token, _ = await accounts.log_in("li.wei", WORDS, HERE)
    await accounts.change("li.wei", Change(disabled=True))
    assert await accounts.session(token) is None
    await accounts.change("li.wei", Change(disabled=False))
    assert await accounts.session(token) is None
    await accounts.log_in("li.wei", WORDS, HERE)


async def test_whoever_is_disabled_while_their_password_is_compared_is_not_let_in(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = accounts.hasher.matches

    async def meanwhile(hashed: str | None, password: str) -> bool:
        right = await real(hashed, password)
        await accounts.change("li.wei", Change(disabled=True))
        return right

    monkeypatch.setattr(accounts.hasher, "matches", meanwhile)
    assert (await refused(accounts.log_in("li.wei", WORDS, HERE))).reason is Reason.NOT_AUTHENTICATED
    assert await accounts.sessions_of("li.wei") == []


async def test_other_roles_hold_from_the_next_request_on(accounts: Accounts) -> None:
    token, _ = await accounts.log_in("li.wei", WORDS, HERE)
    await accounts.change("li.wei", Change(grants=(Grant(AccountRole.OPERATOR),)))
    session = await accounts.session(token)
    assert session is not None
    assert session.account.grants == (Grant(AccountRole.OPERATOR),)


async def test_another_password_ends_every_session_and_begins_one(accounts: Accounts) -> None:
    elsewhere, _ = await accounts.log_in("li.wei", WORDS, HERE)
    _, session = await accounts.log_in("li.wei", WORDS, HERE)
    assert (await refused(accounts.change_password(session, "wrong", "another one of four", HERE))).reason is Reason.NOT_ALLOWED
    assert (await refused(accounts.change_password(session, WORDS, "li.wei.2026", HERE))).reason is Reason.INVALID
    token, _ = await accounts.change_password(session, WORDS, "another one of four", HERE)
    assert (await accounts.alive(elsewhere), await accounts.alive(token)) == (False, True)
    assert len(await accounts.sessions_of("li.wei")) == 1
    await refused(accounts.log_in("li.wei", WORDS, HERE))
    await accounts.log_in("li.wei", "another one of four", HERE)


@pytest.mark.parametrize(
    "grants",
    [
        pytest.param((), id="none"),
        pytest.param(CREW * 2, id="twice the same"),
        pytest.param((Grant(AccountRole.ADMIN, "east"),), id="an admin of one district"),
        pytest.param((Grant(AccountRole.CREW, "e" * 65),), id="a district too long"),
        pytest.param((Grant(AccountRole.CREW, "east\n"),), id="a line break"),
        pytest.param(tuple(Grant(AccountRole.CREW, str(n)) for n in range(21)), id="too many"),
    ],
)
def test_roles_that_cannot_be_are_told(grants: tuple[Grant, ...]) -> None:
    assert check_grants(grants)
    assert check_grants(CREW) is None


async def test_an_account_takes_no_roles_that_cannot_be(accounts: Accounts) -> None:
    assert (await refused(accounts.change("li.wei", Change(grants=())))).reason is Reason.INVALID
    assert (await refused(accounts.add("b", WORDS, CREW, "a\nb"))).reason is Reason.INVALID


async def test_the_trail_is_kept_for_a_year_and_says_what_went(cloud_engine: AsyncEngine, clock: ManualClock) -> None:
    kept = Trail(cloud_engine, clock)
    for _ in range(3):
        await kept.begin(Entry(action="old"))
    clock.advance(366 * 86_400)
    await kept.begin(Entry(action="on the day"))
    clock.advance(3601)
    await kept.begin(Entry(action="new"))
    told = [(row["action"], row["detail"]) for row in await trail(cloud_engine)]
    assert told == [("on the day", {}), ("trim_audit", {"rows": 3}), ("new", {})]
    assert kept.trimmed == 3


async def test_the_trail_takes_whatever_a_caller_sends(cloud_engine: AsyncEngine, clock: ManualClock) -> None:
    kept = Trail(cloud_engine, clock)
    number = await kept.begin(Entry(action="a\0b", target="\ud800" + "x" * 500))
    await kept.finish(number, Entry(action="a", actor="li.wei", target="y", outcome="200"))
    wanted = found(actor="li.wei", target="y", from_ns=0, until_ns=2**62, before=number + 1, limit=5)
    async with reading(cloud_engine) as conn:
        assert [row["outcome"] for row in (await conn.execute(wanted)).mappings()] == ["200"]


async def test_no_password_and_no_token_is_in_the_store_or_the_log(
    accounts: Accounts, cloud_engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = [WORDS, "another one of four", "a wrong one of four", "typed into the wrong field"]
    token, session = await accounts.log_in("li.wei", WORDS, HERE)
    await refused(accounts.log_in("li.wei", secrets[2], HERE))
    await refused(accounts.log_in(secrets[3], WORDS, HERE))
    again, _ = await accounts.change_password(session, WORDS, secrets[1], HERE)
    held = caplog.text
    async with reading(cloud_engine) as conn:
        for table in metadata.sorted_tables:
            held += "".join(str(tuple(row)) for row in await conn.execute(select(table)))
    assert "li.wei" in held
    assert [secret for secret in (*secrets, token, again) if secret in held] == []
