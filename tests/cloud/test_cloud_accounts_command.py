"""`citynerve cloud user`: accounts from the machine's own terminal."""

import asyncio
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from citynerve.commands.cloud import app
from cloud.accounts.accounts import Accounts, Caller
from cloud.relational.engine import make_engine, reading
from cloud.relational.tables import audit
from telemetry.clock import SystemClock

WORDS = "lamp cover toilet drain"


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "cloud.toml"
    path.write_text('data_dir = "data"\nbroker = "mqtt://127.0.0.1"\n')
    (tmp_path / "password").write_text(f"{WORDS}\n")
    return str(path)


def user(*words: str, code: int = 0) -> str:
    told = CliRunner().invoke(app, ["user", *words])
    assert told.exit_code == code, told.output
    return told.output


def secret(config: str) -> tuple[str, str]:
    return "--password-file", str(Path(config).with_name("password"))


def test_an_account_is_made_changed_listed_and_ended(config: str) -> None:
    assert "nobody has an account" in user("list", config)
    roles = ("--role", "crew", "--role", "collector", "--district", "east", "--department", "municipal")
    assert "as crew/east/municipal, collector/east/municipal" in user("add", "Li.Wei", config, *roles, *secret(config))
    assert "there is one already" in user("add", "li.wei", config, *roles, *secret(config), code=1)
    assert user("roles", "li.wei", config, "--role", "operator").startswith("li.wei: operator\n")
    assert user("roles", "li.wei", config, "--role", "admin", "--more").startswith("li.wei: operator, admin\n")
    asyncio.run(_log_in(config))
    assert "1 logins" in user("list", config)
    assert "a browser" in user("sessions", "li.wei", config)
    assert "1 sessions ended" in user("end-sessions", "li.wei", config)
    assert "is not logged in" in user("sessions", "li.wei", config)
    user("disable", "li.wei", config)
    assert "disabled" in user("list", config)
    user("enable", "li.wei", config)
    user("password", "li.wei", config, *secret(config))
    asyncio.run(_log_in(config))
    done = asyncio.run(_trail(config))
    assert [row for row in done if row != "log_in"] == [
        *("user.add", "user.roles", "user.roles", "user.end_sessions", "user.disable", "user.enable", "user.password")
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(("add", "a", "--role", "boss"), "--role boss: there is none", id="a role that is none"),
        pytest.param(("add", "a"), "no role is said", id="no role"),
        pytest.param(("add", "a", "--role", "admin", "--district", "east"), "the whole city", id="an admin of a district"),
        pytest.param(("add", "a", "--role", "crew", "--password-file", "/nowhere"), "cannot be read", id="no such file"),
        pytest.param(("add", "a", "--role", "crew"), "no terminal", id="nowhere to ask"),
        pytest.param(("disable", "nobody"), "there is none", id="nobody"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(config: str, words: tuple[str, ...], said: str) -> None:
    more = secret(config) if "--district" in words else ()
    told = user(words[0], words[1], config, *words[2:], *more, code=1)
    assert said in told
    assert "Traceback" not in told


def test_a_weak_password_is_refused_and_not_repeated(config: str) -> None:
    Path(config).with_name("password").write_text("password123")
    told = user("add", "li.wei", config, "--role", "crew", *secret(config), code=1)
    assert "guessed" in told
    assert "password123" not in told


def test_no_command_takes_a_password_as_an_argument() -> None:
    for command in ("add", "password"):
        words = user(command, "--help")
        assert "--password-file" in words
        assert "--password " not in words


def test_on_a_terminal_the_password_is_asked_for_twice_and_not_shown(config: str) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "citynerve", "cloud", "user", "add", "li.wei", config, "--role", "crew"]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True) as process:
        os.close(theirs)
        shown = b""
        for asked in (b"Password: ", b"confirmation: "):
            while not shown.endswith(asked):
                shown += os.read(ours, 1000)
            os.write(ours, f"{WORDS}\n".encode())
        while b"may log in now" not in shown:
            shown += os.read(ours, 1000)
    os.close(ours)
    assert process.returncode == 0
    assert WORDS.encode() not in shown
    asyncio.run(_log_in(config))


async def _log_in(config: str) -> None:
    engine = make_engine(f"sqlite+aiosqlite:///{Path(config).parent / 'data' / 'cloud.db'}")
    try:
        await Accounts(engine, SystemClock()).log_in("li.wei", WORDS, Caller("127.0.0.1", "a browser"))
    finally:
        await engine.dispose()


async def _trail(config: str) -> list[str]:
    engine = make_engine(f"sqlite+aiosqlite:///{Path(config).parent / 'data' / 'cloud.db'}")
    try:
        async with reading(engine) as conn:
            found = (await conn.execute(select(audit).order_by(audit.c.id))).mappings().all()
    finally:
        await engine.dispose()
    assert {row["actor"].partition(":")[0] for row in found if row["action"] != "log_in"} == {"terminal"}
    assert json.dumps([row["detail"] for row in found]).count("municipal") == 2
    return [row["action"] for row in found]
