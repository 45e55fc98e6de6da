"""The table of rights and the reach of a role: what is not in the table does not act."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from cloud.accounts.rights import RIGHTS, Act
from cloud.accounts.roles import AccountRole, Grant, post_of, role_held, word_of
from cloud.api.actor import Actor, actor_of
from cloud.api.problems import ApiProblem
from cloud.relational.engine import writing
from cloud.relational.tables import cases
from cloud.workflow.states import Role, Step
from cloud.workflow.table import OPENING, ROWS
from telemetry.reason import Reason

DISTRICTS = ("", "east", "west")
GRANTS = st.lists(
    st.builds(Grant, st.sampled_from(AccountRole), st.sampled_from(DISTRICTS), st.sampled_from(("", "municipal", "lamps"))),
    max_size=4,
).map(tuple)
PLACES = st.sampled_from((None, *DISTRICTS))


def actor(*grants: Grant) -> Actor:
    return Actor(name="li.wei", display="李伟", grants=grants)


def test_the_roles_are_the_workflows_posts_and_the_admin() -> None:
    assert {role.value for role in AccountRole} == {role.value for role in Role} - {Role.SYSTEM.value} | {"admin"}
    assert [word_of(role).zh for role in AccountRole if post_of(role) is None] == ["系统管理员"]


def test_every_act_has_somebody_who_may_do_it() -> None:
    assert set(RIGHTS) == set(Act)
    assert all(RIGHTS.values())


def test_the_page_says_what_the_table_says() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "accounts.md").read_text("utf-8")
    told = {act: set(re.findall(r"`(\w+)`", roles)) for act, roles in re.findall(r"^\| `(\w+)` \| (.+) \|$", page, re.MULTILINE)}
    assert told == {act.value: {role.value for role in roles} for act, roles in RIGHTS.items()}


def test_only_the_admin_looks_after_accounts_and_the_trail() -> None:
    assert RIGHTS[Act.USERS] == RIGHTS[Act.AUDIT] == {AccountRole.ADMIN}


def test_a_report_is_by_whom_the_workflow_says() -> None:
    assert {role.value for role in RIGHTS[Act.REPORT]} == {role.value for role in OPENING.roles} - {Role.SYSTEM.value}


@given(GRANTS, st.sampled_from(Act), PLACES)
def test_no_role_that_is_not_in_the_table_acts(grants: tuple[Grant, ...], act: Act, district: str | None) -> None:
    may = any(g.role in RIGHTS[act] and (district is None or g.district in {"", district}) for g in grants)
    who = actor(*grants)
    if may:
        assert who.does(act, "Li.Wei", district) == "li.wei"
        assert AccountRole(who.heard.role) in RIGHTS[act]
        return
    with pytest.raises(ApiProblem) as told:
        who.does(act, "", district)
    assert told.value.reason is Reason.NOT_ALLOWED


@given(GRANTS, st.sampled_from(ROWS), PLACES, st.sampled_from((None, "municipal", "lamps")))
def test_a_step_is_done_in_a_post_that_is_allowed_and_held_here(
    grants: tuple[Grant, ...], row: Any, district: str | None, department: str | None
) -> None:
    post = actor(*grants).role_for(row.roles, district, department)
    held = {post_of(g.role) for g in grants if g.covers(district, department)}
    assert post in (held & row.roles) or (post is None and not held & row.roles)
    assert post is not Role.SYSTEM


@given(GRANTS, st.sampled_from(ROWS), st.sampled_from(list(Role)))
def test_a_role_in_a_body_is_taken_only_where_it_is_ones_own(grants: tuple[Grant, ...], row: Any, said: Role) -> None:
    post = actor(*grants).role_for(row.roles, None, said=said.value)
    assert post in {None, said}
    if post is not None:
        assert said in row.roles
        assert said.value in {g.role.value for g in grants}


@given(GRANTS, st.sampled_from(DISTRICTS))
def test_what_is_read_is_ones_own_districts_and_what_lies_in_none(grants: tuple[Grant, ...], district: str) -> None:
    assert actor(*grants).sees(district) == (district == "" or any(g.district in {"", district} for g in grants))


def test_the_condition_says_what_the_judgement_says() -> None:
    from sqlalchemy import create_engine, select

    from cloud.relational.tables import cases, metadata

    engine = create_engine("sqlite://")
    metadata.create_all(engine)
    words = dict.fromkeys(("matter", "gbt_code", "department", "title_zh", "title_en", "priority", "state"), "x")
    reach = ((), (Grant(AccountRole.CREW, "east"),), (Grant(AccountRole.CREW, "west"), Grant(AccountRole.OPERATOR, "east")),
             (Grant(AccountRole.CREW, "east"), Grant(AccountRole.INSPECTOR)))  # fmt: skip
    with engine.begin() as conn:
        conn.execute(cases.insert(), [{**words, "district": district, "opened_ns": 1} for district in DISTRICTS])
        for grants in reach:
            who = actor(*grants)
            rows = set(conn.scalars(select(cases.c.district).where(who.seen(cases.c.district))))
            assert rows == {district for district in DISTRICTS if who.sees(district)}
    engine.dispose()


def test_what_lies_in_no_district_is_acted_on_by_who_has_them_all() -> None:
    east, city = Grant(AccountRole.CREW, "east"), Grant(AccountRole.CREW)
    assert role_held((east,), {AccountRole.CREW}, "") is None
    assert role_held((city,), {AccountRole.CREW}, "") is AccountRole.CREW
    assert role_held((east,), {AccountRole.CREW}, None) is AccountRole.CREW


def test_nobody_acts_under_another_name() -> None:
    who = actor(Grant(AccountRole.OPERATOR))
    assert who.named() == who.named(" LI.WEI ") == "li.wei"
    with pytest.raises(ApiProblem) as told:
        who.named("zhang.san")
    assert told.value.reason is Reason.NOT_ALLOWED


def test_without_accounts_everybody_is_who_they_say_but_somebody() -> None:
    free = Actor(free=True)
    assert free.does(Act.OUT_OF_SERVICE, "anybody") == "anybody"
    assert free.role_for({Role.SUPERVISOR}, "east", said="supervisor") is Role.SUPERVISOR
    assert free.role_for({Role.SYSTEM}, None, said="system") is None
    assert free.sees("east")
    with pytest.raises(ApiProblem) as told:
        free.named("  ")
    assert told.value.reason is Reason.INVALID


def test_where_nobody_is_logged_in_nobody_acts() -> None:
    with pytest.raises(ApiProblem) as told:
        actor_of(SimpleNamespace(state=SimpleNamespace(actor=None)))  # type: ignore[arg-type]
    assert told.value.reason is Reason.NOT_AUTHENTICATED


async def test_a_step_is_judged_by_the_cases_own_state_district_and_department(cloud_engine: AsyncEngine) -> None:
    words = dict.fromkeys(("matter", "gbt_code", "title_zh", "title_en", "priority"), "x")
    row = {**words, "district": "east", "department": "municipal", "opened_ns": 1}
    async with writing(cloud_engine) as conn:
        for number, state in enumerate(("department_review", "feedback"), 1):
            await conn.execute(cases.insert().values(**row, id=number, state=state))
        both = actor(Grant(AccountRole.OPERATOR, "east"), Grant(AccountRole.DEPARTMENT, "east", "municipal"))
        other = actor(Grant(AccountRole.DEPARTMENT, "east", "lamps"))
        # 返工 is the department's while it reviews, and the desk's once the work was fed back.
        assert await both.steps_on(conn, 1, Step.REWORK, "li.wei", "") == ("li.wei", Role.DEPARTMENT)
        assert await both.steps_on(conn, 2, Step.REWORK, "li.wei", "") == ("li.wei", Role.OPERATOR)
        # Of another state, another post of the step, or of no case: the workflow says what is wrong.
        assert await both.steps_on(conn, 2, Step.CONFIRM, "li.wei", "department") == ("li.wei", Role.DEPARTMENT)
        assert await other.steps_on(conn, 99, Step.CONFIRM, "li.wei", "") == ("li.wei", Role.DEPARTMENT)
        assert await both.steps_on(conn, 1, Step.REWORK, "li.wei", "operator") == ("li.wei", Role.OPERATOR)
        for case, step, role in ((1, Step.REWORK, "dispatcher"), (1, Step.DISPATCH, ""), (1, Step.REWORK, "system")):
            with pytest.raises(ApiProblem):
                await both.steps_on(conn, case, step, "li.wei", role)
        with pytest.raises(ApiProblem):
            await other.steps_on(conn, 1, Step.CONFIRM, "li.wei", "")
    assert actor(Grant(AccountRole.COLLECTOR)).reports("", "collector") == ("li.wei", Role.COLLECTOR)
    with pytest.raises(ApiProblem):
        actor(Grant(AccountRole.DISPATCHER)).reports("", "")


@pytest.mark.parametrize("said", ["", "department"])
def test_somebody_with_two_posts_acts_in_the_one_that_the_step_wants(said: str) -> None:
    who = actor(Grant(AccountRole.CREW, "east"), Grant(AccountRole.DEPARTMENT, "east", "municipal"))
    rework = next(row for row in ROWS if row.step is Step.REWORK and Role.DEPARTMENT in row.roles)
    assert who.steps("li.wei", said, rework.roles, "east", "municipal") == ("li.wei", Role.DEPARTMENT)
    with pytest.raises(ApiProblem):
        who.steps("li.wei", "crew", rework.roles, "east", "municipal")
    with pytest.raises(ApiProblem):
        who.steps("li.wei", said, rework.roles, "west", "municipal")
