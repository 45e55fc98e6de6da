"""The sheet of a case for the printer and the file: a page without any script, in one language."""

import tomllib
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined

__all__ = ["STYLE", "Language", "sheet"]

Language = Literal["zh", "en"]
STYLE: Final = files("cloud.dossier").joinpath("templates/sheet.css").read_bytes()

# Whatever people wrote is escaped, and a name that the template has and the document has not is a fault, not a blank.
_ENVIRONMENT: Final = Environment(loader=PackageLoader("cloud.dossier"), autoescape=True, undefined=StrictUndefined)


def sheet(envelope: Mapping[str, Any], language: Language, zone: ZoneInfo) -> str:
    """The whole page of a signed bundle, its times in `zone`."""
    words = _words()[language]

    def said(text: Mapping[str, str] | None, otherwise: str = "") -> str:
        return (text or {}).get(language) or otherwise

    def when(instant: str | None) -> str:
        return "—" if instant is None else datetime.fromisoformat(instant).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S %z")

    def word(group: str, code: str) -> str:
        return words.get(group, {}).get(code, code)

    page = _ENVIRONMENT.get_template("sheet.html")
    tag = "zh-CN" if language == "zh" else "en"
    return page.render(**envelope, w=words["label"], word=word, said=said, when=when, tag=tag, values=_values)


def _values(metric: Mapping[str, Any], triggered: str) -> list[Mapping[str, Any]]:
    """The few values round the moment of the alarm that paper has room for: eight up to it, four after it."""
    before = [point for point in metric["points"] if point["time"] <= triggered]
    after = [point for point in metric["points"] if point["time"] > triggered]
    return [*before[-8:], *after[:4]]


@cache
def _words() -> dict[str, dict[str, dict[str, str]]]:
    return tomllib.loads(files("cloud.dossier").joinpath("templates/sheet.toml").read_text("utf-8"))
