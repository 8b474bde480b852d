"""A study is planned: what its votes will see, at the command line and on the Studies page."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from invented import Invented
from pages_desk import Desk
from statsmodels.stats.power import TTestPower

from app.cli import main
from evaluation.power import StudyDesign, smallest_difference
from storage.prompts import prompts
from storage.records import Annotator, Split


def tandem(capsys: pytest.CaptureFixture[str], *tokens: str, code: int = 0) -> Any:
    capsys.readouterr()
    ended = main(["study", "plan", *tokens])
    printed = capsys.readouterr()
    assert ended == code, printed.err
    if code:
        return printed.err
    return json.loads(printed.out) if "--json" in tokens else printed.out


@pytest.fixture
def votes(tmp_path: Path) -> Path:
    """40 questions of three votes, two of which agree, by ten judges; a tenth are ties."""
    rng = np.random.default_rng(2)
    winners = np.array(["model_a", "model_b"])
    lines = []
    for question in range(40):
        usual = rng.integers(2)
        cast = [winners[usual], winners[usual], winners[1 - usual]]
        if question % 10 == 0:
            cast = ["tie"] * 3
        lines += [
            {
                "question_id": f"q{question}",
                "model_a": "one",
                "model_b": "other",
                "winner": winner,
                "judge": f"j{(3 * question + place) % 10}",
            }
            for place, winner in enumerate(cast)
        ]
    file = tmp_path / "votes.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    return file


def test_independent_votes_are_planned_as_statsmodels_would(
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = tandem(
        capsys,
        *("--overlap", "1", "--likeness", "0", "--win-rate", "0.6", "0.7", "--prompts", "60"),
        "--json",
    )
    for need, true in zip(told["needed"], (0.6, 0.7), strict=True):
        effect = (true - 0.5) / (true * (1 - true)) ** 0.5
        wanted = TTestPower().solve_power(effect, power=0.8, alpha=0.05)
        assert need == {"win_rate": true, "prompts": np.ceil(wanted), "votes": np.ceil(wanted)}
    true = 0.5 + told["smallest_difference"]
    effect = told["smallest_difference"] / (true * (1 - true)) ** 0.5
    assert TTestPower().power(effect, 60, 0.05) == pytest.approx(0.8)
    assert (told["votes"], told["likeness"], told["seen"]) == (60, 0, None)


def test_a_plan_is_told_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    told = tandem(capsys, "--prompts", "20")
    points = np.ceil(1000 * smallest_difference(StudyDesign(prompts=20, overlap=3))) / 10
    assert (
        f"With 60 votes (20 prompts, 3 on each) you can only see differences above {points:g}"
        in told
    )
    assert [line.split()[0] for line in told.splitlines()[-6:]] == [
        "52",
        "55",
        "57",
        "60",
        "65",
        "70",
    ]
    # 3 votes each, and never the number of prompts that was planned.
    rows = [re.findall(r"\d+", line) for line in told.splitlines()[-6:]]
    assert all(int(votes) == 3 * int(prompts) for _, prompts, votes in rows)


def test_a_file_of_votes_says_what_votes_are_like(
    capsys: pytest.CaptureFixture[str], votes: Path
) -> None:
    told = tandem(capsys, "--votes", str(votes), "--raters", "12", "--json")
    # In 36 of 40 questions two of three agree; all three do in the four of ties.
    assert told["ties"] == told["seen"]["ties"]["value"] == pytest.approx(0.1)
    assert told["seen"]["overlap"] == 3
    assert told["seen"]["raters"] == 10
    assert told["likeness"] == max(0, told["seen"]["likeness"]["value"])
    assert told["rater_likeness"] == max(0, told["seen"]["rater_likeness"]["value"])
    assert told["raters"] == 12
    chosen = tandem(capsys, "--votes", str(votes), "--likeness", "0.4", "--ties", "0.5", "--json")
    assert (chosen["likeness"], chosen["ties"]) == (0.4, 0.5)
    words = tandem(capsys, "--votes", str(votes))
    assert f"In {votes} two votes on one prompt correlate by" in words
    assert "10 % [0, 20] are ties" in words


def test_raters_who_are_too_few_for_a_win_rate_are_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = tandem(capsys, "--raters", "8", "--rater-likeness", "0.5")
    assert "55 %      more raters  -" in told


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (("--prompts", "5"), "prompts: plan at least 6"),
        (("--win-rate", "0.5"), "there is no difference to see"),
        (("--win-rate", "0.9", "--ties", "0.3"), "with 30 % of ties it lies between 0.15 and 0.85"),
        (("--raters", "3"), "needs 8 of them"),
        (("--power", "1"), "power: lies between"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_in_a_sentence(
    capsys: pytest.CaptureFixture[str], typed: tuple[str, ...], sentence: str
) -> None:
    assert sentence in tandem(capsys, *typed, code=1)


# The page.


def foreseen(desk: Desk, limit: str, overlap: float, held_out: int = 40) -> str:
    """What is drawn when somebody types, with the number of prompts that the page counted."""
    handler = desk.handler("studies", "foresee")
    return str(desk.call(handler, held_out, limit, overlap)[0])


def test_the_studies_page_says_what_the_planned_votes_will_see(
    full_desk: tuple[Desk, Invented],
) -> None:
    desk, invented = full_desk
    (count,) = [h for h in desk.handlers("studies", "load") if h.fn.__name__ == "count_prompts"]
    held_out = desk.call(count)[0]
    drawn = foreseen(desk, "", 3, held_out)
    with desk.database.read() as connection:
        known = prompts(connection, invented.project.id)
    mine = [prompt for prompt in known if prompt.split is Split.TEST]
    assert held_out == len(mine) > 5
    smallest = smallest_difference(StudyDesign(prompts=len(mine), overlap=3))
    points = np.ceil(1000 * smallest) / 10
    assert f"With {3 * len(mine)} votes ({len(mine)} prompts, 3 on each)" in drawn
    assert f"differences above {points:g} points" in drawn
    # Whatever changes it, one listener answers, so that no older answer comes last.
    listener = desk.handler("studies", "foresee")
    assert [event for _, event in listener.targets] == ["change"] * 3
    assert listener.trigger_mode == "always_last"
    # A limit, and one above what there is; more votes on each see more.
    assert "With 40 votes (20 prompts, 2 on each)" in foreseen(desk, "20", 2)
    assert "With 80 votes (40 prompts, 2 on each)" in foreseen(desk, "900", 2)
    assert "you have\u00a040" in foreseen(desk, "", 3)
    assert "Only 4 held-out prompts." in foreseen(desk, "4", 3)


@pytest.mark.parametrize("typed", [("20", 0), ("20", None), ("20", 2000)])
def test_half_typed_plans_draw_nothing_and_scold_nobody(
    full_desk: tuple[Desk, Invented], typed: tuple[str, Any]
) -> None:
    desk, _ = full_desk
    handler = desk.handler("studies", "foresee")
    assert desk.call(handler, 40, *typed) == ["", desk.call(handler, 40, "20", 3)[-1]]


def test_without_prompts_nothing_is_foreseen(
    empty_desk: tuple[Desk, tuple[Annotator, Annotator, Annotator]],
) -> None:
    desk, (administrator, _, _) = empty_desk
    desk.sit(administrator)
    assert foreseen(desk, "", 3, held_out=0) == ""
