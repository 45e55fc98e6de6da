"""`citynerve cloud verify`: whether an exported case is as it was signed. Reads the file and nothing else."""

from pathlib import Path
from typing import Annotated

import typer

from citynerve.commands.cloud_shared import fail

__all__ = ["verify"]


def verify(
    file: Annotated[Path, typer.Argument(help="An exported case, a JSON file.", show_default=False)],
    fingerprint: Annotated[
        str, typer.Option("--fingerprint", help="The key that it must be signed with, as GET /api/export-key gives it.")
    ] = "",
) -> None:
    """Exit 0 where the file is as it was signed, 1 where it was altered, is signed with another key, or is no export.

    Without --fingerprint only the file itself says whose key it is: compare the one that is printed.
    """
    from cloud.dossier.signing import Verdict, check

    try:
        found = check(file.read_bytes(), fingerprint)
    except OSError as error:
        fail(f"{file}: {error.strerror}")
    about = f" (case {found.case}, as of {found.as_of}, key {found.fingerprint})" if found.fingerprint else ""
    if found.verdict is not Verdict.GENUINE:
        fail(f"{file}: {found.detail}{about}")
    print(f"{file}: {found.detail}{about}")
    if not fingerprint:
        print("compare the key with the fingerprint that GET /api/export-key of your cloud gives")
