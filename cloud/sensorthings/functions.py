"""The operators and functions of 18-088, 9.3.3.5.1 and 9.3.3.5.2, on plain values.

What a function cannot be applied to (a text where a number is wanted, none where a value is) gives None, which no
comparison but `eq null` is true of: a result may be of any type, and one odd value must not fail the question.
"""

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
import shapely

from cloud.sensorthings.shapes import Shape, metres_between, read_geojson
from cloud.sensorthings.times import Duration, Period, clock_text, parts_of

__all__ = ["FUNCTIONS", "LATER", "OPERATORS", "Function", "apply"]

_LONGEST: Final = 100_000


class Function(msgspec.Struct, frozen=True):
    """`counts`: how many arguments it takes. `work` is given them, none of them None."""

    counts: tuple[int, ...]
    work: Callable[..., Any]


def apply(name: str, given: tuple[Any, ...]) -> Any:
    """What an operator or function makes of its arguments."""
    if name in {"eq", "ne"}:
        return _same(*given) is (name == "eq")
    if any(value is None for value in given):
        return None
    function = OPERATORS[name] if name in OPERATORS else FUNCTIONS[name]
    try:
        return function.work(*given)
    except (TypeError, ValueError, OverflowError, ZeroDivisionError, shapely.errors.ShapelyError):
        return None


def _same(left: Any, right: Any) -> bool:
    match left, right:
        case (Period(), Period()):
            return left == right or _inside(left, right) or _inside(right, left)
        case (bool(), _) | (_, bool()):
            return left is right
        case _:
            return bool(left == right)


def _inside(instant: Period, period: Period) -> bool:
    return instant.is_instant and period.start_ns <= instant.start_ns <= period.end_ns


def _compared(before: Callable[[Any, Any], bool], *, even: bool) -> Callable[[Any, Any], bool | None]:
    def work(left: Any, right: Any) -> bool | None:
        if even and _same(left, right):
            return True
        match left, right:
            case (bool(), _) | (_, bool()):
                return None
            case (Period(), Period()):
                if before is operator.lt:
                    return left.end_ns < right.start_ns
                return left.start_ns > right.end_ns
            case (Duration(), Duration()):
                return before(left.ns, right.ns)
            case (int() | float(), int() | float()) | (str(), str()):
                return before(left, right)
            case _:
                return None

    return work


def _number(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return value


def _add(left: Any, right: Any, sign: int = 1) -> Any:
    match left, right:
        case (Period(), Duration()):
            return Period(left.start_ns + sign * right.ns, left.end_ns + sign * right.ns)
        case (Duration(), Duration()):
            return Duration(left.ns + sign * right.ns)
        case (Period(), Period()) if sign < 0:
            return Duration(left.start_ns - right.start_ns)
        case _:
            return _number(left) + sign * _number(right)


def _negated(value: Any) -> Any:
    return Duration(-value.ns) if isinstance(value, Duration) else -_number(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _concat(left: Any, right: Any) -> str | None:
    both = _text(left) + _text(right)
    return both if len(both) <= _LONGEST else None


def _substring(text: Any, start: Any, length: Any = None) -> str:
    first = max(0, int(_number(start)))
    return _text(text)[first:] if length is None else _text(text)[first : first + max(0, int(_number(length)))]


def _part(read: Callable[[Any, int], Any]) -> Function:
    def work(time: Any) -> Any:
        if not isinstance(time, Period):
            raise TypeError
        parts = parts_of(time)
        return None if parts is None else read(*parts)

    return Function((1,), work)


def _rounded(value: Any) -> int:
    number = _number(value)
    return math.floor(number + 0.5) if number >= 0 else math.ceil(number - 0.5)


def _shape(value: Any) -> Any:
    shape = value if isinstance(value, Shape) else read_geojson(value)
    if shape is None:
        raise TypeError
    return shape.geometry


def _spatial(judge: Callable[[Any, Any], Any]) -> Function:
    return Function((2,), lambda left, right: bool(judge(_shape(left), _shape(right))))


def _distance(left: Any, right: Any) -> float | None:
    return metres_between(Shape(_shape(left)), Shape(_shape(right)))


OPERATORS: Final[Mapping[str, Function]] = {
    "and": Function((), all),
    "or": Function((), any),
    "not": Function((1,), operator.not_),
    "eq": Function((2,), _same),
    "ne": Function((2,), _same),
    "gt": Function((2,), _compared(operator.gt, even=False)),
    "ge": Function((2,), _compared(operator.gt, even=True)),
    "lt": Function((2,), _compared(operator.lt, even=False)),
    "le": Function((2,), _compared(operator.lt, even=True)),
    "add": Function((2,), _add),
    "sub": Function((2,), lambda left, right: _add(left, right, -1)),
    "mul": Function((2,), lambda left, right: _number(left) * _number(right)),
    "div": Function((2,), lambda left, right: _number(left) / _number(right)),
    "mod": Function((2,), lambda left, right: math.fmod(_number(left), _number(right))),
    "neg": Function((1,), _negated),
}
"""`and`, `or`, `eq` and `ne` are worked out by whoever evaluates; they stand here so that no property is called so."""

FUNCTIONS: Final[Mapping[str, Function]] = {
    # The first text in the second, as OData 3 had it (18-088, table 24); `contains` is OData 4's, the other way round.
    "substringof": Function((2,), lambda part, text: _text(part) in _text(text)),
    "contains": Function((2,), lambda text, part: _text(part) in _text(text)),
    "endswith": Function((2,), lambda text, end: _text(text).endswith(_text(end))),
    "startswith": Function((2,), lambda text, start: _text(text).startswith(_text(start))),
    "length": Function((1,), lambda text: len(_text(text))),
    "indexof": Function((2,), lambda text, part: _text(text).find(_text(part))),
    "substring": Function((2, 3), _substring),
    "tolower": Function((1,), lambda text: _text(text).lower()),
    "toupper": Function((1,), lambda text: _text(text).upper()),
    "trim": Function((1,), lambda text: _text(text).strip()),
    "concat": Function((2,), _concat),
    "year": _part(lambda second, _: second.year),
    "month": _part(lambda second, _: second.month),
    "day": _part(lambda second, _: second.day),
    "hour": _part(lambda second, _: second.hour),
    "minute": _part(lambda second, _: second.minute),
    "second": _part(lambda second, _: second.second),
    "fractionalseconds": _part(lambda _, rest_ns: rest_ns / 1e9),
    "date": _part(lambda second, _: second.strftime("%Y-%m-%d").rjust(10, "0")),
    "time": _part(lambda second, rest_ns: clock_text(f"{second:%H:%M:%S}.{rest_ns:09d}")),
    # Everything here is in UTC.
    "totaloffsetminutes": _part(lambda _second, _rest_ns: 0),
    "now": Function((0,), lambda: None),
    "mindatetime": Function((0,), lambda: Period(-(2**63), -(2**63))),
    "maxdatetime": Function((0,), lambda: Period(2**63 - 1, 2**63 - 1)),
    "round": Function((1,), _rounded),
    "floor": Function((1,), lambda value: math.floor(_number(value))),
    "ceiling": Function((1,), lambda value: math.ceil(_number(value))),
    # Metres on a sphere between points; edges of areas are straight in degrees.
    "geo.distance": Function((2,), _distance),
    "geo.intersects": _spatial(shapely.intersects),
    "st_equals": _spatial(shapely.equals),
    "st_disjoint": _spatial(shapely.disjoint),
    "st_touches": _spatial(shapely.touches),
    "st_within": _spatial(shapely.within),
    "st_overlaps": _spatial(shapely.overlaps),
    "st_crosses": _spatial(shapely.crosses),
    "st_intersects": _spatial(shapely.intersects),
    "st_contains": _spatial(shapely.contains),
}
"""`now` is the clock's, and given by whoever evaluates."""

LATER: Final = frozenset({"geo.length", "st_relate", "any", "all", "cast", "isof"})
"""What the standard or OData has and we do not."""
