"""An ablation: one reward model after the other, each judged and put away, and what they say.

Everything is in the job's folder, so that a job that was killed goes on where it was:

trials/KIND-LABELS-SEED/outcome.json    what a finished trial made of the held-out judgements
trials/KIND-LABELS-SEED/model           its model, until it is judged, or for good where that is
                                        asked for; beside it its checkpoints while it learns
ablation.json                           what the finished trials say, written anew after each one
report.html                             the same for reading, with figures, at the end
"""

from __future__ import annotations

import gc
import json
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluation.ablation_config import Ablated
from storage import files
from storage.errors import TooLittleData, TrainingFailed
from storage.recipes import Progress, Recipe
from storage.records import Split
from storage.snapshots import SnapshotData

if TYPE_CHECKING:
    from evaluation.ablation import Ablation, Trial
    from evaluation.held_out import HeldOut

TRIALS, OUTCOME, MODEL = "trials", "outcome.json", "model"
SUMMARY, REPORT = "ablation.json", "report.html"


def run_ablation(
    config: Ablated, *, snapshot: Path, folder: Path, progress: Progress, device: str
) -> dict[str, Any]:
    """Train and judge every trial that was not before, and compare them.

    Args:
        config: What to compare.
        snapshot: Folder of the snapshot to learn from and to judge by.
        folder: The job's own.
        progress: Told how many labels were learned from, of those of all trials together.
        device: Where models run.

    Returns:
        What `folder`/ablation.json holds; see `evaluation.ablation_words.told`.

    Raises:
        InvalidOption: The snapshot cannot fill the budgets, or an option does not fit the model.
        TooLittleData: There is nothing to judge by, or no trial came to an end.
        JobCancelled: A person stopped the job.
    """
    from evaluation.ablation import compare
    from evaluation.ablation_report import ablation_html
    from evaluation.ablation_words import told
    from evaluation.baselines import longer_is_better
    from evaluation.held_out import HeldOut

    data = SnapshotData.open(snapshot)
    config.check_enough(**_to_learn_from(config, data))
    held_out = HeldOut.of(data, prompts=config.held_out, aspect=config.aspect)
    _refuse_nothing_to_judge_by(held_out)
    longer = longer_is_better(data.comparisons(Split.TRAIN))
    places = [
        _Place(folder / TRIALS, recipe, labels, seed) for recipe, labels, seed in config.trials()
    ]
    whole = sum(place.labels for place in places)
    found: list[Trial] = []
    failed: list[str] = []

    def summary(to_come: int) -> Ablation:
        return compare(found, held_out.comparisons, longer=longer, failed=failed, to_come=to_come)

    done = 0
    for number, place in enumerate(places, start=1):
        words = f"model {number} of {len(places)}: {place.words}"
        progress.report(done, total=whole, message=words)
        if not place.is_done:
            progress.log(words)
            part = _Part(progress, words, before=done, labels=place.labels, whole=whole)
            place.run(config, held_out, snapshot=snapshot, progress=part, device=device)
        if not config.keep_models:
            place.put_away()
        outcome = place.outcome()
        if "failed" in outcome:
            failed.append(f"There is no model of {place.words}: {outcome['failed']}")
        else:
            found.append(place.trial(outcome))
        done += place.labels
        if found:
            text = json.dumps(told(summary(len(places) - number)), ensure_ascii=False)
            files.write_text(folder / SUMMARY, text + "\n")
    progress.report(done, total=whole, message="all models are judged")
    last = summary(0)
    files.write_text(folder / REPORT, ablation_html(last, facts=_facts(config, data)))
    return told(last)


ablation = Recipe(
    name="ablation",
    summary="Compare kinds of reward model that learn from equally many labels, over several seeds",
    config=Ablated,
    run=run_ablation,
)


def deliver(folder: Path, output: Path) -> None:
    """Put what an ablation made where it was asked for: summary, report, and models if kept.

    Raises:
        InvalidOption: `output` holds something.
        StorageFailed: There is no room, or no right to write.
    """
    with files.write_folder(output) as place:
        for name in (SUMMARY, REPORT):
            shutil.copy(folder / name, place / name)
        for model in sorted(folder.glob(f"{TRIALS}/*/{MODEL}")):
            shutil.copytree(model, place / "models" / model.parent.name)


@dataclass(frozen=True, slots=True)
class _Place:
    """A trial and its folder."""

    home: Path
    recipe: Recipe
    labels: int
    seed: int

    @property
    def folder(self) -> Path:
        return self.home / f"{self.recipe.name}-{self.labels}-{self.seed}"

    @property
    def words(self) -> str:
        return f"{self.recipe.name}, {self.labels:,} labels, seed {self.seed}"

    @property
    def is_done(self) -> bool:
        return (self.folder / OUTCOME).is_file()

    def run(
        self,
        config: Ablated,
        held_out: HeldOut,
        *,
        snapshot: Path,
        progress: _Part,
        device: str,
    ) -> None:
        """Train the model, let it judge, and write down what came of it."""
        from evaluation.held_out import judge

        try:
            metrics = self.recipe.run(
                config.trial(self.recipe.name, self.labels, self.seed),
                snapshot=snapshot,
                output=self.folder / MODEL,
                checkpoints=self.folder / "checkpoints",
                progress=progress,
                device=device,
            )
            progress.log("judging it on prompts that it has not seen")
            verdicts = judge(
                self.folder / MODEL, held_out, device=device, progress=progress.judging()
            )
        except (TooLittleData, TrainingFailed) as error:
            # The other models are worth having, and this one would fail again.
            outcome: dict[str, Any] = {"failed": str(error)}
            progress.log(f"failed: {error}")
        else:
            rank = verdicts.spearman
            outcome = {
                "judgements": metrics["judgements"],
                "gaps": [gap if np.isfinite(gap) else None for gap in verdicts.gaps.tolist()],
                "spearman": None if rank is None else rank.as_json(),
            }
        files.write_text(self.folder / OUTCOME, json.dumps(outcome) + "\n")
        gc.collect()  # models hold themselves in cycles, and the next one needs their memory

    def outcome(self) -> dict[str, Any]:
        """What was written down."""
        found: dict[str, Any] = json.loads((self.folder / OUTCOME).read_text(encoding="utf-8"))
        return found

    def trial(self, outcome: Mapping[str, Any]) -> Trial:
        """The outcome of a trial that made a model."""
        from evaluation.ablation import Trial
        from evaluation.statistics import Estimate

        rank = outcome["spearman"]
        return Trial(
            kind=self.recipe.name,
            labels=self.labels,
            seed=self.seed,
            judgements=outcome["judgements"],
            gaps=np.array(outcome["gaps"], dtype=float),
            spearman=Estimate(**rank) if rank else None,
        )

    def put_away(self) -> None:
        """Remove what a finished trial does not need any more."""
        for name in (MODEL, "checkpoints"):
            shutil.rmtree(self.folder / name, ignore_errors=True)


@dataclass(slots=True)
class _Part:
    """Steps of one trial, told as labels of the whole ablation; its curves are its own business."""

    progress: Progress
    words: str
    before: int = field(kw_only=True)
    labels: int = field(kw_only=True)
    whole: int = field(kw_only=True)
    unit: str = field(default="step", kw_only=True)
    steps: int = field(default=0, init=False)

    def judging(self) -> _Part:
        """For judging the model once it has learned from all its labels."""
        return replace(self, before=self.before + self.labels, labels=0, unit="held-out answer")

    def report(
        self,
        step: int,
        metrics: Mapping[str, float] | None = None,  # noqa: ARG002
        *,
        total: int | None = None,
        message: str | None = None,
    ) -> None:
        self.steps = total or self.steps
        share = min(1.0, step / self.steps) if self.steps else 0.0
        self.progress.report(
            self.before + int(share * self.labels),
            total=self.whole,
            message=f"{self.words}; {message or f'{self.unit} {step} of {self.steps}'}",
        )

    def log(self, line: str) -> None:
        self.progress.log(line)


def _to_learn_from(config: Ablated, data: SnapshotData) -> dict[str, int]:
    """How many comparisons and ratings there are; of the aspect that is learned from."""
    rated = Counter(row["aspect"] for row in data.stream("ratings", Split.TRAIN))
    aspect = config.aspect or (next(iter(rated)) if len(rated) == 1 else "overall")
    return {
        "comparisons": data.rows[f"comparisons/{Split.TRAIN}"],
        "ratings": rated[aspect],
    }


def _refuse_nothing_to_judge_by(held_out: HeldOut) -> None:
    """Before hours of training."""
    prompts = {row.prompt_id for row in held_out.comparisons if row.choice}
    if len(prompts) < 2:
        raise TooLittleData(
            "An ablation is judged by decided comparisons of at least 2 held-out prompts; the test"
            f" part of the snapshot has {len(prompts)}. Judge more prompts and freeze them."
        )


def _facts(config: Ablated, data: SnapshotData) -> dict[str, str]:
    """What identifies the run: the snapshot, the base, and every option that is not the default."""
    fields = type(config).model_fields
    own = {"base", "kinds", "labels", "seeds", "snapshot", "keep_models"}
    chosen = {
        name.replace("_", " "): str(value)
        for name, value in config
        if name not in own and value != fields[name].default
    }
    return {"snapshot": data.id[:16], "base model": config.base, **chosen}
