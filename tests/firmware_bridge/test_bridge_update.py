"""Signed packages, standings, the session's table as a graph, and the session's bounds."""

import contextlib
import struct

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.errors import ParseError
from firmware_bridge.update.manifest import Manifest, digest_of, pack_manifest, parse_manifest
from firmware_bridge.update.package import Package, check_header, open_package, read_private_key, read_public_key, sign_package
from firmware_bridge.update.prompt import find_standing, standing_line
from firmware_bridge.update.records import bytes_of, chunk_at, pieces, words_of
from firmware_bridge.update.session import Limits, Session
from firmware_bridge.update.standing import Own, Phase, Refusal, Standing, judge, pack_standing, parse_standing
from firmware_bridge.update.table import ENDS, TABLE, Action, Event, State, diagram, event_of
from telemetry.reason import Reason

# RFC 8032, section 7.1, TEST 1: the secret key whose public key and signatures the RFC prints.
SECRET = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
PUBLIC = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
KEY = Ed25519PrivateKey.from_private_bytes(SECRET)
IMAGE = bytes(range(256)) * 4


def manifest(**changes: object) -> Manifest:
    whole: dict[str, object] = {
        "model": "lamp_loop",
        "hardware": "B",
        "release": "2.4.1",
        "version": 7,
        "size": len(IMAGE),
        "sha256": digest_of(IMAGE),
        "chunk_bytes": 240,
    }
    return Manifest(**whole | changes)  # type: ignore[arg-type]


PACKAGE = sign_package(manifest(), IMAGE, KEY)


def test_a_header_is_laid_out_as_the_page_says() -> None:
    # Written down field by field with struct, apart from the codec; the digest of bytes 00 to FF four times by sha256sum.
    digest = bytes.fromhex("785b0751fc2c53dc14a4ce3d800e69ef9ce1009eb327ccf458afe09c242c26c9")
    want = b"CNFW" + struct.pack(">HHII", 1, 240, 7, 1024) + digest
    want += b"lamp_loop".ljust(32, b"\0") + b"B".ljust(16, b"\0") + b"2.4.1".ljust(16, b"\0")
    assert pack_manifest(manifest()) == want
    assert len(want) == 112
    assert PACKAGE.header[:112] == want
    assert len(PACKAGE.header) == 176


def test_signatures_are_those_of_the_standard() -> None:
    assert KEY.public_key().public_bytes_raw() == PUBLIC
    empty = bytes.fromhex(
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )
    assert KEY.sign(b"") == empty


def test_a_package_reads_back() -> None:
    again = open_package(PACKAGE.whole, KEY.public_key())
    assert again == PACKAGE
    assert again.manifest == manifest()
    assert b"".join(again.chunk(number) for number in range(again.manifest.chunks)) == IMAGE


def test_every_flipped_bit_of_a_package_is_refused() -> None:
    whole = PACKAGE.whole
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << at % 8
        with pytest.raises(ParseError):
            open_package(bytes(damaged), KEY.public_key())


@given(st.integers(0, len(PACKAGE.whole) - 1), st.binary(min_size=1, max_size=20))
def test_a_cut_package_and_one_with_a_tail_are_refused(cut: int, tail: bytes) -> None:
    for other in (PACKAGE.whole[:cut], PACKAGE.whole + tail):
        with pytest.raises(ParseError):
            open_package(other, KEY.public_key())


@given(st.binary(max_size=400))
def test_noise_is_refused_and_nothing_else_happens(data: bytes) -> None:
    for read in (lambda: open_package(data, KEY.public_key()), lambda: parse_manifest(data), lambda: parse_standing(data)):
        with contextlib.suppress(ParseError):
            read()
    assert find_standing(data) is None


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"model": ""}, id="no model"),
        pytest.param({"model": "x" * 33}, id="a model too long"),
        pytest.param({"release": "2.4.1\n"}, id="a release with a line end"),
        pytest.param({"hardware": "板"}, id="hardware beyond ASCII"),
        pytest.param({"version": 0}, id="version 0"),
        pytest.param({"version": 2**32}, id="a version beyond 32 bits"),
        pytest.param({"chunk_bytes": 241}, id="an odd chunk"),
        pytest.param({"chunk_bytes": 8}, id="a tiny chunk"),
        pytest.param({"size": 0}, id="no image"),
        pytest.param({"sha256": b"1234"}, id="half a digest"),
    ],
)
def test_a_manifest_that_cannot_be_is_not_packed(changes: dict[str, object]) -> None:
    with pytest.raises(ParseError) as refused:
        pack_manifest(manifest(**changes))
    assert refused.value.reason is Reason.BAD_FIELD


def test_an_image_that_is_not_the_manifests_is_not_signed() -> None:
    with pytest.raises(ParseError, match="SHA-256"):
        sign_package(manifest(), IMAGE[::-1], KEY)


def test_a_header_of_another_key_is_told_apart_from_no_header() -> None:
    stranger = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()
    with pytest.raises(ParseError) as refused:
        check_header(PACKAGE.header, stranger)
    assert refused.value.reason is Reason.NOT_AUTHENTICATED
    with pytest.raises(ParseError) as refused:
        check_header(b"MZ" + PACKAGE.header[2:], stranger)
    assert refused.value.reason is Reason.BAD_START


@pytest.mark.parametrize("pem", [b"", b"-----BEGIN PRIVATE KEY-----\nsecretsecret\n-----END PRIVATE KEY-----\n"])
def test_a_file_that_is_no_key_is_refused_without_being_quoted(pem: bytes) -> None:
    for read in (read_private_key, read_public_key):
        with pytest.raises(ParseError) as refused:
            read(pem)
        assert "secret" not in str(refused.value)
        assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    ("own", "refusal"),
    [
        pytest.param({}, Refusal.NONE, id="made for it"),
        pytest.param({"model": "cover"}, Refusal.WRONG_MODEL, id="another model"),
        pytest.param({"hardware": "C"}, Refusal.WRONG_HARDWARE, id="other hardware"),
        pytest.param({"version": 7}, Refusal.NOT_NEWER, id="the same version"),
        pytest.param({"version": 8}, Refusal.NOT_NEWER, id="an older version"),
        pytest.param({"room_bytes": 1023}, Refusal.TOO_LARGE, id="no room"),
    ],
)
def test_a_device_judges_what_it_is_offered(own: dict[str, object], refusal: Refusal) -> None:
    whole: dict[str, object] = {"model": "lamp_loop", "hardware": "B", "version": 6, "room_bytes": 1024}
    assert judge(manifest(), Own(**whole | own)) is refusal  # type: ignore[arg-type]


def test_every_refusal_has_its_reason_and_its_words() -> None:
    assert all(refusal.reason in Reason and refusal.words for refusal in Refusal)


STANDINGS = st.builds(
    Standing,
    phase=st.sampled_from(Phase),
    running=st.integers(0, 2**32 - 1),
    offered=st.integers(0, 2**32 - 1),
    next_chunk=st.integers(0, 2**32 - 1),
    refusal=st.sampled_from(Refusal),
    digest=st.binary(min_size=4, max_size=4),
)


@given(STANDINGS, st.binary(max_size=60), st.binary(max_size=60))
def test_a_standing_reads_back_from_records_and_from_a_noisy_line(standing: Standing, before: bytes, after: bytes) -> None:
    assert parse_standing(pack_standing(standing)) == standing
    line = standing_line(standing)
    assert find_standing(before + line + after) == standing
    assert b"C" not in line
    assert len(line) < 80


def test_a_standing_lies_in_its_records_as_the_page_says() -> None:
    standing = Standing(phase=Phase.RECEIVING, running=6, offered=7, next_chunk=259, digest=bytes.fromhex("785b0751"))
    assert pack_standing(standing).hex(" ", 2) == "0001 0000 0000 0006 0000 0007 0000 0103 785b 0751"


@given(STANDINGS, st.integers(0, 60), st.integers(1, 255))
def test_a_changed_byte_makes_a_line_nobodys(standing: Standing, at: int, flip: int) -> None:
    line = bytearray(standing_line(standing).rstrip())
    line[at % len(line)] ^= flip
    assert find_standing(bytes(line)) is None


@given(st.integers(8, 2048).map(lambda half: 2 * half), st.integers(1, 40_000))
def test_chunks_lie_in_files_without_meeting(chunk_bytes: int, size: int) -> None:
    image = bytes(at % 251 for at in range(size))
    shape = manifest(size=size, sha256=digest_of(image), chunk_bytes=chunk_bytes)
    package = Package(header=b"", manifest=shape, image=image)
    memory: dict[tuple[int, int], int] = {}
    read = bytearray()
    for number in range(shape.chunks):
        for piece in pieces(shape, number, package.chunk(number)):
            assert piece.record + len(piece.words) <= 10_000
            assert 0 < len(piece.words) <= 122
            assert chunk_at(shape, piece.file, piece.record) == (number, len(read) - number * chunk_bytes)
            for at, word in enumerate(piece.words):
                assert memory.setdefault((piece.file, piece.record + at), word) is word
            read += bytes_of(piece.words)
    assert bytes(read[:size]) == image
    assert len(read) - size == size % 2


def test_words_are_high_byte_first() -> None:
    assert words_of(b"\x01\x02\x03") == (0x0102, 0x0300)


ANSWERS = frozenset(Event) - {Event.WELL, Event.UNWELL, Event.SILENT, Event.TIRED, Event.CANCEL}
WORKING = frozenset(State) - ENDS


def test_every_state_knows_what_to_do_with_everything_it_can_hear() -> None:
    for state in WORKING:
        heard = {event for was, event in TABLE if was is state}
        own = {Event.WELL, Event.UNWELL} if state is State.PROVING else ANSWERS
        assert heard == own | {Event.SILENT, Event.TIRED, Event.CANCEL}, state


def test_an_end_is_an_end() -> None:
    assert not [pair for pair in TABLE if pair[0] in ENDS]
    assert all((following in ENDS) == (action is Action.STOP) for following, action in TABLE.values())


def _reached(start: State) -> set[State]:
    seen, todo = {start}, [start]
    while todo:
        here = todo.pop()
        more = {following for (state, _), (following, _) in TABLE.items() if state is here} - seen
        seen |= more
        todo += more
    return seen


def test_every_state_is_reached_and_every_state_leads_to_every_end_it_may_have() -> None:
    assert _reached(State.ASKING) == set(State)
    for state in WORKING:
        assert {State.DONE, State.ROLLED_BACK, State.GAVE_UP} <= _reached(state)


def test_nothing_is_started_that_was_not_verified_and_nothing_confirmed_that_was_not_tried() -> None:
    for (_, event), (_, action) in TABLE.items():
        if action is Action.START:
            assert event is Event.IS_VERIFIED
        if action is Action.CONFIRM:
            assert event in {Event.WELL, Event.ON_TRIAL}
        if action is Action.VERIFY:
            assert event is Event.HAS_ALL
    assert [state for (state, event), (_, action) in TABLE.items() if event is Event.ON_TRIAL and action is Action.CONFIRM] == [
        State.CONFIRMING
    ]


def test_the_drawing_shows_every_state() -> None:
    assert all(str(state) in diagram() for state in State)


@given(STANDINGS)
def test_any_standing_means_something_to_a_session(standing: Standing) -> None:
    assert event_of(standing, manifest()) in ANSWERS


@given(st.lists(st.one_of(STANDINGS, st.none(), st.booleans()), min_size=1), st.integers(0, 3), st.integers(0, 3))
def test_a_session_always_ends(heard: list[Standing | bool | None], tries: int, setbacks: int) -> None:
    session = Session(PACKAGE, Limits(tries=tries, setbacks=setbacks))
    for step in range(20_000):
        if session.ending is not None:
            break
        said = heard[step % len(heard)]
        if session.action is Action.PROVE:
            session.proved(well=said is True)
        elif isinstance(said, Standing):
            session.heard(said)
        else:
            session.silent(Reason.TIMEOUT, "silent")
    assert session.ending is not None
    assert (session.ending.reason is None) == (session.ending.state is State.DONE)


def test_a_device_that_loses_what_it_had_is_given_up_with_its_reason() -> None:
    session = Session(PACKAGE, Limits(setbacks=2))
    digest = PACKAGE.manifest.sha256[:4]
    for round_ in range(4):
        for chunk in (0, 1, 2):
            assert session.ending is None or round_ == 3
            if session.ending is None:
                session.heard(Standing(phase=Phase.RECEIVING, running=6, offered=7, next_chunk=chunk, digest=digest))
    assert session.ending is not None
    assert (session.ending.state, session.ending.reason) == (State.GAVE_UP, Reason.DEVICE_EXCEPTION)
    assert "lost what it had" in session.ending.detail
