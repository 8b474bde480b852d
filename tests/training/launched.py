"""Start a script in two processes that know of each other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def in_two_processes(script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script as `accelerate launch` does for two GPUs, on processors, to its end."""
    # What accelerate's launcher runs for several GPUs; for processors it would want mpirun.
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return subprocess.run(
        [*launcher, "--nproc-per-node", "2", str(script), *arguments],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
