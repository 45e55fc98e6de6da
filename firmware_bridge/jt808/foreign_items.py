"""Additional items that other published texts put into a JT/T 808 location, read where their size is that of the text.

0x14 to 0x18 are of JT/T 1078-2016, clause 5.4 (video alarms). 0x64 to 0x67 are of T/JSATL 12-2017, Jiangsu's text on active
safety, which other provinces follow with longer identifiers. Other makers use the same ids for things of their
own: an item of another size is left as it is, which is no fault of anybody.
"""

from collections.abc import Callable

from firmware_bridge.cursor import Cursor

__all__ = ["ForeignValue", "read_foreign_item"]

ForeignValue = int | list[str] | list[int] | dict[str, object]
_Read = Callable[[bytes], ForeignValue]

_VIDEO_ALARMS = (
    "video_signal_lost", "video_signal_blocked", "memory_fault", "other_video_fault", "too_many_passengers", "abnormal_driving",
    "special_recording_full",
)  # fmt: skip
_DRIVING = ("fatigue", "phone", "smoking")
_STAGES = {0: "not_told", 1: "begins", 2: "ends"}
_ASSISTANCE = {
    1: "forward_collision", 2: "lane_departure", 3: "headway", 4: "pedestrian", 5: "frequent_lane_change",
    6: "road_sign_exceeded", 7: "obstacle", 16: "road_sign_seen", 17: "picture_taken",
}  # fmt: skip
_DRIVER = {1: "fatigue", 2: "phone", 3: "smoking", 4: "distracted", 5: "abnormal", 16: "picture_taken", 17: "driver_changed"}
_BLIND = {1: "rear", 2: "left_rear", 3: "right_rear"}
_PLACE_AND_IDENTITY = 1 + 2 + 4 + 4 + 6 + 2 + 16
"""Speed, altitude, latitude, longitude, time, state of the vehicle, identifier of the alarm."""


def _bits(names: tuple[str, ...]) -> _Read:
    def read(data: bytes) -> list[str]:
        word = int.from_bytes(data, "big")
        return [names[bit] if bit < len(names) else f"bit_{bit}" for bit in range(8 * len(data)) if word >> bit & 1]

    return read


def _channels(first: int) -> _Read:
    """One bit a channel, the lowest for channel `first`."""

    def read(data: bytes) -> list[int]:
        word = int.from_bytes(data, "big")
        return [first + bit for bit in range(8 * len(data)) if word >> bit & 1]

    return read


def _abnormal_driving(data: bytes) -> ForeignValue:
    """The degree of fatigue is 0 to 100, greater is worse."""
    return {"behaviours": _bits(_DRIVING)(data[:2]), "fatigue_degree": data[2]}


def _head(cursor: Cursor) -> dict[str, object]:
    stage = cursor.hex("alarm_id", 4), cursor.u8("stage")
    return {"alarm_id": stage[0], "stage": _STAGES.get(stage[1], stage[1])}


def _tail(cursor: Cursor) -> dict[str, object]:
    return {
        "speed_kmh": cursor.u8("speed"),
        "altitude_m": cursor.u16("altitude"),
        "latitude": cursor.u32("latitude") / 1_000_000,
        "longitude": cursor.u32("longitude") / 1_000_000,
        "time_raw": cursor.hex("time", 6),
        "vehicle_state": cursor.u16("vehicle_state"),
        "identifier_hex": cursor.hex("identifier", 16),
    }


def _kind(cursor: Cursor, names: dict[int, str]) -> dict[str, object]:
    number = cursor.u8("kind")
    return {"kind": names.get(number, number)}


def _assistance(data: bytes) -> ForeignValue:
    cursor = Cursor(data)
    return (
        _head(cursor)
        | _kind(cursor, _ASSISTANCE)
        | {"level": cursor.u8("level"), "front_speed_kmh": cursor.u8("front_speed"), "front_gap_100ms": cursor.u8("front_gap")}
        | {"departure_side": cursor.u8("side"), "road_sign": cursor.u8("sign"), "road_sign_value": cursor.u8("sign_value")}
        | _tail(cursor)
    )


def _driver(data: bytes) -> ForeignValue:
    cursor = Cursor(data)
    said = _head(cursor) | _kind(cursor, _DRIVER) | {"level": cursor.u8("level"), "fatigue_degree": cursor.u8("fatigue_degree")}
    cursor.take("reserved", 4)
    return said | _tail(cursor)


def _tyres(data: bytes) -> ForeignValue:
    cursor = Cursor(data)
    said = _head(cursor) | _tail(cursor)
    tyres = [
        {
            "tyre": cursor.u8("tyre"),
            "alarms": cursor.u16("alarms"),
            "pressure_kpa": cursor.u16("pressure"),
            "temperature_cel": cursor.u16("temperature"),
            "battery_pct": cursor.u16("battery"),
        }
        for _ in range(cursor.u8("tyre_count"))
    ]
    return said | {"tyres": tyres}


def _blind_spot(data: bytes) -> ForeignValue:
    cursor = Cursor(data)
    return _head(cursor) | _kind(cursor, _BLIND) | _tail(cursor)


_SIZED: dict[int, tuple[str, int, _Read]] = {
    0x14: ("video_alarms", 4, _bits(_VIDEO_ALARMS)),
    0x15: ("video_lost_channels", 4, _channels(1)),
    0x16: ("video_blocked_channels", 4, _channels(1)),
    0x17: ("memory_faults", 2, _channels(1)),  # 1 to 12 main memories, 13 to 16 spare ones
    0x18: ("abnormal_driving", 3, _abnormal_driving),
    0x64: ("driver_assistance_alarm", 4 + 1 + 7 + _PLACE_AND_IDENTITY, _assistance),
    0x65: ("driver_state_alarm", 4 + 1 + 7 + _PLACE_AND_IDENTITY, _driver),
    0x67: ("blind_spot_alarm", 4 + 1 + 1 + _PLACE_AND_IDENTITY, _blind_spot),
}
_TYRE_HEAD, _TYRE = 4 + 1 + _PLACE_AND_IDENTITY + 1, 9


def read_foreign_item(number: int, data: bytes) -> tuple[str, ForeignValue] | None:
    """Name and value of an item as the text has it; None where no text has one of this size."""
    if number == 0x66 and len(data) >= _TYRE_HEAD and len(data) == _TYRE_HEAD + _TYRE * data[_TYRE_HEAD - 1]:
        return "tyre_alarm", _tyres(data)
    name, size, read = _SIZED.get(number, ("", -1, _tyres))
    return (name, read(data)) if len(data) == size else None
