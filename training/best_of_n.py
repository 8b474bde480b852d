"""What taking the best of n answers would bring, and how far it leads from the policy."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from storage.errors import TooLittleData


def expected_best(scores: npt.ArrayLike, n: int) -> float:
    """Expected score of the best of n answers to a prompt, averaged over prompts.

        mean over prompts of  sum_{i=n}^{k} C(i-1, n-1) / C(k, n) * s_(i)

    where s_(1) <= ... <= s_(k) are the scores of a prompt's k answers. It is the mean over all
    choices of n of the k answers, so it is unbiased and varies less than the best of the first n.

    Args:
        scores: Of k answers to each of P prompts, shape (P, k).
        n: How many answers are to choose from.

    Returns:
        In the unit of the scores; the mean for n = 1, the mean of the maxima for n = k.

    Raises:
        TooLittleData: There are fewer than n answers to a prompt.

    Source:
        Nakano et al. (2021), "WebGPT", arXiv:2112.09332, appendix I.
    """
    ascending = np.sort(np.asarray(scores, dtype=float), axis=1)
    answers = ascending.shape[1]
    if not 1 <= n <= answers:
        raise TooLittleData(
            f"The best of {n} answers cannot be told from {answers} to each prompt."
        )
    chance = [math.comb(place, n - 1) / math.comb(answers, n) for place in range(answers)]
    return float((ascending @ np.array(chance)).mean())


def divergence_bound(n: int) -> float:
    """At most so far, in nats per answer, is best-of-n from the policy it chooses from.

        KL(best of n || policy) <= log n - (n - 1) / n

    It comes near to that where every single answer is unlikely and ties are rare; for a policy that
    often says the same thing the divergence is smaller.

    Source:
        Beirami et al. (2024), arXiv:2401.01879; before that, as if it were the divergence itself,
        Stiennon et al. (2020), arXiv:2009.01325.
    """
    return math.log(n) - (n - 1) / n
