"""Ablations as jobs: trained, judged, put away; killed and gone on with; from store and file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from workshop import Workshop, open_workshop, write_judgements

from app.ablation import run_ablation
from app.cli import main
from app.foreground import run_here
from evaluation.ablation import Ablation
from evaluation.ablation_config import ABLATED, Ablated
from storage.errors import InvalidOption, JobCancelled, TooLittleData, TrainingFailed
from storage.records import Split
from storage.settings import Settings
from storage.snapshots import SnapshotData, write_snapshot
from training.rewards.comparing import open_comparer

QUICK: dict[str, Any] = {
    "kinds": ["preference", "absolute"],
    "labels": [20, 60],
    "seeds": 2,
    "base": "tiny",
    "rank": 0,
    "layers": None,
    "learning_rate": 1e-2,
    "head_learning_rate": 1e-2,
    "batch_tokens": 256,
    "checkpoint_every": 2,
}
"""Eight models that the tiny backbone learns in seconds."""


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TANDEM_DEVICE", "cpu")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """One installation for all; they leave each other alone."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"), database_url="", device="cpu")
    return open_workshop(settings, datetime(2026, 3, 14, tzinfo=UTC), prompts=150)


@dataclass
class Watch:
    """A progress that writes down what it is told, and can stop the work at a report."""

    stop: Callable[[int, str], BaseException | None] = lambda *_: None
    told: list[tuple[int, int | None, str]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def report(
        self,
        step: int,
        metrics: Mapping[str, float] | None = None,
        *,
        total: int | None = None,
        message: str | None = None,
    ) -> None:
        self.told.append((step, total, message or ""))
        if error := self.stop(len(self.told), message or ""):
            raise error

    def log(self, line: str) -> None:
        self.lines.append(line)


def run(workshop: Workshop, folder: Path, watch: Watch, **more: Any) -> dict[str, Any]:
    return run_ablation(
        Ablated.read({**QUICK, **more}),
        snapshot=workshop.settings.data_dir / workshop.snapshot.folder,
        folder=folder,
        progress=watch,
        device="cpu",
    )


@dataclass(frozen=True)
class Whole:
    """An ablation that nothing interrupted."""

    folder: Path
    said: dict[str, Any]
    watch: Watch


@pytest.fixture(scope="module")
def whole(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder, watch = tmp_path_factory.mktemp("whole"), Watch()
    return Whole(folder, run(workshop, folder, watch), watch)


def test_every_kind_budget_and_seed_is_trained_judged_and_put_away(
    whole: Whole, workshop: Workshop
) -> None:
    found = Ablation.read(whole.said)
    assert [(one.labels, one.kind, one.seeds) for one in found.accuracies] == [
        (20, "preference", (0, 1)), (20, "absolute", (0, 1)),
        (60, "preference", (0, 1)), (60, "absolute", (0, 1)),
    ]  # fmt: skip
    assert [one.judgements for one in found.accuracies] == [20, 20, 60, 60]
    assert found.pairs == workshop.snapshot.rows["comparisons/test"]
    best = found.accuracies[2]
    assert best.pair_accuracy.value > 0.9  # the polite answer is easily told
    assert best.spearman is not None
    assert sorted(path.name for path in whole.folder.glob("trials/*/*")) == ["outcome.json"] * 8
    written = json.loads((whole.folder / "ablation.json").read_text())
    assert written == json.loads(json.dumps(whole.said))
    report = (whole.folder / "report.html").read_text().replace("&#39;", "'")
    assert whole.said["verdict"] in report


def test_progress_counts_the_labels_of_all_models(whole: Whole) -> None:
    models = [line for line in whole.watch.lines if line.startswith("model ")]
    assert models[0] == "model 1 of 8: preference, 20 labels, seed 0"
    assert models[-1] == "model 8 of 8: absolute, 60 labels, seed 1"
    steps = [step for step, _, _ in whole.watch.told]
    assert steps == sorted(steps)
    assert {total for _, total, _ in whole.watch.told} == {2 * 2 * (20 + 60)}
    assert steps[-1] == 320
    assert any("seed 0; step 1 of" in message for _, _, message in whole.watch.told)
    assert any("; held-out answer " in message for _, _, message in whole.watch.told)


def test_a_killed_ablation_goes_on_and_finds_the_same(
    whole: Whole, workshop: Workshop, tmp_path: Path
) -> None:
    def killed(where: str) -> tuple[int, list[str]]:
        """How many models are judged when it is killed there, and what it said until then."""
        watch = Watch(lambda _, message: KeyboardInterrupt() if where in message else None)
        with pytest.raises(KeyboardInterrupt):
            run(workshop, tmp_path, watch)
        done = len(list(tmp_path.glob("trials/*/outcome.json")))
        partly = Ablation.read(json.loads((tmp_path / "ablation.json").read_text()))
        assert partly.to_come == 8 - done
        return done, [line for line in watch.lines if "model" in line or "resumed" in line]

    learning, _ = killed("model 3 of 8: preference, 60 labels, seed 0; step 4")
    judging, lines = killed("absolute, 20 labels, seed 1; held-out")
    assert (learning, judging) == (2, 5)
    assert lines[:3] == [
        "model 3 of 8: preference, 60 labels, seed 0",
        "resumed from step 4",
        "model 4 of 8: absolute, 60 labels, seed 0",
    ]
    again = Watch()
    assert run(workshop, tmp_path, again) == whole.said
    assert again.lines[0] == "model 6 of 8: absolute, 20 labels, seed 1"
    for name in ("ablation.json", "report.html"):
        assert (tmp_path / name).read_text() == (whole.folder / name).read_text()


def test_a_finished_one_is_only_read_again(whole: Whole, workshop: Workshop) -> None:
    watch = Watch()
    assert run(workshop, whole.folder, watch) == whole.said
    assert watch.lines == []


def test_a_cancelled_one_leaves_what_was_found(workshop: Workshop, tmp_path: Path) -> None:
    watch = Watch(
        lambda _, message: JobCancelled("stop") if message.startswith("model 2 of") else None
    )
    with pytest.raises(JobCancelled):
        run(workshop, tmp_path, watch)
    partly = json.loads((tmp_path / "ablation.json").read_text())
    assert partly["to_come"] == 7
    assert "7 models are still to be trained; the figures are of the rest." in partly["warnings"]
    assert not (tmp_path / "report.html").exists()


def test_a_model_that_diverges_is_told_and_the_others_are_compared(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    absolute = ABLATED["absolute"]
    tried: list[int] = []

    def diverging(config: Any, **more: Any) -> dict[str, Any]:
        tried.append(config.seed)
        if config.seed == 1:
            raise TrainingFailed("The loss is not a number at step 3; lower learning_rate.")
        return dict(absolute.run(config, **more))

    monkeypatch.setitem(ABLATED, "absolute", replace(absolute, run=diverging))
    said = run(workshop, tmp_path, Watch(), labels=[20])
    (doubt,) = said["failed"]
    assert doubt == (
        "There is no model of absolute, 20 labels, seed 1: The loss is not a number at step 3;"
        " lower learning_rate."
    )
    assert doubt in said["warnings"]
    assert [one.seeds for one in Ablation.read(said).accuracies] == [(0, 1), (0,)]
    assert run(workshop, tmp_path, Watch(), labels=[20]) == said
    assert tried == [0, 1]  # it would fail again
    assert not list(tmp_path.glob("trials/*/checkpoints"))


def test_where_every_model_diverges_there_is_nothing_to_compare(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverging(*_: Any, **__: Any) -> dict[str, Any]:
        raise TrainingFailed("The loss is not a number.")

    monkeypatch.setitem(ABLATED, "absolute", replace(ABLATED["absolute"], run=diverging))
    with pytest.raises(TooLittleData, match="no model of absolute, 20 labels, seed 0: The loss is"):
        run(workshop, tmp_path, Watch(), kinds=["absolute"], labels=[20])


def test_models_are_kept_on_demand(workshop: Workshop, tmp_path: Path) -> None:
    run(
        workshop, tmp_path, Watch(), kinds=["pairwise", "combined"], labels=[20], seeds=1,
        keep_models=True,
    )  # fmt: skip
    for kind in ("pairwise", "combined"):
        comparer = open_comparer(tmp_path / "trials" / f"{kind}-20-0" / "model", device="cpu")
        question = ({"role": "user", "content": "Hello"},)
        assert comparer.gaps([(question, "one", "another")]).shape == (1,)


def test_what_the_snapshot_cannot_give_is_refused_before_anything_is_trained(
    workshop: Workshop, tmp_path: Path
) -> None:
    with pytest.raises(
        InvalidOption, match=r"labels: preference has only \d+ comparisons to learn"
    ):
        run(workshop, tmp_path, Watch(), labels=[5000])
    with pytest.raises(
        InvalidOption, match="kinds: absolute learns from ratings, and there are no"
    ):
        run(workshop, tmp_path, Watch(), aspect="tone")
    assert not (tmp_path / "trials").exists()
    with pytest.raises(InvalidOption, match="labels: preference has only"):
        workshop.queue("ablation", "ablation", snapshot=workshop.snapshot.id, labels=[5000])
    data = SnapshotData.open(workshop.settings.data_dir / workshop.snapshot.folder)
    rows = [replace(row, choice=0) for split in Split for row in data.comparisons(split)]
    write_snapshot(tmp_path / "ties", rows, data.ratings(Split.TRAIN))
    with pytest.raises(TooLittleData, match=r"2 held-out prompts; the test part .* has 0\. Judge"):
        run_ablation(
            Ablated.read(QUICK),
            snapshot=tmp_path / "ties",
            folder=tmp_path,
            progress=Watch(),
            device="cpu",
        )


def test_the_job_of_a_snapshot_keeps_its_report_in_the_store(workshop: Workshop) -> None:
    config = {**QUICK, "labels": [20], "seeds": 1, "snapshot": workshop.snapshot.id[:9]}
    result = run_here(
        workshop.database, workshop.settings, kind="ablation", recipe="ablation", config=config,
        project=workshop.project.id,
    )  # fmt: skip
    report = workshop.settings.data_dir / result["file"]
    assert result["ablation"]["verdict"] in report.read_text().replace("&#39;", "'")
    job = workshop.queue("ablation", "ablation", **config)
    assert job.config["snapshot"] == workshop.snapshot.id
    assert job.config["labels"] == [20]


def command(*tokens: str) -> list[str]:
    small = ["--base", "tiny", "--no-layers", "--rank", "0", "--learning-rate", "1e-2"]
    return ["evaluate", "ablation", *tokens, *small, "--kinds", "preference", "absolute"]


def test_a_file_is_compared_without_a_store(
    workshop: Workshop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_judgements(tmp_path / "judged.jsonl", prompts=100)
    place = ["--data-dir", str(workshop.settings.data_dir)]
    tokens = command(
        "--data", str(tmp_path / "judged.jsonl"), "--output", str(tmp_path / "out"),
        "--labels", "20", "40", "--seeds", "1", *place,
    )  # fmt: skip
    capsys.readouterr()
    assert main([*tokens, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["report"] == str(tmp_path / "out" / "report.html")
    assert len(Ablation.read(said).accuracies) == 4
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "ablation.json",
        "report.html",
    ]
    assert main(tokens) == 1
    assert "output: it already holds something" in capsys.readouterr().err


def test_a_snapshot_is_compared_here_or_by_the_worker(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["--data-dir", str(workshop.settings.data_dir)]
    tokens = command("--snapshot", workshop.snapshot.id[:8], "--labels", "20", "--seeds", "1")
    capsys.readouterr()
    assert main([*tokens, *place]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("With 20 labels ")
    assert "20      preference  " in printed.out
    assert "warning: One seed says nothing of luck" in printed.err
    report = Path(printed.out.partition("The report: ")[2].strip())
    assert report.is_file()
    assert main([*tokens, *place, "--queue", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "ablation"


@pytest.mark.parametrize(
    ("tokens", "sentence"),
    [
        ((), "data: name either --data or --snapshot"),
        (("--data", "x.jsonl", "--snapshot", "0a"), "data: name either --data or --snapshot"),
        (("--data", "x.jsonl"), "output: an ablation of a file needs a folder; name one"),
        (("--data", "x.jsonl", "--output", "o", "--queue"), "queue: the worker works in the store"),
        (("--snapshot", "feed"), "There is no snapshot called 'feed'"),
        (("--snapshot", "feed", "--labels", "many"), "labels.0: input should be a valid integer"),
    ],
)
def test_the_command_refuses_in_one_sentence(
    workshop: Workshop,
    tokens: tuple[str, ...],
    sentence: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    capsys.readouterr()
    assert main([*command(*tokens), "--data-dir", str(workshop.settings.data_dir)]) == 1
    assert f"error: {sentence}" in capsys.readouterr().err
