"""The catalogue says the same things in both languages, and the command line knows its groups."""

import re
import subprocess
import sys
import time

import pytest

from citynerve.__main__ import GROUPS, main
from citynerve.messages import LANGUAGES, catalogue, language, say
from telemetry.records import Cause

PLACEHOLDER = re.compile(r"{(\w+)}")


def test_both_languages_hold_the_same_keys_with_the_same_placeholders() -> None:
    zh, en = (catalogue(lang) for lang in LANGUAGES)
    assert zh.keys() == en.keys()
    for key in en:
        assert sorted(PLACEHOLDER.findall(zh[key])) == sorted(PLACEHOLDER.findall(en[key])), key


def test_every_cause_of_a_transition_has_a_word() -> None:
    for lang in LANGUAGES:
        assert {f"cause.{cause}" for cause in Cause} <= catalogue(lang).keys()


@pytest.mark.parametrize(("environment", "expected"), [("zh_CN.UTF-8", "zh"), ("en_GB.UTF-8", "en"), ("C", "en")])
def test_the_environment_chooses_the_language(monkeypatch: pytest.MonkeyPatch, environment: str, expected: str) -> None:
    monkeypatch.delenv("CITYNERVE_LANG", raising=False)
    monkeypatch.setenv("LC_ALL", environment)
    assert language() == expected


def test_a_message_is_filled_in() -> None:
    assert say("demo.ready", "en", url="http://x/") == "Everything runs. Console: http://x/"


def test_an_unknown_command_is_told_what_was_meant(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["clod"])
    assert caught.value.code == 2
    assert "Did you mean 'cloud'?" in capsys.readouterr().err


def test_help_lists_every_group(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])
    shown = capsys.readouterr().out
    assert all(f"  {group}" in shown for group in GROUPS)


@pytest.mark.parametrize("group", GROUPS)
def test_each_group_shows_its_help(group: str) -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "citynerve", group, "--help"], capture_output=True, text=True, timeout=60, check=False
    )
    assert shown.returncode == 0, shown.stderr
    assert f"Usage: citynerve {group}" in shown.stdout


def test_the_version_is_quick() -> None:
    fastest = min(_seconds([sys.executable, "-m", "citynerve", "--version"]) for _ in range(5))
    bare = min(_seconds([sys.executable, "-c", "pass"]) for _ in range(5))
    assert fastest < bare + 0.15


def _seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return time.perf_counter() - started
