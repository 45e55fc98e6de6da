"""Where a long piece of work is, in a small file beside it: written whole or not at all, so that kill -9 costs one portion."""

import os
from pathlib import Path
from typing import TypeVar

import msgspec

__all__ = ["load_state", "save_state"]

_T = TypeVar("_T")


def save_state(path: Path, state: msgspec.Struct) -> None:
    """Replace the file; it is on disk when this returns."""
    draft = path.with_name(path.name + ".new")
    with draft.open("wb") as file:
        file.write(msgspec.json.encode(state))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def load_state(path: Path, shape: type[_T]) -> _T | None:
    """What the file says; None where there is none, or it is none of ours."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=shape)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
