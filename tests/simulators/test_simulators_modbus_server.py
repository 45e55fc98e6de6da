"""A bus behind a serial server, as part of a city: several connections, one bus, and what units hold of what was written."""

import asyncio
from pathlib import Path

import pytest

from device_profiles.shelf import load_catalog
from firmware_bridge.modbus.files import FileData, FilePart, FileRead, FileWrite
from firmware_bridge.modbus.frames import parse_rtu, rtu_frame
from firmware_bridge.modbus.pdus import (
    ExceptionReply,
    Function,
    MaskWrite,
    Request,
    WriteReply,
    WriteRequest,
    build_request,
    parse_reply,
)
from simulators.city import City
from simulators.devices.modbus.unit import ModbusUnit
from simulators.scenario import load_scenario

pytestmark = pytest.mark.integration

CATALOG = load_catalog()
SCENARIO = """\
name: box
seed: 5
links:
  box: {driver: modbus_rtu_tcp}
devices:
  - {id: lamp-1, kind: lamp_loop, profile: lamp_loop, address: "1", link: box, position: {longitude: 1, latitude: 3}}
  - {id: air-2, kind: toilet_air, profile: toilet_air_modbus, address: "2", link: box, position: {longitude: 1, latitude: 3}}
"""


def city(folder: Path) -> City:
    path = folder / "box.yaml"
    path.write_text(SCENARIO, encoding="utf-8")
    return City(load_scenario(path), catalog=CATALOG)


async def test_a_city_has_buses_behind_serial_servers_and_tells_the_agent_where(tmp_path: Path) -> None:
    box = city(tmp_path)
    await box.start_servers()
    (link,) = box.agent_links()
    assert (link["driver"], f"{link['host']}:{link['port']}") == ("modbus_rtu_tcp", box.places["box"])
    running = asyncio.create_task(box.run())
    try:
        asker, listener = [await asyncio.open_connection(str(link["host"]), int(str(link["port"]))) for _ in range(2)]
        asker[1].write(rtu_frame(2, bytes.fromhex("0400000004")))
        heard = [await asyncio.wait_for(reader.readexactly(13), 5) for reader, _ in (asker, listener)]
        assert parse_rtu(heard[0]).unit == 2
        assert heard[0] == heard[1], "the bus does not know who asked"
        asker[1].write(rtu_frame(9, bytes.fromhex("0400000004")))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asker[0].read(1), 0.2)
        for _, writer in (asker, listener):
            writer.close()
    finally:
        running.cancel()
        await asyncio.wait([running])
        await box.close()


def ask(unit: ModbusUnit, request: Request) -> object:
    return parse_reply(unit.answer(build_request(request), unit.clock.wall_ns()))


def test_a_unit_takes_masks_and_coils_and_keeps_files(tmp_path: Path) -> None:
    units = city(tmp_path).devices
    lamp, air = units["lamp-1"], units["air-2"]
    assert isinstance(lamp, ModbusUnit)
    assert isinstance(air, ModbusUnit)
    dim = MaskWrite(address=0, and_mask=0, or_mask=40)
    assert ask(lamp, dim) == dim
    assert lamp.values(lamp.clock.wall_ns())["dimming_pct"] == 40
    coils = WriteRequest(function=Function.WRITE_MULTIPLE_COILS, address=0, values=(True, False, True, False))
    assert ask(lamp, coils) == WriteReply(function=Function.WRITE_MULTIPLE_COILS, address=0, value=4)
    assert [lamp.values(lamp.clock.wall_ns())[f"relay_{n}_on"] for n in (1, 2, 3, 4)] == [True, False, True, False]
    assert ask(lamp, MaskWrite(address=9, and_mask=0, or_mask=1)) == ExceptionReply(function=22, code=2)
    part = FilePart(file=4, record=2, registers=1)
    assert ask(air, FileRead(parts=(part,))) == ExceptionReply(function=20, code=2)
    write = FileWrite(parts=((part, b"\x12\x34"),))
    assert ask(air, write) == write
    assert ask(air, FileRead(parts=(part,))) == FileData(parts=(b"\x12\x34",))
    assert bytes(air.files[4]) == b"\0\0\0\0\x12\x34"
