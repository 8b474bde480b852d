"""Ridge regression, and predictions for answers whose prompt it has not seen.

Whatever is learned on top of predictions must be learned on unseen ones: those for answers that
were fitted are better than any that will be met later, and would be trusted too far.

Shapes: N is answers, H is features of an answer, A is penalties.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from storage.errors import InvalidData, TooLittleData

Floats = npt.NDArray[np.float64]

PENALTIES: Floats = 10.0 ** np.arange(4, -4.5, -0.5)
"""From one that leaves nothing but the mean down to hardly any, for standardised features."""
FOLDS = 5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ridge:
    """A linear prediction, `bias + x @ weight`, and how it does on prompts it has not seen."""

    weight: Floats
    """Shape (H,)."""
    bias: float
    penalty: float
    unseen: Floats
    """For each answer the prediction of a fit that saw no target of its prompt, shape (N,)."""
    explained: float
    """Share of the variance of the targets that unseen predictions explain; at most 1, and below
    0 where the mean would have done better."""


def ridge_path(features: Floats, targets: Floats, penalties: Floats) -> tuple[Floats, Floats]:
    """Ridge regression at several penalties, from one decomposition.

    Minimises over w and b, for each penalty a:

        1/N sum_i (y_i - b - x_i w)^2 + a |w|^2

    Args:
        features: x, shape (N, H).
        targets: y, shape (N,).
        penalties: a, all above 0, shape (A,).

    Returns:
        Weights, shape (A, H), and biases, shape (A,).

    Source:
        Hoerl and Kennard (1970), Ridge Regression, Technometrics 12; for N < H the same in its dual
        form, Saunders, Gammerman and Vovk (1998).
    """
    mean, middle = features.mean(axis=0), targets.mean()
    centred, lead = features - mean, targets - middle
    count, width = features.shape
    if count >= width:
        spectrum, basis = np.linalg.eigh(centred.T @ centred / count)
        along = basis.T @ (centred.T @ lead) / count
    else:
        spectrum, basis = np.linalg.eigh(centred @ centred.T / count)
        along = basis.T @ lead / count
    shrunk = along / (np.maximum(spectrum, 0) + penalties[:, None])
    weights = shrunk @ basis.T
    if count < width:
        weights = weights @ centred
    return weights, middle - weights @ mean


def fit_ridge(
    features: Floats,
    targets: Floats,
    prompts: npt.NDArray[np.int64],
    *,
    seed: int,
    penalties: Floats = PENALTIES,
) -> Ridge:
    """Ridge regression with the penalty that foretells other prompts best.

    Five fits leave out a fifth of the prompts each. All answers to one prompt are left out
    together, because they share what makes the prompt easy.

    Args:
        features: Standardised, of all answers, shape (N, H).
        targets: What was said of each answer, NaN where nothing was, shape (N,).
        prompts: Which prompt each one answers, shape (N,).
        seed: Draws the fifths.
        penalties: To choose from, the largest first, which wins a draw.

    Raises:
        InvalidData: A feature is infinite or not a number.
        TooLittleData: The targets are on fewer than five prompts.
    """
    if not np.isfinite(features).all():
        raise InvalidData("Ridge regression needs finite features; some are infinite or NaN.")
    said = np.isfinite(targets)
    folds = _folds(prompts, said, seed)
    unseen = np.full((len(penalties), len(targets)), np.nan)
    for fold in range(FOLDS):
        learned, left_out = said & (folds != fold), folds == fold
        weights, biases = ridge_path(features[learned], targets[learned], penalties)
        unseen[:, left_out] = weights @ features[left_out].T + biases[:, None]
    errors = np.square(unseen[:, said] - targets[said]).mean(axis=1)
    best = int(errors.argmin())
    weights, biases = ridge_path(features[said], targets[said], penalties[best : best + 1])
    elsewhere = folds < 0
    unseen[best, elsewhere] = features[elsewhere] @ weights[0] + biases[0]
    spread = float(targets[said].var())
    return Ridge(
        weight=weights[0],
        bias=float(biases[0]),
        penalty=float(penalties[best]),
        unseen=unseen[best],
        explained=1 - float(errors[best]) / spread if spread else 0.0,
    )


def _folds(
    prompts: npt.NDArray[np.int64], said: npt.NDArray[np.bool_], seed: int
) -> npt.NDArray[np.int64]:
    """The fold of each answer, shape (N,); -1 under prompts without any target."""
    known = np.unique(prompts[said])
    if len(known) < FOLDS:
        raise TooLittleData(
            f"Ridge regression needs targets on at least {FOLDS} prompts; there are {len(known)}."
        )
    fold_of = np.full(int(prompts.max()) + 1, -1)
    fold_of[np.random.default_rng(seed).permutation(known)] = np.arange(len(known)) % FOLDS
    return fold_of[prompts]
