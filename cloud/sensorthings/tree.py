"""What an expression of $filter or $orderby is made of. `at` is the place in the text, from 0, for errors."""

from typing import Any

import msgspec

__all__ = ["Call", "Literal", "Name", "Node", "Ordering", "depth_of", "names_in"]


class Literal(msgspec.Struct, frozen=True):
    """A constant: None, bool, int, float, str, Period, Duration or Shape."""

    value: Any
    at: int = 0


class Name(msgspec.Struct, frozen=True):
    """A property, by its path from the entity: ("Datastream", "ObservedProperty", "name")."""

    path: tuple[str, ...]
    at: int = 0


class Call(msgspec.Struct, frozen=True):
    """An operator or a function, and what it is applied to; `and` and `or` take two or more."""

    name: str
    given: tuple["Node", ...]
    at: int = 0


Node = Literal | Name | Call


class Ordering(msgspec.Struct, frozen=True):
    """One part of $orderby."""

    by: Node
    descending: bool = False


def names_in(*nodes: Node) -> list[Name]:
    """Every property that expressions speak of."""
    found: list[Name] = []
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if isinstance(node, Name):
            found.append(node)
        elif isinstance(node, Call):
            waiting.extend(node.given)
    return found


def depth_of(node: Node) -> int:
    """How many levels an expression has."""
    deepest, waiting = 0, [(node, 1)]
    while waiting:
        each, level = waiting.pop()
        deepest = max(deepest, level)
        if isinstance(each, Call):
            waiting.extend((part, level + 1) for part in each.given)
    return deepest
