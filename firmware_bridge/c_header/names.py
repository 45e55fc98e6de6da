"""Names for C: legal, and each given once."""

import re

__all__ = ["Names", "comment"]

# C99, 6.4.1, with the words that C11 and C++ added: a header may be read by either.
_KEYWORDS = frozenset(
    {
        "auto", "break", "case", "char", "const", "continue", "default", "do", "double", "else", "enum", "extern",
        "float", "for", "goto", "if", "inline", "int", "long", "register", "restrict", "return", "short", "signed",
        "sizeof", "static", "struct", "switch", "typedef", "union", "unsigned", "void", "volatile", "while",
        "alignas", "alignof", "atomic", "bool", "class", "complex", "constexpr", "delete", "explicit", "export",
        "false", "friend", "generic", "imaginary", "mutable", "namespace", "new", "noreturn", "nullptr", "operator",
        "private", "protected", "public", "template", "this", "throw", "true", "try", "typename", "using", "virtual",
    }
)  # fmt: skip


class Names:
    """Gives out identifiers of one scope; two texts that would be the same in C get different ones."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def give(self, *parts: str, upper: bool = False) -> str:
        """The identifier of `parts` joined by underscores; `upper` for macros and constants."""
        joined = re.sub(r"[^A-Za-z0-9_]+", "_", "_".join(parts)).strip("_") or "x"
        name = joined.upper() if upper else joined.lower()
        if name[0].isdigit():
            name = f"n{name}" if not upper else f"N{name}"
        if name in _KEYWORDS:
            name += "_"
        base, count = name, 1
        while name in self._given:
            count += 1
            name = f"{base}_{count}"
        self._given.add(name)
        return name


def comment(text: str) -> str:
    """`text` as a comment of one line; what C's smallest character set does not have becomes a question mark."""
    plain = text.encode("ascii", errors="replace").decode().replace("*/", "* /").replace("/*", "/ *")
    return f"/* {' '.join(plain.split())} */"
