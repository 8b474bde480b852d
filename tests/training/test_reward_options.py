"""What options do to the likelihood and to the reward: golden values, special cases, gradients."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import planted
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import QUICK
from safetensors.torch import load_file
from test_rewards import differ_by, train

from storage.errors import InvalidOption
from storage.snapshots import write_snapshot
from training import backbone, objectives
from training.batching import Row
from training.rewards import REWARDS
from training.rewards.config import CombinedConfig, Objective
from training.rewards.judgements import JudgedRow, Judgements, gather
from training.rewards.learner import Learner
from training.rewards.length import LengthCorrelation, moments_of, squared_correlation
from training.rewards.likelihood import Likelihood
from training.rewards.model import RewardModel
from training.rewards.scoring import RewardScorer

patient = settings(deadline=None)  # a busy machine is no failure

NOTHING = np.zeros(2, dtype=np.int32)
ROW = JudgedRow(
    Row(NOTHING, (NOTHING, NOTHING, NOTHING)),
    (
        (0, 1, 3, True, "ann"),
        (1, 2, -1, True, "bob"),
        (0, 2, 0, True, "bob"),
        (2, 0, 1, False, "ann"),
    ),
    ((0, 6.0, "ann"), (1, 2.25, "bob"), (2, 4.0, "bob")),
)
REWARDS_OF_ROW = torch.tensor([0.9, -0.4, 0.3])
OBJECTIVES = {
    "ordinal comparisons": Objective(comparison="ordinal"),
    "bradley_terry": Objective(comparison="bradley_terry"),
    "margin": Objective(comparison="margin"),
    "scaled": Objective(comparison="scaled"),
    "smoothed": Objective(comparison="ordinal", label_smoothing=0.2),
    "ordinal ratings": Objective(rating="ordinal"),
    "squared_error": Objective(rating="squared_error"),
    "leniency": Objective(rating="ordinal", leniency=True),
    "combined": Objective(comparison="ordinal", rating="ordinal", leniency=True),
    "two heads": Objective(
        comparison="bradley_terry", rating="squared_error", shares=(0.5, 0.5), leniency=True
    ),
}


def said(likelihood: Likelihood) -> Judgements:
    return gather([ROW], likelihood.annotators)


def losses(objective: Objective, **options: Any) -> list[float]:
    likelihood = Likelihood(objective, [ROW], **options)
    found: list[float] = likelihood(REWARDS_OF_ROW, said(likelihood)).tolist()
    return found


@pytest.mark.parametrize("name", OBJECTIVES)
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    objective = OBJECTIVES[name]
    likelihood = Likelihood(objective, [ROW], {"ann": 1.5, "bob": 0.7}).double()
    judgements = said(likelihood)
    judgements = replace(judgements, rating=judgements.rating.double())
    shape = (3, 2) if objective.shares else (3,)
    rewards = torch.randn(
        shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True
    )
    names = [name for name, _ in likelihood.named_parameters()]
    values = [value.detach().clone().requires_grad_() for value in likelihood.parameters()]
    values = [value + 0.1 for value in values]

    def loss(rewards: torch.Tensor, *parameters: torch.Tensor) -> torch.Tensor:
        chosen = dict(zip(names, parameters, strict=True))
        found: torch.Tensor = torch.func.functional_call(likelihood, chosen, (rewards, judgements))
        return found

    assert torch.autograd.gradcheck(loss, (rewards, *values))


def test_a_margin_asks_for_a_lead() -> None:
    # -log s(1 - 0.5) and -log s(-1 - 0.5); halves of -log s(1) and -log s(-1) for a tie.
    first, second = torch.tensor([1.0, 0.0, 1.0]), torch.tensor([0.0, 1.0, 0.0])
    found = objectives.preference_loss(
        first, second, torch.tensor([1.0, 1.0, 0.5]), torch.tensor([0.5, 0.5, 0.0])
    )
    assert found.tolist() == pytest.approx([0.474077, 1.701413, (0.313262 + 1.313262) / 2])


@patient
@given(st.floats(-30, 30), st.floats(0, 1))
def test_without_a_margin_it_is_cross_entropy(lead: float, preference: float) -> None:
    d, p = torch.tensor([lead]), torch.tensor([preference])
    theirs = torch.nn.functional.binary_cross_entropy_with_logits(d, p)
    ours = objectives.preference_loss(d, torch.zeros(1), p)
    assert float(ours) == pytest.approx(float(theirs), abs=1e-5)


def test_strength_makes_margins_and_weights() -> None:
    # Rewards 0.9, -0.4, 0.3 and choices 3, -1, 0 (graded), 1 (only the direction, of 2 and 0).
    plain = losses(Objective(comparison="bradley_terry"))
    leads = [-1.3, -0.7, -0.6, 0.6]
    margins = [1.0, 1 / 3, 0.0, 0.0]
    right = [float(np.log1p(np.exp(-(d - m)))) for d, m in zip(leads, margins, strict=True)]
    right[2] = (right[2] + float(np.log1p(np.exp(leads[2])))) / 2
    assert losses(Objective(comparison="margin")) == pytest.approx(right, abs=1e-5)
    weighted = [3 * plain[0], plain[1], plain[2], plain[3]]
    assert losses(Objective(comparison="scaled")) == pytest.approx(weighted, abs=1e-6)


@pytest.mark.parametrize("comparison", ["ordinal", "bradley_terry", "margin", "scaled"])
def test_smoothing_mixes_in_the_comparison_the_other_way_around(comparison: Any) -> None:
    turned = replace(ROW, comparisons=tuple((a, b, -c, g, w) for a, b, c, g, w in ROW.comparisons))
    likelihood = Likelihood(Objective(comparison=comparison), [ROW])
    there = likelihood(REWARDS_OF_ROW, gather([ROW], {}))
    back = likelihood(REWARDS_OF_ROW, gather([turned], {}))
    smoothed = losses(Objective(comparison=comparison, label_smoothing=0.25))
    assert smoothed == pytest.approx((0.75 * there + 0.25 * back).tolist(), abs=1e-6)


def test_a_reliable_annotator_sees_differences_larger() -> None:
    for objective in (Objective(comparison="ordinal"), Objective(rating="ordinal")):
        likelihood = Likelihood(objective, [ROW], {"ann": 2.0, "bob": 2.0})
        doubled = Likelihood(objective, [ROW])
        torch.testing.assert_close(
            likelihood(REWARDS_OF_ROW, said(likelihood)), doubled(2 * REWARDS_OF_ROW, said(doubled))
        )
    # Whoever is not named is typical; whoever is not known at all, too.
    likelihood = Likelihood(Objective(comparison="ordinal"), [ROW], {"ann": 2.0})
    assert likelihood.reliability.tolist() == [2.0, 1.0, 1.0]
    assert gather([ROW], {}).comparer.tolist() == [0, 0, 0, 0]
    assert gather([ROW], {"ann": 0}).comparer.tolist() == [0, 1, 1, 0]


def test_leniency_has_mean_zero_over_raters_and_a_prior() -> None:
    objective = Objective(rating="ordinal", leniency=True)
    watching = replace(ROW, comparisons=((0, 1, 1, True, "watcher"),))
    likelihood = Likelihood(objective, [ROW, watching])
    assert likelihood.annotators == {"ann": 0, "bob": 1, "watcher": 2}
    with torch.no_grad():
        likelihood.uncentred_leniency.copy_(torch.tensor([3.0, 1.0, 9.0]))
    assert likelihood.leniency().tolist() == [1.0, -1.0, 0.0, 0.0]
    assert likelihood.learned()["leniency"] == {"ann": 1.0, "bob": -1.0}
    assert float(likelihood.prior().detach()) == 1.0  # (1 + 1) / 2
    shifted = REWARDS_OF_ROW + torch.tensor([1.0, -1.0, -1.0])
    plain = Likelihood(Objective(rating="ordinal"), [ROW, watching])
    torch.testing.assert_close(
        likelihood(REWARDS_OF_ROW, said(likelihood)), plain(shifted, said(plain))
    )


def test_of_a_single_rater_no_leniency_can_be_told() -> None:
    alone = replace(ROW, ratings=((0, 6.0, "ann"), (1, 2.0, "ann")))
    likelihood = Likelihood(Objective(rating="ordinal", leniency=True), [alone])
    assert not likelihood.has_leniency
    assert float(likelihood.prior()) == 0


def test_two_heads_read_one_kind_of_judgement_each() -> None:
    likelihood = Likelihood(OBJECTIVES["two heads"], [ROW])
    other = torch.tensor([5.0, 6.0, 7.0])
    found = likelihood(torch.stack([REWARDS_OF_ROW, other], 1), said(likelihood))
    compared = losses(Objective(comparison="bradley_terry"))
    rated = Likelihood(Objective(rating="squared_error", leniency=True), [ROW])
    expected = [*compared, *rated(other, said(rated)).tolist()]
    assert found.tolist() == pytest.approx(expected)


def test_centring_leaves_differences_alone() -> None:
    likelihood = Likelihood(OBJECTIVES["combined"], [ROW])
    found = likelihood.spread(REWARDS_OF_ROW, said(likelihood)).tolist()
    # 0.9 - 0.4, -0.4 + 0.3, 0.9 + 0.3, 0.3 + 0.9, then each rated one, all squared.
    expected = [0.25, 0.01, 1.44, 1.44, 0.81, 0.16, 0.09]
    assert found == pytest.approx(expected, abs=1e-6)


def test_centring_moves_the_answers_of_a_comparison_together() -> None:
    rewards = torch.tensor([2.0, 0.5, -9.0], requires_grad=True)
    pair = replace(ROW, comparisons=ROW.comparisons[:1])
    likelihood = Likelihood(Objective(comparison="bradley_terry"), [pair])
    likelihood.spread(rewards, gather([pair], {})).sum().backward()
    assert rewards.grad is not None
    assert rewards.grad.tolist() == [5.0, 5.0, 0.0]  # 2 (2 + 0.5)


@patient
@given(st.integers(0, 1000), st.integers(2, 30))
def test_the_length_penalty_is_the_squared_correlation_within_prompts(
    seed: int, count: int
) -> None:
    rng = np.random.default_rng(seed)
    rewards, lengths = rng.normal(size=count), rng.integers(1, 500, size=count).astype(float)
    rows = rng.integers(0, 3, size=count)
    within = [
        [one - np.mean(values[rows == row]) for one, row in zip(values, rows, strict=True)]
        for values in (rewards, np.log1p(lengths))
    ]
    with np.errstate(invalid="ignore"):
        expected = np.corrcoef(*within)[0, 1] ** 2
    columns = (torch.tensor(rewards), torch.tensor(lengths), torch.tensor(rows))
    found = float(LengthCorrelation()(*columns))
    assert found == pytest.approx(0.0 if np.isnan(expected) else expected, abs=1e-6)
    assert squared_correlation(moments_of(*columns).tolist()) == pytest.approx(found)


def test_the_length_penalty_pulls_on_the_batch_as_if_it_were_all() -> None:
    lengths, rows = torch.tensor([3.0, 50.0, 7.0, 200.0]), torch.tensor([0, 0, 1, 1])
    fresh = torch.tensor([0.1, 0.5, -0.3, 0.8], dtype=torch.float64)
    seen = LengthCorrelation()
    for _ in range(200):
        seen(fresh, lengths, rows)
    rewards = fresh.clone().requires_grad_()
    seen(rewards, lengths, rows).backward()
    alone = fresh.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda u: LengthCorrelation()(u, lengths, rows), alone)
    LengthCorrelation()(alone, lengths, rows).backward()
    torch.testing.assert_close(rewards.grad, alone.grad)
    assert float(LengthCorrelation()(torch.ones(4), lengths, rows)) == 0


def test_a_punished_reward_is_less_about_length(tmp_path: Path) -> None:
    compared, _ = planted.judgements(200)
    # The longer answer wins, whatever it says.
    compared = [
        replace(
            one,
            left=one.left.replace("please", "cloud") + " and more" * (4 if one.choice < 0 else 0),
            right=one.right.replace("please", "cloud") + " and more" * (4 if one.choice > 0 else 0),
        )
        for one in compared
    ]
    write_snapshot(tmp_path / "snapshot", compared, [])
    found = [
        train("preference", tmp_path / "snapshot", tmp_path / str(penalty), length_penalty=penalty)
        for penalty in (1e-9, 5.0)
    ]
    free, punished = (metrics["validation/length_correlation"] for metrics in found)
    assert free > 0.8
    assert punished < 0.5


def test_members_see_the_prompts_as_if_drawn_anew() -> None:
    tiny = RewardModel(backbone.load_scalar("tiny"), backbone.load_tokenizer("tiny"))
    likelihood = Likelihood(Objective(comparison="ordinal"), [ROW])
    alone = Learner(tiny, likelihood, members=1, prompts=50, seed=0)
    assert alone.weights.unique().tolist() == [1.0]
    several = Learner(tiny, likelihood, members=4, prompts=5000, seed=0)
    drawn = several.weights[:-1]
    torch.testing.assert_close(drawn.mean(0), torch.ones(4))
    torch.testing.assert_close(drawn.std(0), torch.ones(4), atol=0.1, rtol=0)
    assert drawn.min() >= 0
    assert several.weights[-1].tolist() == [1.0] * 4


@pytest.mark.parametrize("rank", [0, 4])
def test_the_reward_of_members_is_their_mean(rank: int, snapshot: Path, tmp_path: Path) -> None:
    train("combined", snapshot, tmp_path, epochs=1, members=3, rank=rank)
    heads = load_file(tmp_path / "model/members.safetensors")["heads"]
    assert heads.shape == (3, 32)
    assert float((heads[0] - heads[1]).abs().max()) > 1e-3
    scorer = RewardScorer.load(tmp_path / "model", dtype=torch.float32, device="cpu")
    torch.testing.assert_close(scorer.model.head.weight[0], heads.mean(0))


def test_two_heads_become_one_reward(snapshot: Path, tmp_path: Path) -> None:
    metrics = train("combined", snapshot, tmp_path, variant="two_heads", preference_share=0.3)
    assert metrics["validation/pair_accuracy"] > 0.9
    record = json.loads((tmp_path / "model/tandem.json").read_text())
    assert record["learned"].keys() == {"offset"}
    # The shares are in units of each head's own deviation, so the sum has one below 1.
    assert 0.3 < record["calibration"]["std"] <= 1.0
    with pytest.raises(ValueError, match="two heads cannot have members"):
        CombinedConfig(variant="two_heads", members=2)


def test_weights_of_annotators_must_be_known(snapshot: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match="no measurement of the annotators"):
        train("combined", snapshot, tmp_path, reliability=True)
    recipe = REWARDS["combined"]
    options = {
        "snapshot": snapshot,
        "output": tmp_path / "model",
        "checkpoints": tmp_path / "checkpoints",
        "progress": planted.Notes(),
    }
    config = recipe.config.read(QUICK | {"epochs": 1, "reliability": True})
    recipe.run(config, reliability={"amber-heron-1": 1.23456789}, **options)
    record = json.loads((tmp_path / "model/tandem.json").read_text())
    assert record["reliability"] == {"amber-heron-1": 1.234568}


@pytest.mark.parametrize(
    ("recipe", "labels"), [("preference", 30), ("absolute", 30), ("combined", 31)]
)
def test_a_label_budget_is_kept_and_spent_on_both_signals(
    recipe: str, labels: int, snapshot: Path, tmp_path: Path
) -> None:
    metrics = train(recipe, snapshot, tmp_path / "a", epochs=1, labels=labels)
    assert metrics["judgements"] == labels
    again = train(recipe, snapshot, tmp_path / "b", epochs=1, labels=labels)
    assert again == metrics
    all_of_them = train(recipe, snapshot, tmp_path / "c", epochs=1, labels=100_000)
    assert all_of_them["judgements"] > 100


def test_steps_of_several_batches_are_those_of_one_large_batch(
    snapshot: Path, tmp_path: Path
) -> None:
    # Each batch holds one row, whatever the other option says, so the sums are over the same rows.
    options = {"epochs": 1, "checkpoint_every": 10_000, "learning_rate": 1e-3}
    one = train("combined", snapshot, tmp_path / "one", batch_tokens=64, **options)
    two = train("combined", snapshot, tmp_path / "two", batch_tokens=64, accumulate=2, **options)
    assert two["steps"] == -(-one["steps"] // 2)


@pytest.mark.parametrize("rank", [0, 4])
def test_layers_that_learn_nothing_are_run_once(rank: int, snapshot: Path, tmp_path: Path) -> None:
    options = {"layers": 1, "rank": rank, "epochs": 2}
    kept, notes = tmp_path / "kept", planted.Notes()
    train("combined", snapshot, kept, notes, **options)
    assert any("the lowest 1 layers learn nothing" in line for line in notes.lines)
    train("combined", snapshot, tmp_path / "not", keep_frozen=False, **options)
    assert differ_by(kept, tmp_path / "not") < 1e-4


def test_computing_twice_to_save_memory_changes_nothing(snapshot: Path, tmp_path: Path) -> None:
    for checkpointing in (True, False):
        train(
            "combined",
            snapshot,
            tmp_path / str(checkpointing),
            epochs=1,
            gradient_checkpointing=checkpointing,
        )
    assert differ_by(tmp_path / "True", tmp_path / "False") < 1e-6


def test_compiled_layers_learn_the_same(
    snapshot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Written as machine code where there is a compiler; else traced alone, which takes none.
    if not any(map(shutil.which, ("g++", "clang++", "c++"))):
        compiled = torch.nn.Module.compile
        monkeypatch.setattr(
            torch.nn.Module, "compile", lambda self, **_: compiled(self, backend="eager")
        )
        monkeypatch.setattr("shutil.which", lambda _: "compiler")
    traced = torch._dynamo.utils.counters
    traced.clear()
    options = {"layers": 1, "rank": 4, "epochs": 1, "batch_tokens": 512}
    train("combined", snapshot, tmp_path / "compiled", compile=True, **options)
    assert traced["stats"]["unique_graphs"] > 0
    train("combined", snapshot, tmp_path / "not", **options)
    assert differ_by(tmp_path / "compiled", tmp_path / "not") < 1e-4


def test_compiling_takes_a_compiler(
    snapshot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.compiling.shutil.which", lambda _: None)
    with pytest.raises(InvalidOption, match=r"no C\+\+ compiler here; install g\+\+"):
        train("combined", snapshot, tmp_path, compile=True)
