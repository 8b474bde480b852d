"""Ways of starting a job's process and of ending it.

A launcher runs a command to its end and returns the exit code (negative: the signal that ended it).
`local` is a child process on this machine; a cluster gets its own entry in `LAUNCHERS`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

LOOK_EVERY = 0.2
"""Seconds between two looks at the process."""
KILL_AFTER = 5.0
"""Seconds between the request to end (SIGTERM) and the end (SIGKILL)."""


class Launcher(Protocol):
    """Runs `command` to its end."""

    def __call__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str],
        patience: Callable[[], float | None],
    ) -> int:
        """Run it, with its output appended to `log`.

        Args:
            command: Program and arguments; never a shell string.
            log: File that gets standard output and standard error.
            environment: The process' environment, whole.
            patience: Asked often. None lets the process work; a number of seconds is how long it
                may still take to leave by itself before it is ended.

        Returns:
            The exit code, or minus the number of the signal that ended it.
        """


def local(
    command: Sequence[str],
    *,
    log: Path,
    environment: Mapping[str, str],
    patience: Callable[[], float | None],
) -> int:
    """Run the command as a child process on this machine, in a process group of its own."""
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - a list of our own arguments, no shell
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            start_new_session=True,
        )
    asked: float | None = None
    signalled: float | None = None
    while True:
        try:
            return process.wait(LOOK_EVERY)
        except subprocess.TimeoutExpired:
            pass
        limit = patience()
        if limit is None:
            continue
        now = time.monotonic()
        asked = now if asked is None else asked
        if signalled is None and now - asked >= limit:
            _signal_group(process.pid, signal.SIGTERM)
            signalled = now
        elif signalled is not None and now - signalled >= KILL_AFTER:
            _signal_group(process.pid, signal.SIGKILL)


def _signal_group(leader: int, number: signal.Signals) -> None:
    """Signal a child and everything it started: data loaders must not outlive their trainer."""
    with suppress(ProcessLookupError):
        os.killpg(leader, number)


def how_it_ended(code: int) -> str:
    """What an exit code says to a person."""
    if code == -signal.SIGKILL:
        return "The job's process was killed, most often because memory ran out."
    if code < 0:
        return f"The job's process was ended by {signal.Signals(-code).name}."
    return f"The job's process ended with code {code} before it was done."


LAUNCHERS: dict[str, Launcher] = {"local": local}
