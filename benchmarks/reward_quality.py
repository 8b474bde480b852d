"""How good reward models of every kind become on real judgements, beside what they must beat.

    python benchmarks/reward_quality.py [--quick] [--json] [--data FOLDER] [--results FOLDER]
        [--sets NAME ...] [--kinds NAME ...] [--labels N] [--seeds N] [--test-prompts N]
        [--pairs-per-prompt N] [--set OPTION=VALUE ...] [--device NAME]

For each data set every kind of reward model that its judgements allow is trained with the same
number of labels (half comparisons and half ratings where a kind learns from both) and judged on the
data's own test part: pair accuracy and Spearman's correlation with ratings, each with an interval
clustered by prompt. Beside them stand always choosing the longer (or shorter) answer, and a linear
model on hashed words that learned from the same part. Every cell is a file in the results folder,
so a run that was cut off goes on where it was; `--json` prints them all.

`ratios` is null: the peers here are baselines, and the figures are accuracies.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from quality.hashed_words import features, learn

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from evaluation.report_card import evaluate_reward_rows, reward_report_card  # noqa: E402
from feedback.importers.reading import judged_rows  # noqa: E402
from storage.errors import TandemError  # noqa: E402
from storage.recipes import Silent  # noqa: E402
from storage.records import PromptId, Split  # noqa: E402
from storage.snapshots import (  # noqa: E402
    ComparisonRow,
    RatingRow,
    SnapshotData,
    write_snapshot,
)
from training.rewards import REWARDS  # noqa: E402

DATA = ROOT.parent / "shared/data"
SCALAR = ("preference", "absolute", "combined", "pairwise")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """Files that are one set of judgements, and what can be learned from them."""

    files: tuple[str, ...]
    kinds: tuple[str, ...]
    options: Mapping[str, str] = field(default_factory=dict)
    """For the importer."""
    aspect: str | None = None
    """Which ratings the kinds with one aspect learn from."""


SETS = {
    "both_alpaca_eval": DataSet(
        files=("both_alpaca_eval",), kinds=SCALAR, options={"rating_field": "rating_1_7_logit"}
    ),
    "ukp": DataSet(files=("pairs_ukp_convarg", "ratings_ukp_rank"), kinds=SCALAR),
    "alpaca_eval_gpt4": DataSet(
        files=("pairs_alpaca_eval_gpt4",), kinds=("preference", "pairwise")
    ),
    "pandalm": DataSet(files=("pairs_pandalm",), kinds=("preference", "pairwise")),
    "llmbar": DataSet(files=("pairs_llmbar",), kinds=("preference", "pairwise")),
    "hh_harmless": DataSet(files=("pairs_hh_harmless_test",), kinds=("preference", "pairwise")),
    "dialogue_aspects": DataSet(
        files=("ratings_dialogue_d2t_aspects",),
        kinds=("absolute", "multi-objective"),
        aspect="overall",
    ),
    "justeval_aspects": DataSet(
        files=("ratings_justeval_multi_aspect",),
        kinds=("absolute", "multi-objective"),
        aspect="helpfulness",
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one set, 60 labels, a minute")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--results", type=Path, help="folder of the cells; kept between runs")
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--kinds", nargs="+", choices=list(REWARDS), default=list(REWARDS))
    parser.add_argument("--labels", type=int, default=1000, help="0 takes all")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--test-prompts", type=int, default=150, help="0 takes all")
    parser.add_argument("--pairs-per-prompt", type=int, default=0, help="0 takes all")
    parser.add_argument("--set", nargs="*", default=[], dest="typed", metavar="OPTION=VALUE")
    parser.add_argument("--device", default="auto")
    asked = parser.parse_args()
    if asked.quick:
        asked.sets, asked.kinds = ["pandalm"], ["preference"]
        asked.labels, asked.test_prompts = 60, 40
        asked.typed = ["epochs=1", *asked.typed]
    if not asked.data.is_dir():
        sys.exit(f"There are no judgements in {asked.data}; name their folder with --data.")
    with tempfile.TemporaryDirectory() as scratch:
        results = asked.results or Path(scratch) / "results"
        results.mkdir(parents=True, exist_ok=True)
        refuse_other_cells(results, asked)
        rows = [row for name in asked.sets for row in of_set(name, asked, results, Path(scratch))]
    report = {
        "benchmark": "reward_quality",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {asked.device}",
        "labels": asked.labels,
        "rows": rows,
        "ratios": {"throughput": None, "memory": None},
    }
    if asked.json:
        print(json.dumps(report))
    else:
        print(table(rows))


def refuse_other_cells(results: Path, asked: argparse.Namespace) -> None:
    """End the program if the folder holds cells that were measured with other options."""
    options = {"labels": asked.labels, "test_prompts": asked.test_prompts, "set": asked.typed}
    if asked.pairs_per_prompt:
        options["pairs_per_prompt"] = asked.pairs_per_prompt
    noted = results / "options.json"
    if not noted.is_file():
        noted.write_text(json.dumps(options))
    if (found := json.loads(noted.read_text())) != options:
        sys.exit(f"{results} holds cells of {found}, not of {options}; name another folder.")


def of_set(
    name: str, asked: argparse.Namespace, results: Path, scratch: Path
) -> list[dict[str, Any]]:
    """Every cell of one data set."""
    snapshot = scratch / name
    freeze(SETS[name], asked.data, snapshot, asked.pairs_per_prompt)
    data = SnapshotData.open(snapshot)
    comparisons, ratings = test_part(data, asked.test_prompts, SETS[name].aspect)
    rows = [
        cell(
            results / f"{name}-words.json",
            lambda: words(data, comparisons, ratings, asked.labels, SETS[name].aspect),
        )
        | {"set": name, "kind": "hashed words", "seed": 0}
    ]
    for kind in SETS[name].kinds:
        for seed in range(asked.seeds if kind in asked.kinds else 0):
            key = f"{name}-{kind}-{asked.labels}-{seed}"
            found = cell(
                results / f"{key}.json",
                lambda kind=kind, seed=seed, key=key: trained(
                    SETS[name],
                    kind=kind,
                    seed=seed,
                    asked=asked,
                    snapshot=snapshot,
                    comparisons=comparisons,
                    ratings=ratings,
                    folder=scratch / key,
                ),
            )
            rows.append(found | {"set": name, "kind": kind, "seed": seed})
            print(table(rows[-1:]), file=sys.stderr, flush=True)
    return rows


def cell(path: Path, measure: Any) -> dict[str, Any]:
    """What was measured before, or else now; a cell that cannot be measured says why."""
    if not path.is_file():
        began = time.monotonic()
        try:
            found = measure()
        except TandemError as error:
            found = {"refused": str(error)}
        found["seconds"] = round(time.monotonic() - began, 1)
        path.write_text(json.dumps(found))
    kept: dict[str, Any] = json.loads(path.read_text())
    return kept


def freeze(chosen: DataSet, data: Path, snapshot: Path, pairs_per_prompt: int) -> None:
    """A snapshot with the data's own parts; validation is drawn from train."""
    comparisons: list[ComparisonRow] = []
    ratings: list[RatingRow] = []
    splits: dict[PromptId, Split] = {}
    for file in chosen.files:
        rows = judged_rows(data / f"{file}.jsonl.gz", options=dict(chosen.options))
        comparisons += rows.comparisons
        ratings += rows.ratings
        splits |= rows.splits
    if pairs_per_prompt:
        comparisons = some_of_each(comparisons, pairs_per_prompt)
    write_snapshot(snapshot, comparisons, ratings, splits=splits)


def some_of_each(comparisons: Sequence[ComparisonRow], most: int) -> list[ComparisonRow]:
    """So many pairs of each prompt, always the same ones, in the order they had."""
    taken: Counter[str] = Counter()
    kept = []
    for place in np.random.default_rng(0).permutation(len(comparisons)).tolist():
        taken[comparisons[place].prompt_id] += 1
        if taken[comparisons[place].prompt_id] <= most:
            kept.append(place)
    return [comparisons[place] for place in sorted(kept)]


def test_part(
    data: SnapshotData, most: int, aspect: str | None
) -> tuple[list[ComparisonRow], list[RatingRow]]:
    """What models are judged by: so many prompts, always the same ones."""
    comparisons, ratings = data.comparisons(Split.TEST), data.ratings(Split.TEST)
    if aspect:
        ratings = [one for one in ratings if one.aspect == aspect]
    prompts = sorted({one.prompt_id for one in comparisons} | {one.prompt_id for one in ratings})
    if most and most < len(prompts):
        drawn = np.random.default_rng(0).choice(len(prompts), size=most, replace=False)
        wanted = {prompts[place] for place in drawn}
        comparisons = [one for one in comparisons if one.prompt_id in wanted]
        ratings = [one for one in ratings if one.prompt_id in wanted]
    return comparisons, ratings


def trained(
    chosen: DataSet,
    *,
    kind: str,
    seed: int,
    asked: argparse.Namespace,
    snapshot: Path,
    comparisons: Sequence[ComparisonRow],
    ratings: Sequence[RatingRow],
    folder: Path,
) -> dict[str, Any]:
    """Train one model and judge it."""
    recipe = REWARDS[kind]
    known = recipe.config.model_fields
    typed = dict(pair.split("=", 1) for pair in asked.typed)
    # Kinds differ in their options, but what none of them has was mistyped.
    strange = typed.keys() - {
        name for each in REWARDS.values() for name in each.config.model_fields
    }
    if strange:
        sys.exit(f"No kind of reward model has the options {', '.join(sorted(strange))}.")
    options: dict[str, Any] = {
        "seed": seed,
        "labels": asked.labels or None,
        "aspect": chosen.aspect,
        **{name: None if value == "none" else value for name, value in typed.items()},
    }
    config = recipe.config.read({name: v for name, v in options.items() if name in known})
    metrics = recipe.run(
        config,
        snapshot=snapshot,
        output=folder / "model",
        checkpoints=folder / "checkpoints",
        progress=Silent(),
        device=asked.device,
    )
    card = evaluate_reward_rows(
        folder / "model",
        comparisons,
        ratings,
        training=SnapshotData.open(snapshot).comparisons(Split.TRAIN),
        device=asked.device,
    )
    shutil.rmtree(folder)
    kept = {name: metrics[name] for name in ("steps", "judgements") if name in metrics}
    return figures(card) | kept


def words(
    data: SnapshotData,
    comparisons: Sequence[ComparisonRow],
    ratings: Sequence[RatingRow],
    labels: int,
    aspect: str | None,
) -> dict[str, Any]:
    """The linear model on hashed words, from as many labels."""
    parts = []
    for split in (Split.TRAIN, Split.VALIDATION):
        compared, rated = data.comparisons(split), data.ratings(split)
        rated = [one for one in rated if aspect in {None, one.aspect}]
        rng = np.random.default_rng(0)
        if labels and split is Split.TRAIN:
            kinds = bool(compared) + bool(rated)
            compared, rated = (
                [rows[place] for place in rng.permutation(len(rows))[: labels // kinds]]
                for rows in (compared, rated)
            )
        parts.append((compared, rated))
    weights = learn(*parts)

    def rewards(texts: Sequence[str]) -> Any:
        return features(texts) @ weights if texts else np.zeros(0)

    card = reward_report_card(
        rewards([one.left for one in comparisons]),
        rewards([one.right for one in comparisons]),
        comparisons,
        rewards([one.response for one in ratings]),
        ratings,
        training=data.comparisons(Split.TRAIN),
        rng=np.random.default_rng(0),
    )
    return figures(card) | {"judgements": sum(map(len, parts[0]))}


def figures(card: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of a report card."""
    kept = (
        "pair_accuracy",
        "length_only_accuracy",
        "above_length_only",
        "human_ceiling",
        "spearman",
        "kendall",
        "calibration_error",
        "length_correlation",
        "pairs",
        "rated",
        "prompts",
        "outcomes",
    )
    return {name: card.get(name) for name in kept}


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """One line per cell."""
    return "\n".join(
        f"{row['set']:18} {row['kind']:15} seed {row['seed']}  "
        + (
            row["refused"]
            if "refused" in row
            else f"accuracy {told(row['pair_accuracy'])}"
            f"  length {told(row['length_only_accuracy'])}"
            f"  above {told(row['above_length_only'])}  Spearman {told(row['spearman'])}"
            f"  {row['judgements']} labels, {row['seconds']:.0f} s"
        )
        for row in rows
    )


def told(estimate: Mapping[str, float] | None) -> str:
    """A value with its interval."""
    if estimate is None or not math.isfinite(estimate["value"]):
        return "-"
    return f"{estimate['value']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"


if __name__ == "__main__":
    main()
