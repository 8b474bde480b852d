"""What a model may be exported as; free of torch, so that a page can refuse at once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from storage.errors import InvalidData, InvalidOption
from training.export_config import ExportConfig
from training.places import TINY
from training.published import hub_name

_CANNOT = {
    "pairwise": (
        "it reads two answers together and gives no answer a reward of its own, which no class of"
        " Transformers stands for. Train a preference model on the same snapshot and export that;"
        " this one goes on comparing answers within Tandem"
    ),
    "multi_objective": (
        "it weighs its aspects by what the prompt asks for, which no class of Transformers does."
        " Train a combined model on the same snapshot and export that, or let programs ask this one"
        " through POST /api/v1/score of `tandem serve`"
    ),
}
"""Why a form of reward model has no class elsewhere, and what can be done."""


def read_model_record(source: Path) -> dict[str, Any]:
    """What a model's tandem.json says.

    Raises:
        InvalidData: There is none, or it does not say what the model is for.
    """
    try:
        record = dict(json.loads((source / "tandem.json").read_text(encoding="utf-8")))
        for needed in ("purpose", "recipe", "base"):
            record[needed] = str(record[needed])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InvalidData(
            f"{source} is no model of Tandem's: its tandem.json is missing or unreadable."
        ) from error
    return record


def refuse_form(
    source: Path, record: Mapping[str, Any], config: ExportConfig, *, for_others: bool
) -> None:
    """Say early what cannot be written.

    Raises:
        InvalidOption: See `export_model`.
    """
    form = str(record.get("form", "scalar"))
    if form in _CANNOT:
        raise InvalidOption("model", _CANNOT[form], record["recipe"])
    if config.merge:
        return
    if not (source / "adapter_config.json").is_file():
        raise InvalidOption(
            "adapter", "this model has whole weights and no adapter; export it merged", True
        )
    if config.dtype is not None:
        raise InvalidOption(
            "dtype", "an adapter stays as it was trained; leave this option out", config.dtype
        )
    if record["base"] == TINY or (for_others and hub_name(record["base"]) is None):
        raise InvalidOption(
            "adapter",
            "its base has no name under which others would find it; export it merged",
            Path(record["base"]).name,
        )
