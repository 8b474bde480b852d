"""A side takes a step when it is told to, and says what the step cost.

Each side is a process of its own, so its memory is its own. The job comes as one line of JSON on
standard input. Before its first step and after each one a side stands still until a line orders
`go` or `profile` (the same, looking at where the time goes); standing costs nothing, so two sides
take turns on one machine. What it says goes to standard output, one object on a line.
This file is read by the environments of both sides: it needs torch and nothing of Tandem.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch

from learning import operators


class Pace:
    """The side's end of the line, with a stopwatch that runs only from order to step's end."""

    def __init__(self) -> None:
        """Read the job. From here on what libraries print goes to standard error."""
        self._line = os.fdopen(os.dup(1), "w", buffering=1)
        os.dup2(2, 1)
        self.job: dict[str, Any] = json.loads(sys.stdin.readline())
        self.pairs = 0
        """Pairs learned from since the last order; whoever trains adds to it."""
        self._places, self._tokens = 0, torch.zeros((), dtype=torch.long)
        self._began: tuple[float, float] | None = None
        self._profiler: Any = None

    def count_tokens(self, pad: int) -> None:
        """Count what every embedding reads from now on, with and without padding.

        The class is patched, because the sides make their models themselves; a hook on all modules
        would slow each of them down.
        """
        read = torch.nn.Embedding.forward

        def counted(module: torch.nn.Embedding, ids: torch.Tensor) -> torch.Tensor:
            self._places += ids.numel()
            self._tokens = self._tokens.to(ids.device) + (ids != pad).sum()
            return read(module, ids)

        torch.nn.Embedding.forward = counted  # type: ignore[method-assign, assignment]

    def stand(self, *, steps: int) -> bool:
        """Tell what the step cost that has just ended, and wait for an order.

        Args:
            steps: How many there will be in all.

        Returns:
            Whether to take another step: not if whoever ordered is gone.
        """
        self.say(steps=steps, memory_gib=held(), peak_gib=peak(), cost=self._cost())
        order = sys.stdin.readline().strip()
        self.pairs, self._places = 0, 0
        self._tokens.zero_()
        if order == "profile":
            self._profiler = operators.look()
        self._began = time.perf_counter(), time.process_time()
        return bool(order)

    def say(self, **message: Any) -> None:
        """Send one message to whoever runs the benchmark."""
        self._line.write(json.dumps(message) + "\n")

    def _cost(self) -> dict[str, Any] | None:
        if self._began is None:
            return None
        if on_cuda():
            torch.cuda.synchronize()
        seconds = time.perf_counter() - self._began[0]
        spent = time.process_time() - self._began[1]
        found = None
        if self._profiler:
            self._profiler.__exit__(None, None, None)
            found = operators.by_group(self._profiler, seconds, rank=self.job["rank"])
            self._profiler = None
        return {
            "seconds": seconds,
            "processor_seconds": spent,
            "pairs": self.pairs,
            "tokens": int(self._tokens),
            "places": self._places,
            "profile": found,
        }


def on_cuda() -> bool:
    """Whether this process computes on an accelerator."""
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]


def held() -> float:
    """GiB held now: on the accelerator if it is used, else resident memory of the process."""
    if on_cuda():
        return torch.cuda.memory_allocated() / 2**30
    return _resident("VmRSS")


def peak() -> float:
    """The most GiB ever held, loading of libraries and weights included."""
    if on_cuda():
        return torch.cuda.max_memory_allocated() / 2**30
    # Not getrusage: its high-water mark begins with that of the process that started this one.
    return _resident("VmHWM")


def _resident(field: str) -> float:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith(field))
    return int(line.split()[1]) / 2**20
