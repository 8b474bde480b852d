"""The result of a study in numbers and in one plain sentence."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest

from evaluation.verdict import PlanOfPair, StudyResult, StudyVote, study_result
from storage.errors import TooLittleData
from storage.records import Kind

ARMS = ("PPO", "its start")


def votes(
    won: list[float],
    *,
    raters: int = 1,
    kind: Kind = Kind.PERSON,
    arms: tuple[str, str] = ARMS,
    both_bad: bool = False,
) -> list[StudyVote]:
    """One vote of each rater on each prompt: 1 where the first arm won, 0 lost, 1/2 tie.

    Sides alternate, so that the same arm stands left and right equally often.
    """
    cast = []
    for (number, score), rater in product(enumerate(won), range(raters)):
        left_first = (number + rater) % 2 == 0
        left, right = arms if left_first else arms[::-1]
        preferred = 0 if score == 0.5 else (-1 if (score == 1) == left_first else 1)
        cast.append(
            StudyVote(
                prompt=f"p{number}",
                annotator=f"{kind} {rater}",
                kind=kind,
                left=left,
                right=right,
                choice=2 * preferred,
                both_bad=both_bad and score == 0.5,
            )
        )
    return cast


def result(cast: list[StudyVote], **changes: Any) -> StudyResult:
    """As closed with every planned vote given: as many on each prompt as there are raters."""
    arms = changes.get("arms", ARMS)
    plan = changes.pop("plan", None)
    plans = {}
    for pair in combinations(arms, 2):
        prompts = Counter(v.prompt for v in cast if {v.left, v.right} == set(pair))
        overlap = max(prompts.values(), default=1)
        plans[pair] = plan or PlanOfPair(prompts=len(prompts), overlap=overlap)
    settings: dict[str, Any] = {
        "name": "test",
        "arms": ARMS,
        "identical": {},
        "plans": plans,
        "still_open": False,
        "rng": np.random.default_rng(0),
    }
    return study_result(cast, **(settings | changes))


def test_a_clear_win_is_said_so() -> None:
    found = result(votes([1] * 24 + [0] * 6, raters=3))
    # Mean 0.8; 30 prompts, each unanimous, so as 30 votes: se = sqrt(0.16 / 29), t(29) = 2.0452.
    assert found.win_rate.value == pytest.approx(0.8)
    assert found.win_rate.low == pytest.approx(0.8 - 2.045230 * (0.16 / 29) ** 0.5)
    sentence = "PPO beats its start: 80 % [65, 95] of 90 votes over 30 prompts (3 people). Decided."
    assert found.verdict == sentence
    assert found.comparisons[0].decided
    assert [doubt.split(";")[0] for doubt in found.warnings] == ["3 people voted"]
    assert (found.votes, found.ties, found.prompts, found.participants) == (90, 0, 30, 3)


def test_a_clear_loss_is_told_from_the_winners_side() -> None:
    found = result(votes([0] * 24 + [1] * 6, raters=3))
    assert found.win_rate.value == pytest.approx(0.2)
    assert found.verdict.startswith("its start beats PPO: 80 % [65, 95] of 90 votes")


def test_what_is_not_decided_is_not_called_a_win() -> None:
    cast = votes([1] * 17 + [0] * 13, raters=2)
    assert result(cast).verdict == (
        "PPO and its start cannot be told apart: PPO won 57 % [38, 75] of 60 votes over 30 prompts"
        " (2 people)."
    )
    behind = result(votes([0] * 17 + [1] * 13, raters=2)).verdict
    assert behind.startswith("PPO and its start cannot be told apart: PPO won 43 % [25, 62]")


def test_before_the_plan_is_fulfilled_the_interval_is_one_that_stands_any_look() -> None:
    cast = votes([1, 0] * 13 + [1] * 4, raters=2)
    more = PlanOfPair(prompts=45, overlap=2)
    early = result(cast, still_open=True, plan=more)
    first = early.comparisons[0]
    assert "cannot be told apart yet" in early.verdict
    assert any("Early look: 60 of 90 planned votes" in doubt for doubt in early.warnings)
    assert first.any_time is not None
    assert first.told == first.any_time
    assert first.told.low < first.win_rate.low
    assert first.told.high > first.win_rate.high
    assert first.chance_to_decide is not None
    assert 0 < first.chance_to_decide < 1
    closed = result(cast, plan=more)
    assert closed.comparisons[0].told == closed.comparisons[0].any_time
    assert closed.comparisons[0].chance_to_decide is None
    assert any("Closed early: 60 of 90 planned votes" in doubt for doubt in closed.warnings)
    whole = result(cast).comparisons[0]
    assert whole.told == whole.win_rate


def test_what_the_votes_to_come_can_hardly_decide_is_said() -> None:
    even = votes([1, 0] * 28, raters=1)
    found = result(even, still_open=True, plan=PlanOfPair(prompts=60, overlap=1))
    assert any("will hardly decide it" in doubt for doubt in found.warnings)
    assert found.comparisons[0].chance_to_decide == pytest.approx(0, abs=0.02)


def test_enough_people_make_the_interval_one_of_other_people_too() -> None:
    # Half of eight people always prefer PPO and half never do: other people might all do so.
    cast = [vote for rater in range(8) for vote in votes([rater % 2] * 20)]
    cast = [replace(vote, annotator=f"person {at // 20}") for at, vote in enumerate(cast)]
    found = result(cast).comparisons[0]
    assert (found.raters, found.other_people) == (8, True)
    # Mean 1/2, prompts all even. Each person's 20 votes are off by 10, and each vote by 1/2:
    # V = 8/7 * 8 * 10^2 - 160/159 * 160 / 4, se = sqrt(V) / 160, t(7) = 2.3646.
    reach = 2.364624 * (8 / 7 * 800 - 160 / 159 * 40) ** 0.5 / 160
    assert found.win_rate.low == pytest.approx(0.5 - reach)
    seven = result(cast[:140])
    assert not seven.comparisons[0].other_people
    assert any("7 people voted; below 8" in doubt for doubt in seven.warnings)


def test_length_that_may_have_decided_is_a_doubt() -> None:
    # The longer answer wins but for nine times, and PPO's is the longer one 63 times of 80.
    exceptions = {0, 20, 40, *range(60, 66)}
    cast = []
    for number, vote in enumerate(votes([1] * 60 + [0] * 20, raters=1)):
        won = vote.score("PPO") == 1
        longer = won != (number in exceptions)
        lengths = {"PPO": 300 if longer else 100, "its start": 200}
        cast.append(replace(vote, left_length=lengths[vote.left], right_length=lengths[vote.right]))
    found = result(cast)
    level = found.comparisons[0].at_equal_length
    assert level is not None
    assert level.value < found.win_rate.value
    assert f"; at equal length {level}" in found.verdict
    assert "at equal length" not in result(cast, plan=PlanOfPair(prompts=90, overlap=1)).verdict
    assert any("Length may be what decided" in doubt for doubt in found.warnings)


def test_people_alone_decide_where_people_voted() -> None:
    people = votes([1] * 24 + [0] * 6, raters=2)
    program = votes([0] * 24 + [1] * 6, kind=Kind.PROGRAM)
    found = result(people + program, plan=PlanOfPair(prompts=30, overlap=2))
    assert (found.votes, found.participants) == (60, 2)
    assert "(2 people)" in found.verdict
    (judge,) = found.judges
    assert (judge.votes, judge.win_rate.value) == (30, pytest.approx(0.2))
    assert any("disagrees with the people" in doubt for doubt in found.warnings)
    alone = result(program)
    assert alone.judges == ()
    assert any("Only programs voted here" in doubt for doubt in alone.warnings)


def test_a_program_that_judged_more_prompts_sharpens_what_people_say() -> None:
    rng = np.random.default_rng(3)
    truth = (rng.random(400) < 0.65).astype(float)
    judge = np.where(rng.random(400) < 0.9, truth, 1 - truth)
    people = votes(list(truth[:80]), raters=1)
    program = votes(list(judge), kind=Kind.PROGRAM)
    found = result(people + program, plan=PlanOfPair(prompts=80, overlap=1)).comparisons[0]
    assert found.with_judges is not None
    width = found.with_judges.high - found.with_judges.low
    assert width < 0.8 * (found.win_rate.high - found.win_rate.low)


def test_agreement_kinds_and_disputed_prompts_are_told() -> None:
    cast = votes([1] * 20 + [0] * 10, raters=3)
    turned = [
        replace(vote, choice=-vote.choice)
        if vote.prompt in ("p0", "p1") and vote.annotator.endswith("2")
        else vote
        for vote in cast
    ]
    tagged = [
        replace(vote, prompt_kinds=("coding" if int(vote.prompt[1:]) < 15 else "chat",))
        for vote in turned
    ]
    found = result(tagged)
    assert found.agreement is not None
    assert found.agreement.alpha is not None
    assert 0.8 < found.agreement.alpha.value < 1
    assert [(one.kind, one.prompts) for one in found.kinds] == [("chat", 15), ("coding", 15)]
    assert [(one.prompt, one.won, one.lost) for one in found.disputed] == [
        ("p0", 2, 1),
        ("p1", 2, 1),
    ]
    assert result(votes([1, 0] * 10)).agreement is None
    noise = np.random.default_rng(0)
    loose = [replace(v, choice=int(noise.choice([-1, 1]))) for v in votes([1] * 40, raters=3)]
    assert any("hardly agree with each other" in doubt for doubt in result(loose).warnings)


def test_p_values_of_several_pairs_are_corrected() -> None:
    one = result(votes([1] * 8)).comparisons[0]
    assert one.p_value == pytest.approx(2 / 2**8)
    arms = ("PPO", "its start", "SFT")
    cast = [vote for pair in combinations(arms, 2) for vote in votes([1] * 8, arms=pair)]
    assert [pair.p_value for pair in result(cast, arms=arms).comparisons] == pytest.approx(
        [3 * 2 / 2**8] * 3
    )


def test_ties_are_half_a_win_and_both_bad_is_a_tie() -> None:
    found = result(votes([1, 0.5, 0.5, 0] * 8, raters=2, both_bad=True))
    assert found.win_rate.value == 0.5
    assert (found.ties, found.comparisons[0].both_bad) == (32, 32)


def test_identical_answers_count_as_ties_as_heavy_as_a_prompt_that_was_asked() -> None:
    found = result(votes([1] * 20, raters=3), identical={ARMS: [f"q{n}" for n in range(20)]})
    assert found.win_rate.value == pytest.approx(0.75)
    assert (found.votes, found.prompts, found.comparisons[0].identical) == (60, 20, 20)
    assert found.win_rate.n == 120
    assert "Identical answers to 20 prompts count as ties." in found.verdict
    assert "PPO and its start gave identical answers to 20 prompts" in found.warnings[1]


def test_simulated_raters_are_named_in_the_sentence_and_among_the_doubts() -> None:
    cast = votes([1] * 30, raters=3, kind=Kind.SIMULATED) + votes([1] * 30, kind=Kind.PROGRAM)
    found = result(cast)
    assert found.simulated
    assert "(1 program and 3 simulated raters)" in found.verdict
    assert found.warnings[0].startswith("Simulated raters voted here")
    assert not result(votes([1] * 30, raters=2)).simulated


def test_few_prompts_one_rater_and_training_prompts_are_doubts() -> None:
    found = result(votes([1, 1, 0, 0, 0, 1, 1, 0, 0, 1]), training_prompts=1)
    assert [doubt.split(":")[0].split(";")[0] for doubt in found.warnings] == [
        "All votes come from one rater, so this is one taste and not a common one.",
        "Only 10 prompts were voted on",
        "A policy may have been trained on 1 prompt of this study",
    ]


def test_a_pull_to_one_side_is_reported() -> None:
    cast = [
        StudyVote(
            prompt=f"p{number}",
            annotator=f"a{number % 3}",
            kind=Kind.PERSON,
            left=ARMS[number % 2],
            right=ARMS[1 - number % 2],
            choice=-1 if number % 10 else 1,
        )
        for number in range(60)
    ]
    found = result(cast)
    assert found.position_bias is not None
    assert found.position_bias.value == pytest.approx(0.9)
    assert "The answer on the left was preferred in 90 %" in found.warnings[-1]


def test_nothing_decided_has_no_position_bias_and_no_winner() -> None:
    found = result(votes([0.5] * 20, raters=2))
    assert found.position_bias is None
    assert found.win_rate.value == 0.5
    assert found.win_rate.high - found.win_rate.low > 0.1
    assert "cannot be told apart" in found.verdict


def test_one_prompt_is_no_study() -> None:
    with pytest.raises(
        TooLittleData, match="PPO against its start needs votes on at least 2 prompts"
    ):
        result(votes([1], raters=9))


def test_three_arms_are_compared_in_pairs() -> None:
    arms = ("PPO", "its start", "SFT")
    cast = [
        vote
        for pair, won in ((arms[:2], [1] * 25), (arms[::2], [0] * 25), (arms[1:], [1, 0] * 12))
        for vote in votes(won, raters=2, arms=pair)  # type: ignore[arg-type]
    ]
    found = result(cast, arms=arms)
    rates = {(each.arm, each.opponent): each.win_rate.value for each in found.comparisons}
    assert rates == {("PPO", "its start"): 1, ("PPO", "SFT"): 0, ("its start", "SFT"): 0.5}
    assert found.win_rate == found.comparisons[0].win_rate


def test_a_result_is_carried_as_json() -> None:
    carried = result(votes([1] * 24 + [0] * 6, raters=3)).as_json()
    assert json.loads(json.dumps(carried)) == carried
    assert carried["win_rate"]["value"] == pytest.approx(0.8)
    assert (carried["votes"], carried["ties"], carried["prompts"]) == (90, 0, 30)
    assert carried["comparisons"][0]["arm"] == "PPO"
