"""The demo runs headless, tells its story, and its accounts balance: on the broker in process and on a real one."""

import asyncio
import json
import re
import subprocess
import sys

import pytest

from citynerve.demo.accounts import Accounts, Cases, Latency, Notifications, Readings
from citynerve.demo.broker import BrokerUnreachableError, broker

pytestmark = pytest.mark.integration

KINDS = {"cover": 3, "lamp_loop": 2, "toilet_air": 1, "toilet_node": 1, "people_counter": 1, "vehicle": 3}


def run_demo(*options: str) -> tuple[dict, str]:
    command = [sys.executable, "-m", "citynerve", "demo", "--json", "--port", "0", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.mark.slow
def test_a_cover_opened_becomes_a_closed_case_and_every_reading_is_accounted_for() -> None:
    accounts, story = run_demo("--for", "32")
    readings = accounts["readings"]
    assert accounts["balanced"] is True
    assert readings["committed"] == readings["acked"] == readings["stored"] > 20
    assert readings["lost_declared"] == readings["quarantined"] == 0
    assert accounts["transitions"] >= 4
    assert accounts["cases"]["opened"] >= 2
    assert accounts["cases"]["closed"] >= 1
    assert accounts["notifications"]["failed"] == 0
    assert accounts["notifications"]["sent"] >= 4
    assert accounts["latency_ms"]["event_to_case_p50"] <= accounts["latency_ms"]["p99"] < 5000
    assert accounts["devices"] == KINDS
    assert "case 1 opened" in story or "立案 1" in story
    assert re.search(r"http://127\.0\.0\.1:\d+/cases/1", story), "the crew's message leads to its case"
    assert "Traceback" not in story


def test_the_same_on_a_real_broker(mosquitto_port: int) -> None:
    accounts, _ = run_demo("--for", "13", "--broker", f"mqtt://127.0.0.1:{mosquitto_port}")
    assert accounts["balanced"] is True
    assert accounts["cases"]["opened"] >= 1


def test_a_broker_that_is_not_there_is_told_in_one_line() -> None:
    command = [sys.executable, "-m", "citynerve", "demo", "--for", "1", "--json", "--broker", "mqtt://127.0.0.1:9"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 4
    assert "mqtt://127.0.0.1:9" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_told_in_one_line(mosquitto_port: int) -> None:
    command = [sys.executable, "-m", "citynerve", "demo", "--for", "1", "--json", "--port", str(mosquitto_port)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 4
    assert str(mosquitto_port) in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("url", ["http://127.0.0.1", "mqtt://127.0.0.1:9"])
async def test_a_wrong_address_is_refused_before_anything_starts(url: str) -> None:
    with pytest.raises(BrokerUnreachableError, match=url):
        async with asyncio.timeout(10), broker(url):
            pass


BALANCED = Accounts(
    readings=Readings(spoken=10, produced=10, held_back=2, refused=1, committed=7, acked=7, stored=6, quarantined=1),
    transitions=2,
    transitions_stored=2,
    cases=Cases(opened=1),
    notifications=Notifications(sent=1, received=1),
)


@pytest.mark.parametrize(
    ("readings", "what"),
    [
        pytest.param({"held_back": 3}, "produced", id="a reading that nobody produced"),
        pytest.param({"acked": 6, "stored": 5}, "committed", id="a reading that was never acknowledged"),
        pytest.param({"stored": 5}, "acknowledged", id="a reading acknowledged and not stored"),
        pytest.param({"spoken": 9}, "spoken", id="a reading that no device spoke"),
    ],
)
def test_accounts_that_do_not_balance_say_where(readings: dict[str, int], what: str) -> None:
    assert BALANCED.disagreements() == []
    changed = {name: getattr(BALANCED.readings, name) for name in Readings.__slots__} | readings
    accounts = Accounts(
        readings=Readings(**changed), transitions=2, transitions_stored=2, notifications=Notifications(sent=1, received=1)
    )
    found = accounts.disagreements()
    assert len(found) == 1
    assert found[0].startswith(what)


def test_percentiles_of_no_case_are_none_and_of_one_are_that_one() -> None:
    assert Latency.of([]) == Latency()
    assert Latency.of([0.05]) == Latency(event_to_case_p50=50.0, p99=50.0)
    assert Latency.of([n / 1000 for n in range(1, 101)]).p99 == pytest.approx(99.0, abs=0.1)
