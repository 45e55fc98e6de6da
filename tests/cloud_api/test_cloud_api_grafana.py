"""What Grafana is given: every file has the shape it reads, and every question in it is answered by the real thing."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from cloud_api_world import World
from prometheus_client.parser import text_string_to_metric_families

from cloud.series.influx_http import InfluxClient, parse_address
from cloud.series.influx_store import InfluxStore
from telemetry.records import Reading
from telemetry.wire import group_readings

GRAFANA = Path(__file__).resolve().parents[2] / "deploy" / "grafana"
DASHBOARDS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted((GRAFANA / "dashboards").glob("*.json"))}
SOURCES: list[dict[str, Any]] = yaml.safe_load((GRAFANA / "provisioning/datasources/citynerve.yaml").read_text())["datasources"]
T0 = 1_763_640_000_000_000_000

PANELS = [pytest.param(panel, id=f"{name}: {panel['title']}") for name, board in DASHBOARDS.items() for panel in board["panels"]]


def targets(kind: str) -> list[dict[str, Any]]:
    every = [target for board in DASHBOARDS.values() for panel in board["panels"] for target in panel["targets"]]
    return [target for target in every if target["datasource"]["type"] == kind]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_has_what_grafana_wants(name: str) -> None:
    board = DASHBOARDS[name]
    assert board["uid"] == f"citynerve-{name}"
    assert board["schemaVersion"] >= 39
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    assert {"from", "to"} <= board["time"].keys()
    known = {variable["name"] for variable in board["templating"]["list"]}
    asked = re.findall(r"\$\{?([a-z]\w*)\}?", " ".join(json.dumps(panel["targets"]) for panel in board["panels"]))
    assert set(asked) - {"timeFilter"} <= known


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_asks_a_source_that_is_provisioned_and_lies_on_the_grid(panel: dict[str, Any]) -> None:
    known = {source["uid"]: source["type"] for source in SOURCES}
    refs = [target["refId"] for target in panel["targets"]]
    assert len(set(refs)) == len(refs) > 0
    for place in (panel, *panel["targets"]):
        assert known[place["datasource"]["uid"]] == place["datasource"]["type"]
    grid = panel["gridPos"]
    assert 0 <= grid["x"] < grid["x"] + grid["w"] <= 24
    assert re.search(r"[一-鿿]", panel["title"])
    assert re.search(r"[A-Za-z]", panel["title"])


def test_no_secret_stands_in_a_file() -> None:
    for source in SOURCES:
        for value in source.get("secureJsonData", {}).values():
            assert "$__file{" in value
        assert source.get("url", "${").startswith("${")
    provider = yaml.safe_load((GRAFANA / "provisioning/dashboards/citynerve.yaml").read_text())["providers"]
    assert provider[0]["options"]["path"].endswith("/citynerve")


@pytest.mark.integration
async def test_every_question_about_readings_is_answered_by_influxdb(influx_url: str) -> None:
    address = parse_address(f"{influx_url}/grafana")
    store, client = InfluxStore(address), InfluxClient(address)
    await store.open()
    await client.open()
    try:
        rows = [
            Reading(
                device="lamp-1",
                profile="p",
                profile_version=1,
                time_ns=T0 + k,
                received_ns=T0 + k,
                values={"voltage_v": 220.0 + k},
            )
            for k in range(3)
        ]
        await store.write([group_readings("gw-1", "e1", 1, rows)])
        for target in targets("influxdb"):
            question = target["query"].replace("$device", "lamp-1").replace("$metric", "voltage_v")
            question = question.replace("$timeFilter", f"time >= {T0 - 10**9} AND time < {T0 + 10**9}").replace(
                "$__interval", "10s"
            )
            [series] = await client.query([question])
            assert series or ".bad" in question, question
        for variable in DASHBOARDS["readings"]["templating"]["list"]:
            [[found]] = await client.query([variable["query"]])
            assert found.values, variable["query"]
    finally:
        await client.close()
        await store.close()


@pytest.mark.parametrize("target", targets("yesoreyeram-infinity-datasource"), ids=lambda target: target["url"])
async def test_every_question_to_the_api_finds_its_columns(city: World, target: dict[str, Any]) -> None:
    answer = await city.get(target["url"].removeprefix("${CITYNERVE_URL}"))
    rows = answer[target["root_selector"]]
    assert rows
    for column in target["columns"]:
        value: Any = rows[0]
        for part in column["selector"].split("."):
            assert part in value, column
            value = value[part]


async def test_every_figure_of_the_platform_exists(city: World) -> None:
    async with city.session.get("/metrics") as answer:
        families = text_string_to_metric_families(await answer.text())
        known = {sample.name for family in families for sample in family.samples}
    asked = {name for target in targets("prometheus") for name in re.findall(r"citynerve_\w+", target["expr"])}
    # The world of these tests has no notification channel that sent anything by state and no backlog to tell of.
    assert asked - known <= {"citynerve_gateway_backlog_records"}
