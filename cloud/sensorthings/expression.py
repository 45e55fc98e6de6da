"""The grammar of $filter and $orderby (18-088, 9.3.3.5), after OData 4.0's precedence.

    or < and < not < eq ne < gt ge lt le < add sub < mul div mod < - < names, constants, functions, (groups)

`not` stands below the comparisons, so that `not result gt 5` is what it reads as; where OData's own reading of it, which
binds tighter, makes sense at all (of truth values), both give the same.
"""

from collections.abc import Callable
from typing import Final

from cloud.sensorthings.errors import StaError, invalid, unsupported
from cloud.sensorthings.functions import FUNCTIONS, LATER, OPERATORS
from cloud.sensorthings.tokens import Token, fault, tokens
from cloud.sensorthings.tree import Call, Literal, Name, Node, Ordering, depth_of

__all__ = ["read_filter", "read_orderby"]

_DEEPEST: Final = 30
_MOST_LEVELS: Final = 80
_MOST_PARTS: Final = 1000
_MOST_ORDERINGS: Final = 8

_CONSTANTS: Final = {"true": True, "false": False, "null": None}
_LEVELS: Final = (("eq", "ne"), ("gt", "ge", "lt", "le"), ("add", "sub"), ("mul", "div", "mod"))


def read_filter(text: str) -> Node:
    """The expression; StaError (400, or 501 for what the standard has and we do not) with the place of what is wrong."""
    reader = _Reader(text)
    node = reader.whole()
    reader.want_end(node)
    return node


def read_orderby(text: str) -> tuple[Ordering, ...]:
    """The parts of $orderby, the first the strongest."""
    reader = _Reader(text)
    found = [_ordering(reader)]
    while reader.sign(","):
        found.append(_ordering(reader))
    reader.want_end(*(ordering.by for ordering in found))
    if len(found) > _MOST_ORDERINGS:
        raise invalid(f"$orderby of {len(found)} parts: want at most {_MOST_ORDERINGS}")
    return tuple(found)


def _ordering(reader: "_Reader") -> Ordering:
    by = reader.whole()
    if reader.word("desc"):
        return Ordering(by, descending=True)
    reader.word("asc")
    return Ordering(by)


class _Reader:
    """A place in the words of one expression."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens(text)
        self._next = 0
        self._depth = 0
        self._parts = 0

    def whole(self) -> Node:
        """The widest expression from here."""
        return self._nested(lambda: self._chain("or", lambda: self._chain("and", self._negation)))

    def word(self, *wanted: str) -> Token | None:
        """The next word, taken, where it is one of these."""
        token = self._tokens[self._next]
        return self._take() if token.kind == "word" and token.text in wanted else None

    def sign(self, wanted: str) -> bool:
        """Whether the next is this sign; it is taken then."""
        token = self._tokens[self._next]
        return token.kind == "sign" and token.text == wanted and self._take() is not None

    def want_end(self, *read: Node) -> None:
        """StaError unless nothing follows what was read, and that is not too deep to be worked out."""
        if self._tokens[self._next].kind != "end":
            raise self._wrong("an operator or the end")
        if any(depth_of(node) > _MOST_LEVELS for node in read):
            raise invalid(f"an expression of more than {_MOST_LEVELS} levels")

    def _chain(self, word: str, part: Callable[[], Node]) -> Node:
        """Flat, however long: a list of a hundred ids joined by `or` is no deep tree."""
        at = self._tokens[self._next].at
        found = [part()]
        while self.word(word):
            found.append(part())
        return found[0] if len(found) == 1 else self._made(word, tuple(found), at)

    def _negation(self) -> Node:
        token = self.word("not")
        if token is None:
            return self._binary(0)
        return self._made("not", (self._nested(self._negation),), token.at)

    def _binary(self, level: int) -> Node:
        if level == len(_LEVELS):
            return self._unary()
        left, steps = self._binary(level + 1), 0
        while (token := self.word(*_LEVELS[level])) is not None:
            steps += 1
            if steps > _DEEPEST:
                raise fault(self._text, token.at, f"at most {_DEEPEST} of these in a row")
            left = self._made(token.text, (left, self._binary(level + 1)), token.at)
        return left

    def _unary(self) -> Node:
        at = self._tokens[self._next].at
        if self.sign("-"):
            return self._made("neg", (self._nested(self._unary),), at)
        return self._primary()

    def _primary(self) -> Node:
        token = self._tokens[self._next]
        if self.sign("("):
            inner = self.whole()
            self._want(")")
            return inner
        if token.kind == "constant":
            return Literal(self._take().value, token.at)
        if token.kind != "word" or token.text in OPERATORS:
            raise self._wrong("a name, a constant, a function or (")
        self._take()
        if self.sign("("):
            return self._call(token)
        if token.text in _CONSTANTS:
            return Literal(_CONSTANTS[token.text], token.at)
        return self._path(token)

    def _path(self, first: Token) -> Node:
        path = [first.text]
        while self.sign("/"):
            token = self._take()
            if token.kind not in {"word", "constant"}:
                raise fault(self._text, token.at, "a name after /")
            path.append(token.text)
            if self.sign("("):
                raise unsupported(f"character {token.at + 1}: {token.text}(...) after a path: lambdas are not supported")
        self._count(first.at)
        return Name(tuple(path), first.at)

    def _call(self, name: Token) -> Node:
        function = FUNCTIONS.get(name.text)
        if name.text in LATER:
            raise unsupported(f"character {name.at + 1}: the function {name.text} is not supported")
        if function is None:
            raise fault(self._text, name.at, "a function that there is")
        given: list[Node] = []
        while not self.sign(")"):
            if given:
                self._want(",")
            given.append(self.whole())
        if len(given) not in function.counts:
            wanted = " or ".join(map(str, function.counts))
            raise fault(self._text, name.at, f"{wanted} arguments of {name.text}, not {len(given)}")
        return self._made(name.text, tuple(given), name.at)

    def _nested(self, read: Callable[[], Node]) -> Node:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._wrong(f"at most {_DEEPEST} levels of brackets")
        node = read()
        self._depth -= 1
        return node

    def _made(self, name: str, given: tuple[Node, ...], at: int) -> Node:
        self._count(at)
        return Call(name, given, at)

    def _count(self, at: int) -> None:
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise fault(self._text, at, f"at most {_MOST_PARTS} parts")

    def _want(self, sign: str) -> None:
        if not self.sign(sign):
            raise self._wrong(sign)

    def _take(self) -> Token:
        token = self._tokens[self._next]
        # The "end" stays where it is, so that there always is a next.
        self._next += token.kind != "end"
        return token

    def _wrong(self, wanted: str) -> StaError:
        return fault(self._text, self._tokens[self._next].at, wanted)
