"""Small profiles, made without the loader, for the tests of the codecs."""

from device_profiles.model import Profile, Reporting
from device_profiles.quantities import Metric, MetricType, NumberType, Scaling, Text
from device_profiles.wires import Wire
from device_profiles.wires.documents import DocumentField
from device_profiles.wires.jt808 import Jt808Wire
from device_profiles.wires.modbus import ModbusWire, RegisterField
from device_profiles.wires.serial import SerialWire


def metric(name: str, kind: MetricType = MetricType.FLOAT) -> Metric:
    return Metric(name=name, type=kind, unit="1", title=Text(name, name))


def profile(wire: Wire, *metrics: Metric) -> Profile:
    return Profile(
        name="bench",
        version=1,
        kind="bench",
        title=Text("bench", "bench"),
        source="made for a test",
        metrics={one.name: one for one in metrics},
        wire=wire,
        reporting=Reporting(interval_s=60),
        alarms={},
        matters={},
    )


def modbus_profile(fields: list[RegisterField], *metrics: Metric, max_gap: int = 8, max_block: int = 120) -> Profile:
    return profile(Wire(modbus=ModbusWire(registers=tuple(fields), max_gap=max_gap, max_block=max_block)), *metrics)


def serial_profile(wire: SerialWire, *metrics: Metric) -> Profile:
    return profile(Wire(serial=wire), *metrics)


def document_profile(*metrics: Metric) -> Profile:
    return profile(Wire(), *metrics)


def field(path: str, scaling: Scaling | None = None) -> DocumentField:
    """A field named by the last key of its dotted path."""
    steps = tuple(int(step) if step.isdigit() else step for step in path.split("."))
    return DocumentField(metric=str(steps[-1]), path=steps, scaling=scaling or Scaling())


VEHICLE = profile(
    Wire(
        jt808=Jt808Wire(
            fields={"latitude": "latitude_deg", "longitude": "longitude_deg", "speed_kmh": "speed_kmh"},
            alarm_bits={0: "sos"},
            status_bits={0: "acc_on"},
            items={
                0x01: ("odometer_km", NumberType.U32, Scaling(scale=0.1)),
                0x30: ("signal_level", NumberType.U8, Scaling()),
            },
        )
    ),
    metric("latitude_deg"),
    metric("longitude_deg"),
    metric("speed_kmh"),
    metric("odometer_km"),
    metric("signal_level", MetricType.INTEGER),
    metric("sos", MetricType.BOOLEAN),
    metric("acc_on", MetricType.BOOLEAN),
)
