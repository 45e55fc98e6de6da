"""The core of 18-088 (annex A.1): sets, entities, properties and links, at the addresses that the standard gives them."""

from typing import Any

import pytest
from sta_world import NOW_NS, World, reading

from cloud.sensorthings.model import SETS

pytestmark = pytest.mark.asyncio(loop_scope="module")

# 18-088, 8.2.1 to 8.2.8: what an entity of each kind must have, and where it must lead; written down from the tables.
MUST = {
    "Things": ({"name", "description"}, {"Locations", "HistoricalLocations", "Datastreams"}),
    "Locations": ({"name", "description", "encodingType", "location"}, {"Things", "HistoricalLocations"}),
    "HistoricalLocations": ({"time"}, {"Locations", "Thing"}),
    "Datastreams": (
        {"name", "description", "unitOfMeasurement", "observationType"},
        {"Thing", "Sensor", "ObservedProperty", "Observations"},
    ),
    "Sensors": ({"name", "description", "encodingType", "metadata"}, {"Datastreams"}),
    "ObservedProperties": ({"name", "definition", "description"}, {"Datastreams"}),
    "Observations": ({"phenomenonTime", "result", "resultTime"}, {"Datastream", "FeatureOfInterest"}),
    "FeaturesOfInterest": ({"name", "description", "encodingType", "feature"}, {"Observations"}),
}
MANY = {"Locations", "HistoricalLocations", "Datastreams", "Things", "Observations"}


async def test_the_root_names_the_eight_sets_by_their_addresses_and_what_is_met(quiet_street: World) -> None:
    root = await quiet_street.ask("/")
    base = f"{quiet_street.base}/sta/v1.1"
    assert root["value"] == [{"name": name, "url": f"{base}/{name}"} for name in SETS]
    assert {each["name"] for each in root["value"]} == set(MUST)
    met = root["serverSettings"]["conformance"]
    assert all(each.startswith("http://www.opengis.net/spec/iot_sensing/1.1/req/") for each in met)
    mqtt = "http://www.opengis.net/spec/iot_sensing/1.1/req/create-observations-via-mqtt/observations-creation"
    assert mqtt in met
    assert root["serverSettings"][mqtt] == {"endpoints": ["mqtt://broker.example:1883"]}
    assert not [each for each in met if "create-update-delete" in each or "batch" in each or "multi-datastream" in each]


@pytest.mark.parametrize("name", sorted(MUST), ids=lambda name: f"every one of {name} has what the standard wants")
async def test_every_entity_has_its_properties_and_links(quiet_street: World, name: str) -> None:
    properties, links = MUST[name]
    listed = (await quiet_street.ask(f"/{name}?$top=1000"))["value"]
    assert listed
    for entity in listed:
        number = entity["@iot.id"]
        assert type(number) is int
        assert 0 < number < 2**63
        here = f"{quiet_street.base}/sta/v1.1/{name}({number})"
        assert entity["@iot.selfLink"] == here
        assert properties <= entity.keys()
        assert {each for each in entity if each.endswith("@iot.navigationLink")} == {
            f"{each}@iot.navigationLink" for each in links
        }
        assert all(entity[f"{each}@iot.navigationLink"] == f"{here}/{each}" for each in links)
    assert len({entity["@iot.id"] for entity in listed}) == len(listed)
    assert await quiet_street.follow(listed[0]["@iot.selfLink"]) == listed[0]


@pytest.mark.parametrize("name", sorted(MUST), ids=lambda name: f"every link of {name} leads to entities that are also at home")
async def test_links_lead_to_what_is_also_found_by_its_own_address(quiet_street: World, name: str) -> None:
    for entity in (await quiet_street.ask(f"/{name}?$top=3"))["value"]:
        for link in MUST[name][1]:
            there = await quiet_street.follow(entity[f"{link}@iot.navigationLink"])
            found = there["value"] if link in MANY else [there]
            for other in found[:3]:
                assert await quiet_street.follow(other["@iot.selfLink"]) == other


async def test_a_property_alone_and_its_bare_value(quiet_street: World) -> None:
    assert await quiet_street.ask("/Things(1)/name") == {"name": "井 1"}
    assert await quiet_street.ask("/Things(1)/name/$value") == "井 1"
    assert (await quiet_street.ask("/Things(1)/properties"))["properties"]["device"] == "cover-1"
    assert '"device":"cover-1"' in await quiet_street.ask("/Things(1)/properties/$value")
    assert await quiet_street.ask("/Datastreams(1)/unitOfMeasurement") == {
        "unitOfMeasurement": {"name": "degree", "symbol": "deg", "definition": "http://www.opengis.net/def/uom/UCUM/deg"}
    }
    assert await quiet_street.ask("/Datastreams(2)/phenomenonTime", 204) is None


async def test_addresses_of_entities_without_the_entities(quiet_street: World) -> None:
    base = f"{quiet_street.base}/sta/v1.1"
    assert await quiet_street.ask("/Things/$ref?$top=2") == {
        "value": [{"@iot.selfLink": f"{base}/Things(1)"}, {"@iot.selfLink": f"{base}/Things(2)"}],
        "@iot.nextLink": f"{base}/Things/$ref?$top=2&$skiptoken=2",
    }
    assert await quiet_street.ask("/Datastreams(1)/Thing/$ref") == {"@iot.selfLink": f"{base}/Things(1)"}


async def test_paths_go_over_several_links(quiet_street: World) -> None:
    found = await quiet_street.ask("/Things(1)/Datastreams(1)/Observations?$top=2")
    assert [each["result"] for each in found["value"]] == [0.0, 1.0]
    number = found["value"][0]["@iot.id"]
    there = f"/Things(1)/Datastreams(1)/Observations({number})/FeatureOfInterest"
    assert (await quiet_street.ask(there))["feature"] == {"type": "Point", "coordinates": [121.5, 31.2]}
    assert await quiet_street.ask(f"/Observations({number})/Datastream/ObservedProperty/name/$value") == "tilt_deg"
    assert (await quiet_street.ask("/Datastreams(1)/Sensor"))["name"] == "cover_nbiot v1"


async def test_a_datastream_tells_its_unit_its_kind_of_result_and_from_when_to_when(quiet_street: World) -> None:
    """The shape of 18-088's example of a Datastream (8.2.4)."""
    stream = await quiet_street.ask("/Datastreams(1)")
    assert {name: stream[name] for name in ("name", "observationType", "phenomenonTime", "resultTime")} == {
        "name": "井 1: tilt_deg",
        "observationType": "http://www.opengis.net/def/observationType/OGC-OM/2.0/OM_Measurement",
        "phenomenonTime": "2025-11-20T13:51:00.000Z/2025-11-20T14:00:00.000Z",
        "resultTime": "2025-11-20T13:51:00.000Z/2025-11-20T14:00:00.000Z",
    }
    kinds = {
        each["properties"]["type"]: each["observationType"].rpartition("/")[2]
        for each in (await quiet_street.ask("/Datastreams?$top=1000"))["value"]
    }
    assert kinds == {
        "float": "OM_Measurement", "integer": "OM_CountObservation", "boolean": "OM_TruthObservation",
        **({"string": "OM_Observation"} if "string" in kinds else {}),
    }  # fmt: skip


async def test_an_observation_has_its_result_in_its_own_type_and_how_good_it_is(quiet_street: World) -> None:
    [newest] = (await quiet_street.ask("/Datastreams(1)/Observations?$orderby=phenomenonTime desc&$top=1"))["value"]
    links = {name: link for name, link in newest.items() if "@iot" in name}
    assert {name: value for name, value in newest.items() if name not in links} == {
        "phenomenonTime": "2025-11-20T14:00:00.000Z",
        "result": 9.0,
        "resultTime": "2025-11-20T14:00:00.000Z",
        "resultQuality": {"quality": "bad", "reason": "out_of_range"},
    }


async def test_a_vehicle_has_a_location_for_every_fix_and_is_at_the_newest(quiet_street: World) -> None:
    [here] = (await quiet_street.ask("/Things(5)/Locations"))["value"]
    assert here["location"] == {"type": "Point", "coordinates": [121.4, 31.4]}
    track = (await quiet_street.ask("/Things(5)/HistoricalLocations?$expand=Locations&$orderby=time desc"))["value"]
    assert [each["Locations"][0]["location"]["coordinates"][1] for each in track] == [31.4, 31.3, 31.2, 31.1, 31.0]
    assert track[0]["time"] == "2025-11-20T14:00:00.000Z"
    assert (await quiet_street.ask("/FeaturesOfInterest(5)"))["feature"] == here["location"]
    assert (await quiet_street.ask("/Things(4)/Locations"))["value"] == []


NOWHERE = [
    pytest.param("/Thing", id="a set by the name of one"),
    pytest.param("/Things(999)", id="a number that nothing has"),
    pytest.param("/Things(0)", id="nought"),
    pytest.param("/Things(-1)", id="a number below nought"),
    pytest.param("/Things(9223372036854775807)", id="the largest Java long"),
    pytest.param("/Things(9223372036854775808)", id="a number beyond any Java long"),
    pytest.param("/Observations(9223372036854775807)", id="the largest Java long as an Observation"),
    pytest.param("/Observations(1)", id="an Observation whose number is too small"),
    pytest.param("/Locations(1)", id="a Location whose number is too small"),
    pytest.param("/Things('one')", id="a number in words"),
    pytest.param("/Things()", id="no number"),
    pytest.param("/Things(1)/colour", id="a property that there is not"),
    pytest.param("/Things(1)/name/first", id="a property of a text"),
    pytest.param("/Things(1)/name/$value/x", id="something behind a value"),
    pytest.param("/Things/name", id="a property of a list"),
    pytest.param("/Things(1)/Observations", id="a link that a Thing has not"),
    pytest.param("/Things(1)/Datastreams(99999)", id="a number behind a link that nothing has"),
    pytest.param("/Things(2)/Datastreams(1)", id="what belongs to another"),
    pytest.param("/Datastreams(1)/Thing(1)", id="a number behind a link to one"),
    pytest.param("/Things(3)/Locations(549755813888)", id="another Thing's Location"),
    pytest.param("/Things(1)/Datastreams/Observations", id="a link of a list"),
    pytest.param("/Things//name", id="a step of nothing"),
    pytest.param("/..%2f..%2fapi", id="a path that climbs"),
    pytest.param("/Things(1)/$ref", id="the address of what has been addressed"),
]


@pytest.mark.parametrize("path", NOWHERE)
async def test_what_is_not_there_is_404(quiet_street: World, path: str) -> None:
    told = await quiet_street.ask(path, 404)
    assert told | {"message": ""} == {"code": 404, "type": "error", "message": "", "reason": "not_found"}
    assert told["message"]


NOT_HERE: list[Any] = [
    pytest.param("POST", "/Things", id="a Thing is not made here"),
    pytest.param("POST", "/Things(1)/Datastreams", id="nor a Datastream"),
    pytest.param("POST", "/Locations", id="nor a Location"),
    pytest.param("POST", "/$batch", id="no batches"),
    pytest.param("PATCH", "/Things(1)", id="nothing is changed"),
    pytest.param("PUT", "/Things(1)", id="nothing is replaced"),
    pytest.param("DELETE", "/Observations(1)", id="nothing is deleted"),
    pytest.param("GET", "/MultiDatastreams", id="no MultiDatastreams"),
]


@pytest.mark.parametrize(("method", "path"), NOT_HERE)
async def test_what_is_not_supported_is_501_with_a_sentence(quiet_street: World, method: str, path: str) -> None:
    told = await quiet_street.ask(path, 501, method)
    assert (told["code"], told["reason"]) == (501, "not_supported")
    assert len(told["message"]) > 15


@pytest.mark.asyncio
async def test_numbers_stay_when_devices_come_and_a_profile_gets_a_version(street: World) -> None:
    before = {each["name"]: each["@iot.id"] for each in (await street.ask("/Datastreams?$top=1000"))["value"]}
    await street.write(reading("cover-2", "cover_nbiot", NOW_NS, tilt_deg=7.0))
    [first] = (await street.ask("/Things(2)/Datastreams(11)/Observations?$filter=result eq 7.0"))["value"]
    async with street.services.engine.begin() as conn:
        await conn.exec_driver_sql("UPDATE devices SET profile_version = 2 WHERE id = 'cover-2'")
        await conn.exec_driver_sql(
            "INSERT INTO devices SELECT 'aaa', gateway, profile, 1, kind, 'new', '', NULL, NULL, 5, NULL "
            "FROM devices WHERE id = 'cover-1'"
        )
    street.clock.advance(6)
    after = {each["name"]: each["@iot.id"] for each in (await street.ask("/Datastreams?$top=1000"))["value"]}
    assert before.items() <= after.items()
    assert {name for name in after if name.startswith("new: ")}
    assert (await street.ask("/Things(2)/Datastreams?$top=1&$expand=Sensor"))["value"][0]["Sensor"]["name"] == "cover_nbiot v2"
    assert await street.ask(f"/Observations({first['@iot.id']})") == first
