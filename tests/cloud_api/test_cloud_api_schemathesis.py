"""The whole API, asked by its own description: whatever comes, no answer is a fault of the server, and none is undescribed.

Valid requests, and such as break the description in every way it can be broken, go to the real API over real stores.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from cloud.api.app import build_app
from cloud.api.services import Services
from cloud.cases.desk import Desk
from cloud.counts import CloudCounts
from cloud.feed import Feed
from cloud.relational.engine import make_engine
from cloud.series.duckdb_store import DuckStore
from telemetry.clock import ManualClock

sys.path.append(str(Path(__file__).resolve().parents[1] / "console"))

from console_world import ConsoleWorld

pytestmark = [pytest.mark.integration, pytest.mark.slow]

EXAMPLES = 8
WITHOUT_END = "/api/stream"
"""Its answer never ends; its tests are in test_cloud_api_stream.py."""
ANYWHERE = ("404", "405", "413", "422")
"""What a path that is none, another method, a long body or a wrong value gets from any route."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleWorld]:
    with ConsoleWorld(tmp_path_factory.mktemp("schemathesis")) as made:
        yield made


@pytest.fixture(scope="module")
def described(served: ConsoleWorld) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_url(f"{served.url}/api/openapi.json")


def operations() -> list[tuple[str, str]]:
    """Every method and path of the description, which needs no store to be written."""
    services = Services(
        engine=make_engine("sqlite+aiosqlite:///never-opened.db"),
        series=DuckStore(Path("never-opened")),
        desk=Desk(),
        feed=Feed(),
        clock=ManualClock(),
        counts=CloudCounts,  # type: ignore[arg-type] # is never awaited
    )
    paths = build_app(services).openapi()["paths"]
    return [(method.upper(), path) for path, item in paths.items() for method in item if path != WITHOUT_END]


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: f"{mode.value} requests")
@pytest.mark.parametrize(("method", "path"), operations())
def test_no_answer_is_a_fault_of_the_server(
    served: ConsoleWorld, described: schemathesis.BaseSchema, method: str, path: str, mode: GenerationMode
) -> None:
    operation = described[path][method]

    @given(operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        # A request that fails is told as it was: to make it smaller would ask a city that it has changed.
        phases=(Phase.generate,),
    )
    def ask(case: schemathesis.Case) -> None:
        response = case.call(base_url=served.url, timeout=30)
        told = f"{case.method} {response.request.url}: {response.status_code} {response.text[:500]}"
        assert response.status_code < 500 or (response.status_code == 503 and "503" in operation.definition.raw["responses"]), (
            told
        )
        assert str(response.status_code) in {*operation.definition.raw["responses"], *ANYWHERE}, f"not described: {told}"
        if response.status_code >= 400 and path.startswith("/api"):
            assert response.headers["content-type"] == ["application/problem+json"], told

    try:
        ask()
    except Unsatisfiable:
        # Nothing can be wrong with a request that has neither parameters nor a body.
        assert mode is GenerationMode.NEGATIVE
        assert not any(operation.definition.raw.get(part) for part in ("parameters", "requestBody"))
