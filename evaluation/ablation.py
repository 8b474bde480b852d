"""What each signal buys: kinds of reward models on the same held-out comparisons.

Pure: what every trial (one kind, one budget of labels, one seed) made of the comparisons goes in;
accuracies, paired differences and what more labels gained come out. All intervals are about other
prompts, for the seeds that were run; how far the seeds lie apart stands beside them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from evaluation.baselines import human_ceiling, lengths
from evaluation.chance import holm
from evaluation.paired import p_value, paired_difference, turned
from evaluation.statistics import Estimate, clustered_mean, correctness
from storage.errors import InvalidData, TooLittleData
from storage.records import Kind
from storage.snapshots import ComparisonRow

Column = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One reward model, and what it made of the held-out judgements."""

    kind: str
    """Recipe of `training.rewards.REWARDS`."""
    labels: int
    """Judgements that it was given to learn from."""
    seed: int
    judgements: int
    """Those of them that it learned from: conversations that are too long are left out."""
    gaps: Column
    """How much more the answer on the right of each comparison is worth, in logits, shape (n,); nan
    where the model cannot read them whole."""
    spearman: Estimate | None
    """Of reward and mean rating; None where the model gives single answers no reward."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """One kind with one budget: how often it prefers what annotators preferred."""

    kind: str
    labels: int
    pair_accuracy: Estimate
    """Mean over the seeds."""
    seeds: tuple[int, ...]
    by_seed: tuple[float, ...]
    seed_deviation: float | None
    """Standard deviation of the seeds' accuracies; None for one seed."""
    above_length_only: Estimate
    """Paired difference from the length-only baseline."""
    spearman: Estimate | None
    """Mean over the seeds, of value and interval: too wide rather than too narrow."""
    judgements: int
    """Fewest that one of the seeds learned from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How much more often one kind is right than another, with the same budget and seeds."""

    kind: str
    other: str
    labels: int
    difference: Estimate
    """Fraction from -1 to 1, above 0 where `kind` is better."""
    by_seed: tuple[float, ...]
    p_value: float
    p_holm: float
    """The same, corrected for all differences of the ablation."""

    def turned(self) -> Difference:
        """How much more often the other kind is right than this one."""
        return replace(
            self,
            kind=self.other,
            other=self.kind,
            difference=turned(self.difference),
            by_seed=tuple(-each for each in self.by_seed),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """What the largest budget added to one kind over the smallest."""

    kind: str
    fewer: int
    more: int
    difference: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Ablation:
    """Everything that the trials say; fractions, not percent."""

    kinds: tuple[str, ...]
    labels: tuple[int, ...]
    """Ascending."""
    accuracies: tuple[Accuracy, ...]
    """By labels, then by kind."""
    differences: tuple[Difference, ...]
    """By labels, then by kinds."""
    gains: tuple[Gain, ...]
    length_only_accuracy: Estimate
    length_only_direction: str
    """Whether the "longer" or the "shorter" answer is taken, as fits the training part."""
    human_ceiling: Estimate | None
    """How often one annotator agrees with the others."""
    pairs: int
    """Decided comparisons that every model can read."""
    ties: int
    prompts: int
    left_out: int
    """Decided comparisons that some model cannot read whole."""
    simulated: bool
    failed: tuple[str, ...] = ()
    """Sentences about trials that ended without a model."""
    to_come: int = 0
    """Trials that were not run yet."""

    def as_json(self) -> dict[str, Any]:
        """The form in which jobs, commands and pages carry it."""
        return asdict(self)

    @classmethod
    def read(cls, known: Mapping[str, Any]) -> Self:
        """The inverse of `as_json`."""
        return TypeAdapter(cls).validate_python(known)


def compare(
    trials: Sequence[Trial],
    rows: Sequence[ComparisonRow],
    *,
    longer: bool = True,
    failed: Sequence[str] = (),
    to_come: int = 0,
) -> Ablation:
    """What the trials say about kinds and budgets.

    Args:
        trials: In the order in which their kinds are to be told.
        rows: The held-out comparisons, in the order of the trials' gaps. Ties of annotators have no
            right answer and count nowhere; equal rewards are right every other time.
        longer: Whether the length-only baseline takes the longer answer or the shorter.
        failed: See `Ablation`.
        to_come: See `Ablation`.

    Raises:
        TooLittleData: No trial, or decided comparisons of fewer than two prompts.
        InvalidData: A trial was judged by other comparisons.
    """
    if not trials:
        raise TooLittleData(
            " ".join(failed) or "No model was trained, so there is none to compare."
        )
    for trial in trials:
        if len(trial.gaps) != len(rows):
            raise InvalidData(
                f"The {trial.kind} model with {trial.labels} labels and seed {trial.seed} was"
                f" judged by {len(trial.gaps)} comparisons, and there are {len(rows)}."
            )
    judged = _Judged(trials, rows, longer=longer)
    length_only = judged.share(judged.length_only)
    kinds = tuple(dict.fromkeys(trial.kind for trial in trials))
    labels = tuple(sorted({trial.labels for trial in trials}))
    differences = [
        judged.difference(kind, other, budget)
        for budget in labels
        for other, kind in combinations(kinds, 2)
        if judged.shared((kind, budget), (other, budget))
    ]
    corrected = holm([one.p_value for one in differences])
    choices = np.array([row.choice for row in rows])
    return Ablation(
        kinds=kinds,
        labels=labels,
        accuracies=tuple(
            judged.accuracy(kind, budget)
            for budget in labels
            for kind in kinds
            if judged.seeds(kind, budget)
        ),
        differences=tuple(
            replace(one, p_holm=p) for one, p in zip(differences, corrected, strict=True)
        ),
        gains=tuple(
            judged.gain(kind, labels[0], labels[-1])
            for kind in kinds
            if len(labels) > 1 and judged.shared((kind, labels[0]), (kind, labels[-1]))
        ),
        length_only_accuracy=length_only,
        length_only_direction="longer" if longer else "shorter",
        human_ceiling=human_ceiling(judged.readable),
        pairs=len(judged.prompts),
        ties=int((choices == 0).sum()),
        prompts=len(set(judged.prompts.tolist())),
        left_out=int((choices != 0).sum()) - len(judged.prompts),
        simulated=Kind.SIMULATED in {row.kind for row in rows},
        failed=tuple(failed),
        to_come=to_come,
    )


class _Judged:
    """The decided comparisons that every model can read, and who is right on each of them."""

    def __init__(
        self, trials: Sequence[Trial], rows: Sequence[ComparisonRow], *, longer: bool
    ) -> None:
        fine = np.isfinite(np.array([trial.gaps for trial in trials])).all(axis=0)
        self.readable = [row for row, use in zip(rows, fine, strict=True) if use]
        choices = [row.choice for row in self.readable]
        left, right = lengths(self.readable)
        self.length_only, decided = correctness(
            *((left, right) if longer else (-left, -right)), choices
        )
        self._correct = {
            (trial.kind, trial.labels, trial.seed): correctness(
                np.zeros(len(choices)), trial.gaps[fine], choices
            )[0]
            for trial in trials
        }
        self._trials = sorted(trials, key=lambda trial: trial.seed)
        asked = np.array([row.prompt_id for row in self.readable])[decided]
        self.prompts: NDArray[np.int_] = np.unique(asked, return_inverse=True)[1]

    def seeds(self, kind: str, labels: int) -> tuple[int, ...]:
        return tuple(trial.seed for trial in self._of(kind, labels))

    def shared(self, one: tuple[str, int], other: tuple[str, int]) -> tuple[int, ...]:
        """Seeds that both (kind, labels) were run with."""
        known = self.seeds(*other)
        return tuple(seed for seed in self.seeds(*one) if seed in known)

    def accuracy(self, kind: str, labels: int) -> Accuracy:
        trials = self._of(kind, labels)
        correct = self._columns(kind, labels, self.seeds(kind, labels))
        by_seed = correct.mean(axis=1)
        ranks = [trial.spearman for trial in trials if trial.spearman is not None]
        return Accuracy(
            kind=kind,
            labels=labels,
            pair_accuracy=self.share(correct.mean(axis=0)),
            seeds=self.seeds(kind, labels),
            by_seed=tuple(by_seed.tolist()),
            seed_deviation=float(by_seed.std(ddof=1)) if len(by_seed) > 1 else None,
            above_length_only=paired_difference(correct, self.length_only[None], self.prompts),
            spearman=_mean(ranks) if len(ranks) == len(trials) else None,
            judgements=min(trial.judgements for trial in trials),
        )

    def difference(self, kind: str, other: str, labels: int) -> Difference:
        seeds = self.shared((kind, labels), (other, labels))
        ours, theirs = self._columns(kind, labels, seeds), self._columns(other, labels, seeds)

        def found(confidence: float) -> Estimate:
            return paired_difference(ours, theirs, self.prompts, confidence=confidence)

        probability = p_value(found)
        return Difference(
            kind=kind,
            other=other,
            labels=labels,
            difference=found(0.95),
            by_seed=tuple((ours - theirs).mean(axis=1).tolist()),
            p_value=probability,
            p_holm=probability,
        )

    def gain(self, kind: str, fewer: int, more: int) -> Gain:
        seeds = self.shared((kind, fewer), (kind, more))
        with_more, with_fewer = (self._columns(kind, labels, seeds) for labels in (more, fewer))
        return Gain(
            kind=kind,
            fewer=fewer,
            more=more,
            difference=paired_difference(with_more, with_fewer, self.prompts),
        )

    def share(self, correct: Column) -> Estimate:
        return clustered_mean(correct, self.prompts, what="Pair accuracy")

    def _of(self, kind: str, labels: int) -> list[Trial]:
        return [one for one in self._trials if (one.kind, one.labels) == (kind, labels)]

    def _columns(self, kind: str, labels: int, seeds: Sequence[int]) -> Column:
        """Correctness, shape (seeds, n)."""
        return np.array([self._correct[kind, labels, seed] for seed in seeds])


def _mean(estimates: Sequence[Estimate]) -> Estimate:
    """Mean of estimates from the same prompts, as if they went up and down together."""
    value, low, high = (
        float(np.mean([getattr(each, end) for each in estimates]))
        for end in ("value", "low", "high")
    )
    return Estimate(value, low, high, estimates[0].confidence, estimates[0].n)
