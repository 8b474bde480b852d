"""Keep where a training run stands, so that a killed run goes on as if nothing had happened.

A checkpoint is a folder `step-00000120` with `tensors.safetensors` and `state.json`, written whole
or not at all. It holds what the run gives it and the states of every random number generator.
"""

from __future__ import annotations

import json
import logging
import random
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from storage.files import write_folder

KEPT = 2
TENSORS, STATE = "tensors.safetensors", "state.json"
_IS_TENSOR = "tensor in safetensors"

log = logging.getLogger(__name__)


def save(folder: Path, step: int, state: Mapping[str, Any]) -> None:
    """Write a checkpoint and drop all but the newest two.

    Args:
        folder: Where the run keeps its checkpoints.
        step: Steps done; a checkpoint of the same step is replaced.
        state: Nested dicts and lists with tensors and JSON values as leaves, for example the
            `state_dict()` of an optimizer. Keys that are whole numbers come back as such.

    Raises:
        StorageFailed: The disk refused; the checkpoints written before are unchanged.
    """
    tensors: dict[str, torch.Tensor] = {}
    plain = _pack({"run": dict(state), "random": _random_states()}, "", tensors)
    with write_folder(folder / f"step-{step:08d}", replace=True) as target:
        save_file(tensors, target / TENSORS)
        (target / STATE).write_text(json.dumps({"step": step, "state": plain}), encoding="utf-8")
    for old in _newest_first(folder)[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)


def newest(folder: Path) -> tuple[int, dict[str, Any]] | None:
    """The newest whole checkpoint as (step, state), or None; what was half-written is passed over.

    Also sets the random number generators back to where they stood.
    """
    for candidate in _newest_first(folder):
        try:
            written = json.loads((candidate / STATE).read_text(encoding="utf-8"))
            tensors = load_file(candidate / TENSORS)
            state = _unpack(written["state"], tensors)
            step = int(written["step"])
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            log.warning("passing over the broken checkpoint %s (%s)", candidate.name, error)
            continue
        _set_random_states(state["random"])
        return step, state["run"]
    return None


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-" + "[0-9]" * 8), reverse=True)


def _random_states() -> dict[str, Any]:
    # The global generators on purpose: dropout and libraries draw from them.
    name, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002
    version, internal, spare = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [name, [int(key) for key in keys], position, has_gauss, gauss],
        "python": [version, list(internal), spare],
    }


def _set_random_states(states: Mapping[str, Any]) -> None:
    torch.set_rng_state(states["torch"])
    if len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))  # noqa: NPY002
    version, internal, spare = states["python"]
    random.setstate((version, tuple(internal), spare))


def _pack(value: Any, name: str, tensors: dict[str, torch.Tensor]) -> Any:
    """The value as JSON, with its tensors put into `tensors` under their path."""
    if isinstance(value, torch.Tensor):
        # A copy, because safetensors refuses tensors that share memory (tied weights do).
        tensors[name] = value.detach().cpu().clone().contiguous()
        return {_IS_TENSOR: name}
    if isinstance(value, Mapping):
        return {
            "keys": [int(key) if isinstance(key, int) else str(key) for key in value],
            "values": [_pack(item, f"{name}/{key}", tensors) for key, item in value.items()],
        }
    if isinstance(value, list | tuple):
        return [_pack(item, f"{name}/{place}", tensors) for place, item in enumerate(value)]
    return value


def _unpack(value: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    if isinstance(value, dict):
        if _IS_TENSOR in value:
            return tensors[value[_IS_TENSOR]]
        items = (_unpack(item, tensors) for item in value["values"])
        return dict(zip(value["keys"], items, strict=True))
    if isinstance(value, list):
        return [_unpack(item, tensors) for item in value]
    return value
