"""Channels and people in the cloud's configuration."""

from pathlib import Path

import pytest

from cloud.config import CloudConfig, ConfigError, load_config
from cloud.notify.backoff import delay_s
from cloud.notify.config import ChannelKind
from cloud.notify.people import parse_quiet
from cloud.notify.results import Failure, SendResult
from telemetry.records import Priority

GOOD = """
data_dir = "d"
broker = "mqtt://127.0.0.1:1883"
[[channels]]
name = "sms"
kind = "tencent_sms"
access_key_id = "AKID1"
secret_file = "secret"
sign_name = "城市管理"
template = "1234567"
app_id = "1400006666"
region = "ap-beijing"
variables = ["priority", "title"]
quiet = "22:00-07:00"
loud = "high"
[[channels]]
name = "modem"
kind = "sms_modem"
device = "/dev/ttyUSB0"
baudrate = 9600
[[people]]
name = "zhang"
channel = "sms"
address = "+8613800000000"
priorities = ["high", "critical"]
per_minute = 2
[[people]]
name = "zhang"
channel = "modem"
address = "+8613800000000"
"""


def _load(folder: Path, text: str) -> CloudConfig:
    (folder / "secret").write_text("s3cret")
    (folder / "cloud.toml").write_text(text, "utf-8")
    return load_config(folder / "cloud.toml")


def test_people_stand_under_their_channels(tmp_path: Path) -> None:
    sms, modem = _load(tmp_path, GOOD).channels
    assert (sms.kind, sms.region, sms.variables, sms.loud) == (
        ChannelKind.TENCENT_SMS, "ap-beijing", ("priority", "title"), Priority.HIGH,
    )  # fmt: skip
    assert sms.quiet == parse_quiet("22:00-07:00")
    (zhang,) = sms.people
    assert (zhang.address, zhang.priorities, zhang.per_minute) == ("+8613800000000", (Priority.CRITICAL, Priority.HIGH), 2)
    assert (modem.device, modem.baudrate, [person.name for person in modem.people]) == ("/dev/ttyUSB0", 9600, ["zhang"])
    assert "1380" not in repr(sms)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        pytest.param('"+8613800000000"\nprio', '"13800"\nprio', "is no number of an SMS", id="no number"),
        pytest.param('channel = "modem"', 'channel = "modm"', "is no channel with people", id="no such channel"),
        pytest.param('channel = "modem"', 'channel = "sms"', "'zhang' is on sms already", id="the same person twice"),
        pytest.param('"22:00-07:00"', '"22-7"', "are no hours", id="no hours"),
        pytest.param('["high", "critical"]', '["urgent"]', "'urgent' is no priority", id="no priority"),
        pytest.param('["priority", "title"]', '["titles"]', "'titles' is no variable", id="no variable"),
        pytest.param('template = "1234567"\n', "", "template is empty", id="no template"),
        pytest.param("per_minute = 2", "per_hour = 2", "per_hour", id="a key that nobody knows"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError, match=told):
        _load(tmp_path, GOOD.replace(old, new))


@pytest.mark.parametrize("failure", [Failure.AUTH, Failure.FORMAT, Failure.GONE])
def test_what_cannot_work_is_never_tried_again_whatever_the_vendor_wishes(failure: Failure) -> None:
    assert delay_s(SendResult(failure=failure, retry_after_s=5.0), 1, 0.0, 0.0) is None


def test_no_wish_of_a_vendor_is_waited_for_longer_than_an_hour() -> None:
    assert delay_s(SendResult(failure=Failure.RATE, retry_after_s=86_400.0), 1, 0.0, 0.0) == 3600.0
