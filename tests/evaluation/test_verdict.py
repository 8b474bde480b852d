"""The result of a study in numbers and in one plain sentence."""

from __future__ import annotations

import json
from itertools import product

import pytest

from evaluation.verdict import StudyResult, StudyVote, study_result
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


def result(cast: list[StudyVote], **changes: object) -> StudyResult:
    settings: dict[str, object] = {
        "name": "test",
        "arms": ARMS,
        "identical": {},
        "planned": len(cast),
        "still_open": False,
    }
    return study_result(cast, **(settings | changes))  # type: ignore[arg-type]


def test_a_clear_win_is_said_so() -> None:
    found = result(votes([1] * 24 + [0] * 6, raters=3))
    # Mean 0.8; 30 prompts, each unanimous, so as 30 votes: se = sqrt(0.16 / 29), t(29) = 2.0452.
    assert found.win_rate.value == pytest.approx(0.8)
    assert found.win_rate.low == pytest.approx(0.8 - 2.045230 * (0.16 / 29) ** 0.5)
    sentence = "PPO beats its start: 80 % [65, 95] of 90 votes over 30 prompts (3 people)."
    assert found.verdict == sentence
    assert found.warnings == ()
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
    early = result(cast, still_open=True, planned=90)
    assert "cannot be told apart yet" in early.verdict
    assert "Early look: 60 of 90 planned votes" in early.warnings[0]
    closed = result(cast, planned=90)
    assert closed.warnings == ("Closed early: 60 of 90 planned votes were given.",)


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
    assert "PPO and its start gave identical answers to 20 prompts" in found.warnings[0]


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
        "Only 10 prompts were voted on",
        "All votes come from one rater, so this is one taste and not a common one.",
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
