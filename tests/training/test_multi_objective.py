"""The multi-objective recipe on the tiny model: what it learns, refuses, and remembers."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import planted
import pytest
import torch

from storage.errors import InvalidData, InvalidOption, TooLittleData, TrainingFailed
from storage.records import Split, split_of
from storage.snapshots import ComparisonRow, RatingRow, SnapshotData, write_snapshot
from training import backbone
from training.rewards import REWARDS
from training.rewards.answers import judged_answers
from training.rewards.aspect_fitting import measure_aspects
from training.rewards.aspect_scoring import MultiObjectiveScorer
from training.rewards.features import FEATURES, base_of, open_trunk, read_rows
from training.rewards.multi_config import MultiObjectiveConfig
from training.rewards.scoring import Conversation, RewardScorer
from training.rewards.verbosity import rank_correlation

RECIPE = "multi-objective"
QUICK = planted.quick(RECIPE)
COMPARED, RATED = planted.judgements(60)
BOTH_RATED = planted.with_brevity(RATED)


def train(
    snapshot: Path, folder: Path, progress: planted.Notes | None = None, **options: Any
) -> dict[str, Any]:
    chosen = REWARDS[RECIPE]
    metrics: dict[str, Any] = chosen.run(
        chosen.config.read(QUICK | options),
        snapshot=snapshot,
        output=folder / "model",
        checkpoints=folder / "checkpoints",
        progress=progress or planted.Notes(),
    )
    return metrics


def wrote(folder: Path, comparisons: Sequence[ComparisonRow], ratings: Sequence[RatingRow]) -> Path:
    write_snapshot(folder, comparisons, ratings)
    return folder


def opened(folder: Path) -> MultiObjectiveScorer:
    scorer = RewardScorer.load(folder / "model", device="cpu")
    assert isinstance(scorer, MultiObjectiveScorer)
    return scorer


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "model/aspects.safetensors")


def answers_of(rows: Sequence[ComparisonRow]) -> list[Conversation]:
    return [(one.prompt, text) for one in rows for text in (one.left, one.right)]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 prompts, both answers rated in two aspects and compared."""
    return wrote(tmp_path_factory.mktemp("small") / "snapshot", COMPARED, BOTH_RATED)


@pytest.fixture(scope="module")
def made(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on it."""
    folder = tmp_path_factory.mktemp("made")
    train(small, folder)
    return folder


# What it learns


def test_each_aspect_is_learned_by_itself(made: Path) -> None:
    unseen = answers_of(planted.judgements(50, seed=1)[0])
    found = opened(made).aspects(unseen)
    assert found.names == ("brevity", "overall")
    words = [-len(text.split()) for _, text in unseen]
    polite = [planted.GOOD in text for _, text in unseen]
    assert (rank_correlation(found.ratings[:, 0], words) or 0) > 0.7
    assert (rank_correlation(found.ratings[:, 1], polite) or 0) > 0.7


def test_a_reward_is_the_weighted_sum_of_what_can_be_looked_at(made: Path) -> None:
    scorer = opened(made)
    some = answers_of(COMPARED[:10])
    found = scorer.aspects(some)
    scale = json.loads((made / "model/tandem.json").read_text())["learned"]["scale"]
    np.testing.assert_allclose(found.weights.sum(axis=1), 1, atol=1e-6)
    expected = scale * (found.weights * found.rewards).sum(axis=1)
    np.testing.assert_allclose(scorer.score(some), expected, atol=1e-5)
    assert (found.weights[::2] == found.weights[1::2]).all()  # two answers to one prompt


def test_scores_after_loading_are_those_of_training(made: Path, small: Path) -> None:
    scorer = opened(made)
    said = SnapshotData.open(small).comparisons(Split.TRAIN)
    rewards = scorer.score(answers_of(said))
    record = json.loads((made / "model/tandem.json").read_text())
    told = record["calibration"]
    assert told["responses"] == len(rewards)
    assert told["mean"] == pytest.approx(rewards.mean(), abs=1e-5)
    assert told["std"] == pytest.approx(rewards.std(), rel=1e-5)
    assert scorer.standardise(rewards).std() == pytest.approx(1, rel=1e-5)

    unseen = SnapshotData.open(small).comparisons(Split.VALIDATION)
    rewards = scorer.score(answers_of(unseen))
    leads = torch.from_numpy((rewards[1::2] - rewards[::2]) * np.sign([x.choice for x in unseen]))
    loss = torch.nn.functional.softplus(-leads).mean()
    assert record["metrics"].get("validation/loss", float(loss)) == pytest.approx(float(loss))


def test_neither_order_nor_company_changes_an_aspect(made: Path) -> None:
    scorer, some = opened(made), answers_of(COMPARED[:6])
    together, alone = scorer.aspects(some), scorer.aspects(some[3:4])
    reversed_ = scorer.aspects(some[::-1], batch_tokens=64)
    for name in ("ratings", "rewards", "weights"):
        whole = getattr(together, name)
        np.testing.assert_allclose(whole[3:4], getattr(alone, name), atol=1e-4)
        np.testing.assert_allclose(whole, getattr(reversed_, name)[::-1], atol=1e-4)


def test_length_is_taken_out_of_every_aspect(tmp_path: Path) -> None:
    # Depth goes up with length and brevity down; politeness, too, makes answers longer.
    longer = [replace(one, aspect="depth", value=min(7.0, len(one.response) / 8)) for one in RATED]
    snapshot = wrote(tmp_path / "snapshot", [], [*BOTH_RATED, *longer])
    train(snapshot, tmp_path)
    unseen = answers_of(planted.judgements(100, seed=1)[0])
    tokens = [len(text.encode()) + 1 for _, text in unseen]
    found = opened(tmp_path).aspects(unseen)
    for place in range(3):
        before = rank_correlation(found.ratings[:, place], tokens) or 0
        after = rank_correlation(found.rewards[:, place], tokens) or 0
        assert abs(before) > 0.5
        assert abs(after) < 0.25
    slopes = {
        one["name"]: one["slope"]
        for one in json.loads((tmp_path / "model/tandem.json").read_text())["aspects"]
    }
    assert slopes["brevity"] < 0 < slopes["depth"]


def test_the_gate_follows_what_the_prompt_asks_for(tmp_path: Path) -> None:
    # Prompts with a mark want rudeness, the opposite of what the others want.
    rng = random.Random(0)
    compared, rated = planted.judgements(300)
    marked = {one.prompt_id for one in compared if rng.random() < 0.5}

    def asked(one: Any) -> Any:
        if one.prompt_id not in marked:
            return one
        return replace(one, prompt=({"role": "user", "content": "#" * 40 + one.prompt_id},))

    second = [replace(one, aspect="rudeness", value=8 - one.value) for one in rated]
    judged = [
        replace(asked(one), choice=-one.choice if one.prompt_id in marked else one.choice)
        for one in compared
    ]
    snapshot = wrote(tmp_path / "snapshot", judged, list(map(asked, [*rated, *second])))
    metrics = train(snapshot, tmp_path, epochs=150, learning_rate=1e-2)
    assert metrics["validation/pair_accuracy"] > 0.9
    found = opened(tmp_path).aspects([(one.prompt, one.left) for one in judged])
    rude = np.array([one.prompt_id in marked for one in judged])
    assert found.names == ("overall", "rudeness")
    assert found.weights[rude, 1].mean() > 0.6
    assert found.weights[~rude, 1].mean() < 0.4


# What there may be too little of


def test_without_comparisons_all_aspects_count_the_same(tmp_path: Path) -> None:
    notes = planted.Notes()
    metrics = train(wrote(tmp_path / "snapshot", [], BOTH_RATED), tmp_path, notes)
    assert "too few comparisons to learn from (0): all aspects count the same" in notes.lines
    assert (opened(tmp_path).aspects(answers_of(COMPARED)).weights == 0.5).all()
    record = json.loads((tmp_path / "model/tandem.json").read_text())
    assert record["learned"]["scale"] == 1
    assert "train_loss" not in metrics
    assert metrics["steps"] == notes.steps[-1]


def test_without_comparisons_to_validate_on_only_the_scale_is_learned(tmp_path: Path) -> None:
    notes = planted.Notes()
    some = [one for one in COMPARED if split_of(one.prompt) is not Split.VALIDATION]
    metrics = train(wrote(tmp_path / "snapshot", some, BOTH_RATED), tmp_path, notes)
    assert any("too few comparisons to validate a gate on (0)" in line for line in notes.lines)
    assert (opened(tmp_path).aspects(answers_of(COMPARED)).weights == 0.5).all()
    assert json.loads((tmp_path / "model/tandem.json").read_text())["learned"]["scale"] != 1
    assert metrics["train_loss"] < 0.7


def test_one_aspect_is_sent_to_another_recipe(tmp_path: Path, snapshot: Path) -> None:
    with pytest.raises(TooLittleData, match=r"only 'overall'. Train the recipe absolute or comb"):
        train(snapshot, tmp_path)
    compared_only = wrote(tmp_path / "snapshot", COMPARED, [])
    with pytest.raises(TooLittleData, match=r"nothing was rated. Train the recipe preference"):
        train(compared_only, tmp_path)


def test_an_aspect_with_too_few_ratings_is_named(tmp_path: Path) -> None:
    seldom = [replace(one, aspect="wit", value=3.0 + number % 3) for number, one in
              enumerate(RATED[:11])]  # fmt: skip
    snapshot = wrote(tmp_path / "snapshot", [], [*BOTH_RATED, *seldom])
    with pytest.raises(TooLittleData, match=r"'wit' needs at least 10 rated answers to 5 prompts"):
        train(snapshot, tmp_path)
    metrics = train(snapshot, tmp_path, aspects=("overall", "brevity"))
    assert not any("wit" in name for name in metrics)
    with pytest.raises(TooLittleData, match=r"'tone' are in .* Rated aspects: brevity, overall, w"):
        train(snapshot, tmp_path / "other", aspects=("tone", "overall"))
    with pytest.raises(TooLittleData, match="at least two rated aspects; there is only 'overall'"):
        train(snapshot, tmp_path / "other", aspects=("overall", "overall"))


def test_an_aspect_in_which_all_are_alike_is_named(tmp_path: Path) -> None:
    safe = [replace(one, aspect="safety", value=7.0) for one in RATED]
    snapshot = wrote(tmp_path / "snapshot", [], [*RATED, *safe])
    with pytest.raises(TooLittleData, match=r"rated for 'safety' have the same rating, 7, so"):
        train(snapshot, tmp_path)


def test_each_aspect_is_fitted_to_the_answers_rated_for_it(tmp_path: Path, made: Path) -> None:
    # No answer is rated for both.
    apart = [
        one for number, one in enumerate(BOTH_RATED) if number % 2 == (one.aspect == "overall")
    ]
    metrics = train(wrote(tmp_path / "snapshot", COMPARED, apart), tmp_path)
    aspects = json.loads((tmp_path / "model/tandem.json").read_text())["aspects"]
    whole = json.loads((made / "model/tandem.json").read_text())["aspects"]
    assert [one["answers"] for one in aspects] == [one["answers"] // 2 for one in whole]
    assert all(one["explained"] > 0.2 for one in aspects)
    assert metrics["judgements"] < whole[0]["answers"] * 2.5


# Judgements as numbers


def answers(config: dict[str, Any], aspects: Sequence[str], snapshot: Path) -> Any:
    return judged_answers(
        backbone.load_tokenizer("tiny"),
        MultiObjectiveConfig.read(QUICK | config),
        aspects,
        SnapshotData.open(snapshot),
        Split.TRAIN,
    )


def test_annotators_are_averaged_and_gaps_stay_gaps(tmp_path: Path) -> None:
    one = next(one for one in RATED if split_of(one.prompt) is Split.TRAIN)
    second = replace(one, annotator="blue-fox-2", value=2.0)
    first = replace(one, value=5.0)
    other = replace(one, response_id="z", response="no", aspect="wit", value=1.5)
    duel = next(row for row in COMPARED if row.prompt_id == one.prompt_id)
    duels = [replace(duel, choice=choice, annotator=str(choice)) for choice in (-2, 0, 3)]
    snapshot = wrote(tmp_path / "snapshot", duels, [first, second, other])
    found = answers({}, ["overall", "wit"], snapshot)
    np.testing.assert_array_equal(found.ratings, [[3.5, np.nan], [np.nan, np.nan], [np.nan, 1.5]])
    assert found.judgements == 6
    assert found.left_out == 0
    assert sorted(found.preference.tolist()) == [0, 0.5, 1]
    tokenizer = backbone.load_tokenizer("tiny")
    texts = [tokenizer.decode(ids)[:-10] for row in found.rows for ids in row.answers]
    assert texts == [duel.left, duel.right, "no"]
    assert texts[found.left[0]] == duel.left
    assert found.tokens.tolist() == [len(text) + 1 for text in texts]
    assert len(answers({}, ["wit"], snapshot).preference) == 3


def test_long_conversations_are_left_out_and_counted(small: Path, tmp_path: Path) -> None:
    whole = answers({}, ["overall", "brevity"], small)
    some = answers({"max_tokens": 70}, ["overall", "brevity"], small)
    assert 0 < some.left_out < whole.judgements
    assert some.judgements + some.left_out == whole.judgements
    with pytest.raises(TooLittleData, match=r"longer than max_tokens \(30\)"):
        train(small, tmp_path, max_tokens=30)
    with pytest.raises(InvalidOption, match="reads at most 2048 tokens"):
        train(small, tmp_path, max_tokens=5000)


def test_a_part_of_the_prompts_is_that_which_other_recipes_draw(small: Path) -> None:
    found = answers({"prompts": 7, "seed": 3}, ["overall", "brevity"], small)
    asked = sorted({one.prompt_id for one in SnapshotData.open(small).ratings(Split.TRAIN)})
    drawn = sorted(random.Random(3).sample(asked, 7))
    prompts = {one.prompt_id: one.prompt for one in COMPARED}
    tokenizer = backbone.load_tokenizer("tiny")
    assert [row.prompt.tolist() for row in found.rows] == [
        backbone.chat_ids(tokenizer, prompts[name]) for name in drawn
    ]


def test_how_well_aspects_are_foretold_by_hand() -> None:
    said = np.column_stack([np.arange(10.0), np.full(10, 4.0), [np.nan] * 9 + [1.0]])
    foretold = np.column_stack([np.arange(10.0) ** 2, np.arange(10.0), np.zeros(10)])
    found = measure_aspects(foretold, said, ["a", "same", "few"], constant=np.array([4, 4, 4]))
    errors = [abs(x - x * x) for x in range(10)]
    assert found == {
        "a": {
            "spearman": pytest.approx(1),
            "mean_absolute_error": pytest.approx(sum(errors) / 10),
            "mean_absolute_error_of_constant": pytest.approx(
                (4 + 3 + 2 + 1 + 1 + 2 + 3 + 4 + 5) / 10
            ),
            "answers": 10,
        }
    }


# Reading


def test_a_killed_run_goes_on_as_if_nothing_had_happened(small: Path, tmp_path: Path) -> None:
    options = {"batch_tokens": 256, "checkpoint_every": 4}
    whole = planted.Notes()
    train(small, tmp_path / "whole", whole, **options)
    with pytest.raises(KeyboardInterrupt):
        train(small, tmp_path / "cut", planted.Notes(stop_at=10), **options)
    torch.manual_seed(99)  # whatever happened to the generators in between
    resumed = planted.Notes()
    train(small, tmp_path / "cut", resumed, **options)
    assert "resumed from step 8" in resumed.lines
    assert resumed.steps[:2] == [8, 9]
    assert resumed.steps[-1] == whole.steps[-1]
    ours, theirs = tensors(tmp_path / "whole"), tensors(tmp_path / "cut")
    assert max(float((ours[name] - theirs[name]).abs().max()) for name in ours) <= 1e-6

    with pytest.raises(KeyboardInterrupt):  # in the gate, which is fitted anew in seconds
        train(small, tmp_path / "late", planted.Notes(stop_at=whole.steps[-1]), **options)
    train(small, tmp_path / "late", **options)
    again = tensors(tmp_path / "late")
    assert all(torch.equal(ours[name], again[name]) for name in ours)


def test_a_broken_part_is_read_again(small: Path, made: Path, tmp_path: Path) -> None:
    train(small, tmp_path)
    broken = next((tmp_path / "checkpoints").glob("part-*")) / FEATURES
    broken.write_bytes(b"torn")
    (tmp_path / "model").rename(tmp_path / "before")
    train(small, tmp_path)
    ours, theirs = tensors(made), tensors(tmp_path)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_checkpoints_of_another_run_are_refused(small: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(small, tmp_path, planted.Notes(stop_at=3))
    with pytest.raises(InvalidOption, match="belong to a run with other options"):
        train(small, tmp_path, seed=1)


def test_a_model_that_reads_no_numbers_is_refused(small: Path, tmp_path: Path) -> None:
    base = tmp_path / "broken"
    model = backbone.load_causal("tiny")
    with torch.no_grad():
        model.model.norm.weight[0] = float("nan")
    model.save_pretrained(base)
    backbone.load_tokenizer("tiny").save_pretrained(base)
    with pytest.raises(TrainingFailed, match="hidden states that are infinite or not numbers"):
        train(small, tmp_path, base=str(base))
    assert not (tmp_path / "model").exists()


def test_hidden_states_are_those_at_the_ends_of_prompt_and_answer(small: Path) -> None:
    trunk = open_trunk("tiny", device=torch.device("cpu"))
    rows = answers({}, ["overall", "brevity"], small).rows[:2]
    found = read_rows(trunk, rows)
    plain = backbone.load_causal("tiny").model
    for place, row in enumerate(rows):
        for number, ids in enumerate(row.answers):
            alone = torch.tensor([[*row.prompt.tolist(), *ids.tolist()]])
            with torch.no_grad():
                hidden = plain(alone).last_hidden_state[0]
            torch.testing.assert_close(found.answers[2 * place + number], hidden[-1])
            torch.testing.assert_close(found.prompts[place], hidden[len(row.prompt) - 1])


# Where it starts from


@pytest.mark.parametrize("rank", [0, 2])
def test_it_can_start_from_a_reward_model(
    rank: int, snapshot: Path, small: Path, tmp_path: Path
) -> None:
    scalar = REWARDS["absolute"]
    options = planted.QUICK | {"rank": rank, "layers": 1, "epochs": 1, "learning_rate": 3e-2}
    scalar.run(
        scalar.config.read(options),
        snapshot=snapshot,
        output=tmp_path / "start",
        checkpoints=tmp_path / "start-checkpoints",
        progress=planted.Notes(),
    )
    train(small, tmp_path, base=str(tmp_path / "start"))
    record = json.loads((tmp_path / "model/tandem.json").read_text())
    assert record["base"] == (str(tmp_path / "start") if rank == 0 else "tiny")
    assert record["adapter"] == (rank > 0)
    if rank:
        (tmp_path / "start").rename(tmp_path / "elsewhere")  # it stands on its own
    said = SnapshotData.open(small).comparisons(Split.TRAIN)
    rewards = opened(tmp_path).score(answers_of(said))
    # A folder is read in the fastest precision, in which company changes the third digit.
    told = record["calibration"]
    assert rewards.mean() == pytest.approx(told["mean"], abs=0.1 * told["std"])
    trunks = [
        open_trunk(name, device=torch.device("cpu"))
        for name in ("tiny", str(tmp_path / ("elsewhere" if rank else "start")))
    ]
    rows = answers({}, ["overall", "brevity"], small).rows[:1]
    plain, started = (read_rows(trunk, rows).answers for trunk in trunks)
    assert not torch.allclose(plain, started, atol=1e-4)


def test_it_can_start_from_the_adapter_of_a_policy(small: Path, tmp_path: Path) -> None:
    from training.adapters import adapt

    policy = adapt(backbone.load_causal("tiny"), rank=2, layers=None, task="CAUSAL_LM", base="tiny")
    policy.save_pretrained(tmp_path / "policy")
    backbone.load_tokenizer("tiny").save_pretrained(tmp_path / "policy")
    train(small, tmp_path, base=str(tmp_path / "policy"))
    assert len(opened(tmp_path).score(answers_of(COMPARED[:2]))) == 4


def test_adapters_that_cannot_be_opened_are_refused(tmp_path: Path) -> None:
    settings = tmp_path / "adapter_config.json"
    settings.write_text("{}")
    with pytest.raises(InvalidData, match=r"no adapter_model\.safetensors"):
        base_of(str(tmp_path))
    (tmp_path / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(InvalidData, match="does not name the model"):
        base_of(str(tmp_path))


# The folder


def test_a_folder_with_torn_tensors_is_refused(made: Path, tmp_path: Path) -> None:
    for path in (made / "model").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "aspects.safetensors").write_bytes(b"torn")
    with pytest.raises(InvalidData, match=r"aspects\.safetensors is missing or damaged"):
        RewardScorer.load(tmp_path)
    (tmp_path / "aspects.safetensors").unlink()
    with pytest.raises(InvalidData, match=r"aspects\.safetensors is missing or damaged"):
        RewardScorer.load(tmp_path)


def test_other_weights_under_the_same_name_are_noticed(
    made: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for path in (made / "model").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    record = json.loads((tmp_path / "tandem.json").read_text())
    changed = record | {"base_fingerprint": "something else"}
    (tmp_path / "tandem.json").write_text(json.dumps(changed))
    RewardScorer.load(tmp_path)
    assert "was trained on other weights of tiny" in caplog.text


def test_the_card_has_a_line_for_each_aspect(made: Path) -> None:
    card = (made / "model/README.md").read_text()
    assert "| brevity | " in card
    assert "| overall | " in card
    assert "aspects.safetensors" in card
