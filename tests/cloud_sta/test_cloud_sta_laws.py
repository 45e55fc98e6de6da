"""What holds of every expression, every number and every walk, whatever is in them."""

import operator
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.sensorthings.ask import Budget, conditions, times_of
from cloud.sensorthings.errors import StaError
from cloud.sensorthings.evaluate import Judge
from cloud.sensorthings.expression import read_filter, read_orderby
from cloud.sensorthings.ids import END_NS, FIRST_NS, MOST_OWNERS, WINDOW_NS, pack, places, unpack, window_of
from cloud.sensorthings.model import SETS, Entity
from cloud.sensorthings.options import read_options, read_pairs
from cloud.sensorthings.paths import read_path
from cloud.sensorthings.times import Period, read_time, show_time
from cloud.sensorthings.tree import Call, Literal, Name, Node
from cloud.sensorthings.walk import Walk, find

KIND = SETS["Observations"]
BITS = [
    "result", "phenomenonTime", "Datastream/name", "(", ")", ",", "/", "'", "''", "and", "or", "not", "eq", "gt", "add", "div",
    "-", "1", "1.5e9", "null", "true", "substring(", "now()", "2025-11-20T13:00:00Z", "duration'P1D'", "geography'POINT(1 2)'",
    "$filter=", "$expand=", "Datastreams(", ";", "=", " ", "desc", "\x00", "€",
]  # fmt: skip
PIECES = st.lists(st.sampled_from(BITS), max_size=25)
TEXT = st.one_of(st.text(max_size=60), PIECES.map(" ".join), PIECES.map("".join))


@settings(max_examples=300)
@given(TEXT)
def test_no_text_makes_a_reader_raise_anything_but_its_own_refusal(text: str) -> None:
    told = []
    options = [_options_of(name) for name in ("$filter", "$expand", "$select")]
    for read in (read_filter, read_orderby, read_path, read_pairs, *options):
        try:
            read(text)
        except StaError as error:
            told.append(error)
    assert all(each.status in {400, 404, 501} and each.detail for each in told)


def _options_of(name: str) -> Any:
    return lambda text: [read_options(kind, [(name, text)]) for kind in SETS.values()]


def test_the_deepest_expression_that_is_read_can_also_be_worked_out() -> None:
    text = "(" * 28 + "result" + " add 1" * 25 + ")" * 28 + " eq 25 and " + "not " * 25 + "result gt 1"
    assert isinstance(Judge(KIND, read_filter(text), 0).true(Entity(KIND, 1, {"result": 0})), bool)


RESULTS = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), st.sampled_from([0.5, 2.0, -3.0]), st.sampled_from(["", "a", "5"])
)
NUMBERS = st.integers(-5, 5)
COMPARE = {"eq": operator.eq, "ne": operator.ne, "gt": operator.gt, "ge": operator.ge, "lt": operator.lt, "le": operator.le}


@st.composite
def comparisons(draw: st.DrawFn) -> tuple[str, Any]:
    """A comparison as text, and what it says of a result, said again in Python."""
    op, limit, added = draw(st.sampled_from(sorted(COMPARE))), draw(NUMBERS), draw(NUMBERS)

    def says(result: Any) -> bool:
        if isinstance(result, bool) or not isinstance(result, int | float):
            # No sum: none. Only `ne` is true of none and a number.
            return op == "ne"
        return COMPARE[op](result + added, limit)

    return f"result add {added} {op} {limit}", says


def wholes() -> st.SearchStrategy[tuple[str, Any]]:
    """Comparisons joined by and, or and not."""

    def further(inner: st.SearchStrategy[tuple[str, Any]]) -> st.SearchStrategy[tuple[str, Any]]:
        both = st.tuples(inner, inner)
        return st.one_of(
            both.map(lambda pair: (f"({pair[0][0]}) and ({pair[1][0]})", lambda r: pair[0][1](r) and pair[1][1](r))),
            both.map(lambda pair: (f"({pair[0][0]}) or ({pair[1][0]})", lambda r: pair[0][1](r) or pair[1][1](r))),
            inner.map(lambda one: (f"not ({one[0]})", lambda r: not one[1](r))),
        )

    return st.recursive(comparisons(), further, max_leaves=6)


@settings(max_examples=150)
@given(wholes(), st.lists(RESULTS, max_size=12))
def test_a_filter_leaves_what_the_same_said_in_python_leaves(whole: tuple[str, Any], results: list[Any]) -> None:
    text, says = whole
    judge = Judge(KIND, read_filter(text), 0)
    assert [judge.true(Entity(KIND, 1, {"result": result})) for result in results] == [says(result) for result in results]


@settings(max_examples=150)
@given(st.lists(st.tuples(st.sampled_from(["gt", "ge", "lt", "le", "eq", "ne"]), st.integers(0, 20)), max_size=4), st.booleans())
def test_what_is_left_to_the_store_never_leaves_out_what_the_filter_means(parts: list[tuple[str, int]], turned: bool) -> None:
    name, nodes = Name(("phenomenonTime",)), []
    for op, second in parts:
        constant = Literal(Period(second, second))
        nodes.append(Call(op, (constant, name) if turned else (name, constant)))
    node: Node = Call("and", (*nodes, Literal(True), Literal(True)))
    start, end = times_of(conditions(node), ("phenomenonTime",))
    judge = Judge(KIND, node, 0)
    meant = [second for second in range(21) if judge.true(Entity(KIND, 1, {"phenomenonTime": Period(second, second)}))]
    assert all(start <= second < end for second in meant)


@given(st.integers(1, MOST_OWNERS), st.integers(FIRST_NS, END_NS - 1), st.integers(0, 63))
def test_a_number_tells_whose_and_when_and_fits_in_a_java_long(owner: int, time_ns: int, place: int) -> None:
    number = pack(owner, time_ns, place)
    assert 0 < number < 2**63
    assert unpack(number) == (owner, window_of(time_ns)[0], place)


def test_numbers_end_in_september_2069() -> None:
    assert show_time(Period(END_NS, END_NS)).startswith("2069-09")


@given(st.lists(st.integers(0, WINDOW_NS - 1), max_size=80, unique=True))
def test_values_of_one_window_have_places_of_their_own(times: list[int]) -> None:
    start = window_of(FIRST_NS + 12345 * WINDOW_NS)[0]
    found = places(start + each for each in times)
    assert len(set(found.values())) == len(found) == min(64, len(times))


@given(st.integers(0, 2**63 - 1))
def test_a_time_that_is_shown_is_read_again_as_the_same(time_ns: int) -> None:
    assert read_time(show_time(Period(time_ns, time_ns))) == Period(time_ns, time_ns)


class At(msgspec.Struct, frozen=True):
    """A point that is nothing but a time."""

    time_ns: int


def store(times: Sequence[int]) -> Any:
    """Reads times as the series store reads points."""

    async def fetch(start_ns: int, end_ns: int, limit: int, *, back: bool) -> list[At]:
        held = sorted((each for each in times if start_ns <= each < end_ns), reverse=back)
        return [At(each) for each in held[:limit]]

    return fetch


BASE = FIRST_NS + 10**18
TIMES = st.lists(
    st.one_of(st.integers(0, 10**6), st.integers(0, 2 * WINDOW_NS), st.integers(0, 10**17)), max_size=150, unique=True
).map(lambda found: sorted(BASE + each for each in found))


@pytest.mark.asyncio
@settings(max_examples=60)
@given(TIMES, st.booleans(), st.integers(1, 40), st.integers(1, 30))
async def test_a_walk_page_by_page_meets_every_point_once_in_its_order(
    times: list[int], back: bool, size: int, page: int
) -> None:
    windows = {window_of(each)[0] for each in times}
    numbered = [each for start in windows for each in places(held for held in times if window_of(held)[0] == start)]
    wanted = sorted(numbered, reverse=back)
    found: list[tuple[int, int]] = []
    after, newest_ns = None, (times[-1] if times else BASE) if back else None
    while True:
        walk = Walk(owner=7, start_ns=0, end_ns=2**63 - 1, size=size, after=after, newest_ns=newest_ns)
        some = [each async for part in walk.parts(store(times), Budget(10**6)) for each in part][:page]
        if not some:
            break
        found += [(number, point.time_ns) for number, point in some]
        after = found[-1][0]
    assert [time_ns for _, time_ns in found] == wanted
    assert len({number for number, _ in found}) == len(found)
    for number, time_ns in found[::17]:
        assert (await find(number, store(times))) == At(time_ns)
