"""What a frozen model makes of prompts and answers, read once and kept on disk.

Shapes: R is rows, N is answers, H is the width of the model.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from storage.errors import InvalidData, TrainingFailed
from storage.files import write_folder
from training import backbone
from training.batching import Row, by_length
from training.quiet import quietly
from training.rewards.model import RewardModel

FEATURES = "features.safetensors"
ADAPTER = "adapter_config.json"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Last hidden states in fp32."""

    answers: Tensor
    """At the end token of each answer, shape (N, H), in the order of the rows."""
    prompts: Tensor
    """At the last token of each row's prompt, shape (R, H)."""

    def split(self, *, rows: int, answers: int) -> tuple[Features, Features]:
        """The first rows with their answers, and the rest."""
        return (
            Features(self.answers[:answers], self.prompts[:rows]),
            Features(self.answers[answers:], self.prompts[rows:]),
        )


def base_of(name: str) -> str:
    """The whole model that lies below an adapter's folder; any other name is its own.

    Raises:
        InvalidData: The folder holds an adapter that is damaged or not in safetensors.
    """
    settings = Path(name).expanduser() / ADAPTER
    if not settings.is_file():
        return name
    if not settings.with_name("adapter_model.safetensors").is_file():
        raise InvalidData(
            f"{name} has no adapter_model.safetensors; Tandem opens adapters in safetensors only."
        )
    try:
        return str(json.loads(settings.read_text(encoding="utf-8"))["base_model_name_or_path"])
    except (ValueError, LookupError, TypeError) as error:
        raise InvalidData(f"{settings} does not name the model it belongs to.") from error


def open_trunk(name: str, *, device: torch.device, dtype: torch.dtype | None = None) -> RewardModel:
    """A model to read with; no head of it is used.

    Args:
        name: A base model, or the folder of a reward model or a policy, whole or an adapter. An
            adapter stays on its base unmerged, as it was trained.
        device: Where to read.
        dtype: Precision; by default the fastest.

    Raises:
        ModelNotFound: There is no such model.
        InvalidData: It is no decoder, or its weights are not in safetensors.
    """
    base = base_of(name)
    dtype = dtype or backbone.default_dtype(base, device)
    tokenizer = backbone.load_tokenizer(name)
    if base == name:
        model: torch.nn.Module = backbone.load_scalar(base, dtype=dtype, device=device)
    else:
        model = _adapted(name, base, dtype, device)
    return RewardModel(model.requires_grad_(False).eval(), tokenizer)


def read_rows(trunk: RewardModel, rows: Sequence[Row]) -> Features:
    """The features of one batch; see `training.batching` for how rows are read."""
    hidden, batch = trunk.read(rows)
    ends = torch.tensor([len(row.prompt) - 1 for row in rows], device=trunk.device)
    at_prompt = hidden[torch.arange(len(rows), device=trunk.device), ends]
    return Features(hidden[batch.row, batch.last].float(), at_prompt.float())


@torch.no_grad()
def read(
    trunk: RewardModel,
    rows: Sequence[Row],
    *,
    batch_tokens: int,
    folder: Path,
    every: int,
    report: Callable[[int], None],
) -> Features:
    """Read rows of any number, going on where an earlier call with the same rows was stopped.

    Args:
        trunk: See `open_trunk`.
        rows: What to read.
        batch_tokens: Tokens of a batch, padding included.
        folder: Where to keep what was read.
        every: So many batches are kept together.
        report: Called with the number of batches done, after each one that is read now.

    Raises:
        TrainingFailed: The model gives values that are not finite numbers.
        StorageFailed: The disk refused.
    """
    batches = batches_of(rows, batch_tokens)
    answers: list[Tensor] = []
    prompts: list[Tensor] = []
    for start in range(0, len(batches), every):
        place = folder / f"part-{start:08d}"
        part = _kept(place)
        if part is None:
            read_now: list[Features] = []
            for number, batch in enumerate(batches[start : start + every], start=start + 1):
                read_now.append(read_rows(trunk, [rows[one] for one in batch]))
                report(number)
            part = Features(
                torch.cat([one.answers for one in read_now]).cpu(),
                torch.cat([one.prompts for one in read_now]).cpu(),
            )
            _refuse_infinite(part)
            with write_folder(place, replace=True) as target:
                save_file({"answers": part.answers, "prompts": part.prompts}, target / FEATURES)
        answers.append(part.answers)
        prompts.append(part.prompts)
    return _in_order(rows, batches, torch.cat(answers), torch.cat(prompts))


def batches_of(rows: Sequence[Row], batch_tokens: int) -> list[list[int]]:
    """In which company rows are read; the same each time."""
    return by_length([row.tokens for row in rows], batch_tokens)


def batches_kept(folder: Path, every: int, total: int) -> int:
    """How many batches, from the first on, an earlier call left behind."""
    done = 0
    while done < total and (folder / f"part-{done:08d}" / FEATURES).is_file():
        done += every
    return min(done, total)


def _kept(place: Path) -> Features | None:
    """A part that was read before; None if there is none or it is damaged."""
    if not (place / FEATURES).is_file():
        return None
    try:
        tensors = load_file(place / FEATURES)
        return Features(tensors["answers"], tensors["prompts"])
    except (OSError, KeyError, SafetensorError) as error:
        log.warning("reading again what the broken %s held (%s)", place.name, error)
        return None


def _refuse_infinite(part: Features) -> None:
    if not (part.answers.isfinite().all() and part.prompts.isfinite().all()):
        raise TrainingFailed(
            "The base model gives hidden states that are infinite or not numbers; its weights are"
            " damaged or its precision is too low. Choose another base."
        )


def _in_order(
    rows: Sequence[Row], batches: Sequence[Sequence[int]], answers: Tensor, prompts: Tensor
) -> Features:
    """Features in the order of the rows instead of that in which they were read."""
    read_order = [place for batch in batches for place in batch]
    ends = list(accumulate(len(row.answers) for row in rows))
    # Where each answer that was read belongs.
    home = [
        place
        for one in read_order
        for place in range(ends[one] - len(rows[one].answers), ends[one])
    ]
    return Features(
        torch.empty_like(answers).index_copy_(0, torch.tensor(home), answers),
        torch.empty_like(prompts).index_copy_(0, torch.tensor(read_order), prompts),
    )


def _adapted(name: str, base: str, dtype: torch.dtype, device: torch.device) -> torch.nn.Module:
    from peft import PeftConfig, PeftModel

    folder = str(Path(name).expanduser())
    scalar = PeftConfig.from_pretrained(folder).task_type == "SEQ_CLS"
    load = backbone.load_scalar if scalar else backbone.load_causal
    model = load(base, dtype=dtype, device=device)
    with quietly():
        adapted: torch.nn.Module = PeftModel.from_pretrained(model, folder)
    return adapted.to(device)
