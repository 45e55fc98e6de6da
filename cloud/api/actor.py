"""Who acts: the one thing that every route asks who changes something, and the one place that says no.

While nobody has an account, whoever reaches this (loopback) address is who they say they are. As soon as there is an account,
the session says who acts; a name or a role in a body must then agree with it.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from fastapi import Depends, Request
from sqlalchemy import ColumnElement, or_, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.accounts.rights import RIGHTS, Act
from cloud.accounts.roles import AccountRole, Grant, post_of, role_held
from cloud.accounts.users import folded
from cloud.api.problems import ApiProblem
from cloud.relational.tables import cases
from cloud.workflow.states import Role, Step
from cloud.workflow.table import OPENING, ROWS, TABLE
from telemetry.reason import Reason

__all__ = ["Acting", "Actor", "Heard", "actor_of", "allowed"]


@dataclass(slots=True)
class Heard:
    """What a request's row in the trail is to say of who acted; the routes fill it in by asking the actor."""

    actor: str = ""
    role: str = ""
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who asks. `free`: nobody has an account, so everybody may everything, under the name they give."""

    name: str = ""
    display: str = ""
    grants: tuple[Grant, ...] = ()
    free: bool = False
    heard: Heard = field(default_factory=Heard)

    def named(self, said: str = "") -> str:
        """The name that acts, `said` being the one in the body; ApiProblem where they differ, or nobody says one."""
        if self.free and not said.strip():
            raise ApiProblem(Reason.INVALID, "body.actor: is blank; say who acts", [("body.actor", "is blank; say who acts")])
        if not self.free and said.strip() and folded(said) != self.name:
            raise ApiProblem(Reason.NOT_ALLOWED, f"body.actor: {said[:64]!r}, but the session is {self.name}'s")
        self.heard.actor = said.strip() if self.free else self.name
        return self.heard.actor

    def role_for(
        self, allowed: Collection[Role], district: str | None, department: str | None = None, said: str = ""
    ) -> Role | None:
        """The post in which somebody may do what the posts `allowed` may, to what lies in `district` and is `department`'s
        (None: it tells of none); the first in the order of `AccountRole`, or the one that is `said`. None: they may not.

        Nobody is the system.
        """
        wanted = {role for role in AccountRole if post_of(role) in allowed and said in {"", role.value}}
        held = next((role for role in AccountRole if role in wanted), None)
        if not self.free:
            held = role_held(self.grants, wanted, district, department)
        post = None if held is None else post_of(held)
        self.heard.role = "" if post is None else post.value
        return post

    def steps(
        self, said: str, role: str, allowed: Collection[Role], district: str | None, department: str | None = None
    ) -> tuple[str, Role]:
        """The name and the post for a step of a case; `said` and `role` are those of the body. ApiProblem where not theirs."""
        name = self.named(said)
        post = self.role_for(allowed, district, department, role)
        if post is None:
            posts = ", ".join(sorted(post.value for post in allowed))
            raise _refusal(f"want {role + ', being one of ' if role else ''}{posts}", district)
        return name, post

    def reports(self, said: str, role: str) -> tuple[str, Role]:
        """The name and the post for a person's report. ApiProblem where not theirs."""
        return self.steps(said, role, OPENING.roles, None)

    async def steps_on(self, conn: AsyncConnection, case: int, step: Step, said: str, role: str) -> tuple[str, Role]:
        """The name and the post for a step of this case, by its state, district and department. ApiProblem where not theirs.

        Where the step is not of this state, or not for the post that is said, but that one is held here, it is for the
        workflow to say what is wrong; or that it was done before.
        """
        wanted = select(cases.c.state, cases.c.district, cases.c.department).where(cases.c.id == case)
        row = (await conn.execute(wanted)).first()
        district, department = (None, None) if row is None else (row.district, row.department or None)
        now = None if row is None else TABLE.get((row.state, step))
        ever = frozenset[Role]().union(*(found.roles for found in ROWS if found.step is step))
        for posts in (now.roles if now else ever, ever, frozenset(Role) if role else ever):
            if (post := self.role_for(posts, district, department, role)) is not None:
                return self.named(said), post
        return self.steps(said, role, ever, district, department)

    def does(self, act: Act, said: str = "", district: str | None = None) -> str:
        """The name that does this, in a role that `RIGHTS` gives it to, in `district`; ApiProblem where there is none."""
        name = self.named(said)
        if not self.free:
            held = role_held(self.grants, RIGHTS[act], district)
            if held is None:
                raise _refusal(f"{act}: want {', '.join(sorted(RIGHTS[act]))}", district)
            self.heard.role = held.value
        return name

    async def acts_on(self, conn: AsyncConnection, act: Act, subject: str, said: str = "") -> str:
        """The same for an alarm or a device; `subject` is its id, or the device's. It lies where its newest case lay."""
        if self.free:
            return self.named(said)
        lay = select(cases.c.district).where(cases.c.device == subject.partition("/")[0], cases.c.district != "")
        return self.does(act, said, await conn.scalar(lay.order_by(cases.c.id.desc()).limit(1)))

    def sees(self, district: str) -> bool:
        """Whether what lies in `district` may be read: one's own districts, and what no district was found for."""
        return self.free or not district or any(grant.district in {"", district} for grant in self.grants)

    def seen(self, district: ColumnElement[str]) -> ColumnElement[bool]:
        """The same as a condition on a column."""
        mine = {grant.district for grant in self.grants}
        return true() if self.free or "" in mine else or_(district == "", district.in_(sorted(mine)))


def _refusal(wanted: str, district: str | None) -> ApiProblem:
    where = f" in district {district}" if district else ""
    return ApiProblem(Reason.NOT_ALLOWED, f"not by this account{where}: {wanted}")


def actor_of(request: Request) -> Actor:
    """Who asks; ApiProblem (401) where a session is wanted."""
    actor: Actor | None = getattr(request.state, "actor", None)
    if actor is None:
        raise ApiProblem(Reason.NOT_AUTHENTICATED, "nobody is logged in: POST /api/session first")
    return actor


Acting = Annotated[Actor, Depends(actor_of)]

_FIRST: Final = "the first account is made on the machine itself: citynerve cloud user add NAME --role admin"


def allowed(act: Act) -> Any:
    """A dependency that gives the actor where they may do this; while there are no accounts, nobody may."""

    def judged(actor: Acting) -> Actor:
        if actor.free:
            raise ApiProblem(Reason.NOT_ALLOWED, _FIRST)
        actor.does(act)
        return actor

    return Depends(judged)
