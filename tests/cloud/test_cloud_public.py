"""Public toilets: their file, their hours, their air, and what is known of their stalls - never more than was heard."""

import datetime as dt
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.clocks.calendar import WorkCalendar, chinese_rules
from cloud.config import load_config
from cloud.notify.config import Language
from cloud.public.air import Grade, grade_of
from cloud.public.config import SAMPLE, read_toilets
from cloud.public.find import Asked, find, read_asked
from cloud.public.form import FormError, read_form
from cloud.public.hours import opening
from cloud.public.now import Points, StallState, look_at
from cloud.public.toilet import Section, Toilet
from cloud.public.words import texts
from cloud.series.store import Point
from device_profiles.mistakes import ConfigError
from telemetry.clock import SECOND_NS
from telemetry.records import Quality

CALENDAR = WorkCalendar(chinese_rules())
NODE = "toilet-node-0001"


def at(text: str) -> int:
    """Nanoseconds of a local time in China."""
    return int(dt.datetime.fromisoformat(f"{text}+08:00").timestamp()) * SECOND_NS


NOON = at("2025-11-20T12:00")


def _sample(name: str = "xuanmiao") -> Toilet:
    return next(toilet for toilet in read_toilets(SAMPLE) if toilet.id == name)


def _points(*, now_ns: int = NOON, limit_s: float = 150.0, **values: Point) -> Points:
    return Points({NODE: values}, {NODE: limit_s}, now_ns)


def _first(**more: Point | float) -> StallState:
    return look_at(_sample(), _points(**more), CALENDAR, NOON).stalls[0].state


def test_the_sample_has_a_plan_with_each_stall_at_its_place() -> None:
    toilet = _sample()
    assert [(stall.name, stall.column, stall.row) for stall in toilet.stalls] == [
        ("1", 0, 0),
        ("2", 1, 0),
        ("3", 3, 0),
        ("4", 3, 1),
    ]
    assert (toilet.columns, toilet.rows) == (4, 2)
    assert toilet.devices == {NODE, "counter-0001"}


def test_without_a_plan_every_section_has_a_row(tmp_path: Path) -> None:
    path = tmp_path / "toilets.toml"
    path.write_text(SAMPLE.read_text("utf-8").replace('    "1 2 . 3",\n    ". . . 4",\n', ""), encoding="utf-8")
    stalls = read_toilets(path)[0].stalls
    assert [(stall.section, stall.column, stall.row) for stall in stalls] == [
        (Section.MEN, 0, 0), (Section.MEN, 1, 0), (Section.WOMEN, 0, 1), (Section.ACCESSIBLE, 0, 2),
    ]  # fmt: skip


WRONG = [
    pytest.param('id = "xuanmiao"', 'id = "assets"', "toilets[0].id", id="a name that an address of the pages has"),
    pytest.param("[120.6229, 31.3136]", "[31.3136, 120.6229]", "toilets[0].position", id="latitude first"),
    pytest.param('["00:00-24:00"]', '["08:00-25:00"]', "toilets[0].hours", id="an hour that no clock shows"),
    pytest.param('["00:00-24:00"]', '["08:00-12:00", "11:00-13:00"]', "toilets[0].hours", id="hours that overlap"),
    pytest.param('"1 2 . 3"', '"1 2 1 3"', "toilets[0].plan", id="a stall in two places"),
    pytest.param('"1 2 . 3"', '"1 2 9 3"', "toilets[0].plan", id="a word that is no stall"),
    pytest.param('"1 2 . 3"', '"1 . . 3"', "toilets[0].stalls[1].name", id="a stall that is nowhere"),
    pytest.param('section = "women"', 'section = "ladies"', "toilets[0].stalls[2].section", id="a section that nobody knows"),
    pytest.param('id = "pingjiang"', 'id = "xuanmiao"', "toilets[1].id", id="two of one id"),
    pytest.param("wheelchair = true", "wheel_chair = true", "toilets[0].wheel_chair", id="a key that is none"),
]


@pytest.mark.parametrize(("right", "wrong", "where"), WRONG)
def test_a_mistake_in_the_file_is_told_with_its_place(tmp_path: Path, right: str, wrong: str, where: str) -> None:
    path = tmp_path / "toilets.toml"
    text = SAMPLE.read_text("utf-8")
    assert right in text
    path.write_text(text.replace(right, wrong, 1), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_toilets(path)
    assert [mistake.where for mistake in caught.value.mistakes] == [where]


def test_the_clouds_configuration_names_the_file_and_tells_its_mistakes(tmp_path: Path) -> None:
    config = tmp_path / "cloud.toml"
    config.write_text('data_dir = "d"\nbroker = "mqtt://127.0.0.1:1883"\n[public]\ntoilets = "t.toml"\n', encoding="utf-8")
    (tmp_path / "t.toml").write_text(SAMPLE.read_text("utf-8"), encoding="utf-8")
    found = load_config(config).public
    assert found is not None
    assert [toilet.id for toilet in found.toilets] == ["xuanmiao", "pingjiang"]
    (tmp_path / "t.toml").write_text("[[toilets]]\nid = 'x'\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(config)
    assert {mistake.where for mistake in caught.value.mistakes} == {"public.toilets"}
    config.write_text('data_dir = "d"\nbroker = "mqtt://127.0.0.1:1883"\n', encoding="utf-8")
    assert load_config(config).public is None


HOURS = [
    pytest.param("2025-11-20T05:29", False, "", id="a minute before it opens"),
    pytest.param("2025-11-20T05:30", True, "22:30", id="when it opens"),
    pytest.param("2025-11-20T22:30", False, "", id="when it closes"),
    pytest.param("2025-11-22T23:00", True, "", id="late on a Saturday"),
    pytest.param("2025-10-01T23:00", True, "", id="late on a holiday"),
    pytest.param("2025-09-28T23:00", False, "", id="late on a Sunday that is worked for a holiday"),
]


@pytest.mark.parametrize(("when", "is_open", "until"), HOURS)
def test_it_is_open_by_the_citys_clock_and_calendar(when: str, is_open: bool, until: str) -> None:
    found = opening(_sample("pingjiang"), CALENDAR, at(when))
    assert (found.is_open, found.until) == (is_open, until)


AIR = [
    pytest.param({}, Grade.UNKNOWN, id="nothing is measured"),
    pytest.param({"nh3_ppm": 0.4}, Grade.GOOD, id="0.28 mg/m3 of ammonia"),
    pytest.param({"nh3_ppm": 0.5}, Grade.FAIR, id="0.35 mg/m3 of ammonia"),
    pytest.param({"nh3_ppm": 2.0}, Grade.POOR, id="1.4 mg/m3 of ammonia"),
    pytest.param({"nh3_ppm": 4.5}, Grade.BAD, id="3.1 mg/m3 of ammonia"),
    pytest.param({"nh3_ppm": 0.1, "h2s_ppm": 0.1}, Grade.POOR, id="the worse of the two counts"),
]


@pytest.mark.parametrize(("gases", "grade"), AIR)
def test_the_air_is_called_by_its_worst_gas(gases: dict[str, float], grade: Grade) -> None:
    assert grade_of(gases.items()) is grade


def test_a_stall_is_free_or_taken_while_its_device_is_heard() -> None:
    heard = NOON - 149 * SECOND_NS
    assert _first(cubicle_1_occupied=Point(heard, value=False)) is StallState.FREE
    assert _first(cubicle_1_occupied=Point(heard, value=True)) is StallState.TAKEN


NOT_KNOWN = [
    pytest.param({}, id="never heard"),
    pytest.param({"cubicle_1_occupied": Point(NOON - 150 * SECOND_NS, value=False)}, id="silent for longer than it may be"),
    pytest.param({"cubicle_1_occupied": Point(NOON, value=None)}, id="without a value"),
    pytest.param({"cubicle_1_occupied": Point(NOON, value=False, quality=Quality.BAD)}, id="of bad quality"),
    pytest.param({"cubicle_1_occupied": Point(NOON, value=False, quality=Quality.UNCERTAIN)}, id="of uncertain quality"),
    pytest.param({"cubicle_1_occupied": Point(NOON + 301 * SECOND_NS, value=False)}, id="from a clock that runs ahead"),
    pytest.param({"cubicle_1_occupied": Point(NOON, value=0.0)}, id="a number where yes or no is wanted"),
    pytest.param(
        {"cubicle_1_occupied": Point(NOON, value=False), "device_online": Point(NOON, value=False)},
        id="its sensor is gone",
    ),
]


@pytest.mark.parametrize("values", NOT_KNOWN)
def test_a_stall_is_never_free_where_nobody_knows(values: dict[str, Point]) -> None:
    assert _first(**values) is StallState.UNKNOWN


@given(
    age_s=st.integers(-1000, 100_000),
    limit_s=st.floats(1, 50_000),
    quality=st.sampled_from(Quality),
    value=st.sampled_from([True, False, None]),
)
def test_what_is_shown_free_was_said_in_time_and_for_good(
    age_s: int, limit_s: float, quality: Quality, value: bool | None
) -> None:
    point = Point(NOON - age_s * SECOND_NS, value=value, quality=quality)
    state = look_at(_sample(), _points(limit_s=limit_s, cubicle_1_occupied=point), CALENDAR, NOON).stalls[0].state
    if state is not StallState.UNKNOWN:
        assert quality is Quality.GOOD
        assert -300 <= age_s < limit_s
        assert value is (state is StallState.TAKEN)


def test_counts_are_by_section_and_leave_out_what_nobody_knows() -> None:
    values = {f"cubicle_{n}_occupied": Point(NOON, value=n == 2) for n in (1, 2, 4)}
    now = look_at(_sample(), _points(**values), CALENDAR, NOON)
    assert [(each.section, each.free, each.taken, each.unknown) for each in now.sections] == [
        (Section.MEN, 1, 1, 0), (Section.WOMEN, 0, 0, 1), (Section.ACCESSIBLE, 1, 0, 0),
    ]  # fmt: skip
    assert (now.free, now.unknown) == (2, 1)


def test_visitors_of_yesterday_are_not_those_of_today() -> None:
    midnight = at("2025-11-20T00:00")
    points = Points({"counter-0001": {"people_today": Point(midnight - SECOND_NS, 512)}}, {"counter-0001": 900.0}, midnight)
    assert look_at(_sample(), points, CALENDAR, midnight).visitors_today is None
    before = Points({"counter-0001": {"people_today": Point(midnight - SECOND_NS, 512)}}, {"counter-0001": 900.0}, midnight - 1)
    shown = look_at(_sample(), before, CALENDAR, midnight - 1).visitors_today
    assert shown is not None
    assert shown.number == 512


def test_the_nearest_open_one_stands_first() -> None:
    far, near = _sample(), _sample("pingjiang")
    night = at("2025-11-20T23:30")
    nows = [look_at(toilet, Points({}, {}, night), CALENDAR, night) for toilet in (near, far)]
    found = find(nows, Asked(near=(120.6326, 31.3166)))
    assert [each.now.toilet.id for each in found] == ["xuanmiao", "pingjiang"]
    metres = found[0].distance_m
    assert metres is not None
    assert 900 < metres < 1100
    assert found[0].minutes == 17  # 1,274 m of streets at 75 m a minute
    noon = [look_at(toilet, Points({}, {}, NOON), CALENDAR, NOON) for toilet in (far, near)]
    assert [each.now.toilet.id for each in find(noon, Asked(near=(120.6326, 31.3166)))] == ["pingjiang", "xuanmiao"]
    assert [each.now.toilet.id for each in find(nows, Asked(open_only=True))] == ["xuanmiao"]
    assert [each.now.toilet.id for each in find(noon, Asked(wheelchair=True))] == ["xuanmiao"]


@pytest.mark.parametrize("near", ["here", "181,0", "0,91", "1", "nan,nan", "1,2,3", "\ud800", "1e3,2"])
def test_a_place_that_is_none_is_told(near: str) -> None:
    asked = read_asked({"near": near})
    assert asked.near is None
    assert asked.is_wrong


def test_both_languages_have_every_sentence() -> None:
    assert texts(Language.ZH).keys() == texts(Language.EN).keys()


_PNG = b"\x89PNG\r\n\x1a\n\r\n--not-the-end\r\n" + bytes(range(256))


def _multipart(*parts: tuple[str, bytes]) -> bytes:
    return b"".join(b"--xx\r\n" + head.encode() + b"\r\n\r\n" + body + b"\r\n" for head, body in parts) + b"--xx--\r\n"


def test_a_form_with_a_photo_is_read_byte_by_byte() -> None:
    body = _multipart(
        ('Content-Disposition: form-data; name="text"', "坏了\r\n".encode()),
        ('Content-Disposition: form-data; name="photo"; filename="图.png"\r\nContent-Type: image/png', _PNG),
        ('Content-Disposition: form-data; name="other"; filename=""\r\nContent-Type: application/octet-stream', b""),
    )
    form = read_form("multipart/form-data; boundary=xx", body)
    assert form.fields == {"text": "坏了\r\n"}
    assert form.files == {"photo": _PNG}
    plain = read_form("application/x-www-form-urlencoded", b"text=%E5%9D%8F&matter=a")
    assert plain.fields == {"text": "坏", "matter": "a"}


@given(
    kind=st.sampled_from(
        ["multipart/form-data; boundary=xx", "multipart/form-data", "text/plain", "application/x-www-form-urlencoded", "\n"]
    ),
    body=st.binary(max_size=200),
)
def test_what_is_no_form_is_refused_and_nothing_else_happens(kind: str, body: bytes) -> None:
    for sent in (body, b"--xx\r\n" + body + b"\r\n--xx--"):
        try:
            form = read_form(kind, sent)
        except FormError:
            continue
        assert all(isinstance(value, str) for value in form.fields.values())
