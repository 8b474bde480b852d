"""Files fetched from an address: whole, under a name that stays in its folder, gone afterwards."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
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
    with serving(_Site) as address:
        yield address


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
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


class _Hub(BaseHTTPRequestHandler):
    """As much of the Hub as its own client asks for one file of a data set."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()
        if self.path in FILES_OF_HUB:
            self.wfile.write(CONTENT)

    def _answer(self) -> None:
        if self.path not in FILES_OF_HUB:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("X-Repo-Commit", "c" * 40)
        self.send_header("ETag", f'"{hashlib.sha1(CONTENT, usedforsecurity=False).hexdigest()}"')
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


FILES_OF_HUB = {
    f"/datasets/owner/name/resolve/{revision}/data/train.jsonl" for revision in ("main", "v2")
}


@pytest.fixture
def hub() -> Iterator[str]:
    with serving(_Hub) as address:
        yield address


def test_a_file_of_the_hub_is_imported(hub: str, tmp_path: Path) -> None:
    """The Hub's own client reads the address when it is loaded, so in a process of its own."""

    def fetch(address: str) -> subprocess.CompletedProcess[str]:
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("HF_")
        }
        return subprocess.run(
            [sys.executable, "-m", "app.cli", "import", address, "--project", "p", "--json"],
            cwd=Path(__file__).parents[2],
            env={**environment, "HF_ENDPOINT": hub, "HF_HOME": str(tmp_path / "hf"),
                 "TANDEM_DATA_DIR": str(tmp_path / "data")},
            capture_output=True,
            check=False,
            text=True,
            timeout=240,
        )  # fmt: skip

    first = fetch("hf://datasets/owner/name/data/train.jsonl")
    assert first.returncode == 0, first.stderr
    told = json.loads(first.stdout)
    assert (told["file"], told["lines"], told["comparisons"]) == ("train.jsonl", 100, 100)
    again = fetch("hf://datasets/owner/name@v2/data/train.jsonl")
    assert json.loads(again.stdout)["duplicates"] == 100
    # Nothing of it stays but what was imported.
    assert not list((tmp_path / "hf").rglob("train.jsonl"))
    missing = fetch("hf://datasets/owner/secret/data/train.jsonl")
    assert missing.returncode == 1
    assert "cannot be fetched from the Hub" in missing.stderr
    assert "for private data HF_TOKEN" in missing.stderr


def test_a_path_is_no_address(tmp_path: Path) -> None:
    assert not is_address(str(tmp_path / "file.jsonl"))
