"""What the cloud's HTTP server gives for the console: the real routes over a bundle on disk."""

import gzip
import re
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI

from cloud.console.serve import PAGES, mount_console

Ask = Callable[..., tuple[HTTPResponse, bytes]]


def make_bundle(folder: Path) -> Path:
    """The least that a build leaves."""
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>the page</title>")
    (folder / "favicon.svg").write_text("<svg/>")
    (folder / "licenses.txt").write_text("svelte")
    (folder / "secret.txt").write_text("not part of the page")
    (folder / "assets" / "index-abc123.js").write_text("export {}")
    (folder / "assets" / "index-abc123.js.gz").write_bytes(gzip.compress(b"export {}"))
    (folder / "assets" / "index-abc123.css").write_text("body{}")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the bundle is, or will be."""
    return tmp_path / "dist"


@pytest.fixture
def ask(folder: Path) -> Iterator[Ask]:
    """Sends one GET exactly as written, dots and all, to an application with only the console in it."""
    app = FastAPI()
    mount_console(app, folder)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]

    def get(path: str, method: str = "GET", **headers: str) -> tuple[HTTPResponse, bytes]:
        line = HTTPConnection("127.0.0.1", port, timeout=5)
        line.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = line.getresponse()
        body = answer.read()
        line.close()
        return answer, body

    yield get
    server.should_exit = True
    thread.join(10)


@pytest.mark.parametrize("path", [page.replace("{id}", "cover-17") for page in PAGES])
def test_every_page_route_gives_the_page_and_asks_again_next_time(ask: Ask, folder: Path, path: str) -> None:
    make_bundle(folder)
    answer, body = ask(path)
    assert (answer.status, body) == (200, b"<!doctype html><title>the page</title>")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    ("name", "kind"), [("index-abc123.js", "text/javascript; charset=utf-8"), ("index-abc123.css", "text/css; charset=utf-8")]
)
def test_a_hashed_asset_is_kept_for_ever_and_has_its_right_type(ask: Ask, folder: Path, name: str, kind: str) -> None:
    make_bundle(folder)
    answer, _ = ask(f"/assets/{name}")
    assert answer.status == 200
    assert answer.headers["content-type"] == kind
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"


def test_who_takes_gzip_gets_the_packed_file_and_who_does_not_gets_the_same_content(ask: Ask, folder: Path) -> None:
    make_bundle(folder)
    packed, body = ask("/assets/index-abc123.js", Accept_Encoding="gzip, br")
    plain, same = ask("/assets/index-abc123.js", Accept_Encoding="identity")
    assert packed.headers["content-encoding"] == "gzip"
    assert plain.headers["content-encoding"] is None
    assert gzip.decompress(body) == same
    assert packed.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"
    assert packed.headers["content-type"] == plain.headers["content-type"] == "text/javascript; charset=utf-8"


def test_a_head_request_gives_the_headers_only(ask: Ask, folder: Path) -> None:
    make_bundle(folder)
    answer, body = ask("/", method="HEAD")
    assert (answer.status, body) == (200, b"")


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/assets/../index.html", id="a step up by dots"),
        pytest.param("/assets/..%2fsecret.txt", id="a step up by an encoded slash"),
        pytest.param("/assets/%2e%2e", id="only dots"),
        pytest.param("/assets/index-000000.js", id="an asset of another build"),
        pytest.param("/assets/.hidden.js", id="a hidden file"),
        pytest.param("/secret.txt", id="a file of the folder that is not the page's"),
        pytest.param("/nowhere", id="a route that the page does not have"),
        pytest.param("/devices/a/b", id="a device page with a slash too many"),
        pytest.param("/api/nothing", id="an API route that is not there"),
    ],
)
def test_everything_else_is_not_there(ask: Ask, folder: Path, path: str) -> None:
    make_bundle(folder)
    answer, body = ask(path)
    assert answer.status == 404
    assert b"the page" not in body
    assert b"not part" not in body


def test_a_missing_bundle_says_make_console_and_works_once_it_is_built(ask: Ask, folder: Path) -> None:
    answer, body = ask("/")
    assert answer.status == 503
    assert "make console" in body.decode()
    assert "控制台尚未构建" in body.decode()
    assert answer.headers["cache-control"] == "no-store"
    make_bundle(folder)
    assert ask("/")[0].status == 200


def test_the_page_and_the_server_know_the_same_addresses() -> None:
    places = (Path(__file__).resolve().parents[2] / "console" / "src" / "lib" / "places.ts").read_text(encoding="utf-8")
    known = re.findall(r"page: '\w+', path: '([^']+)'", places)
    assert [re.sub(r":(\w+)", r"{\1}", path) for path in known] == list(PAGES)
