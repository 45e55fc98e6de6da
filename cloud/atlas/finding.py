"""What the search box finds: devices by their texts, open cases by number, title and address, and those addresses."""

from typing import Final, Literal, NamedTuple

from cloud.atlas.atlas import Atlas
from cloud.atlas.cases import CaseRow
from cloud.atlas.pyramid import NOWHERE
from cloud.atlas.tiles import Filter

__all__ = ["Found", "find"]

_ALL: Final = Filter()


class Found(NamedTuple):
    """One thing; positions are WGS-84 degrees."""

    kind: Literal["device", "case", "address"]
    id: str
    name: str
    detail: str
    longitude: float | None
    latitude: float | None


async def find(atlas: Atlas, text: str, limit: int) -> list[Found]:
    """Up to `limit`: the case of that number, devices in order of id, other open cases from the newest, their addresses."""
    wanted = text.strip() or text
    cases = atlas.cases.search(wanted, limit)
    number = wanted.removeprefix("#")
    exact = [_case(row) for row in cases if str(row.id) == number]
    devices = [_device(atlas, device) for device in await atlas.page(_ALL, None, wanted, None, limit)]
    others = [_case(row) for row in cases if str(row.id) != number]
    addresses = {row.address: row for row in cases if row.address and wanted.casefold() in row.address.casefold()}
    return [*exact, *devices, *others, *map(_address, addresses.values())][:limit]


def _device(atlas: Atlas, device: str) -> Found:
    index, number = atlas.index, atlas.index.find(device)
    placed = index.column("leaf")[number] != NOWHERE
    at = [float(index.column(name)[number]) if placed else None for name in ("longitude", "latitude")]
    return Found("device", device, index.names[number], index.kinds.all[index.column("kind")[number]], *at)


def _case(row: CaseRow) -> Found:
    return Found("case", str(row.id), row.title_zh, row.address or row.title_en, row.longitude, row.latitude)


def _address(row: CaseRow) -> Found:
    return Found("address", str(row.id), row.address, row.title_zh, row.longitude, row.latitude)
