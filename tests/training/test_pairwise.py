"""The pairwise kind: what it reads, what it begins with, and that both orders count alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import planted
import pytest
import torch
from test_rewards import train

from storage.errors import InvalidData
from storage.records import Message
from training import backbone
from training.batching import Row
from training.rewards.card import read_record
from training.rewards.comparing import PairwiseScorer, open_comparer
from training.rewards.config import Objective, PairwiseConfig
from training.rewards.judgements import JudgedRow, gather
from training.rewards.likelihood import Likelihood
from training.rewards.model import RewardModel
from training.rewards.scoring import RewardScorer
from training.rewards.side_by_side import paired_rows, side_by_side, start_head

TOKENIZER = backbone.load_tokenizer("tiny")
SAID = (Message(role="user", content="A {first} question? {0}"),)
COMPARED, _ = planted.judgements(4)


def test_both_orders_are_read_in_full() -> None:
    row = side_by_side(TOKENIZER, SAID, "left {second}", "right")
    orders = [TOKENIZER.decode([*row.prompt, *rest]) for rest in row.answers]
    for order, (first, second) in zip(
        orders, [("left {second}", "right"), ("right", "left {second}")], strict=True
    ):
        assert "User: A {first} question? {0}\n\n=== Answer A ===" in order
        assert f"=== Answer A ===\n{first}\n\n=== Answer B ===\n{second}\n" in order
        assert order.endswith("<|im_start|>assistant\n")
    # What is alike is read once: all up to the first answer.
    assert TOKENIZER.decode(row.prompt).endswith("=== Answer A ===\n")


def test_equal_answers_leave_each_order_something_to_read() -> None:
    row = side_by_side(TOKENIZER, SAID, "same", "same")
    assert [len(rest) for rest in row.answers] == [1, 1]


def test_it_begins_with_what_the_language_model_says() -> None:
    causal, scalar = backbone.load_causal("tiny"), backbone.load_scalar("tiny")
    start_head(scalar, TOKENIZER, "tiny")
    model = RewardModel(scalar, TOKENIZER).eval()
    row = side_by_side(TOKENIZER, SAID, "left", "right")
    a, b = (TOKENIZER.convert_tokens_to_ids(letter) for letter in "AB")
    with torch.no_grad():
        ours = model([row]).tolist()
        for found, rest in zip(ours, row.answers, strict=True):
            ids = torch.tensor([[*row.prompt.tolist(), *rest.tolist()]])
            logits = causal(ids).logits[0, -1]
            assert found == pytest.approx(float(logits[a] - logits[b]), abs=1e-5)


def test_opinions_about_one_pair_share_its_row() -> None:
    one = COMPARED[0]
    turned = replace(
        one,
        left_id=one.right_id,
        left=one.right,
        right_id=one.left_id,
        right=one.left,
        choice=2,
        annotator="other",
    )
    rows, left_out = paired_rows(TOKENIZER, [one, turned, COMPARED[1]], max_tokens=1000)
    assert (len(rows), left_out) == (2, 0)
    assert rows[0].comparisons == (
        (0, 1, one.choice, True, one.annotator),
        (0, 1, -2, True, "other"),
    )
    assert [row.prompt for row in rows] == [0, 1]
    longest = max(len(row.row.prompt) + max(map(len, row.row.answers)) for row in rows)
    assert paired_rows(TOKENIZER, [one, turned], max_tokens=50) == ([], 2)
    assert paired_rows(TOKENIZER, COMPARED[:2], max_tokens=longest)[1] == 0


def test_each_order_answers_for_itself() -> None:
    nothing = np.zeros(1, dtype=np.int32)
    said = ((0, 1, 3, True, "a"), (0, 1, 0, True, "a"))
    row = JudgedRow(Row(nothing, (nothing, nothing)), said, ())
    found = Likelihood(Objective(comparison="both_orders"), [row])(
        torch.tensor([-1.0, 2.0]), gather([row], {})
    )
    # The right answer is better: s(1) and s(2); a tie is half of each side.
    softplus = [float(np.log1p(np.exp(x))) for x in (-1.0, 1.0, -2.0, 2.0)]
    better = (softplus[0] + softplus[2]) / 2
    tie = sum(softplus) / 4
    assert found.tolist() == pytest.approx([better, tie], abs=1e-6)


def test_turning_a_pair_around_turns_the_sign(tmp_path: Path, snapshot: Path) -> None:
    metrics = train("pairwise", snapshot, tmp_path, epochs=2, rank=4, layers=1)
    assert metrics["validation/pair_accuracy"] >= 0.5
    folder = tmp_path / "model"
    assert read_record(folder)["form"] == "pairwise"
    scorer = open_comparer(folder, device="cpu")
    assert isinstance(scorer, PairwiseScorer)
    pairs = [(one.prompt, one.left, one.right) for one in COMPARED]
    gaps = scorer.gaps(pairs)
    turned = scorer.gaps([(said, right, left) for said, left, right in pairs])
    np.testing.assert_allclose(gaps, -turned, atol=1e-5)
    assert np.abs(gaps).min() > 0
    with pytest.raises(InvalidData, match="gives no answer a reward of its own"):
        RewardScorer.load(folder)
    long = (COMPARED[0].prompt, "x" * 3000, "y")
    assert scorer.fits([pairs[0], long]) == [True, False]
    with pytest.raises(InvalidData, match="Pair 2 has"):
        scorer.gaps([pairs[0], long])


def test_gaps_of_a_scalar_model_are_differences_of_rewards(tmp_path: Path, snapshot: Path) -> None:
    train("combined", snapshot, tmp_path, epochs=1)
    scorer = RewardScorer.load(tmp_path / "model", device="cpu")
    pairs = [(one.prompt, one.left, one.right) for one in COMPARED]
    left = scorer.score([(said, answer) for said, answer, _ in pairs])
    right = scorer.score([(said, answer) for said, _, answer in pairs])
    np.testing.assert_allclose(scorer.gaps(pairs), right - left, atol=1e-5)
    assert len(scorer.gaps([])) == 0


def test_a_length_penalty_needs_rewards_of_single_answers() -> None:
    with pytest.raises(ValueError, match="has no reward of one"):
        PairwiseConfig(length_penalty=1.0)
