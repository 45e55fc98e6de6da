"""What the map is drawn on: `[map]` of the cloud's TOML. Every mistake is told at once."""

import re
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from cloud.atlas.crs import Crs
from device_profiles.toml_table import Table

__all__ = ["KEY", "MapConfig", "read_map"]

KEY: Final = "{key}"
_PMTILES, _XYZ = "pmtiles:", "xyz:"
_WANTED: Final = '"none", "pmtiles:PATH", or "xyz:https://HOST/{z}/{x}/{y}.png"'
_PLACES: Final = ("{z}", "{x}", "{y}")


class MapConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`pmtiles` is a file of tiles on this machine, `xyz` the address of tiles elsewhere with {z}, {x}, {y} and perhaps {key};
    without both, the map shows the districts' outlines. `key_file` holds what {key} stands for.

    `attribution` is shown on the map, and `approval` the number (审图号) under which it was approved. Tiles from elsewhere are
    kept in `cache_dir`, up to `cache_mb`.
    """

    crs: Crs = Crs.WGS84
    pmtiles: Path | None = None
    xyz: str = ""
    key_file: Path | None = None
    attribution: str = ""
    approval: str = ""
    cache_mb: int = 256

    @property
    def kind(self) -> str:
        """none, pmtiles or xyz."""
        return "pmtiles" if self.pmtiles else "xyz" if self.xyz else "none"


def read_map(table: Table, here: Path) -> MapConfig:
    """Read `[map]`; paths in it are taken from the folder `here`. Every mistake is left in the table's findings."""
    basemap = table.checked("basemap", _check, _WANTED, "none")
    named = basemap.removeprefix(_PMTILES) if basemap.startswith(_PMTILES) else ""
    config = MapConfig(
        crs=Crs(table.choice("crs", list(Crs), Crs.WGS84)),
        pmtiles=here / named if named else None,
        xyz=basemap.removeprefix(_XYZ) if basemap.startswith(_XYZ) else "",
        key_file=table.file("key_file", here),
        attribution=table.text("attribution", ""),
        approval=table.text("approval", ""),
        cache_mb=table.integer("cache_mb", 256, low=1, high=100_000),
    )
    table.finish()
    if config.pmtiles is not None and not config.pmtiles.is_file():
        table.wrong("basemap", f"there is no file {config.pmtiles}", "the path of a file of PMTiles")
    if (KEY in config.xyz) != (config.key_file is not None):
        table.wrong(
            "key_file", "a key wants both its place in the address and its file", f'{KEY} in basemap and key_file = "PATH"'
        )
    return config


def _check(text: str) -> None:
    """ValueError unless it is one of the three forms."""
    if text == "none" or (text.startswith(_PMTILES) and len(text) > len(_PMTILES)):
        return
    if not text.startswith(_XYZ):
        raise ValueError(f"{text!r}"[:80])
    address = text.removeprefix(_XYZ)
    parts = urlsplit(address)
    known = set(re.findall(r"\{[^}]*\}", address))
    if parts.scheme not in {"http", "https"} or not parts.hostname or "{" in parts.netloc:
        raise ValueError(f"{address!r}"[:80])
    if not known >= set(_PLACES) or known - {*_PLACES, KEY}:
        raise ValueError(f"{address!r}: an address holds {{z}}, {{x}} and {{y}}, and perhaps {KEY}"[:160])
