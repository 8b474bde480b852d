"""Scores do not depend on how conversations are put together."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import planted
import pytest
import torch

from storage.errors import InvalidData
from storage.records import Message
from training import backbone
from training.batching import Row
from training.rewards import REWARDS
from training.rewards.model import RewardModel
from training.rewards.scoring import RewardScorer

ASKED = (Message(role="user", content="bread 1?"),)
OTHER = (*ASKED, Message(role="assistant", content="no"), Message(role="user", content="why?"))
CONVERSATIONS = [
    (ASKED, "please"),
    (OTHER, "an apple"),
    (ASKED, "a house and a flame, please"),
    (ASKED, "please"),
    (OTHER, "grass " * 30),
]


@pytest.fixture(scope="module")
def folder(snapshot: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small adapter."""
    home = tmp_path_factory.mktemp("scored")
    recipe = REWARDS["combined"]
    options = planted.QUICK | {"rank": 2, "epochs": 1, "learning_rate": 3e-2, "layers": 1}
    recipe.run(
        recipe.config.read(options),
        snapshot=snapshot,
        output=home / "model",
        checkpoints=home / "checkpoints",
        progress=planted.Notes(),
    )
    return home / "model"


def test_the_order_and_company_of_conversations_changes_nothing(folder: Path) -> None:
    scorer = RewardScorer.load(folder, device="cpu")
    together = scorer.score(CONVERSATIONS)
    alone = np.array([scorer.score([one])[0] for one in CONVERSATIONS])
    small = scorer.score(CONVERSATIONS, batch_tokens=64)
    assert together.dtype == np.float32
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(together, small, atol=1e-5)
    np.testing.assert_allclose(scorer.score(CONVERSATIONS[::-1])[::-1], together, atol=1e-5)
    assert together[0] == pytest.approx(together[3], abs=1e-6)
    assert len(set(together.round(4))) == 4


def test_nothing_to_score_is_no_scores(folder: Path) -> None:
    assert RewardScorer.load(folder).score([]).shape == (0,)


def test_progress_is_told_how_many_are_scored(folder: Path) -> None:
    notes = planted.Notes()
    RewardScorer.load(folder).score(CONVERSATIONS, batch_tokens=64, progress=notes)
    assert notes.steps[-1] == len(CONVERSATIONS)


def test_standardised_rewards_have_mean_0_and_deviation_1_on_the_snapshot(
    folder: Path, snapshot: Path
) -> None:
    from storage.records import Split
    from storage.snapshots import SnapshotData

    scorer = RewardScorer.load(folder, device="cpu")
    rated = {
        one.response_id: one for one in SnapshotData.open(snapshot).ratings(Split.TRAIN)
    }.values()
    standard = scorer.standardise(scorer.score([(one.prompt, one.response) for one in rated]))
    assert abs(standard.mean()) < 0.15  # calibrated on 256 of about 300
    assert standard.std() == pytest.approx(1, abs=0.15)


def test_a_conversation_that_the_model_cannot_read_is_refused_and_not_cut(folder: Path) -> None:
    with pytest.raises(InvalidData, match=r"Conversation 2 has .* tokens; the model reads at most"):
        RewardScorer.load(folder).score([CONVERSATIONS[0], (ASKED, "x" * 2048)])


def test_other_weights_under_the_same_name_are_noticed(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    record = json.loads((folder / "tandem.json").read_text())
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    changed = record | {"base_fingerprint": "something else"}
    (tmp_path / "tandem.json").write_text(json.dumps(changed))
    with caplog.at_level(logging.WARNING):
        RewardScorer.load(tmp_path)
    assert "was trained on other weights of tiny" in caplog.text


def test_an_adapter_of_nothing_scores_as_its_base(folder: Path, tmp_path: Path) -> None:
    scorer = RewardScorer.load(folder, device="cpu")
    with torch.no_grad():
        for name, weight in scorer.model.named_parameters():
            if "score.modules_to_save" in name:
                weight.zero_()
    assert not scorer.score(CONVERSATIONS).any()
    assert backbone.load_scalar("tiny").score.weight.abs().sum() == 0


def test_weights_in_full_precision_may_be_multiplied_in_half() -> None:
    scalar, tokenizer = backbone.load_scalar("tiny", device="cpu"), backbone.load_tokenizer("tiny")
    torch.nn.init.normal_(scalar.score.weight, generator=torch.Generator().manual_seed(0))
    row = Row(
        np.array(backbone.chat_ids(tokenizer, ASKED), dtype=np.int32),
        (np.array(backbone.answer_ids(tokenizer, "an apple, please"), dtype=np.int32),),
    )
    whole = RewardModel(scalar, tokenizer)([row])
    half = RewardModel(scalar, tokenizer, autocast=torch.bfloat16)([row])
    assert half.dtype == torch.float32
    assert float((half - whole).detach().abs()) < 0.05 * float(whole.detach().abs()) + 0.05
    assert not torch.equal(half, whole)
    half.sum().backward()
    assert scalar.model.layers[0].mlp.up_proj.weight.grad.dtype == torch.float32
