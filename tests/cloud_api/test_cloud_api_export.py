"""A case that is handed out can be told from one that was altered, by our own command and without anything of ours."""

import base64
import hashlib
import json
import re
import stat
from pathlib import Path
from typing import Any

import pytest
from cloud_api_world import ALARM, NOW, World
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from citynerve.commands.cloud import app as command
from cloud.dossier.canonical import canonical
from cloud.dossier.signing import KeyFault, Signer, Verdict, check
from cloud.evidence import EvidenceFolder
from cloud.relational.engine import writing
from cloud.relational.tables import case_steps, cases

RUN = CliRunner()
PHOTO = b"\xff\xd8\xff\xe0 a photo of a cover"
NASTY = "<script>alert(1)</script>\n\"' & 井盖"


async def exported(city: World) -> bytes:
    async with city.session.get("/api/cases/7/export?format=json") as response:
        assert response.status == 200, await response.text()
        assert response.headers["Content-Disposition"] == 'attachment; filename="case-7.json"'
        return await response.read()


class TestExport:
    pytestmark = pytest.mark.asyncio

    async def test_the_document_holds_all_that_belongs_to_the_case(self, city: World) -> None:
        bundle = json.loads(await exported(city))["bundle"]
        assert set(bundle) == {
            "format", "as_of", "case", "steps", "clocks", "alarms", "evidence", "notifications", "photos",
        }  # fmt: skip
        assert (bundle["format"], bundle["as_of"], bundle["case"]["id"]) == ("citynerve.case/1", NOW, 7)
        assert [step["step"] for step in bundle["steps"]] == ["report"]
        (alarm,) = bundle["alarms"]
        assert (alarm["id"], [step["cause"] for step in alarm["transitions"]]) == (ALARM, ["raise"])
        assert (bundle["evidence"][0]["alarm"], bundle["evidence"][0]["profile_version"]) == (ALARM, 1)
        assert [notice["channel"] for notice in bundle["notifications"]] == ["hook"]
        assert "age_s" not in bundle["case"]

    async def test_it_is_verified_without_anything_of_ours(self, city: World) -> None:
        document = json.loads(await exported(city))
        key = await city.get("/api/export-key")
        public = load_pem_public_key(key["pem"].encode())
        assert isinstance(public, Ed25519PublicKey)
        signed = json.dumps(document["bundle"], sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        public.verify(base64.b64decode(document["signature"]["value"]), signed)
        assert hashlib.sha256(public.public_bytes_raw()).hexdigest() == key["fingerprint"] == document["signature"]["fingerprint"]
        with pytest.raises(InvalidSignature):
            public.verify(base64.b64decode(document["signature"]["value"]), signed.replace(b"critical", b"low     "))

    async def test_a_photo_stands_with_its_hash_and_whether_its_bytes_still_have_it(self, city: World, tmp_path: Path) -> None:
        folder = EvidenceFolder(tmp_path / "photos")
        object.__setattr__(city.services, "evidence", folder)
        number = hashlib.sha256(PHOTO).hexdigest()
        async with city.session.post("/api/evidence?actor=li.wei", data=PHOTO, headers={"Content-Type": "image/jpeg"}) as sent:
            assert (await sent.json())["id"] == number
        async with writing(city.services.engine) as conn:
            await conn.execute(case_steps.update().values(photos=[number]))
        (photo,) = json.loads(await exported(city))["bundle"]["photos"]
        assert (photo["sha256"], photo["size"], photo["uploaded_by"], photo["intact"]) == (number, len(PHOTO), "li.wei", True)
        (tmp_path / "photos" / number).write_bytes(PHOTO + b"!")
        (photo,) = json.loads(await exported(city))["bundle"]["photos"]
        assert (photo["sha256"], photo["intact"]) == (number, False)

    async def test_the_key_is_made_once_and_for_its_owner_alone(self, city: World, tmp_path: Path) -> None:
        first = await city.get("/api/export-key")
        assert (await city.get("/api/export-key")) == first
        assert stat.S_IMODE((tmp_path / "export-key.pem").stat().st_mode) == 0o600

    async def test_where_the_key_cannot_be_used_nothing_is_handed_out(self, city: World, tmp_path: Path) -> None:
        (tmp_path / "export-key.pem").write_text("no key")
        assert (await city.get("/api/cases/7/export", status=503))["reason"] == "store_unavailable"
        assert (await city.get("/api/export-key", status=503))["reason"] == "store_unavailable"

    @pytest.mark.parametrize(("path", "status"), [("/api/cases/8/export", 404), ("/api/cases/7/export?format=pdf", 422)])
    async def test_what_cannot_be_exported_is_a_problem(self, city: World, path: str, status: int) -> None:
        await city.get(path, status=status)

    async def test_the_command_tells_a_genuine_file_from_an_altered_one(self, city: World, tmp_path: Path) -> None:
        file = tmp_path / "case.json"
        file.write_bytes(await exported(city))
        mark = (await city.get("/api/export-key"))["fingerprint"]
        told = RUN.invoke(command, ["verify", str(file), "--fingerprint", mark])
        assert (told.exit_code, mark in told.stdout) == (0, True)
        told = RUN.invoke(command, ["verify", str(file), "--fingerprint", "00" * 32])
        assert told.exit_code == 1
        file.write_bytes(file.read_bytes().replace(b'"critical"', b'"low"'))
        told = RUN.invoke(command, ["verify", str(file)])
        assert told.exit_code == 1
        assert "altered" in told.output
        assert RUN.invoke(command, ["verify", str(tmp_path / "none.json")]).exit_code == 1


class TestSheet:
    pytestmark = pytest.mark.asyncio

    @pytest.mark.parametrize(("lang", "words"), [("zh", ("案件处置单", "签名密钥指纹")), ("en", ("Case sheet", "Fingerprint"))])
    async def test_the_sheet_says_the_case_in_one_language_without_any_script(
        self, city: World, lang: str, words: tuple[str, str]
    ) -> None:
        async with writing(city.services.engine) as conn:
            await conn.execute(cases.update().values(description=NASTY))
        async with city.session.get(f"/cases/7/sheet?lang={lang}") as response:
            text = await response.text()
            assert (response.status, response.content_type) == (200, "text/html")
            assert "default-src 'self'" in response.headers["Content-Security-Policy"]
        mark = (await city.get("/api/export-key"))["fingerprint"]
        assert all(word in text for word in (*words, mark, "2025-11-20 22:00:00 +0800"))
        assert "&lt;script&gt;" in text
        assert not re.search(r"<script|<style|\sstyle=|\son\w+=|https?://", text)
        async with city.session.get("/sheet.css") as style:
            assert (style.status, style.content_type) == (200, "text/css")

    @pytest.mark.parametrize(("path", "status"), [("/cases/8/sheet", 404), ("/cases/7/sheet?lang=fr", 422)])
    async def test_what_cannot_be_printed_is_a_problem(self, city: World, path: str, status: int) -> None:
        await city.get(path, status=status)


class TestCanonical:
    # RFC 8785: the numbers of its appendix B and the keys of its clause 3.2.3.
    @pytest.mark.parametrize(
        ("number", "text"),
        [
            (0.0, "0"), (-0.0, "0"), (5e-324, "5e-324"), (-1.7976931348623157e308, "-1.7976931348623157e+308"),
            (9007199254740992.0, "9007199254740992"), (295147905179352830000.0, "295147905179352830000"),
            (9.999999999999997e22, "9.999999999999997e+22"), (1e23, "1e+23"), (999999999999999700000.0, "999999999999999700000"),
            (1e21, "1e+21"), (0.000001, "0.000001"), (9.999999999999997e-7, "9.999999999999997e-7"),
            (333333333.3333332, "333333333.3333332"), (4.5, "4.5"), (-0.0000033333333333333333, "-0.0000033333333333333333"),
        ],
    )  # fmt: skip
    def test_numbers_are_written_as_the_standard_has_them(self, number: float, text: str) -> None:
        assert canonical(number).decode() == text

    def test_keys_stand_in_the_order_of_their_utf_16(self) -> None:
        keys = {"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\u0080": 6, "\u00f6": 7}
        assert list(json.loads(canonical(keys)).values()) == [2, 4, 6, 7, 1, 5, 3]

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**53, b"x", {"\ud800": 1}])
    def test_what_has_no_form_is_refused(self, value: Any) -> None:
        with pytest.raises(ValueError, match=r".+"):
            canonical(value)

    @settings(max_examples=60)
    @given(st.floats(allow_nan=False, allow_infinity=False))
    def test_a_number_means_what_it_meant(self, number: float) -> None:
        assert float(canonical(number)) == number


class TestSigner:
    def test_any_change_of_any_byte_that_matters_is_found(self, tmp_path: Path) -> None:
        signer = Signer(tmp_path / "key.pem")
        document = canonical(signer.sign({"case": {"id": 7}, "as_of": NOW, "steps": ["报修", 1.5, None, True]}))
        assert check(document).verdict is Verdict.GENUINE
        start = document.index(b'{"bundle"') + 10
        for place in range(start, document.index(b',"signature"')):
            altered = bytearray(document)
            altered[place] ^= 1
            assert check(bytes(altered)).verdict in {Verdict.ALTERED, Verdict.UNREADABLE}, place

    def test_blanks_and_order_are_no_change(self, tmp_path: Path) -> None:
        document = Signer(tmp_path / "key.pem").sign({"case": {"id": 7}, "as_of": NOW})
        assert check(json.dumps(document, indent=2).encode()).verdict is Verdict.GENUINE

    def test_a_file_signed_anew_by_somebody_else_has_another_fingerprint(self, tmp_path: Path) -> None:
        ours, theirs = Signer(tmp_path / "a.pem"), Signer(tmp_path / "b.pem")
        document = canonical(theirs.sign({"case": {"id": 7}, "as_of": NOW}))
        mark = hashlib.sha256(ours.public_key()).hexdigest()
        assert check(document).verdict is Verdict.GENUINE
        assert check(document, mark).verdict is Verdict.OTHER_KEY

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"bundle": 1, "signature": 2}', "\udcff", "[" * 100_000])
    def test_what_is_no_export_is_unreadable(self, text: str) -> None:
        assert check(text.encode("utf-8", "surrogateescape")).verdict is Verdict.UNREADABLE

    def test_two_that_make_the_key_at_once_have_the_same(self, tmp_path: Path) -> None:
        first, second = Signer(tmp_path / "key.pem"), Signer(tmp_path / "key.pem")
        assert first.public_key() == second.public_key()
        assert [path.name for path in tmp_path.iterdir()] == ["key.pem"]

    def test_a_file_that_holds_no_key_is_not_written_over(self, tmp_path: Path) -> None:
        (tmp_path / "key.pem").write_text("mine")
        with pytest.raises(KeyFault, match="no private key"):
            Signer(tmp_path / "key.pem").public_key()
        assert (tmp_path / "key.pem").read_text() == "mine"
