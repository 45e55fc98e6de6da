"""Named items become metrics, each on its own, and the way back gives the same items."""

from bridge_profiles import metric, profile

from device_profiles.quantities import MetricType, Scaling
from device_profiles.wires import Wire
from device_profiles.wires.items import ItemField
from firmware_bridge.items import decode_items, encode_items
from telemetry.reason import Reason

FIELDS = (
    ItemField(metric="noise_db", item="LA.Rtd"),
    ItemField(metric="pm25_ug_m3", item="a34004.Rtd", scaling=Scaling(scale=1000)),
    ItemField(metric="door_open", item="state", scaling=Scaling(bit=0)),
    ItemField(metric="pump_on", item="state", scaling=Scaling(bit=3)),
    ItemField(metric="rain_mm", item="PJ", scaling=Scaling(no_value=frozenset({9999}))),
)
STATION = profile(
    Wire(),
    metric("noise_db"),
    metric("pm25_ug_m3"),
    metric("door_open", MetricType.BOOLEAN),
    metric("pump_on", MetricType.BOOLEAN),
    metric("rain_mm"),
)


def test_items_that_are_there_become_metrics_and_the_others_are_left_out() -> None:
    decoded = decode_items(STATION, FIELDS, {"LA.Rtd": 61.5, "a34004.Rtd": 0.075, "state": 8, "nobody asked": 1}, time_ns=7)
    assert decoded.values == {"noise_db": 61.5, "pm25_ug_m3": 75.0, "door_open": False, "pump_on": True}
    assert decoded.flaws == {}
    assert decoded.time_ns == 7


def test_an_item_without_a_value_or_of_a_wrong_type_loses_no_other() -> None:
    decoded = decode_items(
        STATION, FIELDS, {"LA.Rtd": None, "a34004.Rtd": "x", "PJ": 9999}, unreadable={"state": Reason.BAD_CHECKSUM}
    )
    assert set(decoded.values.values()) == {None}
    assert {name: flaw.reason for name, flaw in decoded.flaws.items()} == {
        "noise_db": Reason.NO_VALUE,
        "pm25_ug_m3": Reason.WRONG_TYPE,
        "rain_mm": Reason.NO_VALUE,
        "door_open": Reason.BAD_CHECKSUM,
        "pump_on": Reason.BAD_CHECKSUM,
    }


def test_what_is_written_as_items_is_read_as_the_same_values() -> None:
    values = {"noise_db": 61.5, "pm25_ug_m3": 75.0, "door_open": True, "pump_on": True, "rain_mm": None}
    items = encode_items(STATION, FIELDS, values)
    assert items == {"LA.Rtd": 61.5, "a34004.Rtd": 0.075, "state": 9, "PJ": 9999}
    assert decode_items(STATION, FIELDS, items).values == values
    assert encode_items(STATION, FIELDS[:1], {"noise_db": None}) == {"LA.Rtd": None}
