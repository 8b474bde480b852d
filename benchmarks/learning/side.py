"""The driver's view of a side: a process that takes a step when told to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

HERE = Path(__file__).parents[1]


class Side:
    """One side of the comparison."""

    def __init__(
        self,
        name: str,
        module: str,
        job: dict[str, Any],
        folder: Path,
        python: Path | str = sys.executable,
    ) -> None:
        """Start it.

        Args:
            name: What the rows call it.
            module: What it runs.
            job: What it is to do.
            folder: For its log.
            python: Interpreter of its environment.
        """
        self.name = name
        self._job = job
        self._log = folder / f"{name}.log"
        self._process = subprocess.Popen(
            [python, "-m", module],
            cwd=HERE,
            env=os.environ | {"PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parent}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log.open("w", encoding="utf-8"),
            text=True,
        )
        self.said: list[dict[str, Any]] = []
        """What it said before its first step and after each."""

    def begin(self) -> None:
        """Give it its job, and wait until it stands before its first step."""
        self._tell(json.dumps(self._job))
        self.said.append(self._hear())

    def turn(self) -> bool:
        """Let it take its next step. False: that was the last.

        The last is looked at closely, unless its job says that it is not to be `profiled`.
        """
        left = self.said[0]["steps"] - len(self.said)
        self._tell("go" if left or not self._job.get("profiled", True) else "profile")
        self.said.append(self._hear())
        return bool(left)

    def end(self) -> dict[str, Any]:
        """Let it come to its end, and hear what it learned."""
        self._tell("go")
        learned = self._hear()
        self._process.communicate()
        return learned

    def kill(self) -> None:
        """Leave nothing running."""
        self._process.kill()
        self._process.wait()

    def _tell(self, line: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            said = self._log.read_text(encoding="utf-8")[-3000:]
            raise RuntimeError(f"{self.name} ended before its time:\n{said}")
        heard: dict[str, Any] = json.loads(line)
        return heard


def in_turns(sides: Sequence[Side], stack: ExitStack) -> list[dict[str, Any]]:
    """Let the sides take their steps in turns, to the end; gives what each says it learned."""
    for side in sides:
        stack.callback(side.kill)
        side.begin()
    going = list(sides)
    while going:
        going = [side for side in going if side.turn()]
    return [side.end() for side in sides]


def missing(python: Path | None, where: str) -> str | None:
    """Why the peer cannot run here, or None; `where` says how its interpreter is named."""
    if python is None:
        return f"no environment with trl was named ({where})"
    return None if Path(python).exists() else f"there is no {python}"
