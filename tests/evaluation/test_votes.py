"""Votes files: published win rates come out again, and bad lines are named."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from evaluation.statistics import win_rate
from evaluation.votes import read_votes
from evaluation.votes_report import votes_report
from storage.errors import InvalidData, NotFound, TooLittleData

Write = Callable[[list[Any]], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to_file(rows: list[Any]) -> Path:
        path = tmp_path / "votes.jsonl"
        path.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows))
        return path

    return to_file


def vote(question: object, winner: str, **more: object) -> dict[str, Any]:
    return {"question_id": question, "model_a": "sft", "model_b": "ppo", "winner": winner, **more}


def report(path: Path) -> dict[str, Any]:
    return votes_report(read_votes(path), rng=np.random.default_rng(0))


def entry(found: dict[str, Any], model: str, opponent: str) -> dict[str, Any]:
    (only,) = [
        each
        for each in found["win_rates"]
        if (each["model"], each["opponent"]) == (model, opponent)
    ]
    return dict(only)


def test_each_pair_is_told_from_both_sides(write: Write) -> None:
    found = report(
        write(
            [
                vote(1, "model_b"),
                vote(2, "tie (inconsistent)"),
                vote(2, "model_a"),
                vote(3, "model_b"),
            ]
        )
    )
    ours, theirs = entry(found, "ppo", "sft"), entry(found, "sft", "ppo")
    assert ours["win_rate"]["value"] == pytest.approx(2.5 / 4)
    assert theirs["win_rate"]["value"] == pytest.approx(1.5 / 4)
    assert (ours["votes"], ours["ties"], ours["prompts"]) == (4, 1, 3)
    assert ours["length_controlled"] is None
    assert [each["model"] for each in found["ranking"]] == ["ppo", "sft"]
    assert found["ranking"][0]["average_win_rate"] == pytest.approx(0.625)
    assert json.loads(json.dumps(found)) == found


def test_a_pair_written_in_either_order_is_one_pair(write: Write) -> None:
    turned = {"question_id": 2, "model_a": "ppo", "model_b": "sft", "winner": "model_a"}
    ours = entry(report(write([vote(1, "model_b"), turned])), "ppo", "sft")
    assert (ours["votes"], ours["win_rate"]["value"]) == (2, 1)


def test_a_judges_probability_replaces_its_verdict(write: Write) -> None:
    rows = [vote(1, "model_b", p_model_b=0.75), vote(2, "model_a", p_model_b=0.25)]
    ours = entry(report(write(rows)), "ppo", "sft")
    assert ours["win_rate"]["value"] == pytest.approx(0.5)
    assert ours["ties"] == 0


def test_one_question_gives_no_win_rate_and_says_so(write: Write) -> None:
    found = report(write([vote(1, "model_b"), vote(1, "model_a")]))
    assert entry(found, "ppo", "sft")["win_rate"] is None
    assert "1 of 1 pairs of models were compared on a single question" in found["warnings"][0]
    assert found["ranking"][0]["strength"] is None
    assert found["design"] is None


def test_a_model_against_itself_is_listed_but_not_ranked(write: Write) -> None:
    itself = {"question_id": 1, "model_a": "ppo", "model_b": "ppo", "winner": "tie"}
    rows = [itself, {**itself, "question_id": 2}, vote(1, "model_b"), vote(2, "model_b")]
    found = report(write(rows))
    assert len(found["win_rates"]) == 3
    assert entry(found, "ppo", "ppo")["win_rate"]["value"] == 0.5
    assert found["ranking"][0]["average_win_rate"] == 1
    assert "2 votes compare a model with itself" in found["warnings"][0]


def test_agreement_is_between_judges_whatever_the_order_of_the_models(write: Write) -> None:
    rows: list[Any] = []
    for question, winner in enumerate(["model_a", "model_b", "model_b", "model_a"]):
        rows.append(vote(question, winner, judge="ann"))
        turned = {"model_a": "model_b", "model_b": "model_a"}[winner]
        rows.append(
            {
                "question_id": question,
                "model_a": "ppo",
                "model_b": "sft",
                "winner": turned,
                "judge": "ben",
            }
        )
    assert report(write(rows))["agreement"]["alpha"]["value"] == 1
    without = report(write([vote(1, "model_a"), vote(2, "model_a")]))
    assert without["agreement"]["alpha"] is None
    assert "Agreement is unknown" in without["warnings"][-1]


def test_two_turns_of_one_question_are_two_items_and_one_prompt(write: Write) -> None:
    rows = [
        vote(question, winner, judge=judge, turn=turn)
        for question in (1, 2)
        for turn, winner in ((1, "model_a"), (2, "model_b"))
        for judge in ("ann", "ben")
    ]
    found = report(write(rows))
    assert found["agreement"]["items"] == 4
    assert entry(found, "ppo", "sft")["prompts"] == 2


def test_sides_are_used_where_the_file_tells_them(write: Write) -> None:
    rows = [
        vote(1, "model_a", left="model_a"),
        vote(2, "model_b", left="model_b"),
        vote(3, "model_b", left="model_a"),
        vote(4, "tie", left="model_a"),
        vote(5, "model_a"),
    ]
    bias = report(write(rows))["position_bias"]
    assert (bias["value"], bias["n"]) == (pytest.approx(2 / 3), 3)
    assert report(write(rows[-1:]))["position_bias"] is None


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "Line 2 of votes.jsonl is no JSON"),
        ("[1]", "Line 2 of votes.jsonl is no JSON object"),
        (
            {"model_a": "x", "model_b": "y", "winner": "tie"},
            "Line 2 of votes.jsonl has no question_id",
        ),
        (vote(1, "draw"), "winner is model_a, model_b or tie; got 'draw'"),
        ({**vote(1, ""), "winner": None}, "got None"),
        (vote(1, ""), "got ''"),
        (vote(1, "tie", p_model_b=1.5), "p_model_b lies between 0 and 1; got 1.5"),
        (vote(1, "tie", p_model_b="high"), "p_model_b lies between 0 and 1; got 'high'"),
        (vote(1, "tie", left="sft"), "left is model_a or model_b; got 'sft'"),
        (vote(1, "tie", length_a=-1, length_b=3), "a length is a number from 0 up; got -1"),
        (vote(1, "tie", length_a=2, length_b="long"), "number from 0 up; got 'long'"),
    ],
)
def test_a_line_that_is_no_vote_is_named(write: Write, line: Any, problem: str) -> None:
    with pytest.raises(InvalidData, match=re.escape(problem)):
        read_votes(write([vote(1, "tie"), line]))


def test_a_missing_empty_or_broken_file_is_refused(tmp_path: Path, write: Write) -> None:
    with pytest.raises(NotFound, match="no file of votes"):
        read_votes(tmp_path / "nowhere.jsonl")
    with pytest.raises(TooLittleData, match="holds no votes"):
        read_votes(write([]))
    half = tmp_path / "half.jsonl.gz"
    whole = gzip.compress("\n".join(json.dumps(vote(n, "tie")) for n in range(999)).encode())
    half.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InvalidData, match=r"half.jsonl.gz ends or breaks after line \d+"):
        read_votes(half)
    table = tmp_path / "broken.parquet"
    table.write_bytes(b"PAR1")
    with pytest.raises(InvalidData, match="cannot be read as Parquet"):
        read_votes(table)


def test_parquet_and_gzip_hold_the_same_votes(tmp_path: Path, write: Write) -> None:
    rows = [vote("1", "model_b", judge="ann"), vote("2", "tie"), vote("3", "x", p_model_b=0.25)]
    plain = read_votes(write(rows))
    (tmp_path / "votes.jsonl.gz").write_bytes(gzip.compress(write(rows).read_bytes()))
    pd.DataFrame(rows).to_parquet(tmp_path / "votes.parquet")
    assert read_votes(tmp_path / "votes.jsonl.gz") == plain
    assert read_votes(tmp_path / "votes.parquet") == plain


def test_lengths_control_the_win_rate_from_either_side(write: Write) -> None:
    rng = np.random.default_rng(1)
    rows = []
    for question in range(200):
        longer = int(rng.integers(-100, 101))
        wins = rng.random() < 1 / (1 + np.exp(-longer / 40 - 0.4))
        lengths = {"length_a": 200, "length_b": 200 + longer}
        rows.append(vote(question, "model_b" if wins else "model_a", **lengths))
    found = report(write(rows))
    ours, theirs = entry(found, "ppo", "sft"), entry(found, "sft", "ppo")
    assert ours["length_controlled"]["value"] == pytest.approx(
        1 - theirs["length_controlled"]["value"]
    )
    assert ours["length_controlled"]["low"] == pytest.approx(
        1 - theirs["length_controlled"]["high"]
    )
    # sigmoid(0.4) is 60 %; 200 votes tell it to within about 8 points.
    assert ours["length_controlled"]["low"] < 0.6 < ours["length_controlled"]["high"]
    turned = [
        {**row, "model_a": "ppo", "model_b": "sft", "length_a": row["length_b"], "length_b": 200}
        | {"winner": {"model_a": "model_b", "model_b": "model_a"}[row["winner"]]}
        for row in rows
    ]
    assert entry(report(write(turned)), "ppo", "sft") == ours
    some = [row if at else vote(0, "tie") for at, row in enumerate(rows)]
    assert entry(report(write(some)), "ppo", "sft")["length_controlled"] is None


def test_the_ranking_has_strengths_where_they_exist(write: Write) -> None:
    rows = [vote(question, "model_b" if question % 4 else "model_a") for question in range(40)]
    first, second = report(write(rows))["ranking"]
    # Three wins in four are odds of 3: strengths are ln(3) / 2 about 0, and 400 log10(3) / 2 Elo.
    assert first["strength"]["value"] == pytest.approx(np.log(3) / 2)
    assert first["elo"]["value"] == pytest.approx(1000 + 200 * np.log10(3))
    assert (first["place"], second["place"]) == (1, 2)
    unbeaten = report(write([vote(question, "model_b") for question in range(9)]))
    assert unbeaten["ranking"][0]["strength"] is None
    assert any("There is no ranking by strength" in text for text in unbeaten["warnings"])


def test_other_judges_are_spoken_of_from_eight_on(write: Write) -> None:
    def rows(judges: int) -> list[dict[str, Any]]:
        return [
            vote(question, "model_b" if (question + judge) % 3 else "model_a", judge=f"j{judge}")
            for question in range(12)
            for judge in range(judges)
        ]

    many, few = report(write(rows(8))), report(write(rows(7)))
    assert entry(many, "ppo", "sft")["other_people"]
    assert not entry(few, "ppo", "sft")["other_people"]
    assert any("7 judges voted; below 8" in text for text in few["warnings"])


def test_a_judges_second_word_is_counted_and_named(write: Write) -> None:
    rows = [vote(question, "model_b", judge="ann") for question in range(5)]
    found = report(write([*rows, rows[0], vote(6, "model_a", judge="ann")]))
    assert entry(found, "ppo", "sft")["votes"] == 7
    assert any("1 votes are a judge's second word" in text for text in found["warnings"])


def test_programs_stand_beside_people(write: Write) -> None:
    people = [vote(q, "model_b" if q % 3 else "model_a", judge=j) for q in range(30) for j in "ab"]
    program = [vote(q, "model_a" if q % 3 else "model_b", judge="gpt") for q in range(30)]
    path = write(people + program)
    found = votes_report(read_votes(path), rng=np.random.default_rng(0), programs=["gpt"])
    ours = entry(found, "ppo", "sft")
    assert (ours["votes"], ours["win_rate"]["value"]) == (60, pytest.approx(2 / 3))
    (judge,) = found["judges"]
    assert (judge["judge"], judge["all"]["judge"]["equal"]["value"]) == ("gpt", 0)
    assert judge["all"]["people"]["equal"]["value"] == 1
    assert report(path)["judges"] == []
    assert entry(report(path), "ppo", "sft")["votes"] == 90


def test_p_values_are_corrected_for_the_number_of_pairs(write: Write) -> None:
    def won(opponent: str) -> list[dict[str, Any]]:
        return [
            {"question_id": q, "model_a": opponent, "model_b": "ppo", "winner": "model_b"}
            for q in range(8)
        ]

    assert entry(report(write(won("sft"))), "ppo", "sft")["p_value"] == pytest.approx(2 / 2**8)
    both = report(write(won("sft") + won("base")))
    assert entry(both, "ppo", "sft")["p_value"] == pytest.approx(4 / 2**8)


@pytest.mark.parametrize(
    ("comparison", "pair", "published"),
    [
        ("final_rank002_vs_abs002", ("abs", "rank_002"), ("abs_rlhf", "preference_rlhf")),
        ("final_rank002_vs_crs025", ("crs_025", "rank_002"), ("crs_rlhf_025", "preference_rlhf")),
        ("final_sft_vs_crs025", ("crs_025", "sft"), ("crs_rlhf_025", "sft")),
    ],
)
def test_the_win_rates_that_the_thesis_published_come_out(
    shared_data: Path,
    write: Write,
    comparison: str,
    pair: tuple[str, str],
    published: tuple[str, str],
) -> None:
    expected = json.loads((shared_data / "expected/thesis_published_visible.json").read_text())
    table = expected["table16_gpt4_win_rate_row_vs_col_percent"]
    with gzip.open(shared_data / "votes_thesis_gpt4.jsonl.gz", "rt") as lines:
        rows = [row for row in map(json.loads, lines) if row["comparison"].endswith(comparison)]
    ours = entry(report(write(rows)), *pair)
    assert ours["votes"] == 100
    assert 100 * ours["win_rate"]["value"] == pytest.approx(table[published[0]][published[1]])
    # Nobody has to take it from the estimate alone: on 100 single votes it is within 10 points.
    assert ours["win_rate"]["high"] - ours["win_rate"]["low"] > 0.18


def ranking(ranks: Any, *, models: Any = ("x", "y", "z"), **more: object) -> dict[str, Any]:
    responses = [{"rid": f"r{n}", "model": model} for n, model in enumerate(models)]
    return {
        "question_id": "q",
        "responses": responses,
        "rankings": [{"annotator": f"p{n}", "rank": one} for n, one in enumerate(ranks)],
    } | more


def test_a_ranking_is_a_vote_on_every_two_answers(write: Write, tmp_path: Path) -> None:
    row = ranking([{"r0": 1, "r1": 3, "r2": 1}])
    found = read_votes(write([row]))
    assert [(v.first, v.second, v.score, v.judge, v.question) for v in found] == [
        ("x", "y", 0, "p0", "q"),
        ("x", "z", 0.5, "p0", "q"),
        ("y", "z", 1, "p0", "q"),
    ]
    pd.DataFrame([row]).to_parquet(tmp_path / "rankings.parquet")
    assert read_votes(tmp_path / "rankings.parquet") == found
    del row["question_id"]
    assert read_votes(write([row | {"id": "q"}])) == found


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (
            ranking([{"r0": 1, "r1": 2}]),
            "Line 1 of votes.jsonl: a ranking gives each of r0, r1, r2",
        ),
        (ranking([[1, 2, 3]]), "a ranking gives each of r0, r1, r2 a place; got [1, 2, 3]"),
        (ranking([{"r0": 1, "r1": "2", "r2": 3}]), "a place is a number; got {'r0': 1, 'r1': '2'"),
        (ranking([{"r0": 1, "r1": True, "r2": 3}]), "a place is a number"),
        (ranking([], rankings="x first"), "a ranking gives each of r0, r1, r2 a place; got None"),
        (ranking([], models=["x", "x"]), "rankings need responses of at least 2 models"),
        (ranking([], responses=None), "each with rid and model; got {}"),
        (ranking([], question_id=None), "Line 1 of votes.jsonl has no question_id"),
    ],
)
def test_what_is_no_ranking_is_named(write: Write, row: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidData, match=re.escape(problem)):
        read_votes(write([row]))


def test_the_points_of_the_thesis_come_out_of_its_file(shared_data: Path, write: Write) -> None:
    published = json.loads((shared_data / "expected/thesis_published_visible.json").read_text())
    with gzip.open(shared_data / "votes_thesis_user_study_groups12.jsonl.gz", "rt") as lines:
        rows = [json.loads(line) for line in lines]
    for group in (1, 2):
        votes = read_votes(write([row for row in rows if row["group"] == group]))
        found = votes_report(
            votes,
            rng=np.random.default_rng(0),
            tie_break=["abs_rlhf", "crs_rlhf", "preference_rlhf"],
        )["group_orders"]
        assert (found["prompts"], found["orders"], found["left_out"]) == (20, 80, 0)
        assert {one["arm"]: round(one["points"]["value"], 2) for one in found["standings"]} == {
            arm: points[group - 1] for arm, points in published["table17_user_study_points"].items()
        }


def test_votes_that_are_no_orders_have_no_order_of_groups(write: Write) -> None:
    orders = [ranking([{"r0": 1, "r1": 2, "r2": 3}], question_id=f"q{n}") for n in range(3)]
    assert report(write(orders))["group_orders"]["standings"][0]["arm"] == "x"
    assert report(write(orders[:1] * 2))["group_orders"] is None
    alone = [
        {"question_id": f"q{n}", "model_a": "x", "model_b": "z", "winner": "tie", "judge": "p9"}
        for n in range(3)
    ]
    assert report(write([*orders, *alone]))["group_orders"] is None


def test_questions_won_and_lost_are_told_from_both_sides(write: Write) -> None:
    rows = [vote(n, "model_b" if n < 9 else "model_a" if n < 12 else "tie") for n in range(14)]
    found = report(write(rows))
    ours, theirs = (entry(found, *pair)["sign_test"] for pair in (("ppo", "sft"), ("sft", "ppo")))
    assert (ours["won"], ours["lost"], ours["tied"]) == (9, 3, 2)
    assert (theirs["won"], theirs["lost"], theirs["tied"]) == (3, 9, 2)
    # Twelve coins: (1 + 12 + 66 + 220) / 4096 on either side.
    assert ours["p_value"] == theirs["p_value"] == pytest.approx(2 * 299 / 4096)
    again = entry(found, "ppo", "sft")["bootstrap"]
    assert again["value"] == pytest.approx(10 / 14)
    assert again["low"] < 0.55 < again["value"] < again["high"]


def test_judges_who_vote_by_chance_are_named(write: Write) -> None:
    rng = np.random.default_rng(8)
    rows = [
        vote(question, "model_b" if rng.random() < chance else "model_a", judge=f"j{judge}")
        for judge in range(10)
        for chance in [0.1 if judge == 3 else 0.8]
        for question in range(60)
    ]
    found = report(write(rows))
    assert found["raters"]["raters"][0]["rater"] == "j3"
    assert found["raters"]["raters"][0]["follows"]["high"] < 0
    # The file does not tell sides.
    assert found["raters"]["raters"][0]["first_place"] is None
    assert any(
        "be told from chance or vote against it: j3 (60 votes)" in text
        for text in found["warnings"]
    )
    few = report(write([row for row in rows if row["judge"] < "j7"]))
    assert few["raters"] is None


def test_llmfao_comes_out_as_published_and_random_workers_stand_out(shared_data: Path) -> None:
    """LLMFAO: four of 124 workers, with 1,190 of 8,931 votes, whom nobody had named."""
    found = votes_report(
        read_votes(shared_data / "votes_llmfao.jsonl.gz"), rng=np.random.default_rng(0)
    )
    least = found["raters"]["raters"][:4]
    assert {one["rater"] for one in least} == {"w11", "w15", "w20", "w70"}
    assert sum(one["follows"]["n"] for one in least) == 1190
    assert all(one["follows"]["low"] < 0 and one["follows"]["high"] < 0.7 for one in least)
    golden = json.loads((shared_data / "expected/llmfao_golden_visible.json").read_text())
    for one in found["ranking"]:
        assert one["points"] == golden["counting"][one["model"]]
        expected = golden["average_win_rate"][one["model"]]
        assert one["average_win_rate"] == pytest.approx(expected, abs=1e-9)


def test_the_thesis_users_hardly_agree_and_hardly_prefer(shared_data: Path, write: Write) -> None:
    """The figures of the re-analysis in the notes on the field."""
    rows = []
    with gzip.open(shared_data / "votes_thesis_user_study_groups12.jsonl.gz", "rt") as lines:
        for line in map(json.loads, lines):
            for ranking in line["rankings"]:
                ranks = ranking["rank"]
                for first, second in combinations(sorted(ranks), 2):
                    apart = ranks[first] - ranks[second]
                    winner = "tie" if apart == 0 else ("model_a" if apart < 0 else "model_b")
                    rows.append(
                        {"question_id": line["id"].split("-")[-1], "turn": line["group"]}
                        | {"model_a": first, "model_b": second}
                        | {"winner": winner, "judge": ranking["annotator"]}
                    )
    found = report(write(rows))
    for model, opponent, rate, ties in (
        ("abs", "rank", 0.5656, 5),
        ("crs", "rank", 0.5375, 4),
        ("abs", "crs", 0.5, 2),
    ):
        ours = entry(found, model, opponent)
        assert (ours["votes"], ours["ties"], ours["prompts"]) == (160, ties, 20)
        assert ours["win_rate"]["value"] == pytest.approx(rate, abs=1e-4)
        assert ours["other_people"]
        assert ours["win_rate"]["low"] < 0.5 < ours["win_rate"]["high"]
        assert ours["p_value"] > 0.2
    # The published re-analysis, resampling the 20 prompts, has 49.4 to 64.4 for abs against rank:
    # touching one half. Student's t with 19 degrees of freedom is a little wider.
    scores = [
        0.5 if row["winner"] == "tie" else float(row["winner"] == "model_a")
        for row in rows
        if (row["model_a"], row["model_b"]) == ("abs", "rank")
    ]
    prompts = [
        row["question_id"] for row in rows if (row["model_a"], row["model_b"]) == ("abs", "rank")
    ]
    by_prompt = win_rate(scores, prompts)
    assert by_prompt.low == pytest.approx(0.481, abs=5e-4)
    assert by_prompt.high == pytest.approx(0.650, abs=5e-4)
    assert found["agreement"]["alpha"]["value"] == pytest.approx(0.06, abs=0.005)
    assert found["ranking"][0]["model"] == "abs"
    assert (found["ranking"][0]["best_place"], found["ranking"][0]["worst_place"]) == (1, 3)


@pytest.mark.parametrize(
    ("version", "baseline"), [("v1", "text_davinci_003"), ("v2", "gpt4_1106_preview")]
)
def test_alpaca_eval_comes_out_as_published(shared_data: Path, version: str, baseline: str) -> None:
    published = json.loads(
        (shared_data / "expected/alpaca_eval_published_visible.json").read_text()
    )
    found = report(shared_data / f"votes_alpaca_eval_{version}.jsonl.gz")
    for model, expected in published[version].items():
        ours = entry(found, model, baseline)
        assert ours["votes"] == expected["n_published"]
        assert 100 * ours["win_rate"]["value"] == pytest.approx(expected["published"], abs=1e-4)
        # One vote per question: Student's interval on the published standard error.
        reach = 100 * (ours["win_rate"]["high"] - ours["win_rate"]["value"])
        if model != baseline and 5 < expected["published"] < 95:
            assert reach == pytest.approx(1.963 * expected["se_published"], rel=1e-3)


def test_llmfao_average_win_rates_are_evalicas(shared_data: Path) -> None:
    golden = json.loads((shared_data / "expected/llmfao_golden_visible.json").read_text())
    ranking = report(shared_data / "votes_llmfao.jsonl.gz")["ranking"]
    found = {each["model"]: each["average_win_rate"] for each in ranking}
    assert found == pytest.approx(golden["average_win_rate"], abs=1e-6)


def test_the_lines_of_the_documentation_are_votes(write: Write) -> None:
    page = Path(__file__).parents[2] / "docs" / "studies.md"
    lines = re.findall(r"```json\n(.+?)\n```", page.read_text(encoding="utf-8"))
    votes = read_votes(write(lines))
    assert [(vote.first, vote.second, vote.score) for vote in votes] == [
        ("sft", "ppo", 1),
        ("sft", "ppo", 1),
        ("sft", "dpo", 1),
        ("ppo", "dpo", 0.5),
    ]
