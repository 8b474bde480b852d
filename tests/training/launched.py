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
        timeout=300,
    )


def fsdp2(module: str) -> str:
    """Lines for a script: what the module trains is spread over the processes.

    Accelerate's launcher sets this up on GPUs alone, though torch does it on processors, too.
    """
    return f"""
import {module} as loop
from accelerate import PartialState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin

made = loop.accelerator_on
def with_fsdp2(device):
    accelerator = made(device)
    PartialState().distributed_type = accelerator.state.distributed_type = DistributedType.FSDP
    accelerator.state.fsdp_plugin = FullyShardedDataParallelPlugin(
        fsdp_version=2,
        auto_wrap_policy="transformer_based_wrap",
        transformer_cls_names_to_wrap=["LlamaDecoderLayer"],
    )
    return accelerator
loop.accelerator_on = with_fsdp2
"""
