"""What is wrong in a file a person wrote: where, what, and what to write instead; all of it at once."""

import difflib
from collections.abc import Iterable

import msgspec

__all__ = ["ConfigError", "FileError", "Findings", "Mistake", "ProfileError", "did_you_mean", "one_of"]

_WORDS_SHOWN = 12


class Mistake(msgspec.Struct, frozen=True):
    """One thing to correct. `line` counts from 1; `where` is the dotted path of keys from the root of the file."""

    file: str
    line: int
    where: str
    what: str
    instead: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.where}: {self.what}; write {self.instead}"


class FileError(ValueError):
    """A file that a person wrote cannot be used; `mistakes` holds every reason, in the order of lines."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(str(mistake) for mistake in self.mistakes))


class ProfileError(FileError):
    """A profile, the vocabulary or the matters."""


class ConfigError(FileError):
    """A program's configuration."""


class Findings:
    """The mistakes found so far in one file."""

    def __init__(self, file: str) -> None:
        self.file = file
        self._mistakes: list[Mistake] = []

    def add(self, line: int, where: str, what: str, instead: str) -> None:
        self._mistakes.append(Mistake(self.file, line, where, what, instead))

    def in_order(self) -> tuple[Mistake, ...]:
        """All mistakes by line; those of one line in the order they were found."""
        return tuple(sorted(self._mistakes, key=lambda mistake: mistake.line))

    def raise_if_any(self) -> None:
        """Raise ProfileError with every mistake, when there is one."""
        if self._mistakes:
            raise ProfileError(self.in_order())

    def __len__(self) -> int:
        return len(self._mistakes)


def one_of(words: Iterable[str]) -> str:
    """The allowed words as a person reads them; a long list is cut and says so."""
    listed = sorted(words)
    if not listed:
        return "nothing here"
    shown = ", ".join(listed[:_WORDS_SHOWN])
    more = f" (and {len(listed) - _WORDS_SHOWN} more)" if len(listed) > _WORDS_SHOWN else ""
    return f"one of {shown}{more}" if len(listed) > 1 else shown


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """The nearest allowed word as a question, or the list of all of them where none is near."""
    allowed = list(words)
    near = difflib.get_close_matches(word[:64], allowed, n=1, cutoff=0.6)
    return f"{near[0]} (did you mean that?)" if near else one_of(allowed)
