"""How much a reward counts over a run: its weight, times a factor that moves in straight lines.

A schedule is written as points `SHARE:FACTOR`, with commas between: `0:0,0.5:1` lets a reward come
in over the first half of the run and keeps its whole weight from then on. Before the first point
and after the last the factor stays what it is there.
"""

from __future__ import annotations

import math
from itertools import pairwise

MOST_POINTS = 100


def points(text: str) -> tuple[list[float], list[float]]:
    """The shares of the run, from 0 to 1 and rising, and the factor at each.

    Raises:
        ValueError: It is written otherwise, or a number is out of bounds.
    """
    pairs = [_point(part) for part in text.split(",")[: MOST_POINTS + 1]]
    shares, factors = [share for share, _ in pairs], [factor for _, factor in pairs]
    if len(pairs) > MOST_POINTS:
        raise ValueError(f"a schedule has at most {MOST_POINTS} points")
    if any(later <= share for share, later in pairwise(shares)):
        raise ValueError(f"the shares of the run must rise from point to point in {text!r}")
    if not any(factors):
        raise ValueError(f"{text!r} never lets the reward count; leave it out of the rewards")
    return shares, factors


def _point(text: str) -> tuple[float, float]:
    try:
        share, factor = map(float, text.split(":"))
    except ValueError:
        raise ValueError(
            f"a schedule is written SHARE:FACTOR with commas between, as in 0:1,0.5:0.2, not"
            f" {text!r}"
        ) from None
    if not 0 <= share <= 1:
        raise ValueError(f"a share of the run lies between 0 and 1, and {share:g} does not")
    if not 0 <= factor < math.inf:
        raise ValueError(f"a factor is a number from 0 upwards, and {factor:g} is not")
    return share, factor
