"""Files fetched from an address: whole, under a name that stays in its folder, gone afterwards."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from app import fetching
from app.fetching import fetched, is_address
from storage.errors import InvalidData, InvalidOption, ServiceFailed

CONTENT = b'{"prompt": "p", "chosen": "good", "rejected": "bad"}\n' * 100


class _Site(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path.startswith("/round"):
            self.send_response(302)
            self.send_header("Location", f"{self.path}x")
            self.end_headers()
        elif self.path == "/once":
            self.send_response(302)
            self.send_header("Location", "/data/file.jsonl")
            self.end_headers()
        elif self.path == "/away":
            self.send_response(302)
            self.send_header("Location", "file:///etc/passwd")
            self.end_headers()
        elif "file" in self.path:
            self.send_response(200)
            short = "half" in self.path
            self.send_header("Content-Length", str(len(CONTENT) * (2 if short else 1)))
            self.end_headers()
            self.wfile.write(CONTENT)
        else:
            self.send_error(404)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Site)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("/data/file.jsonl?token=x", "file.jsonl"),
        ("/once", "once"),
        ("/a/..%2F..%2Ffile.csv", "file.csv"),
        ("/.file.json", "file.json"),
    ],
)
def test_a_file_is_there_within_the_block_and_gone_after_it(
    site: str, place: str, name: str
) -> None:
    with fetched(site + place) as path:
        assert (path.name, path.read_bytes()) == (name, CONTENT)
        folder = path.parent
    assert not folder.exists()


def test_how_much_is_there_is_told(site: str) -> None:
    told: list[tuple[int, int | None]] = []

    class Listener:
        def report(
            self,
            step: int,
            metrics: object = None,
            *,
            total: int | None = None,
            message: object = None,
        ) -> None:
            told.append((step, total))

        def log(self, line: str) -> None: ...

    with fetched(f"{site}/file.jsonl", progress=Listener()):
        assert told[-1] == (len(CONTENT), len(CONTENT))


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("/missing", "answers 404"),
        ("/round", "leads on more than 5 times"),
        ("/away", "cannot be fetched"),
        ("/half-file.jsonl", "cannot be fetched"),
    ],
)
def test_what_is_not_the_file_is_told(site: str, place: str, sentence: str) -> None:
    with pytest.raises(ServiceFailed, match=sentence), fetched(site + place):
        pass


def test_a_file_that_is_too_large_is_not_kept(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "LARGEST", 1000)
    with pytest.raises(InvalidData, match="is larger than"), fetched(f"{site}/file.jsonl"):
        pass


@pytest.mark.parametrize(
    "address", ["ftp://x/y", "file:///etc/passwd", "http://", "hf://models/a/b"]
)
def test_other_addresses_are_refused(address: str) -> None:
    assert is_address(address)
    with pytest.raises(InvalidOption), fetched(address):
        pass


def test_offline_the_hub_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with (
        pytest.raises(ServiceFailed, match="told to stay offline"),
        fetched("hf://datasets/owner/name/data/train.parquet"),
    ):
        pass


def test_a_path_is_no_address(tmp_path: Path) -> None:
    assert not is_address(str(tmp_path / "file.jsonl"))
