"""How many votes a study needs, and which differences it can see, before anybody has voted.

Votes on one prompt resemble each other, so that the third vote on a prompt says less than the first
on another. How alike they are (`likeness`, the intraclass correlation) was measured on real votes
of people by `evaluation.likeness.seen_design`, within pairs of models:

    MT-bench, experts and authors      0.22 [0.18, 0.27]   23 % ties
    LLMFAO, a crowd                    0.19 [0.16, 0.21]   39 % ties
    a thesis, groups 1 and 2           0.07 [-0.01, 0.16]   2 % ties
    PandaLM, three trained annotators  0.84 [0.83, 0.86]   13 % ties

Thrown together over pairs of models it looks smaller than it is (LLMFAO: 0.02).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from scipy import stats
from scipy.optimize import brentq

from evaluation.intervals import FEWEST_RATERS, check_confidence
from storage.errors import InvalidOption, TooLittleData

LIKENESS = 0.2
"""Taken where nothing is known: about that of MT-bench and of LLMFAO."""

POWER = 0.8
"""The convention of the field: four of five studies see what is there."""

WIN_RATES = (0.52, 0.55, 0.57, 0.60, 0.65, 0.70)
"""True win rates that a planner is shown: from what training often brings to what nobody misses."""

FEWEST_PROMPTS = 6
"""Of fewer, even winning every one is no proof at 95 %: half of all prompts may be unlike
them (`hidden_share`)."""

MOST_VOTES = 1000
"""On one prompt; the most that a study may ask for."""

MOST_PROMPTS = 10_000_000
"""A study that needs more needs something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyDesign:
    """How many votes a study asks for, and what they will be like.

    Raises:
        InvalidOption: One of them has a value it may not have.
    """

    prompts: int
    overlap: float = 1.0
    """Votes on each prompt, by different people; an average."""
    likeness: float = LIKENESS
    """Correlation of two votes on the same prompt, 0 where the prompt makes no difference."""
    ties: float = 0.0
    """Share of votes that will be ties, a fraction."""
    raters: int | None = None
    """People among whom the votes are spread evenly, where the result is to hold for other people,
    too: the interval is clustered by prompt and rater. None where it speaks of these people."""
    rater_likeness: float = 0.0
    """Correlation of two votes of the same person on different prompts."""
    confidence: float = 0.95
    """Of the interval in which the result will be read."""

    def __post_init__(self) -> None:
        check_confidence(self.confidence)
        if self.prompts < FEWEST_PROMPTS:
            raise InvalidOption(
                "prompts",
                f"plan at least {FEWEST_PROMPTS}: of fewer, even winning every one is no proof",
                self.prompts,
            )
        if not 1 <= self.overlap <= MOST_VOTES:
            raise InvalidOption(
                "overlap", f"each prompt is voted on 1 to {MOST_VOTES} times", self.overlap
            )
        for name in ("likeness", "rater_likeness"):
            if not 0 <= getattr(self, name) <= 1:
                raise InvalidOption(name, "lies from 0 to 1", getattr(self, name))
        if not 0 <= self.ties < 1:
            raise InvalidOption("ties", "lies from 0 to below 1", self.ties)
        if self.raters is None:
            if self.rater_likeness:
                raise InvalidOption(
                    "rater_likeness", "say among how many raters, too", self.rater_likeness
                )
        elif self.raters < max(FEWEST_RATERS, self.overlap):
            raise InvalidOption(
                "raters",
                f"an interval about other people needs {FEWEST_RATERS} of them, and one for each"
                " vote on a prompt; leave it out to speak of these people only",
                self.raters,
            )

    @property
    def votes(self) -> int:
        """All votes that the study asks for."""
        return round(self.prompts * self.overlap)


def study_power(design: StudyDesign, win_rate: float) -> float:
    r"""Probability that the study's interval leaves out 1/2, when this is the true win rate.

    A vote that is a tie with probability t has the variance s^2 = w (1 - w) - t / 4 at a win rate
    of w. With m votes on each of G prompts, n = m G, and k = n / R by each of R raters, the win
    rate of the study has the variance

        V = s^2 / n * (1 + (m - 1) likeness + (k - 1) rater_likeness),

    and the power is that of Student's t test with (w - 1/2) / sqrt(V) as the noncentrality.

    It changes smoothly. That of single votes without ties goes in steps, since a study of n votes
    knows only n + 1 win rates: of 40 votes it is up to 7 points away, of 60 and more at most 2.

    Without raters `clustered_mean` has G - 1 degrees of freedom, with them min(G, R) - 1. Then it
    also never estimates less than the prompts' part of V, so that it is too high on average, which
    costs some power; D, the estimated part of the raters, is taken for normal here, with the spread
    of a variance with R - 1 degrees of freedom, and V grows by the mean of max(D, 0) above that of
    D.

    Args:
        design: What the study asks for.
        win_rate: Ties as half; a fraction, not 1/2 for a power that means anything.

    Raises:
        InvalidOption: There cannot be such a win rate with so many ties.

    Source:
        Kish (1965), "Survey Sampling", section 5.4 (votes that resemble each other).
    """
    furthest = (1 - design.ties) / 2
    if not abs(win_rate - 0.5) < furthest:
        raise InvalidOption(
            "win_rate",
            f"with {_percent(design.ties)} of ties it lies between {0.5 - furthest:g} and"
            f" {0.5 + furthest:g}",
            win_rate,
        )
    votes = design.prompts * design.overlap
    single = (win_rate * (1 - win_rate) - design.ties / 4) / votes
    by_prompt = single * (1 + (design.overlap - 1) * design.likeness)
    freedom, by_rater, surplus = design.prompts - 1, 0.0, 0.0
    if design.raters is not None:
        each = votes / design.raters
        freedom = min(design.prompts, design.raters) - 1
        by_rater = single * max(0.0, each - 1) * design.rater_likeness
        spread = (single + by_rater) * math.sqrt(2 / (design.raters - 1))
        ratio = by_rater / spread
        surplus = spread * (ratio * stats.norm.cdf(ratio) + stats.norm.pdf(ratio)) - by_rater
    true, estimated = by_prompt + by_rater, by_prompt + by_rater + surplus
    # The critical value is that of the design's confidence, times what the estimate is too high.
    critical = stats.t.isf((1 - design.confidence) / 2, freedom) * math.sqrt(estimated / true)
    shift = (win_rate - 0.5) / math.sqrt(true)
    # By scipy: statsmodels, equal otherwise, has no number for a shift of 40.
    return float(stats.nct.sf(critical, freedom, shift) + stats.nct.sf(critical, freedom, -shift))


def smallest_difference(design: StudyDesign, *, power: float = POWER) -> float:
    """The smallest distance of a win rate from 1/2 that such a study sees often enough.

    Args:
        design: What the study asks for.
        power: How often it is to be seen, a fraction.

    Returns:
        A fraction: 0.1 says that true win rates of 60 % and above, or 40 % and below, are seen.

    Raises:
        TooLittleData: So few votes do not see any difference so often.
        InvalidOption: The power is no probability above that of a false alarm.
    """
    _check_power(design, power)
    # Just inside the furthest a win rate can be from 1/2, where every vote is the same.
    furthest = (1 - design.ties) / 2 * (1 - 1e-6)

    def missing(difference: float) -> float:
        return study_power(design, 0.5 + difference) - power

    if missing(furthest) < 0:
        raise TooLittleData(
            f"{design.votes} votes on {design.prompts} prompts see no difference {_percent(power)}"
            " of the time; plan more prompts."
        )
    return float(brentq(missing, 0.0, furthest, xtol=1e-9))


def prompts_needed(design: StudyDesign, win_rate: float, *, power: float = POWER) -> int:
    """How many prompts such a study needs to see a true win rate often enough.

    Args:
        design: What the study asks for; its number of prompts does not matter.
        win_rate: The true win rate, ties as half; a fraction.
        power: How often it is to be seen, a fraction.

    Raises:
        InvalidOption: There is no difference to see, or there cannot be such a win rate.
        TooLittleData: So few raters, whose tastes differ so much, do not see it on any number of
            prompts.
    """
    _check_power(design, power)
    if win_rate == 0.5:
        raise InvalidOption("win_rate", "there is no difference to see", win_rate)

    def enough(prompts: int) -> bool:
        return study_power(replace(design, prompts=prompts), win_rate) >= power

    most = FEWEST_PROMPTS
    if enough(most):
        return most
    while not enough(most):
        most *= 2
        if most > MOST_PROMPTS:
            raise TooLittleData(
                f"A true win rate of {_percent(win_rate)} is not seen {_percent(power)} of the time"
                f" on {MOST_PROMPTS:,} prompts; plan more raters, or a larger difference."
            )
    least = most // 2
    while most - least > 1:
        middle = (most + least) // 2
        least, most = (least, middle) if enough(middle) else (middle, most)
    return most


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What it takes to see one true win rate."""

    win_rate: float
    prompts: int | None
    """None where no number of prompts is enough."""
    votes: int | None


def needs(
    design: StudyDesign, *, win_rates: Sequence[float] = WIN_RATES, power: float = POWER
) -> tuple[Need, ...]:
    """`prompts_needed` for several win rates, as a table shows it.

    Args:
        design: What the study asks for; its number of prompts does not matter.
        win_rates: True win rates, ties as half; fractions.
        power: How often each is to be seen, a fraction.

    Raises:
        InvalidOption: There is no difference to see, or there cannot be such a win rate.
    """
    found = []
    for win_rate in win_rates:
        try:
            prompts = prompts_needed(design, win_rate, power=power)
        except TooLittleData:
            found.append(Need(win_rate=win_rate, prompts=None, votes=None))
        else:
            votes = replace(design, prompts=prompts).votes
            found.append(Need(win_rate=win_rate, prompts=prompts, votes=votes))
    return tuple(found)


def seeing(design: StudyDesign, *, power: float = POWER) -> str:
    """What a study will see, in a sentence for whoever plans it."""
    what = f"With {design.votes} votes ({design.prompts} prompts, {design.overlap:g} on each)"
    try:
        smallest = smallest_difference(design, power=power)
    except TooLittleData:
        return f"{what} no difference can be seen reliably; ask about more prompts."
    # Rounded away from what can be seen: no promise that is not kept.
    points = math.ceil(1000 * smallest - 1e-6) / 10
    return (
        f"{what} you can only see differences above {points:g} points: a policy that truly wins"
        f" {50 + points:g} % is found better in {round(100 * power)} of 100 such studies."
    )


def _percent(share: float) -> str:
    return f"{100 * share:g} %"


def _check_power(design: StudyDesign, power: float) -> None:
    if not 1 - design.confidence < power < 1:
        raise InvalidOption(
            "power",
            f"lies between {1 - design.confidence:g}, which chance alone gives, and 1",
            power,
        )
