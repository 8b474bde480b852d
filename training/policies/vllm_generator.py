"""Answers written by vLLM, beside the policy that learns.

vLLM wants other versions of torch and Transformers than Tandem, so it runs in an environment of its
own, whose Python the variable `TANDEM_VLLM_PYTHON` names, as a child of the run:
`training.policies.vllm_engine`. It holds the start's weights once more, and before each batch it
reads the adapter as it then is. Tokens alone come back; their log-probabilities are computed where
the policy learns, so rounding in another program's kernels makes answers a little other than the
policy's own, and never a ratio wrong.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import PreTrainedModel

from storage.errors import InvalidOption, TrainingFailed
from storage.recipes import Progress
from training.places import TINY, resolve
from training.policies.config import PPOConfig
from training.policies.dpo_config import InRounds
from training.sampling import Opened

PYTHON = "TANDEM_VLLM_PYTHON"
ENGINE = Path(__file__).with_name("vllm_engine.py")
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""For which vLLM sets memory aside."""
SHARE = 0.3
"""Of the accelerator's memory, weights included. The rest is for learning; TRL's trainers take the
same (`vllm_gpu_memory_utilization`)."""
AT_ONCE = 256
"""Answers that are written side by side; as many more as there are wait."""
LEAVING = 10.0
"""Seconds in which it should end by itself."""
TOLD = 3
"""Last lines of what vLLM said, told when it fails."""


@contextmanager
def generator_of(
    config: PPOConfig | InRounds,
    opened: Opened,
    encoded: Sequence[Sequence[int]],
    *,
    folder: Path,
    progress: Progress,
    processes: int = 1,
) -> Iterator[VLLMGenerator | None]:
    """The vLLM that a configuration asks for, for as long as it is needed; None if for none.

    Args:
        config: Of the run.
        opened: The policy's start.
        encoded: The prompts as token ids.
        folder: For what vLLM is to read; gone afterwards.
        progress: Told while vLLM loads.
        processes: How many train together.

    Raises:
        InvalidOption: There are several of them, or see `VLLMGenerator`.
        TrainingFailed: It did not start.
    """
    if config.generator == "transformers":
        yield None
        return
    if processes > 1:
        raise InvalidOption(
            "generator",
            f"vLLM writes for one process, and there are {processes}; choose transformers",
            config.generator,
        )
    progress.log("vLLM is loading the start.")
    generator = VLLMGenerator(
        config.start,
        opened,
        rank=config.rank,
        longest=max(map(len, encoded)) + config.max_new_tokens,
        folder=folder,
        environment=os.environ,
    )
    try:
        yield generator
    finally:
        generator.close()


class VLLMGenerator:
    """A vLLM that runs until it is closed."""

    def __init__(
        self,
        start: str,
        opened: Opened,
        *,
        rank: int,
        longest: int,
        folder: Path,
        environment: Mapping[str, str],
    ) -> None:
        """Start it, and wait until it has loaded the weights.

        Args:
            start: What the policy starts as, by name or folder.
            opened: The same, opened, without the adapter that is to learn.
            rank: Of that adapter.
            longest: Tokens of the longest prompt and answer together.
            folder: For the adapter, and for the start's weights where nobody but us could open
                them by name; gone when it is closed.
            environment: Names the Python of its environment; passed on to it.

        Raises:
            InvalidOption: No such Python is named, or there is none.
            TrainingFailed: It did not start; with what it said last.
        """
        python = environment.get(PYTHON, "")
        if not (python and shutil.which(python)):
            raise InvalidOption(
                "generator",
                "vLLM needs an environment of its own, whose Python the variable"
                f" {PYTHON} names; "
                + (f"there is none at {python!r}" if python else "it is not set")
                + ". See docs/vllm.md, or choose transformers",
                "vllm",
            )
        self._folder = folder
        shutil.rmtree(folder, ignore_errors=True)  # of a try that was killed
        folder.mkdir(parents=True)
        source = resolve(start)
        if opened.is_policy or source == TINY:
            source = str(folder / "start")
            _write_start(opened.model, source)
        self._number = 0
        device = opened.model.device
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - a list, no shell; whoever runs it named it
                [python, "-I", str(ENGINE)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=_environment(environment, device),
            )
        self._into = cast("BinaryIO", self._process.stdin)
        self._out = cast("BinaryIO", self._process.stdout)
        options: dict[str, Any] = {
            "model": str(Path(source).absolute()),
            "dtype": str(opened.model.dtype).removeprefix("torch."),
            "max_model_len": longest,
            "max_lora_rank": min(one for one in RANKS if one >= rank),
            "max_loras": 1,
            "max_num_seqs": AT_ONCE,
            "disable_log_stats": True,
        }
        if device.type == "cpu":
            options["enforce_eager"] = True  # compiling takes longer than it saves there
            # A prompt read in parts has its seed's generator set back, which vLLM cannot do there.
            options["enable_chunked_prefill"] = False
        else:
            options["gpu_memory_utilization"] = SHARE
        try:
            self._ask(options, "ready")
        except BaseException:
            self.close()
            raise

    def generate(
        self,
        model: PreTrainedModel,
        prompts: Sequence[Sequence[int]],
        *,
        keys: Sequence[Sequence[int]],
        max_new_tokens: int,
        temperature: float,
        ends: Sequence[int],
    ) -> list[list[int]]:
        """Continue every prompt; see `training.policies.rollouts.Generator`.

        Raises:
            TrainingFailed: vLLM has stopped; with what it said last.
        """
        adapter = self._folder / "adapter"
        write_adapter(model, adapter)
        self._number += 1
        responses: list[list[int]] = self._ask(
            {
                "number": self._number,
                "adapter": str(adapter.absolute()),
                "prompts": [list(prompt) for prompt in prompts],
                "seeds": [int(np.random.default_rng(list(key)).integers(2**63)) for key in keys],
                "max_new_tokens": max_new_tokens,
                "temperature": temperature,
                "ends": list(ends),
            },
            "responses",
        )
        return responses

    def close(self) -> None:
        """End it, and remove what was written for it."""
        with suppress(BrokenPipeError):
            self._into.close()
        try:
            self._process.wait(timeout=LEAVING)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._out.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _ask(self, said: Mapping[str, Any], what: str) -> Any:
        try:
            self._into.write(json.dumps(said).encode() + b"\n")
            self._into.flush()
            line = self._out.readline()
        except BrokenPipeError:
            line = b""
        if not line:
            raise TrainingFailed(self._why())
        return json.loads(line)[what]

    def _why(self) -> str:
        code = self._process.wait()
        log = (self._folder / "log").read_text(encoding="utf-8", errors="replace")
        lines = [line.strip() for line in log.splitlines() if line.strip()]
        after = f" after {self._number} batches" if self._number else " before it could write"
        return (
            f"vLLM ended{after} (code {code}). It said: {' | '.join(lines[-TOLD:]) or 'nothing'}."
            " Start the run again once that is mended, or choose transformers as its generator; if"
            " memory ran out, lower max_new_tokens."
        )


def write_adapter(model: PreTrainedModel, folder: Path) -> None:
    """Write the adapter that learns inside a model as PEFT does, for whoever reads such folders.

    Args:
        model: The plain model into which PEFT has put the adapter `default`.
        folder: Made, or written over.
    """
    weights = {
        f"base_model.model.{name.replace('.default.', '.')}": weight.detach().cpu().contiguous()
        for name, weight in model.named_parameters()
        if ".lora_A.default." in name or ".lora_B.default." in name
    }
    folder.mkdir(exist_ok=True)
    config: Any = model.peft_config
    config["default"].save_pretrained(folder)
    save_file(weights, folder / "adapter_model.safetensors")


def _write_start(model: PreTrainedModel, folder: str) -> None:
    """Write a model's weights as they were before PEFT put an adapter in."""
    weights = {
        name.replace(".base_layer.", "."): weight
        for name, weight in model.state_dict().items()
        if ".lora_" not in name
    }
    model.save_pretrained(folder, state_dict=weights)


def _environment(ours: Mapping[str, str], device: torch.device) -> dict[str, str]:
    """What the engine's process sees: as this one, on the same device, telling nobody anything."""
    theirs = {
        **ours,
        # One process alone, so that none is left when it ends.
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",  # what it opens is here already
    }
    if device.type == "cpu":
        theirs.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    return theirs
