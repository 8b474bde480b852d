"""What a reward model has to beat, counting characters, and what it can hardly beat: people."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evaluation.statistics import Estimate, clustered_mean, correctness
from storage.snapshots import ComparisonRow


def lengths(rows: Sequence[ComparisonRow]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Characters of the answers on the left and on the right, each of shape (n,)."""
    left = np.array([len(row.left) for row in rows], dtype=float)
    return left, np.array([len(row.right) for row in rows], dtype=float)


def longer_is_better(rows: Sequence[ComparisonRow]) -> bool:
    """Whether the longer answer wins more often than the shorter; True where nothing is known.

    The length-only baseline is the better of "longer wins" and "shorter wins". Which one that is
    must be learnt from training data: on test data it would be a look at the answers.
    """
    correct, _ = correctness(*lengths(rows), [row.choice for row in rows])
    return not correct.size or float(correct.mean()) >= 0.5


def human_ceiling(rows: Sequence[ComparisonRow]) -> Estimate | None:
    """How often one annotator agrees with the others on the same pair, leaving each out in turn.

    Where the others are divided evenly, or all found a tie, agreeing with them counts half. A model
    above the ceiling knows the common taste better than a single annotator does.

    Returns:
        A fraction, or None where fewer than two prompts have a pair that two annotators judged.
    """
    votes: dict[tuple[str, str, str], dict[str, int]] = defaultdict(dict)
    for row in rows:
        first, second = sorted((str(row.left_id), str(row.right_id)))
        turned = 1 if row.left_id == first else -1
        votes[row.prompt_id, first, second][row.annotator] = turned * int(np.sign(row.choice))
    agrees: list[float] = []
    prompts: list[str] = []
    for (prompt, _, _), cast in votes.items():
        total = sum(cast.values())
        for verdict in cast.values():
            if verdict and len(cast) > 1:
                agrees.append((verdict * float(np.sign(total - verdict)) + 1) / 2)
                prompts.append(prompt)
    if len(set(prompts)) < 2:
        return None
    return clustered_mean(agrees, prompts)
