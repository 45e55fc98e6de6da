"""`citynerve cloud user`: who may log in. A password is asked for on the terminal or read from a file, never an argument."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from citynerve.commands.cloud_shared import fail, load

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cloud.accounts.accounts import Accounts
    from cloud.accounts.roles import Grant
    from cloud.accounts.users import Account
    from cloud.config import CloudConfig

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Who may log in, in which roles.")

UserName = Annotated[str, typer.Argument(help="The account's name; capitals do not matter.")]
ConfigFile = Annotated[Path, typer.Argument(help="The configuration, a TOML file.", show_default=True)]
Roles = Annotated[
    list[str],
    typer.Option(
        "--role",
        help="collector, operator, shift_lead, dispatcher, department, crew, inspector, supervisor or admin; again for more.",
    ),
]
District = Annotated[str, typer.Option(help="Only in this district; without it in all.")]
Department = Annotated[str, typer.Option(help="Only for this department; without it for any.")]
PasswordFile = Annotated[
    Path | None, typer.Option("--password-file", help="Read the password from here instead of asking for it.")
]
_DEFAULT = Path("cloud.toml")


@app.command()
def add(
    name: UserName,
    config: ConfigFile = _DEFAULT,
    *,
    role: Roles = [],  # noqa: B006 - typer reads it as "none said"
    district: District = "",
    department: Department = "",
    display: Annotated[str, typer.Option(help="What people are shown; without it the name.")] = "",
    password_file: PasswordFile = None,
) -> None:
    """Give somebody an account. From the first one on, the API and the console want a login."""
    grants = _grants(role, district, department)
    loaded, password = load(config), _password(password_file)

    async def work(accounts: "Accounts") -> str:
        made = await accounts.add(name, password, grants, display)
        await _told(accounts, "user.add", made.name, roles=_plain(made.grants))
        return f"{made.name}: may log in now, as {_words(made)}"

    _run(loaded, work)


@app.command("list")
def list_users(config: ConfigFile = _DEFAULT) -> None:
    """Who has an account, in which roles, and from how many places they are logged in."""

    async def work(accounts: "Accounts") -> str:
        found = await accounts.page("", 10_000)
        lines = [f"{user.name:<20} {_state(user):<10} {_words(user)}" for user in found]
        return "\n".join(lines) or "nobody has an account: everybody who reaches the address may everything"

    _run(load(config), work)


@app.command()
def disable(name: UserName, config: ConfigFile = _DEFAULT) -> None:
    """End somebody's account: every session ends at once, and the name stays in what it did."""
    _change(name, config, "user.disable", "is disabled and logged out everywhere", disabled=True)


@app.command()
def enable(name: UserName, config: ConfigFile = _DEFAULT) -> None:
    """Give a disabled account back."""
    _change(name, config, "user.enable", "may log in again", disabled=False)


@app.command()
def roles(
    name: UserName,
    config: ConfigFile = _DEFAULT,
    *,
    role: Roles = [],  # noqa: B006 - as above
    district: District = "",
    department: Department = "",
    more: Annotated[bool, typer.Option("--more", help="Beside those that are there; without it instead of them.")] = False,
) -> None:
    """Say which roles somebody has, from the next request on."""
    grants = _grants(role, district, department)

    async def work(accounts: "Accounts") -> str:
        from cloud.accounts.users import Change

        held = (await accounts.get(name)).grants if more else ()
        wanted = (*held, *(grant for grant in grants if grant not in held))
        changed = await accounts.change(name, Change(grants=wanted))
        await _told(accounts, "user.roles", changed.name, roles=_plain(changed.grants))
        return f"{changed.name}: {_words(changed)}"

    _run(load(config), work)


@app.command()
def password(name: UserName, config: ConfigFile = _DEFAULT, password_file: PasswordFile = None) -> None:
    """Give somebody another password; every session of theirs ends."""
    loaded, words = load(config), _password(password_file)

    async def work(accounts: "Accounts") -> str:
        from cloud.accounts.users import Change

        changed = await accounts.change(name, Change(), words)
        await _told(accounts, "user.password", changed.name)
        return f"{changed.name}: has another password and is logged out everywhere"

    _run(loaded, work)


@app.command()
def sessions(name: UserName, config: ConfigFile = _DEFAULT) -> None:
    """From where somebody is logged in."""

    async def work(accounts: "Accounts") -> str:
        found = await accounts.sessions_of(name)
        lines = [f"since {_time(one.created_ns)}, used {_time(one.used_ns)}, {one.user_agent or 'a program'}" for one in found]
        return "\n".join(lines) or f"{name}: is not logged in"

    _run(load(config), work)


@app.command("end-sessions")
def end_sessions(name: UserName, config: ConfigFile = _DEFAULT) -> None:
    """Log somebody out everywhere."""

    async def work(accounts: "Accounts") -> str:
        count = await accounts.end_sessions(name)
        await _told(accounts, "user.end_sessions", name, sessions=count)
        return f"{name}: {count} sessions ended"

    _run(load(config), work)


def _change(name: str, config: Path, action: str, said: str, *, disabled: bool) -> None:
    async def work(accounts: "Accounts") -> str:
        from cloud.accounts.users import Change

        changed = await accounts.change(name, Change(disabled=disabled))
        await _told(accounts, action, changed.name)
        return f"{changed.name}: {said}"

    _run(load(config), work)


async def _told(accounts: "Accounts", action: str, target: str, **detail: Any) -> None:
    """What is done on the machine itself is in the trail, too: by whom of the machine's own users."""
    from getpass import getuser

    from cloud.accounts.trail import Entry

    await accounts.trail.begin(Entry(action=action, actor=f"terminal:{getuser()}", target=target, detail=detail, outcome="done"))


def _run(config: "CloudConfig", work: "Callable[[Accounts], Awaitable[str]]") -> None:
    import asyncio

    from cloud.accounts.errors import AccountError

    try:
        print(asyncio.run(_over(config, work)))
    except (AccountError, OSError) as error:
        fail(str(error))


async def _over(config: "CloudConfig", work: "Callable[[Accounts], Awaitable[str]]") -> str:
    from cloud.accounts.accounts import Accounts
    from cloud.relational.engine import make_engine
    from cloud.relational.migrate import migrate
    from telemetry.clock import SystemClock

    engine = make_engine(config.database_url, config.database_password)
    try:
        await migrate(engine)
        return await work(Accounts(engine, SystemClock()))
    finally:
        await engine.dispose()


def _grants(names: list[str], district: str, department: str) -> "tuple[Grant, ...]":
    from cloud.accounts.roles import AccountRole, Grant

    known = ", ".join(AccountRole)
    if not names:
        fail(f"no role is said; write --role with one of {known}")
    for word in names:
        if word not in list(AccountRole):
            fail(f"--role {word}: there is none; there are {known}")
    return tuple(Grant(AccountRole(word), district.strip(), department.strip()) for word in names)


def _password(file: Path | None) -> str:
    if file is not None:
        try:
            return file.read_text("utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            fail(f"{file}: cannot be read: {error}")
    if not sys.stdin.isatty():
        fail("no terminal to ask for the password; write --password-file")
    said: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return said


def _plain(grants: "tuple[Grant, ...]") -> Any:
    import msgspec

    return msgspec.to_builtins(grants)


def _words(user: "Account") -> str:
    return ", ".join("/".join(filter(None, (grant.role, grant.district, grant.department))) for grant in user.grants)


def _state(user: "Account") -> str:
    if user.disabled:
        return "disabled"
    return f"{user.sessions} logins" if user.sessions else "-"


def _time(time_ns: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(time_ns // 1_000_000_000, UTC).isoformat().removesuffix("+00:00") + "Z"
