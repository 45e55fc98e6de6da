"""Whose an object is: the register of components, by whole codes and by the first digits of many."""

from pathlib import Path

import pytest
from cloud_cases import matter
from hypothesis import given
from hypothesis import strategies as st

from cloud.dispatch.duty import Duty
from cloud.dispatch.people import Department
from cloud.dispatch.register import Register, RegisterError, read_register

OWNERS = {"1408020103": "市政公司", "1408020103000017": "供水公司", "14": "市里"}


@pytest.mark.parametrize(
    ("code", "owner"),
    [
        ("1408020103000017", "供水公司"),
        ("1408020103000018", "市政公司"),
        ("1408020104000018", "市里"),
        ("3205080101000001", ""),
        ("", ""),
    ],
)
def test_the_longest_code_that_fits_is_the_object_s(code: str, owner: str) -> None:
    assert Register(OWNERS).owner(code) == owner


@given(st.dictionaries(st.text("012", min_size=2, max_size=5), st.text("ab", min_size=1)), st.text("012", max_size=6))
def test_as_a_slow_look_at_every_entry_says(owners: dict[str, str], code: str) -> None:
    fitting = [known for known in owners if code.startswith(known)]
    assert Register(owners).owner(code) == (owners[max(fitting, key=len)] if fitting else "")


def test_a_register_is_read_whatever_else_it_has(tmp_path: Path) -> None:
    file = tmp_path / "register.csv"
    file.write_text("名称,component_code,owner\n雨水井盖, 1408020103000017 ,供水公司\n", "utf-8-sig")
    assert read_register(file).owner("1408020103000017") == "供水公司"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("code,owner\n1,a\n", [(1, "has no column component_code")]),
        ("component_code,owner\nx1,a\n12,\n", [(2, "component_code 'x1': want"), (3, "owner '': want")]),
        ("component_code,owner\n12,a\n12,b\n", [(3, "component_code 12 stands above already")]),
        ("component_code,owner\n12\n", [(2, "owner '': want")]),
    ],
)
def test_every_mistake_is_told_with_its_line(tmp_path: Path, text: str, told: list[tuple[int, str]]) -> None:
    file = tmp_path / "register.csv"
    file.write_text(text, "utf-8")
    with pytest.raises(RegisterError) as caught:
        read_register(file)
    assert [(line, what[: len(said)]) for (line, what), (_, said) in zip(caught.value.mistakes, told, strict=True)] == told


def test_a_file_that_is_no_text_is_a_mistake(tmp_path: Path) -> None:
    file = tmp_path / "register.csv"
    file.write_bytes(b"component_code,owner\n\xff\xfe,a\n")
    with pytest.raises(RegisterError):
        read_register(file)


def test_a_case_of_the_owner_s_object_goes_to_the_department_that_looks_after_it() -> None:
    ours = Department(name="供水养护队", owners=("供水公司",))
    duty = Duty(departments=[ours], register=Register(OWNERS))
    cover = matter("cover_displaced")
    assert duty.department(cover, district="", owner=duty.owner("1408020103000017")) == "供水养护队"
    assert duty.department(cover, district="", owner=duty.owner("1408020103000018")) == cover.department
