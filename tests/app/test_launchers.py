"""Starting a job's process and ending it."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from app import launchers
from app.launchers import LAUNCHERS, local


def run(code: str, log: Path, *, patience: float | None = None, after: float = 0.0) -> int:
    """Run Python code; `patience` seconds count from `after` seconds on."""
    began = time.monotonic()
    return local(
        [sys.executable, "-c", code],
        log=log,
        environment=dict(os.environ),
        patience=lambda: patience if time.monotonic() - began >= after else None,
    )


def test_local_is_known() -> None:
    assert LAUNCHERS["local"] is local


def test_everything_that_a_process_writes_is_added_to_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    assert run("print('first')", log) == 0
    assert run("import sys; print('second', file=sys.stderr); sys.exit(3)", log) == 3
    assert log.read_text() == "first\nsecond\n"


def test_a_process_that_does_not_leave_in_time_is_ended(tmp_path: Path) -> None:
    code = "import time; time.sleep(60)"
    assert run(code, tmp_path / "log.txt", patience=0.2) == -signal.SIGTERM


def test_a_process_that_leaves_in_time_is_left_alone(tmp_path: Path) -> None:
    assert run("import time; time.sleep(0.5)", tmp_path / "log.txt", patience=30) == 0


def test_a_process_that_will_not_listen_is_killed_with_all_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launchers, "KILL_AFTER", 0.3)
    grandchild = tmp_path / "pid"
    code = (
        "import pathlib, signal, subprocess, sys, time;"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "sub = 'import signal as s, time; s.signal(s.SIGTERM, s.SIG_IGN); time.sleep(60)';"
        "started = subprocess.Popen([sys.executable, '-c', sub]);"
        f"pathlib.Path({str(grandchild)!r}).write_text(str(started.pid));"
        "time.sleep(60)"
    )
    assert run(code, tmp_path / "log.txt", patience=0.0, after=1.5) == -signal.SIGKILL
    deadline = time.monotonic() + 5
    while _lives(int(grandchild.read_text())) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _lives(int(grandchild.read_text()))


def _lives(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
