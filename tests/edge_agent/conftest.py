"""What the agent's tests can be asked for by hand."""

import pytest

USUAL_SEEDS = 20


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seeds", type=int, default=USUAL_SEEDS, help="how many days of telemetry the alarms are judged by")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "day_seed" in metafunc.fixturenames:
        # Where the whole suite is collected, this file is read too late for its option.
        metafunc.parametrize("day_seed", range(metafunc.config.getoption("--seeds", default=USUAL_SEEDS)))
