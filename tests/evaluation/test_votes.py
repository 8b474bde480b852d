"""Votes files: published win rates come out again, and bad lines are named."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from evaluation.votes import read_votes, votes_report
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
