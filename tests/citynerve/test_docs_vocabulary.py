"""Every reason and every metric of the product is explained in one place."""

import re
from pathlib import Path

import pytest
import yaml

from telemetry.reason import Reason

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def named() -> set[str]:
    page = (ROOT / "docs" / "vocabulary.md").read_text("utf-8")
    return set(re.findall(r"^\| `(\w+)` \| \S", page, re.MULTILINE))


def test_every_reason_is_explained(named: set[str]) -> None:
    assert {str(reason) for reason in Reason} <= named


def test_every_metric_is_explained(named: set[str]) -> None:
    metrics = yaml.safe_load((ROOT / "device_profiles" / "vocabulary.yaml").read_text("utf-8"))["metrics"]
    assert metrics.keys() <= named


def test_nothing_is_explained_that_is_not_there(named: set[str]) -> None:
    metrics = yaml.safe_load((ROOT / "device_profiles" / "vocabulary.yaml").read_text("utf-8"))["metrics"]
    assert named - {str(reason) for reason in Reason} - metrics.keys() == set()
