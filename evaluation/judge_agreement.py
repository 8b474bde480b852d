"""How far judges that are programs agree with people, beside how far people agree with each other.

Every verdict of a judge is held against every verdict of a person on the same two answers, and for
people every two of them against each other. The share of equal verdicts is then the chance that a
judge and a person drawn at random, on a question drawn as often as it was voted on, say the same;
what two people reach is the most a judge can be asked for. Simulated raters are neither.

Source:
    Zheng et al. (2023), "Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena", arXiv:2306.05685,
    section 4.2: their setup S1 counts ties (and inconsistent verdicts as ties), S2 leaves them out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from evaluation.card_groups import FEWEST_PAIRS, FEWEST_PROMPTS, MOST_KINDS
from evaluation.intervals import Estimate, clustered_mean
from evaluation.kappa import Kappa, cohen_kappa
from evaluation.votes import Vote
from storage.errors import TooLittleData
from storage.judgements import Judgement
from storage.records import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Which of two answers somebody prefers."""

    prompt: str
    """Verdicts on answers to one prompt resemble each other, so it is the independent unit."""
    item: str
    """What exactly was judged: the prompt and the two answers in a fixed order."""
    rater: str
    kind: Kind
    choice: int
    """-1 for the first of the two answers in that order, 1 for the second, 0 for a tie."""
    prompt_kinds: tuple[str, ...] = ()
    """Kinds of prompt that it belongs to, where known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Concordance:
    """How often two raters said the same of what both judged."""

    pairs: int
    """Pairs of verdicts on the same item."""
    items: int
    prompts: int
    equal: Estimate | None
    """Share of equal verdicts, clustered by prompt; None with pairs on fewer than two prompts."""
    kappa: Kappa
    """Cohen's, bootstrapped over prompts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """A judge beside people, and those people beside each other, on what the judge voted on."""

    judge: Concordance
    """The judge with a person."""
    people: Concordance
    """Two people: the ceiling."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeAgreement:
    """What there is to say of one judge."""

    judge: str
    all: Beside
    """A tie is a verdict like the others."""
    decided: Beside
    """Pairs of which neither is a tie."""
    by_kind: Mapping[str, Beside]
    """Of each kind of prompt with enough pairs, the largest first; ties are verdicts."""
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The form in which commands carry it: fractions."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Pair:
    prompt: str
    item: str
    first: int
    second: int
    prompt_kinds: tuple[str, ...]


def judge_agreement(
    verdicts: Iterable[Verdict],
    *,
    rng: np.random.Generator,
    confidence: float = 0.95,
    resamples: int = 1000,
) -> list[JudgeAgreement]:
    """Every program among the raters beside the people who judged the same.

    Args:
        verdicts: Of programs and people. Of several by one rater on one item the last counts.
        rng: Source of the resamples of kappa.
        confidence: Coverage of every interval.
        resamples: How many times the prompts are drawn anew.

    Returns:
        The judge that shares most verdicts with people first.

    Raises:
        TooLittleData: No program voted, no person did, or no program and person on the same item.
    """
    said: dict[str, dict[str, Verdict]] = defaultdict(dict)
    for one in verdicts:
        if one.kind is not Kind.SIMULATED:
            said[one.item][one.rater] = one
    everyone = {rater: one.kind for by in said.values() for rater, one in by.items()}
    judges = sorted(rater for rater, kind in everyone.items() if kind is Kind.PROGRAM)
    people = len(everyone) - len(judges)
    if not judges or not people:
        raise TooLittleData(
            "Agreement of judges with people needs votes of both;"
            f" there are {len(judges)} programs and {people} people."
        )
    found = [
        _agreement(judge, said.values(), rng=rng, confidence=confidence, resamples=resamples)
        for judge in judges
    ]
    met = [one for one in found if one.all.judge.pairs]
    if not met:
        raise TooLittleData("No program voted on anything that a person voted on.")
    return sorted(met, key=lambda one: -(one.all.judge.equal.value if one.all.judge.equal else -1))


def verdicts_in_study(
    judgements: Iterable[Judgement], prompt_kinds: Mapping[str, Sequence[str]] = {}
) -> list[Verdict]:
    """The votes of a study, as they are stored. Its key is not needed, so nothing is unsealed.

    Args:
        judgements: As `storage.judgements.judgements` reads them.
        prompt_kinds: The tags of each prompt, by its identifier.
    """
    return [
        Verdict(
            prompt=said.prompt,
            item=" ".join(sorted((one.left, one.right))),
            rater=said.annotator,
            kind=said.kind,
            choice=int(np.sign(one.choice)) * (1 if one.left < one.right else -1),
            prompt_kinds=tuple(prompt_kinds.get(said.prompt, ())),
        )
        for said in judgements
        for one in said.comparisons
    ]


def verdicts_in_votes(
    votes: Iterable[Vote],
    *,
    programs: Iterable[str],
    prompt_kinds: Mapping[str, Sequence[str]] = {},
) -> list[Verdict]:
    """The votes of a file, which does not tell by itself who is a program.

    Args:
        votes: As `evaluation.votes.read_votes` gives them; those without a judge, and those that
            hold a model against itself, are left out. A probability counts by its side of one half.
        programs: Names of the judges that are programs; all others are people.
        prompt_kinds: Kinds of each question, by its identifier.
    """
    known = set(programs)
    return [
        Verdict(
            prompt=vote.question,
            item=vote.item,
            rater=vote.judge,
            kind=Kind.PROGRAM if vote.judge in known else Kind.PERSON,
            choice=int(np.sign(vote.score - 0.5)) * (1 if vote.first < vote.second else -1),
            prompt_kinds=tuple(prompt_kinds.get(vote.question, ())),
        )
        for vote in votes
        if vote.judge is not None and vote.first != vote.second
    ]


def _agreement(
    judge: str,
    items: Iterable[Mapping[str, Verdict]],
    *,
    rng: np.random.Generator,
    confidence: float,
    resamples: int,
) -> JudgeAgreement:
    with_judge: list[_Pair] = []
    among_people: list[_Pair] = []
    for by in items:
        if judge not in by:
            continue
        mine = by[judge]
        persons = [one for one in by.values() if one.kind is Kind.PERSON]
        with_judge += [_pair(mine, one) for one in persons]
        among_people += [_pair(one, other) for one, other in combinations(persons, 2)]

    def beside(keep: Any) -> Beside:
        ours, theirs = (list(filter(keep, pairs)) for pairs in (with_judge, among_people))
        return Beside(
            judge=_concordance(ours, rng, confidence, resamples),
            people=_concordance(theirs, rng, confidence, resamples, symmetric=True),
        )

    places: dict[str, list[_Pair]] = defaultdict(list)
    for pair in with_judge:
        for kind in pair.prompt_kinds:
            places[kind].append(pair)
    enough = sorted(
        (
            kind
            for kind, inside in places.items()
            if len(inside) >= FEWEST_PAIRS
            and len({pair.prompt for pair in inside}) >= FEWEST_PROMPTS
        ),
        key=lambda kind: (-len(places[kind]), kind),
    )
    whole = beside(lambda _: True)
    return JudgeAgreement(
        judge=judge,
        all=whole,
        decided=beside(lambda pair: pair.first != 0 != pair.second),
        by_kind={
            kind: beside(lambda pair, kind=kind: kind in pair.prompt_kinds)
            for kind in enough[:MOST_KINDS]
        },
        warnings=tuple(_warnings(judge, whole)),
    )


def _pair(one: Verdict, other: Verdict) -> _Pair:
    return _Pair(one.prompt, one.item, one.choice, other.choice, one.prompt_kinds)


def _concordance(
    pairs: Sequence[_Pair],
    rng: np.random.Generator,
    confidence: float,
    resamples: int,
    *,
    symmetric: bool = False,
) -> Concordance:
    """Of pairs of verdicts; `symmetric` where it is chance which of the two stands first."""
    first = np.array([pair.first for pair in pairs], dtype=float)
    second = np.array([pair.second for pair in pairs], dtype=float)
    prompts = np.array([pair.prompt for pair in pairs], dtype=str)
    many = len(set(prompts.tolist()))
    ways = 2 if symmetric else 1
    one, other = (
        (first, second)
        if not symmetric
        else (
            np.concatenate([first, second]),
            np.concatenate([second, first]),
        )
    )
    kappa = cohen_kappa(
        one,
        other,
        rng=rng,
        clusters=np.tile(prompts, ways),
        confidence=confidence,
        resamples=resamples,
    )
    if symmetric:
        # Each pair was counted from both sides.
        estimate = kappa.kappa and replace(kappa.kappa, n=len(pairs))
        kappa = replace(kappa, kappa=estimate, items=len(pairs))
    return Concordance(
        pairs=len(pairs),
        items=len({pair.item for pair in pairs}),
        prompts=many,
        equal=(
            clustered_mean(first == second, prompts, confidence=confidence) if many >= 2 else None
        ),
        kappa=kappa,
    )


def _warnings(judge: str, whole: Beside) -> list[str]:
    ours, theirs = whole.judge, whole.people
    found = []
    if ours.prompts < FEWEST_PROMPTS:
        found.append(
            f"{judge} and people met on {ours.prompts} prompts only; that says next to nothing."
        )
    if not theirs.pairs:
        found.append(
            "No two people judged the same, so it is unknown how far people agree among themselves."
        )
    if ours.equal and theirs.equal and ours.equal.high < theirs.equal.low:
        found.append(
            f"{judge} agrees with a person less often ({ours.equal}) than two people do with each"
            f" other ({theirs.equal})."
        )
    if ours.kappa.kappa and ours.kappa.kappa.low <= 0:
        found.append(
            f"It is not certain that {judge} agrees with people more than chance would: kappa"
            f" {ours.kappa.kappa.value:.2f} [{ours.kappa.kappa.low:.2f},"
            f" {ours.kappa.kappa.high:.2f}]."
        )
    return found
