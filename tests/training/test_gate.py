"""The gate finds which aspect counts where, and stays even-handed where nothing shows it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch

from storage.errors import TrainingFailed
from training.rewards.gate import Compared, Gate, centre_and_spread, fit_gate

FEATURES, ASPECTS = 6, 3


def planted(
    seed: int, *, prompts: int = 400, sharp: float = 2.0, scale: float = 3.0
) -> tuple[Compared, torch.Tensor]:
    """Comparisons by weights that depend on three features of the prompt, and those weights."""
    rng = torch.Generator().manual_seed(seed)
    features = torch.randn(prompts, FEATURES, generator=rng) * 5 + 2
    weights = torch.softmax(sharp * (features[:, :ASPECTS] - 2) / 5, dim=-1)
    prompt = torch.arange(prompts).repeat_interleave(3)
    lead = torch.randn(len(prompt), ASPECTS, generator=rng)
    chance = torch.sigmoid(scale * (weights[prompt] * lead).sum(-1))
    said = torch.bernoulli(chance, generator=rng)
    return Compared(prompts=features, prompt=prompt, lead=lead, preference=said), weights


def fitted(
    train: Compared, validation: Compared | None, *, seed: int = 0, **options: float
) -> tuple[Gate, int, dict[str, float], list[Mapping[str, float]]]:
    torch.manual_seed(seed)
    gate = Gate(features=FEATURES, aspects=ASPECTS, width=16)
    gate.standardise(train.prompts)
    told: list[Mapping[str, float]] = []
    best, measured = fit_gate(
        gate,
        train,
        validation,
        steps=int(options.get("steps", 200)),
        learning_rate=options.get("learning_rate", 1e-2),
        weight_decay=0.01,
        report=lambda _, numbers: told.append(numbers),
    )
    return gate, best, measured, told


def test_it_finds_planted_weights_of_prompts_it_has_not_seen() -> None:
    (train, _), (validation, _), (test, weights) = (planted(seed) for seed in (0, 1, 2))
    gate, best, measured, told = fitted(train, validation)
    found = gate(test.prompts).detach()
    torch.testing.assert_close(found.sum(-1), torch.ones(len(found)))
    assert float((found - weights).abs().mean()) < 0.08
    assert float((1 / ASPECTS - weights).abs().mean()) > 0.2
    assert float(gate.scale.detach()) == pytest.approx(3, rel=0.25)
    looks = [one["validation/loss"] for one in told]
    assert measured["validation/loss"] == min(looks)
    assert best == 1 + looks.index(min(looks))


def test_where_weights_do_not_depend_on_the_prompt_they_hardly_do_in_the_gate() -> None:
    (train, _), (validation, _) = (planted(seed, sharp=0) for seed in (0, 1))
    gate, _, _, _ = fitted(train, validation)
    assert float((gate(train.prompts) - 1 / ASPECTS).detach().abs().mean()) < 0.1


def test_where_no_step_helps_weights_stay_equal() -> None:
    # What is learned is upside down in the validation part.
    train, _ = planted(0)
    gate, best, measured, _ = fitted(train, replace(train, preference=1 - train.preference))
    assert best == 0
    assert (gate(train.prompts) == 1 / ASPECTS).all()
    assert measured["validation/loss"] > math.log(2)


def test_without_a_validation_part_only_the_scale_is_learned() -> None:
    # Every left answer leads by one point in every aspect and three of four are chosen: ln 3.
    said = torch.tensor([1.0, 1.0, 1.0, 0.0])
    train = Compared(
        prompts=torch.randn(1, FEATURES),
        prompt=torch.zeros(4, dtype=torch.long),
        lead=torch.ones(4, ASPECTS),
        preference=said,
    )
    gate, best, measured, told = fitted(train, None)
    assert best == 0
    assert told == []
    assert float(gate.scale.detach()) == pytest.approx(math.log(3), rel=0.03)
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert measured == {"train_loss": pytest.approx(entropy, abs=1e-3)}


def test_ties_make_points_worth_little_and_certain_choices_much() -> None:
    train, _ = planted(0)
    tied = replace(train, preference=torch.full_like(train.preference, 0.5))
    assert float(fitted(tied, None)[0].scale.detach()) == pytest.approx(0.01, rel=0.01)
    certain = replace(train, preference=(train.lead.sum(-1) > 0).float())
    assert float(fitted(certain, None)[0].scale.detach()) > 50
    _, _, measured, told = fitted(tied, tied, steps=2)
    assert "validation/pair_accuracy" not in measured
    assert "pair_accuracy" not in told[0]


def test_the_seed_decides() -> None:
    (train, _), (validation, _) = planted(0), planted(1)
    first, again, other = (fitted(train, validation, seed=seed, steps=20)[0] for seed in (0, 0, 1))
    assert torch.equal(first(train.prompts), again(train.prompts))
    assert not torch.equal(first(train.prompts), other(train.prompts))


def test_numbers_that_are_not_numbers_stop_it() -> None:
    train, _ = planted(0)
    broken = replace(train, lead=train.lead * float("nan"))
    with pytest.raises(TrainingFailed, match=r"loss of the gate was nan .* at step 1; lower"):
        fitted(broken, train)


def test_a_feature_that_varies_by_rounding_alone_is_not_blown_up() -> None:
    features = torch.tensor([[100.0, 1.0], [100.00001, 3.0]])
    mean, std = centre_and_spread(features)
    assert std.tolist() == [1.0, 1.0]
    assert mean.tolist() == pytest.approx([100.0, 2.0], abs=1e-4)
