"""The three kinds of file."""

from enum import StrEnum
from pathlib import Path

__all__ = ["FileKind", "kind_of_file"]


class FileKind(StrEnum):
    """How rows lie in a file."""

    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


_BY_ENDING = {
    ".csv": FileKind.CSV,
    ".json": FileKind.JSON,
    ".jsonl": FileKind.JSON,
    ".ndjson": FileKind.JSON,
    ".parquet": FileKind.PARQUET,
}


def kind_of_file(path: Path) -> FileKind:
    """By the ending of its name; ValueError where that says nothing."""
    try:
        return _BY_ENDING[path.suffix.lower()]
    except KeyError:
        raise ValueError(f"{path}: want a name that ends in {', '.join(_BY_ENDING)}, or say --format") from None
