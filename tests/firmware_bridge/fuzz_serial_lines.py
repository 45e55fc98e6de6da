"""Any bytes through the decoders of serial devices, in binary frames and in lines of text."""

from bridge_profiles import metric, serial_profile

from device_profiles.quantities import MetricType, Scaling
from device_profiles.wires.serial import (
    BinaryField,
    BinaryLayout,
    BinaryMessage,
    LineChecksum,
    LineField,
    LineLayout,
    LineMessage,
    Place,
    SerialWire,
)
from firmware_bridge.errors import ParseError
from firmware_bridge.serial.frames import framer, read_frame, speaker
from firmware_bridge.serial.record import serial_language

NMEA = LineLayout(
    start=b"$",
    separator=",",
    max_size=64,
    address=Place(index=1),
    checksum=LineChecksum(kind="xor8", mark="*", since=1),
    messages=(
        LineMessage(
            tag="WLS",
            fields=(
                LineField(metric="level", place=Place(index=2), places=1, none=("---",)),
                LineField(metric="wet", place=Place(index=3), words={"ok": False, "wet": True}),
                LineField(metric="temp", place=Place(index=4), places=1, suffix="C"),
            ),
        ),
    ),
)
COLUMNS = LineLayout(
    start=b"\x02",
    end=b"\x03",
    size=12,
    max_size=12,
    checksum=LineChecksum(kind="xor8", since=1),
    messages=(LineMessage(tag="", fields=(LineField(metric="kg", place=Place(at=1, size=7), point_at=8, places=1),)),),
)
KEYS = LineLayout(
    separator=" ",
    assign="=",
    max_size=48,
    address=Place(key="ID"),
    messages=(
        LineMessage(
            tag="",
            fields=(
                LineField(metric="level", place=Place(key="L"), places=1),
                LineField(metric="mode", place=Place(key="M")),
            ),
        ),
    ),
)
FREE = LineLayout(
    separator=",", max_size=32, messages=(LineMessage(tag="", fields=(LineField(metric="level", place=Place(index=0)),)),)
)
LAYOUTS = (NMEA, COLUMNS, KEYS, FREE)

BINARY = BinaryLayout(
    start=b"\xaa\x55",
    address_at=2,
    address_size=2,
    type_at=4,
    type_value=1,
    length_at=5,
    length_adds=8,
    max_size=32,
    checksum="crc16-xmodem",
    fields=(BinaryField(metric="level", at=6, scaling=Scaling(scale=0.1)),),
    others=(BinaryMessage(type_value=2, fields=(BinaryField(metric="mode", at=6, size=4, charset="gb18030"),)),),
)
METRICS = (
    metric("level"),
    metric("temp"),
    metric("kg"),
    metric("wet", MetricType.BOOLEAN),
    metric("mode", MetricType.STRING),
)
PROFILES = tuple(serial_profile(SerialWire(layout=layout), *METRICS) for layout in (*LAYOUTS, BINARY))
SEEDS = (
    b"$WLS,07,123.4,ok,-5.5C*21\r\n",
    b"\x02+00123411E\x03",
    b"ID=A7 L=12.5 M=auto\r\n",
    b"12.5,1\r\n13.5,2\r\n",
    bytes.fromhex("aa5512340102000781c6"),
)


def fuzz_one(data: bytes) -> None:
    """Nothing but ParseError, whether `data` is taken as a stream, as a frame, or as what a person asks to see."""
    for profile in PROFILES:
        assert profile.wire.serial is not None
        layout = profile.wire.serial.layout
        cutter = framer(layout)
        for said in (*cutter.feed(data), *cutter.idle()):
            if isinstance(said, bytes):
                _read(layout, profile, said)
        language = serial_language(profile)
        for show in (language.describe, language.explain):
            try:
                show(data)
            except ParseError:
                continue


def _read(layout, profile, frame: bytes) -> None:  # type: ignore[no-untyped-def]
    try:
        speaker(layout, frame)
        read_frame(profile, frame)
    except ParseError:
        return
