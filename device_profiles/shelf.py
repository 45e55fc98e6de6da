"""The catalog: every model the product knows, one folder each, and whatever folders a site adds."""

from collections.abc import Mapping
from pathlib import Path

from device_profiles.loader import load_profile
from device_profiles.mistakes import Mistake, ProfileError
from device_profiles.model import Profile

__all__ = ["catalog_path", "load_catalog", "profile_folders"]


def catalog_path() -> Path:
    """The folder of the built-in models."""
    return Path(__file__).parent / "catalog"


def profile_folders(path: Path) -> tuple[Path, ...]:
    """The profile folders at `path`: itself when it holds a profile.yaml, else those one level below."""
    if (path / "profile.yaml").is_file() or path.suffix in {".yaml", ".yml"}:
        return (path,)
    return tuple(sorted(file.parent for file in path.glob("*/profile.yaml")))


def load_catalog(*extra: Path) -> Mapping[str, Profile]:
    """The built-in models and those in `extra` folders, by profile name.

    Raises ProfileError with the mistakes of all files; a name used twice is one.
    """
    catalog: dict[str, Profile] = {}
    mistakes: list[Mistake] = []
    for place in (catalog_path(), *extra):
        folders = profile_folders(place)
        if not folders:
            mistakes.append(Mistake(str(place), 1, "folder", "no profile in it", "a folder with <model>/profile.yaml in it"))
        for folder in folders:
            try:
                profile = load_profile(folder)
            except ProfileError as error:
                mistakes.extend(error.mistakes)
                continue
            if profile.name in catalog:
                mistakes.append(Mistake(str(folder), 1, "name", f"{profile.name!r} is in the catalog already", "another name"))
            catalog[profile.name] = profile
    if mistakes:
        raise ProfileError(mistakes)
    return catalog
