"""Where a run of a TRL trainer goes on from."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.policies.trl_training import newest_checkpoint


@pytest.mark.parametrize("written", [None, "", '{"global_step": 1'])
def test_a_half_written_checkpoint_is_passed_over_and_that_is_said(
    tmp_path: Path, written: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    for step in (2, 10):
        (tmp_path / f"checkpoint-{step}").mkdir()
    (tmp_path / "checkpoint-2/trainer_state.json").write_text('{"global_step": 2}')
    if written is not None:
        (tmp_path / "checkpoint-10/trainer_state.json").write_text(written)
    assert newest_checkpoint(tmp_path) == tmp_path / "checkpoint-2"
    assert "passing over the broken checkpoint checkpoint-10" in caplog.text


def test_the_newest_whole_checkpoint_is_by_number(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path / "nowhere") is None
    for step in (2, 10):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}/trainer_state.json").write_text("{}")
    assert newest_checkpoint(tmp_path) == tmp_path / "checkpoint-10"
