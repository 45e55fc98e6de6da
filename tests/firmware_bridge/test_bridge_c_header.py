"""Headers for firmware: compiled by gcc with every warning an error; what C packs, the decoders read as the same values."""

import math
import random
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from zlib import crc32

import pytest
from bridge_profiles import metric, profile

from device_profiles.model import Profile
from device_profiles.quantities import Metric, MetricType, NumberType, Scaling, Text
from device_profiles.shelf import load_catalog
from device_profiles.wires import Wire
from device_profiles.wires.modbus import ONE_BIT, ModbusWire, RegisterArea, RegisterField
from device_profiles.wires.serial import BinaryField, BinaryLayout, BinaryMessage, SerialWire
from device_profiles.wires.serial_binary import CHECKSUM_BYTES
from firmware_bridge.c_header import c_header
from firmware_bridge.c_header.names import Names, comment
from firmware_bridge.modbus.plan import ReadBlock
from firmware_bridge.modbus.registers import decode_registers
from firmware_bridge.serial.layout import decode_frame
from telemetry.reason import Reason
from telemetry.records import Value

ROUNDS = 4
FLAGS = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic")
BITS = {NumberType.U8: 8, NumberType.I8: 8, NumberType.U16: 16, NumberType.I16: 16, NumberType.U32: 32, NumberType.I32: 32}
BITS |= {NumberType.U64: 64, NumberType.I64: 64}
FLOATS = {NumberType.F32, NumberType.F64}
Field = RegisterField | BinaryField


@pytest.fixture(scope="module")
def gcc(need_server: object) -> str:
    assert callable(need_server)
    path = need_server("gcc", "gcc")
    assert isinstance(path, str)
    return path


def compiled(gcc: str, folder: Path, headers: Mapping[str, str], body: str) -> list[str]:
    """What a C program that includes all headers, twice, prints."""
    for name, text in headers.items():
        (folder / f"{name}.h").write_text(text)
    includes = "".join(f'#include "{name}.h"\n' for name in headers)
    shown = "static void show(const void *at, size_t n)\n{\n    const unsigned char *b = at;\n    while (n--)\n"
    shown += '        printf("%02x", *b++);\n    printf("\\n");\n}\n'
    (folder / "main.c").write_text(
        f"{includes}{includes}#include <stdio.h>\n{shown}int main(void)\n{{\n{body}    return 0;\n}}\n"
    )
    built = subprocess.run([gcc, *FLAGS, "main.c", "-o", "main"], cwd=folder, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr[:4000]
    return subprocess.run([folder / "main"], capture_output=True, text=True, check=True).stdout.split()


def seeded(name: str, round_: int) -> random.Random:
    return random.Random(crc32(name.encode()) + round_)  # noqa: S311


def structs(header: str) -> dict[str, str]:
    """Put function: the struct that it writes to, as the header declares it."""
    return dict(re.findall(r"static inline void (\w+_put_\w+)\((\w+) \*to", header))


def chosen(field: Field, kind: MetricType, rng: random.Random) -> tuple[str, Value]:
    """A C argument (with RAW for a scaled number) and the value it stands for."""
    scaling = field.scaling
    if isinstance(field, RegisterField) and field.area in ONE_BIT:
        on = rng.random() < 0.5
        return str(int(on)), on
    if field.charset:
        return '"A7-9"', "A7-9"
    if scaling.bit is not None and not scaling.enum:
        on = rng.random() < 0.5
        return str(int(on)), on
    if scaling.enum:
        raw = rng.choice(list(scaling.enum))
        meaning = scaling.enum[raw]
        return str(raw), (not meaning if scaling.invert else meaning)
    if scaling.bits is not None:
        raw = rng.randrange(1 << scaling.bits[1])
        return f"{raw}u", raw
    return number(field, kind, rng)


def number(field: Field, kind: MetricType, rng: random.Random) -> tuple[str, Value]:
    scaling = field.scaling
    scaled = scaling.scale != 1 or scaling.offset != 0
    if field.type in FLOATS:
        raw: float = rng.randrange(-4000, 4000) / 8
    elif field.type is NumberType.BCD:
        size = 2 * field.width if isinstance(field, RegisterField) else field.width
        raw = rng.randrange(10 ** min(2 * size, 12 if scaled else 16))
    else:
        bits = min(BITS[field.type], 48 if scaled else 64)
        raw = rng.getrandbits(bits) - (1 << bits - 1 if field.type.startswith("i") else 0)
    if raw in scaling.no_value or (raw < 0 and any(int(raw) % (1 << n) in scaling.no_value for n in (16, 32))):
        raw = 0
    value = raw * scaling.scale + scaling.offset
    if scaled:
        return f"@RAW@({value!r})", value
    if field.type in FLOATS:
        return repr(raw), raw
    literal = f"(-INT64_C({-int(raw)}))" if raw < 0 and raw > -(2**63) else f"UINT64_C({raw})"
    literal = "INT64_MIN" if raw == -(2**63) else literal
    ctype = "uint64_t" if field.type is NumberType.BCD else f"{'int' if raw < 0 else 'uint'}{BITS[field.type]}_t"
    if field.type in {NumberType.U64, NumberType.BCD} and raw >= 2**63 and kind is MetricType.INTEGER:
        return "UINT64_C(7)", 7  # a store's integers have a sign
    return f"({ctype}){literal}", float(raw) if kind is MetricType.FLOAT else int(raw)


def filled(
    title: str, fields: tuple[Field, ...], one: Profile, header: str, rng: random.Random
) -> tuple[dict[str, list[str]], dict[str, Value]]:
    """For each struct the calls that fill it, and the values that are then in them."""
    where = structs(header)
    calls: dict[str, list[str]] = {}
    values: dict[str, Value] = {}
    for field in fields:
        argument, values[field.metric] = chosen(field, one.metrics[field.metric].type, rng)
        function = f"{title}_put_{field.metric}"
        calls.setdefault(where[function], []).append(
            f"    {function}(&@VAR@, {argument.replace('@RAW@', f'{title}_{field.metric}_RAW'.upper())});\n"
        )
    return calls, values


def close(got: Value, want: Value) -> bool:
    if isinstance(want, float) or isinstance(got, float):
        assert isinstance(got, (int, float))
        assert isinstance(want, (int, float))
        return math.isclose(got, want, rel_tol=1e-6, abs_tol=1e-9)
    return got == want and type(got) is type(want)


class Program:
    """Collects C statements, and for each line they print a check."""

    def __init__(self) -> None:
        self.body: list[str] = []
        self.checks: list[tuple[Profile, str, dict[str, Value]]] = []

    def say(self, one: Profile, struct: str, calls: list[str], values: dict[str, Value]) -> None:
        name = f"s{len(self.checks)}"
        self.body.append(f"    {struct} {name};\n    memset(&{name}, 0, sizeof {name});\n")
        self.body += [call.replace("@VAR@", name) for call in calls]
        self.body.append(f"    show(&{name}, sizeof {name});\n")
        self.checks.append((one, struct, values))


def runs_of(header: str, one: Profile) -> Iterator[tuple[str, ReadBlock]]:
    """(struct, the registers that it is), as the header's own constants say."""
    for area in RegisterArea:
        for at in re.findall(rf"typedef struct {{[^}}]*}} {one.name}_{area}(\w*)_t;", header):
            title = f"{one.name}_{area}{at}".upper()
            first, count = (int(re.search(rf"#define {title}_{word} (\d+)u", header)[1]) for word in ("FIRST", "COUNT"))  # type: ignore[index]
            yield f"{one.name}_{area}{at}_t", ReadBlock(area, first, count)


def content(block: ReadBlock, data: bytes) -> list[int | bool]:
    if block.area in ONE_BIT:
        return [bool(data[at // 8] >> at % 8 & 1) for at in range(block.count)]
    return [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]


def check_modbus(gcc: str, folder: Path, profiles: list[Profile]) -> None:
    headers = {one.name: c_header(one) for one in profiles}
    program = Program()
    for one in profiles:
        assert one.wire.modbus is not None
        for round_ in range(ROUNDS):
            calls, values = filled(one.name, one.wire.modbus.registers, one, headers[one.name], seeded(one.name, round_))
            for struct, lines in calls.items():
                program.say(one, struct, lines, values)
    printed = compiled(gcc, folder, headers, "".join(program.body))
    found: dict[tuple[str, int], dict[ReadBlock, list[int | bool]]] = {}
    wanted: dict[tuple[str, int], tuple[Profile, dict[str, Value]]] = {}
    for line, (one, struct, values) in zip(printed, program.checks, strict=True):
        block = dict(runs_of(headers[one.name], one))[struct]
        found.setdefault((one.name, id(values)), {})[block] = content(block, bytes.fromhex(line))
        wanted[one.name, id(values)] = (one, values)
    for key, (one, values) in wanted.items():
        decoded = decode_registers(one, found[key])
        assert not decoded.flaws
        for name, want in values.items():
            assert close(decoded.values[name], want), f"{one.name}.{name}: {decoded.values[name]!r}, want {want!r}"


def check_serial(gcc: str, folder: Path, profiles: list[Profile]) -> None:
    headers = {one.name: c_header(one) for one in profiles}
    program = Program()
    for one in profiles:
        assert one.wire.serial is not None
        layout = one.wire.serial.layout
        assert isinstance(layout, BinaryLayout)
        for message in layout.messages:
            title = f"{one.name}_frame" + (f"_{message.type_value}" if layout.others else "")
            address = "" if layout.address_at is None else ", 17u"
            for round_ in range(ROUNDS):
                calls, values = filled(title, message.fields, one, headers[one.name], seeded(title, round_))
                ((struct, lines),) = calls.items()
                opened = [f"    {title}_begin(&@VAR@{address});\n", *lines, f"    {title}_close(&@VAR@);\n"]
                program.say(one, struct, opened, values)
    printed = compiled(gcc, folder, headers, "".join(program.body))
    for line, (one, _, values) in zip(printed, program.checks, strict=True):
        address_read, decoded = decode_frame(one, bytes.fromhex(line))
        assert address_read in {17, None}
        assert not decoded.flaws
        for name, want in values.items():
            assert close(decoded.values[name], want), f"{one.name}.{name}: {decoded.values[name]!r}, want {want!r}"


@pytest.fixture(scope="module")
def catalog() -> Mapping[str, Profile]:
    return load_catalog()


def test_every_header_of_the_catalog_compiles_beside_all_others(gcc: str, tmp_path: Path, catalog: Mapping[str, Profile]) -> None:
    assert compiled(gcc, tmp_path, {name: c_header(one) for name, one in catalog.items()}, "    show(0, 0);\n") == []


def test_registers_that_c_packs_are_read_as_the_same_values(gcc: str, tmp_path: Path, catalog: Mapping[str, Profile]) -> None:
    profiles = [one for one in catalog.values() if one.wire.modbus is not None]
    assert len(profiles) > 2
    check_modbus(gcc, tmp_path, profiles)


def test_frames_that_c_packs_are_read_as_the_same_values(gcc: str, tmp_path: Path, catalog: Mapping[str, Profile]) -> None:
    wires = [(one, one.wire.serial) for one in catalog.values()]
    profiles = [one for one, wire in wires if wire is not None and isinstance(wire.layout, BinaryLayout)]
    assert profiles
    check_serial(gcc, tmp_path, profiles)


NUMBERS = [kind for kind in NumberType if kind is not NumberType.BCD]
ORDERS = [(word, byte) for word in ("big", "little") for byte in ("big", "little")]


def of_every_kind() -> Profile:
    """A register map with every type in every order, decimal numbers, texts, bits and words for no value."""
    fields: list[RegisterField] = []
    metrics: list[Metric] = []
    at = 0

    def add(name: str, kind: MetricType, width: int, **how: object) -> None:
        nonlocal at
        metrics.append(metric(name, kind))
        fields.append(RegisterField(metric=name, area=RegisterArea.HOLDING, address=at, **how))  # type: ignore[arg-type]
        at += width

    for number_ in [kind for kind in NUMBERS if kind not in {NumberType.U8, NumberType.I8}]:
        bits = 32 if number_ is NumberType.F32 else 64 if number_ is NumberType.F64 else BITS[number_]
        for word, byte in ORDERS:
            kind = MetricType.FLOAT if number_ in FLOATS else MetricType.INTEGER
            add(f"{number_}_{word}_{byte}", kind, bits // 16, type=number_, word_order=word, byte_order=byte)
    for registers in (1, 2, 4):
        for word, byte in ORDERS:
            name, how = f"bcd{registers}_{word}_{byte}", {"word_order": word, "byte_order": byte, "registers": registers}
            add(name, MetricType.INTEGER, registers, type=NumberType.BCD, **how)
            add(
                f"text{registers}_{word}_{byte}",
                MetricType.STRING,
                registers + 1,
                charset="ascii",
                **how | {"registers": registers + 1},
            )
    for word, byte in ORDERS:
        how = {"type": NumberType.U32, "word_order": word, "byte_order": byte}
        add(f"high_{word}_{byte}", MetricType.BOOLEAN, 0, scaling=Scaling(bit=31), **how)
        add(f"low_{word}_{byte}", MetricType.BOOLEAN, 0, scaling=Scaling(bit=0, invert=True), **how)
        add(f"some_{word}_{byte}", MetricType.INTEGER, 2, scaling=Scaling(bits=(5, 11)), **how)
    at += 300  # a hole: another struct
    add("mode", MetricType.STRING, 1, scaling=Scaling(enum={0: "off", 1: "while", 0xFFFF: "2nd"}))
    add("scaled", MetricType.FLOAT, 1, type=NumberType.I16, scaling=Scaling(scale=-0.01, offset=40, no_value=frozenset({0x8000})))
    add("register", MetricType.INTEGER, 2, type=NumberType.I32, scaling=Scaling(no_value=frozenset({-1, 0x7FFFFFFF})))
    for bit in range(11):
        metrics.append(metric(f"coil_{bit}", MetricType.BOOLEAN))
        how = {"area": RegisterArea.COIL, "address": 5 + 2 * bit}
        fields.append(RegisterField(metric=f"coil_{bit}", scaling=Scaling(invert=bit % 2 == 1), **how))  # type: ignore[arg-type]
    return profile(Wire(modbus=ModbusWire(registers=tuple(fields))), *metrics)


def test_every_type_in_every_order_is_packed_by_c_as_we_read_it(gcc: str, tmp_path: Path) -> None:
    check_modbus(gcc, tmp_path, [of_every_kind()])


def frames_of(checksum: str) -> Profile:
    """Two messages with every type in both orders behind `checksum`."""
    metrics: list[Metric] = []
    messages: list[BinaryMessage] = []
    for value, order in ((1, "big"), (2, "little")):
        fields: list[BinaryField] = []
        at = 8
        for kind in NumberType:
            sizes = range(1, 9) if kind is NumberType.BCD else [0]
            for size in sizes:
                name = f"{kind}{size or ''}_{order}"
                metrics.append(metric(name, MetricType.FLOAT if kind in FLOATS else MetricType.INTEGER))
                fields.append(BinaryField(metric=name, at=at, type=kind, byte_order=order, size=size))
                at += fields[-1].width + 1
        metrics.append(metric(f"text_{order}", MetricType.STRING))
        fields.append(BinaryField(metric=f"text_{order}", at=at, size=7, charset="ascii"))
        messages.append(BinaryMessage(type_value=value, fields=tuple(fields)))
    layout = BinaryLayout(
        start=b"\xaa\x55",
        end=b"\x0d",
        address_at=2,
        address_size=2,
        type_at=4,
        length_at=5,
        length_size=2,
        length_adds=-3,
        max_size=512,
        byte_order="little",
        checksum=checksum,
        checksum_from=2,
        checksum_order="" if checksum == "crc16-modbus" else "little" if checksum == "sum16" else "big",
        type_value=1,
        fields=messages[0].fields,
        others=(messages[1],),
    )
    made = profile(Wire(serial=SerialWire(layout=layout)), *metrics)
    return Profile(
        **{name: getattr(made, name) for name in made.__struct_fields__} | {"name": f"frames-{checksum}".replace("-", "_")}
    )


def test_every_checksum_closes_a_frame_of_every_type(gcc: str, tmp_path: Path) -> None:
    check_serial(gcc, tmp_path, [frames_of(checksum) for checksum in CHECKSUM_BYTES])


def test_words_for_no_value_are_read_as_none(gcc: str, tmp_path: Path, catalog: Mapping[str, Profile]) -> None:
    profiles = [of_every_kind(), *(one for one in catalog.values() if one.wire.modbus is not None)]
    headers = {one.name: c_header(one) for one in profiles}
    program = Program()
    for one in profiles:
        for function, struct in structs(headers[one.name]).items():
            if function.endswith("_none"):
                name = function.removeprefix(f"{one.name}_put_").removesuffix("_none")
                program.say(one, struct, [f"    {function}(&@VAR@);\n"], {name: None})
    printed = compiled(gcc, tmp_path, headers, "".join(program.body))
    assert len(printed) > 10
    for line, (one, struct, values) in zip(printed, program.checks, strict=True):
        block = dict(runs_of(headers[one.name], one))[struct]
        decoded = decode_registers(one, {block: content(block, bytes.fromhex(line))})
        (name,) = values
        assert decoded.values[name] is None
        assert decoded.flaws[name].reason is Reason.NO_VALUE


def test_other_languages_have_their_places_scales_and_words(catalog: Mapping[str, Profile]) -> None:
    cover = c_header(catalog["cover_nbiot"])
    assert '#define COVER_NBIOT_BATTERY_V_COAP_PLACE "batt.mv"' in cover
    assert "#define COVER_NBIOT_BATTERY_V_SCALE (0.001)" in cover
    assert "TRUCK_SCALE_SERIAL_" in c_header(catalog["truck_scale_serial"]).split("PROFILE_VERSION")[1]
    for one in catalog.values():
        text = c_header(one)
        assert all(f"{one.name}_{name}_".upper() in text or f"put_{name}" in text for name in one.metrics), one.name


def test_a_header_is_the_same_each_time(catalog: Mapping[str, Profile]) -> None:
    assert all(c_header(one) == c_header(one) for one in catalog.values())
    assert all(line.isascii() for one in catalog.values() for line in c_header(one).splitlines())


def test_names_are_legal_and_no_two_the_same() -> None:
    names = Names()
    given = [names.give(text) for text in ("int", "a b", "a-b", "a_b", "9x", "", "名", "while", "A B")]
    assert given == ["int_", "a_b", "a_b_2", "a_b_3", "n9x", "x", "x_2", "while_", "a_b_4"]
    assert names.give("a", "b", upper=True) == "A_B"


def test_a_comment_cannot_be_left() -> None:
    assert comment("x */ evil(); /* 风\ny") == "/* x * / evil(); / * ? y */"


def test_a_title_that_would_end_its_comment_does_no_harm(gcc: str, tmp_path: Path) -> None:
    tricky = Metric(name="level_cm", type=MetricType.INTEGER, unit="cm", title=Text("水位", "*/ #error \\"))
    one = profile(
        Wire(modbus=ModbusWire(registers=(RegisterField(metric="level_cm", area=RegisterArea.INPUT, address=3),))), tricky
    )
    assert shutil.which(gcc)
    check_modbus(gcc, tmp_path, [one])
