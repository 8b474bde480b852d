"""How a study was done, in sentences that can stand in a paper: from its plan and its votes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from evaluation.ablation_words import in_words, number
from evaluation.compared_arms import ArmComparison, StudyVote
from evaluation.intervals import FEWEST_RATERS
from evaluation.study_plan import EXCLUSIONS, QUESTION, STOPPING
from evaluation.study_reading import StudyReading, check_closed
from evaluation.study_record import StudyRecord
from evaluation.verdict import votes_that_count
from storage.records import HIGHEST_RATING, LOWEST_RATING, Kind

WAYS = {
    "pair": "saw two answers to a prompt side by side",
    "ranking": (
        "saw the answers of all arms to a prompt and put them in order, in which every two of them"
        " are a vote"
    ),
    "pair_with_ratings": (
        "saw two answers to a prompt side by side, and also rated each of them from"
        f" {LOWEST_RATING} to {HIGHEST_RATING}"
    ),
}
LEFT_OUT = "votes that were taken back, and those of people who withdrew"
"""How the usual rule of exclusion is said; attention checks have a sentence of their own."""
STOPS = "when every task had all its votes"
"""How the usual rule of stopping is said of a study that is over."""
KINDS = {
    Kind.PERSON: ("person", "people"),
    Kind.PROGRAM: ("program", "programs"),
    Kind.SIMULATED: ("simulated rater", "simulated raters"),
}


def methods(record: StudyRecord, found: StudyReading, *, software: str) -> str:
    """The methods paragraph of a closed study.

    Args:
        record: The study, with its plan and its votes.
        found: What was read of it.
        software: What counted, with its version.

    Raises:
        NotAllowed: The study is still open.
    """
    check_closed(record)
    sentences = [
        *_design(record),
        *_votes(record),
        *_intervals(record, found),
        *_further(record, found),
        *_plan(record, software),
    ]
    return " ".join(sentences)


def participants(votes: Iterable[StudyVote]) -> str:
    """How many voted, by what they are: `24 people and 1 program`."""
    kinds = Counter({vote.annotator: vote.kind for vote in votes}.values())
    return in_words([_count(kinds[kind], *words) for kind, words in KINDS.items() if kinds[kind]])


def stopping(plan: Mapping[str, Any]) -> str:
    """When the plan said that the study is over."""
    said = str(plan.get("stopping", STOPPING))
    return STOPS if said == STOPPING else said


def exclusions(plan: Mapping[str, Any]) -> str:
    """Whose votes the plan leaves out."""
    said = str(plan.get("exclusions", EXCLUSIONS))
    return LEFT_OUT if said == EXCLUSIONS else said


def _people(record: StudyRecord) -> list[str]:
    """Who came, left and failed, without what they say of themselves."""
    people = record.result.people
    return replace(people, about={}).sentences() if people else []


def _design(record: StudyRecord) -> list[str]:
    plan, arms = record.study.plan, record.study.arms
    form = plan.get("form", "pair")
    question = plan.get("question", QUESTION)
    what = "ordering" if form == "ranking" else "pair of answers"
    asked = _count(plan["overlap"], "participant", "participants")
    found = [
        (
            f"We compared {in_words(list(arms))} on {_count(len(plan['prompts']), 'prompt')} in a"
            " blinded study."
        ),
        (
            f"Asked “{question}”, participants {WAYS[form]}. The order of the answers was drawn at"
            " random, and nothing told which policy had written which."
        ),
        f"Each {what} was to be judged by {asked}, {_count(plan['votes'], 'vote')} in all.",
    ]
    told = sum(plan.get("revealing", {}).get("answers", {}).values())
    if told:
        done = {
            "flag": "these were shown as they are",
            "redact": f"names were replaced by {plan['revealing'].get('replaced_by', '[name]')}",
        }[plan["revealing"]["rule"]]
        found.append(f"{_count(told, 'answer')} told or seemed to tell which model wrote; {done}.")
    if plan.get("without_start"):
        found.append(
            f"The model that a policy grew from was no arm, because: {plan['without_start']}"
        )
    return found


def _votes(record: StudyRecord) -> list[str]:
    study, first = record.study, record.result.comparisons[0]
    counting = votes_that_count(record.votes)
    first_day, last_day = (f"{day:%-d %B %Y}" for day in (study.opened, study.closed) if day)
    days = f"on {first_day}" if first_day == last_day else f"between {first_day} and {last_day}"
    bad = number(first.both_bad) if first.both_bad else "none"
    found = [
        (
            f"{_count(len(counting), 'vote')} by {participants(counting)} came {days};"
            f" {number(first.votes)} of them compared {first.arm} with {first.opponent}"
            f" ({_count(first.ties, 'tie')}, of which {bad} said that both answers are bad)."
        )
    ]
    same = [
        f"{number(one.identical)} for {one.arm} and {one.opponent}"
        for one in record.result.comparisons
        if one.identical
    ]
    if same:
        found.append(
            f"Where two arms gave the same answer (prompts: {in_words(same)}) nobody was asked, and"
            " the prompt counts as a tie."
        )
    return found


def _intervals(record: StudyRecord, found: StudyReading) -> list[str]:
    pairs = record.result.comparisons
    first = pairs[0]
    level = f"{100 * first.win_rate.confidence:g} %"
    said = ["The win rate is the share of votes won, a tie counting as half a win."]
    early = [f"{one.arm} and {one.opponent}" for one in pairs if not one.planned]
    if len(early) < len(pairs):
        planned = next(one for one in pairs if one.planned)
        said.append(f"Its {level} interval uses Student's t, {_clusters(planned)}")
        several = (
            f", corrected for {len(pairs)} pairs of arms by Holm's method; intervals are not"
            " corrected"
            if len(pairs) > 1
            else ""
        )
        said.append(
            "p-values are those of a permutation test that exchanges the arms on whole prompts"
            f"{several}."
        )
        said.append(
            "Beside it stand percentile intervals from a cluster bootstrap (for prompts and people"
            " at once the pigeonhole bootstrap of Owen 2007, with the variance of the two-way"
            " standard error) and exact sign tests over prompts."
        )
    if early:
        said.append(
            f"The study was closed before all planned votes on {in_words(early)} were given;"
            f" there the {level} interval is a confidence sequence by betting on prompts, which"
            " holds whenever one stops (Waudby-Smith and Ramdas 2024)."
        )
    if first.at_equal_length is not None:
        said.append(
            "The win rate at equal length is from a logistic regression on the difference in"
            " characters, as in length-controlled AlpacaEval (Dubois et al. 2024)."
        )
    if record.result.agreement is not None and record.result.agreement.alpha is not None:
        said.append(
            "Agreement is Krippendorff's nominal alpha over win, tie and loss, bootstrapped over"
            " pairs of answers."
        )
    if found.orders is not None:
        said.append(
            "For each prompt, participants' orders are put together by ranked pairs (Tideman 1987),"
            " ties staying ties, and the place among k arms gives k/k to 1/k points; Borda's count"
            " is given as the share of other arms that an arm was put before."
        )
    if found.ranking is not None:
        people = " and by participant" if any(one.other_people for one in pairs) else ""
        said.append(
            "Arms are ranked by Bradley and Terry's model with ties as half wins and standard"
            f" errors clustered by prompt{people}."
        )
    return said


def _clusters(found: ArmComparison) -> str:
    if found.other_people:
        return (
            "with standard errors clustered by prompt and by participant (two-way; Cameron, Gelbach"
            " and Miller 2011)."
        )
    return (
        "with standard errors clustered by prompt (Miller 2024); with fewer than"
        f" {FEWEST_RATERS} participants it says nothing of other people."
    )


def _further(record: StudyRecord, found: StudyReading) -> list[str]:
    said = []
    if record.result.judges:
        names = in_words([one.judge for one in record.result.judges])
        said.append(f"Programs voted beside people and count in no win rate of theirs: {names}.")
    if found.raters is not None:
        said.append(
            "How sharply each participant follows the order of the arms is a random slope, and what"
            " the left side is worth to them a random intercept, on the strengths of Bradley and"
            " Terry (penalised quasi-likelihood, Breslow and Clayton 1993)."
        )
    if found.judges:
        said.append(
            "Their agreement with people is the share of equal verdicts on the same two answers,"
            " clustered by prompt, and Cohen's kappa."
        )
    if record.result.comparisons[0].with_judges is not None:
        said.append(
            "Where programs judged prompts that no person was asked about, the prediction-powered"
            " win rate is given, too (Angelopoulos et al. 2023)."
        )
    if record.ratings:
        said.append(
            "Mean ratings have intervals clustered by prompt and are no part of a win rate."
        )
    return said


def _plan(record: StudyRecord, software: str) -> list[str]:
    plan = record.study.plan
    digest = record.result.design.digest if record.result.design else ""
    told = [
        f"The study was planned to end {stopping(plan)}.",
        f"Excluded were {exclusions(plan)}.",
        *_people(record),
        f"The plan was frozen before the first vote (SHA-256 {digest}).",
    ]
    if record.study.simulated or record.result.simulated:
        told.append("Answers or votes were simulated: this says nothing about people.")
    return [*told, f"All figures were computed with {software}."]


def _count(amount: int, one: str, many: str = "") -> str:
    return f"{number(amount)} {one if amount == 1 else many or one + 's'}"
