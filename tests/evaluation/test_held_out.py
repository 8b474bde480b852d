"""Models of every form judge held-out comparisons one by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluation.held_out import HeldOut, judge
from storage.records import ResponseId, Split
from storage.snapshots import SnapshotData
from training.rewards import REWARDS
from training.rewards.comparing import open_comparer


class Quiet:
    """Progress that nobody watches."""

    def report(self, step: int, *_: object, **__: object) -> None: ...

    def log(self, line: str) -> None: ...


@pytest.fixture
def held_out(snapshot_folder: Path) -> HeldOut:
    return HeldOut.of(SnapshotData.open(snapshot_folder))


def test_the_test_part_is_used_or_some_prompts_of_it(
    held_out: HeldOut, snapshot_folder: Path
) -> None:
    data = SnapshotData.open(snapshot_folder)
    assert list(held_out.comparisons) == data.comparisons(Split.TEST)
    assert list(held_out.ratings) == data.ratings(Split.TEST)
    some = HeldOut.of(data, prompts=3)
    assert some == HeldOut.of(data, prompts=3)
    assert len({row.prompt_id for row in some.comparisons}) == 3
    assert {row.prompt_id for row in some.ratings} == {row.prompt_id for row in some.comparisons}
    assert HeldOut.of(data, aspect="overall") == held_out
    assert HeldOut.of(data, aspect="tone").ratings == ()


def test_gaps_are_those_of_the_one_path_for_comparing(
    held_out: HeldOut, reward_model: Callable[[], Path]
) -> None:
    found = judge(reward_model(), held_out, device="cpu")
    pairs = [(row.prompt, row.left, row.right) for row in held_out.comparisons]
    expected = open_comparer(reward_model(), device="cpu").gaps(pairs)
    assert found.gaps == pytest.approx(expected, abs=1e-5)
    assert found.spearman is not None
    assert found.spearman.value > 0.5


def test_a_model_that_reads_both_answers_judges_and_has_no_rank_correlation(
    held_out: HeldOut, snapshot_folder: Path, tmp_path: Path
) -> None:
    pairwise = REWARDS["pairwise"]
    pairwise.run(
        pairwise.config.read({"base": "tiny", "rank": 0, "layers": None, "epochs": 1}),
        snapshot=snapshot_folder,
        output=tmp_path / "model",
        checkpoints=tmp_path / "checkpoints",
        progress=Quiet(),
        device="cpu",
    )
    found = judge(tmp_path / "model", held_out, device="cpu")
    pairs = [(row.prompt, row.left, row.right) for row in held_out.comparisons]
    expected = open_comparer(tmp_path / "model", device="cpu").gaps(pairs)
    assert found.gaps == pytest.approx(expected, abs=1e-5)
    assert found.spearman is None


def test_what_a_model_cannot_read_has_no_gap(
    held_out: HeldOut, reward_model: Callable[[], Path]
) -> None:
    endless = replace(
        held_out.comparisons[0], left_id=ResponseId("endless"), left="and so on " * 1000
    )
    rows = (endless, *held_out.comparisons)
    found = judge(reward_model(), replace(held_out, comparisons=rows), device="cpu")
    assert np.flatnonzero(np.isnan(found.gaps)).tolist() == [0]
    few = judge(reward_model(), replace(held_out, ratings=()), device="cpu")
    assert few.spearman is None
