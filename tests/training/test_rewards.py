"""Each recipe of `REWARDS`, run for real on the tiny model."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import planted
import pytest
import torch

from storage.errors import InvalidData, InvalidOption, TooLittleData, TrainingFailed
from storage.records import Split, split_of
from storage.snapshots import ComparisonRow, SnapshotData, write_snapshot
from training import backbone, objectives
from training.rewards import REWARDS
from training.rewards.card import read_record
from training.rewards.comparing import open_comparer
from training.rewards.scoring import RewardScorer
from training.rewards.side_by_side import asked

Trained = tuple[str, Path, planted.Notes]

NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")


def train(
    recipe: str, snapshot: Path, folder: Path, progress: planted.Notes | None = None, **options: Any
) -> dict[str, Any]:
    chosen = REWARDS[recipe]
    metrics: dict[str, Any] = chosen.run(
        chosen.config.read(planted.quick(recipe) | options),
        snapshot=snapshot,
        output=folder / "model",
        checkpoints=folder / "checkpoints",
        progress=progress or planted.Notes(),
    )
    return metrics


def weights(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(next((folder / "model").glob("*.safetensors")))


def differ_by(first: Path, second: Path) -> float:
    ours, theirs = weights(first), weights(second)
    assert ours.keys() == theirs.keys()
    return max(float((ours[name] - theirs[name]).abs().max()) for name in ours)


def test_it_learns_what_was_planted(trained: Trained) -> None:
    _, folder, _ = trained
    unseen, _ = planted.judgements(100, seed=1)
    gaps = open_comparer(folder).gaps([(one.prompt, one.left, one.right) for one in unseen])
    said = np.array([one.choice for one in unseen])
    assert np.mean(np.sign(gaps) == np.sign(said)) > 0.9


def test_progress_is_told_every_step_with_numbers_to_draw(trained: Trained) -> None:
    recipe, _, notes = trained
    assert notes.steps == list(range(len(notes.steps)))
    for measured in [one for one in notes.metrics if one]:
        assert {"loss", "pair_accuracy", "learning_rate", "gradient_norm"} <= measured.keys()
        assert all(map(math.isfinite, measured.values()))
    looks = [one["validation/loss"] for one in notes.metrics if "validation/loss" in one]
    assert len(looks) == planted.quick(recipe)["epochs"]


def test_the_weights_that_validate_best_are_kept(trained: Trained) -> None:
    _, folder, notes = trained
    looks = {
        step: one["validation/loss"]
        for step, one in zip(notes.steps, notes.metrics, strict=True)
        if "validation/loss" in one
    }
    metrics = json.loads((folder / "tandem.json").read_text())["metrics"]
    assert metrics["best_step"] == min(looks, key=looks.__getitem__)
    assert metrics["validation/loss"] == min(looks.values())


def test_weights_that_validate_worse_later_are_not_the_ones_written(tmp_path: Path) -> None:
    # What holds in the train part is upside down in the validation part, so the more it learns the
    # worse it validates, and the first look is the best.
    compared, _ = planted.judgements(250)
    upside_down = [
        replace(one, choice=-one.choice) if split_of(one.prompt) is Split.VALIDATION else one
        for one in compared
    ]
    write_snapshot(tmp_path / "snapshot", upside_down, [])
    metrics = train("preference", tmp_path / "snapshot", tmp_path, validate_every=8)
    assert metrics["best_step"] < metrics["steps"]

    scorer = RewardScorer.load(tmp_path / "model", device="cpu")
    said = SnapshotData.open(tmp_path / "snapshot").comparisons(Split.VALIDATION)
    loss = objectives.ordinal_comparison_loss(
        torch.from_numpy(scorer.score([(one.prompt, one.left) for one in said])),
        torch.from_numpy(scorer.score([(one.prompt, one.right) for one in said])),
        torch.tensor([one.choice for one in said]),
        torch.tensor(json.loads((tmp_path / "model/tandem.json").read_text())["learned"]["kappa"]),
    )
    assert float(loss.mean()) == pytest.approx(metrics["validation/loss"], abs=1e-5)


def test_the_record_tells_where_the_model_came_from(
    trained: Trained, snapshots: dict[str, Path]
) -> None:
    recipe, folder, _ = trained
    record = json.loads((folder / "tandem.json").read_text())
    assert record["recipe"] == recipe
    assert record["purpose"] == "reward"
    assert record["base"] == "tiny"
    assert record["simulated"] is True
    assert record["snapshot"] == json.loads((snapshots[recipe] / "snapshot.json").read_text())["id"]
    assert REWARDS[recipe].config.read(record["config"]).model_dump(mode="json") == record["config"]
    assert (
        record["learned"].keys()
        == {
            "preference": {"kappa"},
            "absolute": {"tau"},
            "combined": {"kappa", "tau"},
            "multi-objective": {"scale"},
            "pairwise": set(),
        }[recipe]
    )
    card = (folder / "README.md").read_text()
    assert "Simulated" in card
    assert record["snapshot"] in card


def test_nothing_pickled_is_written(trained: Trained) -> None:
    _, folder, _ = trained
    assert {path.suffix for path in folder.rglob("*") if path.is_file()} <= {
        ".json",
        ".jinja",
        ".md",
        ".safetensors",
    }


def test_a_finished_run_is_not_done_again(trained: Trained, snapshots: dict[str, Path]) -> None:
    recipe, folder, _ = trained
    again = planted.Notes()
    metrics = train(recipe, snapshots[recipe], folder.parent, again)
    assert again.steps == []
    assert metrics == json.loads((folder / "tandem.json").read_text())["metrics"]
    with pytest.raises(InvalidOption, match="holds another model"):
        train(recipe, snapshots[recipe], folder.parent, seed=5)


@pytest.mark.parametrize(
    ("recipe", "options"),
    [
        ("preference", {"length_penalty": 0.2, "label_smoothing": 0.1}),
        ("absolute", {"accumulate": 2, "batch_tokens": 512}),
        ("combined", {}),
        ("combined", {"rank": 4, "members": 3}),
        ("combined", {"variant": "two_heads", "centring": 0.01}),
        ("pairwise", {"rank": 4, "layers": 1}),  # with a frozen layer that is run once
    ],
)
def test_a_killed_run_goes_on_as_if_nothing_had_happened(
    recipe: str, options: dict[str, Any], snapshot: Path, tmp_path: Path
) -> None:
    # Of the multi-objective recipe, which trains in another way, see test_multi_objective.py.
    options = {"epochs": 2, "checkpoint_every": 7, "validate_every": 10, **options}
    train(recipe, snapshot, tmp_path / "whole", **options)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, snapshot, tmp_path / "cut", planted.Notes(stop_at=18), **options)
    torch.manual_seed(99)  # whatever happened to the generators in between
    resumed = planted.Notes()
    train(recipe, snapshot, tmp_path / "cut", resumed, **options)
    assert "resumed from step 14" in resumed.lines
    assert resumed.steps[:2] == [14, 15]
    assert differ_by(tmp_path / "whole", tmp_path / "cut") <= 1e-6
    ours, theirs = (read_record(tmp_path / name / "model") for name in ("whole", "cut"))
    for part in ("learned", "metrics"):
        flat, again = (json.dumps(one[part], sort_keys=True) for one in (ours, theirs))
        assert NUMBER.sub("", flat) == NUMBER.sub("", again)
        assert [float(one) for one in NUMBER.findall(again)] == pytest.approx(
            [float(one) for one in NUMBER.findall(flat)], abs=1e-6
        )


def test_checkpoints_of_another_run_are_refused(snapshot: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train("absolute", snapshot, tmp_path, planted.Notes(stop_at=12))
    with pytest.raises(InvalidOption, match="belong to a run with other options"):
        train("absolute", snapshot, tmp_path, learning_rate=1e-3)


@pytest.mark.parametrize(
    ("recipe", "comparisons", "ratings"), [("preference", True, False), ("absolute", False, True)]
)
def test_the_combined_model_without_one_signal_is_the_model_of_the_other(
    recipe: str, comparisons: bool, ratings: bool, tmp_path: Path
) -> None:
    one_signal = planted.snapshot(
        tmp_path / "snapshot", 60, comparisons=comparisons, ratings=ratings
    )
    for name in (recipe, "combined"):
        train(name, one_signal, tmp_path / name, epochs=1)
    assert differ_by(tmp_path / recipe, tmp_path / "combined") == 0


@pytest.mark.parametrize(
    ("recipe", "options"),
    [
        ("preference", {"comparison_loss": "bradley_terry"}),
        ("absolute", {"rating_loss": "squared_error"}),
        ("absolute", {"rank": 4, "layers": 1, "learning_rate": 3e-2}),
        ("combined", {"layers": 1}),
    ],
)
def test_every_option_leads_through_the_whole_run(
    recipe: str, options: dict[str, Any], snapshot: Path, tmp_path: Path
) -> None:
    metrics = train(recipe, snapshot, tmp_path, epochs=2, **options)
    assert metrics["validation/pair_accuracy"] > 0.5
    assert len(RewardScorer.load(tmp_path / "model").score([(MESSAGES, "please")])) == 1


MESSAGES = planted.judgements(1)[0][0].prompt


def test_an_adapter_loads_with_plain_libraries_and_gives_the_same_reward(
    snapshot: Path, tmp_path: Path
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    base = tmp_path / "base"
    backbone.load_causal("tiny").save_pretrained(base)
    backbone.load_tokenizer("tiny").save_pretrained(base)
    options = {"base": str(base), "rank": 4, "epochs": 1, "layers": 1, "batch_tokens": 512}
    train("combined", snapshot, tmp_path, **options)
    folder = tmp_path / "model"
    scorer = RewardScorer.load(folder, dtype=torch.float32, device="cpu")
    answers = ["please", "an apple, please", "no"]
    ours = scorer.score([(MESSAGES, answer) for answer in answers])

    # As the model card says.
    tokenizer = AutoTokenizer.from_pretrained(folder)
    plain = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1)
    plain.config.pad_token_id = tokenizer.pad_token_id
    model = PeftModel.from_pretrained(plain, folder).eval()
    said = tokenizer.apply_chat_template(list(MESSAGES), add_generation_prompt=True, tokenize=False)
    for answer, reward in zip(answers, ours, strict=True):
        text = said + answer + tokenizer.eos_token
        inputs = tokenizer(text, add_special_tokens=False, return_tensors="pt")
        with torch.no_grad():
            theirs = float(model(**inputs).logits[0, 0])
        assert theirs == pytest.approx(float(reward), abs=1e-5)
        assert theirs != 0
    assert str(base) in (folder / "README.md").read_text()


def test_full_weights_load_with_plain_libraries_and_give_the_same_reward(trained: Trained) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    _, folder, _ = trained
    form = read_record(folder)["form"]
    if form == "multi_objective":
        assert "**no** `AutoModelForSequenceClassification`" in (folder / "README.md").read_text()
        return
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def theirs(ids: list[int]) -> float:
        with torch.no_grad():
            return float(model(torch.tensor([ids, ids])).logits[0, 0])

    first, second = "a cloud, please", "no"
    if form == "pairwise":
        orders = [asked(MESSAGES, first, second), asked(MESSAGES, second, first)]
        one, other = (theirs(backbone.chat_ids(tokenizer, order)) for order in orders)
        gap = (other - one) / 2
    else:
        answers = [backbone.chat_ids(tokenizer, MESSAGES, answer=text) for text in (first, second)]
        gap = theirs(answers[1]) - theirs(answers[0])
        ours = RewardScorer.load(folder, device="cpu").score([(MESSAGES, first)])
        assert theirs(answers[0]) == pytest.approx(float(ours[0]), abs=1e-5)
    found = open_comparer(folder, device="cpu").gaps([(MESSAGES, first, second)])
    assert gap == pytest.approx(float(found[0]), abs=1e-5)


def test_a_snapshot_without_comparisons_cannot_teach_preferences(tmp_path: Path) -> None:
    rated = planted.snapshot(tmp_path / "snapshot", 60, comparisons=False)
    with pytest.raises(TooLittleData, match=r"at least 10 comparisons .* there are 0"):
        train("preference", rated, tmp_path)


@pytest.mark.parametrize("recipe", sorted(set(REWARDS) - {"multi-objective"}))
@pytest.mark.parametrize("prompts", [1, 4])
def test_too_few_judgements_are_refused(recipe: str, prompts: int, tmp_path: Path) -> None:
    compared, rated = planted.judgements(40)
    to_learn_from = [one for one in compared if split_of(one.prompt) is Split.TRAIN][:prompts]
    asked_of = {one.prompt_id for one in to_learn_from}
    rated = (
        [one for one in rated if one.prompt_id in asked_of][:1] if recipe != "preference" else []
    )
    write_snapshot(tmp_path / "snapshot", to_learn_from, rated)
    with pytest.raises(TooLittleData, match=r"at least 10 .*; there are \d, and 0 more") as refused:
        train(recipe, tmp_path / "snapshot", tmp_path)
    counted = prompts * (recipe != "absolute") + len(rated) * (recipe in ("absolute", "combined"))
    assert f"there are {counted}," in str(refused.value)
    assert not (tmp_path / "model").exists()


def test_judgements_of_one_kind_alone_still_teach(tmp_path: Path) -> None:
    compared, _ = planted.judgements(120)
    # Everybody was asked whether the right answer is better, and it always is.
    turned = [one if one.choice > 0 else swapped(one) for one in compared]
    write_snapshot(tmp_path / "right", [replace(one, choice=2) for one in turned], [])
    train("preference", tmp_path / "right", tmp_path / "preference")
    scorer = RewardScorer.load(tmp_path / "preference/model", device="cpu")
    gaps = [scorer.score([(one.prompt, one.right), (one.prompt, one.left)]) for one in turned[:40]]
    assert np.mean([better > worse for better, worse in gaps]) > 0.9
    learned = read_record(tmp_path / "preference/model")["learned"]["kappa"]
    assert np.all(np.diff(learned) > 0)
    assert np.all(np.isfinite(learned))


def swapped(one: ComparisonRow) -> ComparisonRow:
    return replace(
        one,
        left_id=one.right_id,
        left=one.right,
        right_id=one.left_id,
        right=one.left,
        choice=-one.choice,
    )


def test_ratings_of_another_aspect_are_not_taken_for_the_wanted_one(
    snapshot: Path, tmp_path: Path
) -> None:
    with pytest.raises(TooLittleData, match=r"'tone'.*Rated aspects: overall\."):
        train("absolute", snapshot, tmp_path, aspect="tone")


def test_long_conversations_are_left_out_counted_and_logged(snapshot: Path, tmp_path: Path) -> None:
    everything = train("absolute", snapshot, tmp_path / "all", epochs=1)
    notes = planted.Notes()
    some = train("absolute", snapshot, tmp_path / "some", notes, epochs=1, max_tokens=70)
    assert 0 < some["left_out"] < everything["judgements"]
    assert some["left_out"] + some["judgements"] == everything["judgements"]
    assert any(f"left out {some['left_out']}" in line for line in notes.lines)
    with pytest.raises(TooLittleData, match=r"more whose conversation is longer than max_tokens"):
        train("absolute", snapshot, tmp_path / "none", max_tokens=30)
    with pytest.raises(InvalidOption, match="reads at most 2048 tokens"):
        train("absolute", snapshot, tmp_path / "none", max_tokens=5000)


@pytest.mark.parametrize("recipe", sorted(set(REWARDS) - {"multi-objective"}))
def test_a_diverging_run_stops_and_leaves_no_model(
    recipe: str, snapshot: Path, tmp_path: Path
) -> None:
    base = tmp_path / "broken"
    model = backbone.load_causal("tiny")
    with torch.no_grad():
        model.model.norm.weight[0] = float("nan")
    model.save_pretrained(base)
    backbone.load_tokenizer("tiny").save_pretrained(base)
    with pytest.raises(TrainingFailed, match=r"loss was nan .* at step 1; lower learning_rate"):
        train(recipe, snapshot, tmp_path, base=str(base))
    assert not (tmp_path / "model").exists()


def test_a_model_that_learned_nothing_is_refused(snapshot: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed, match="same reward"):
        train(
            "combined", snapshot, tmp_path, epochs=1, learning_rate=1e-12, head_learning_rate=1e-12
        )


@pytest.mark.parametrize(
    ("recipe", "alike"),
    [
        ("preference", "every comparison is a tie,"),
        ("pairwise", "every comparison is a tie,"),
        ("absolute", "every rating is 7,"),
        ("combined", "every comparison is a tie and every rating is 7,"),
    ],
)
def test_judgements_that_all_say_the_same_are_refused(
    recipe: str, alike: str, tmp_path: Path
) -> None:
    compared, rated = planted.judgements(60)
    ties = [replace(one, choice=0) for one in compared]
    sevens = [replace(one, value=7.0) for one in rated]
    write_snapshot(tmp_path / "alike", ties, sevens)
    with pytest.raises(TooLittleData, match=alike):
        train(recipe, tmp_path / "alike", tmp_path, epochs=1)
    # Some that say something are enough to begin, if not to learn much.
    write_snapshot(tmp_path / "differ", [*compared[:30], *ties[30:]], [*rated[:30], *sevens[30:]])
    assert train(recipe, tmp_path / "differ", tmp_path, epochs=1)["steps"] > 0


def test_a_folder_that_is_no_reward_model_is_refused(trained: Trained, tmp_path: Path) -> None:
    _, folder, _ = trained
    with pytest.raises(InvalidData, match="is not a reward model"):
        RewardScorer.load(tmp_path)
    record = json.loads((folder / "tandem.json").read_text())
    (tmp_path / "tandem.json").write_text(json.dumps(record | {"purpose": "policy"}))
    with pytest.raises(InvalidData, match="is a policy model; a reward model is needed"):
        RewardScorer.load(tmp_path)
    (tmp_path / "tandem.json").write_text(json.dumps(record | {"adapter": True}))
    backbone.load_tokenizer("tiny").save_pretrained(tmp_path)
    with pytest.raises(InvalidData, match=r"(adapter_model|aspects)\.safetensors"):
        open_comparer(tmp_path)
