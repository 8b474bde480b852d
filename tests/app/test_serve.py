"""`tandem serve` as people meet it: a process that prints a link, works, and stops cleanly."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from workshop import environment

from app import serve as serving
from app.serve import WorkerProcess
from storage.settings import Settings

PATIENCE = 120.0


class Server:
    """A running `tandem serve` and what it said."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log

    def said(self, pattern: str, *, times: int = 1) -> str:
        """Wait until it said something; returns the last group found."""
        deadline = time.monotonic() + PATIENCE
        while len(found := re.findall(pattern, self.log.read_text())) < times:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)
        return str(found[-1])

    def worker(self) -> int:
        """The worker's process, once it is there."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            children = Path(f"/proc/{self.process.pid}/task").glob("*/children")
            for child in " ".join(path.read_text() for path in children).split():
                if b"worker" in Path(f"/proc/{child}/cmdline").read_bytes():
                    return int(child)
            time.sleep(0.05)
        raise AssertionError(self.log.read_text())


@contextmanager
def serving_in(settings: Settings) -> Iterator[Server]:
    log = settings.folder() / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "app.cli", "serve", "--port", "0"],
            env=environment(settings),
            stdout=output,
            stderr=output,
        )
    try:
        yield Server(process, log)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(30)


@pytest.fixture
def settings(data_dir: Path) -> Settings:
    return Settings(data_dir=data_dir, database_url="")


def lives(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def ends(process: int) -> bool:
    deadline = time.monotonic() + 30
    while lives(process) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not lives(process)


@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_it_prints_a_link_keeps_its_worker_alive_and_stops_cleanly(settings: Settings) -> None:
    with serving_in(settings) as server:
        link = server.said(r"Sign in \(the link works once\): (\S+)")
        address = server.said(r"Tandem is at (\S+)")
        assert link.startswith(address)
        server.said("The worker is ready")
        first = server.worker()
        os.kill(first, signal.SIGKILL)
        server.said("The worker ended with code -9; it starts again in 2 seconds")
        server.said("The worker is ready", times=2)
        worker = server.worker()
        assert worker != first

        with httpx.Client(base_url=address, headers={"X-Requested-With": "fetch"}) as browser:
            assert browser.get("/api/v1/health").is_success
            path = link.removeprefix(address)
            assert browser.post(path).status_code == 303
            assert browser.post(path).status_code == 403

        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(30) == 0
        assert ends(worker)
        assert "Traceback" not in server.log.read_text()

    with serving_in(settings) as server:
        server.said("For a new sign-in link: tandem users link administrator")
        worker = server.worker()
        server.process.terminate()
        assert server.process.wait(30) == 0
        assert ends(worker)

    with serving_in(settings) as server:
        server.said("The worker is ready")
        worker = server.worker()
        server.process.kill()
        server.process.wait()
        assert ends(worker), "the worker outlived its server"


def test_a_port_that_is_taken_is_said_at_once(settings: Settings) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        told = subprocess.run(
            [sys.executable, "-m", "app.cli", "serve", "--port", str(port)],
            env=environment(settings),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert told.returncode == 1
    assert told.stderr == (
        f"error: Port {port} on 127.0.0.1 is taken, perhaps by another Tandem; stop that one or"
        f" choose another port: tandem serve --port {port + 1}.\n"
    )


def test_an_address_that_is_not_this_machines_is_refused(settings: Settings) -> None:
    with pytest.raises(serving.StorageFailed, match=r"Cannot listen on 192\.0\.2\.1:0"):
        serving.listen("192.0.2.1", 0)


def test_a_worker_that_keeps_dying_is_started_less_and_less_often(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    monkeypatch.setattr(serving, "LONGEST_PAUSE", 0.1)
    worker = WorkerProcess(settings)
    worker.start()
    deadline = time.monotonic() + 20
    while caplog.text.count("The worker ended with code 1") < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    worker.stop()
    assert caplog.text.count("The worker ended with code 1") >= 2
