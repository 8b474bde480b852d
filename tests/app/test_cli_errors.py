"""Bad input: one clear sentence, a code that is not zero, and nothing stored is changed."""

from __future__ import annotations

import errno
import gzip
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from workshop import Workshop, open_workshop, write_judgements

from app.cli import main
from storage import files, judgements, models, snapshots
from storage.settings import Settings


@dataclass(frozen=True)
class Refused:
    """What a command said when it refused."""

    code: int
    sentence: str


class Shop:
    """Commands in an installation whose content is watched."""

    def __init__(self, workshop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
        self.workshop = workshop
        self.capsys = capsys

    def content(self) -> Any:
        """Everything that a refusal must leave as it is."""
        with self.workshop.database.read() as connection:
            return (
                judgements.counts(connection, self.workshop.project.id),
                [model.name for model in models.models(connection)],
                [snapshot.id for snapshot in snapshots.snapshots(connection)],
                sorted(
                    path.name for path in (self.workshop.settings.data_dir / "snapshots").iterdir()
                ),
            )

    def refuse(self, *tokens: str) -> Refused:
        """Run a command that must refuse."""
        before = self.content()
        self.capsys.readouterr()
        code = main([*tokens, "--data-dir", str(self.workshop.settings.data_dir)])
        printed = self.capsys.readouterr()
        assert code, printed.out
        assert printed.out == ""
        assert "Traceback" not in printed.err
        assert self.content() == before
        (sentence,) = (line for line in printed.err.splitlines() if line.startswith("error: "))
        return Refused(code, sentence)


@pytest.fixture
def shop(
    data_dir: Path, now: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Shop]:
    for name in ("TANDEM_DATA_DIR", "TANDEM_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TANDEM_DEVICE", "cpu")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    workshop = open_workshop(Settings(data_dir=data_dir, database_url=""), now, prompts=40)
    yield Shop(workshop, capsys)
    workshop.database.close()


def text(folder: Path, name: str, *lines: object) -> str:
    path = folder / name
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return str(path)


def half(folder: Path) -> str:
    """A compressed file that was not copied to its end."""
    write_judgements(folder / "whole.jsonl", prompts=30)
    packed = gzip.compress((folder / "whole.jsonl").read_bytes())
    (folder / "half.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    return str(folder / "half.jsonl.gz")


def test_a_wrong_path(shop: Shop, tmp_path: Path) -> None:
    assert shop.refuse("import", "/nowhere/answers.jsonl") == Refused(
        1, "error: There is no file /nowhere/answers.jsonl; check the path."
    )
    wanted = ("--data", "/nowhere", "--output", str(tmp_path / "model"))
    told = shop.refuse("train", "reward", "combined", *wanted)
    assert told == Refused(1, "error: There is no file /nowhere; check the path.")
    told = shop.refuse("evaluate", "votes", "/nowhere/votes.jsonl")
    assert "/nowhere/votes.jsonl" in told.sentence


def test_a_half_written_file(shop: Shop, tmp_path: Path) -> None:
    told = shop.refuse("import", half(tmp_path))
    assert told.code == 1
    assert "only half there. Copy or download it again" in told.sentence


def test_lines_that_are_not_what_they_promise(shop: Shop, tmp_path: Path) -> None:
    no_prompt = text(tmp_path, "a.jsonl", {"chosen": "a", "rejected": "b"})
    assert "a.jsonl, line 1: there is no prompt" in shop.refuse("import", no_prompt).sentence
    scale = {"scale_min": 1, "scale_max": 7}
    eight = text(tmp_path, "b.jsonl", {"prompt": "p", "response": "r", "rating": 8, **scale})
    assert "rating 8 lies outside its scale 1 to 7" in shop.refuse("import", eight).sentence
    good = {"prompt": "p", "chosen": "a", "rejected": "b"}
    broken = text(tmp_path, "c.jsonl", good, {**good, "chosen": 3})
    assert "c.jsonl, line 2" in shop.refuse("import", broken).sentence


def test_a_prompt_without_answers_cannot_be_learned_from(shop: Shop, tmp_path: Path) -> None:
    bare = text(tmp_path, "prompts.jsonl", {"prompt": "Why?"})
    told = shop.refuse(
        "train", "reward", "combined", "--data", bare, "--output", str(tmp_path / "model")
    )
    assert "holds no judgement" in told.sentence
    scored = str(tmp_path / "scored.jsonl")
    told = shop.refuse("score", "--model", "x", "--input", bare, "--output", scored)
    assert "There is no reward model called 'x'" in told.sentence
    assert not Path(scored).exists()


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("train reward combine", 1, "no reward recipe called 'combine'. Did you mean 'combined'?"),
        ("train policy ppp", 1, "no policy recipe called 'ppp'. Did you mean 'ppo'?"),
        ("train reward combined --epoch 3 --snapshot x", 2, "Unknown option: --epoch."),
        ("train reward combined --epochs many --snapshot x", 2, "unable to convert"),
        ("train reward combined --learning-rate 3 --snapshot x", 1, "learning_rate: input should"),
        ("train reward combined", 1, "data: name either --data or --snapshot"),
        ("train reward combined --snapshot feed", 1, "no snapshot called 'feed'"),
        ("train reward combined --data x", 1, "output: a model made from a file needs a folder"),
        ("train policy ppo --rewards good", 1, "no reward model called 'good'"),
        ("train policy ppo --rewards good=much", 1, "rewards: a weight is a number"),
        ("train policy ppo", 2, "--rewards"),
        ("export preferences --output out", 1, "Did you mean 'preference'?"),
        ("export preference --output out --project defalt", 1, "Did you mean 'default'?"),
        ("import x.jsonl --format pears", 1, "Did you mean 'pairs'?"),
        ("sample --policies tiny --output x --split tests", 2, "--split"),
        ("sample --policies tiny", 1, "output: name a file for the answers"),
        ("evaluate reward --model x --snapshot 1 --data y", 1, "data: name either"),
        ("evaluate reward --model x", 1, "--data or --snapshot or --benchmark"),
        ("evaluate reward --model nothing --benchmark y", 1, "no reward model called 'nothing'"),
        ("study report nothing", 1, "no study called 'nothing'"),
        ("study open --title t --policies tiny", 1, "policies"),
        ("judge golden --study x", 1, "Did you mean 'gold'?"),
        ("models show nothing", 1, "no model called 'nothing'"),
        ("jobs log nothing", 1, "no job called 'nothing'"),
        ("users role nobody researcher", 1, "no annotator called 'nobody'"),
        ("users add x --role king", 2, "--role"),
        ("serve --port 99999", 1, "port: input should be less than or equal to 65535"),
        ("serv", 2, 'Unknown command "serv". Did you mean "serve"?'),
    ],
)
def test_what_is_unknown_or_out_of_bounds(shop: Shop, command: str, code: int, said: str) -> None:
    told = shop.refuse(*command.split())
    assert told.code == code
    assert said in told.sentence


def test_a_snapshot_without_enough_data(shop: Shop, tmp_path: Path) -> None:
    write_judgements(tmp_path / "few.jsonl", prompts=3)
    told = shop.refuse(
        "train", "reward", "combined", "--data", str(tmp_path / "few.jsonl"),
        "--output", str(tmp_path / "model"), "--base", "tiny", "--no-layers",
    )  # fmt: skip
    assert told.code == 1
    assert "10" in told.sentence
    assert not (tmp_path / "model").exists()


def test_an_empty_project_cannot_be_frozen(data_dir: Path, capsys: Any) -> None:
    told = main(["snapshot", "create", "--data-dir", str(data_dir)])
    assert told == 1
    assert "There is no project" in capsys.readouterr().err


def test_a_model_that_does_not_exist_and_no_network(shop: Shop, tmp_path: Path) -> None:
    snapshot = shop.workshop.snapshot.id
    told = shop.refuse(
        "train", "reward", "combined", "--snapshot", snapshot, "--base", "nobody/nothing"
    )
    assert told.code == 1
    assert "nobody/nothing" in told.sentence
    answers = str(tmp_path / "answers.jsonl")
    told = shop.refuse("sample", "--policies", "nobody/nothing", "--output", answers)
    assert "nobody/nothing" in told.sentence
    assert not Path(answers).exists()


def test_a_full_disk_while_a_model_is_saved(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "model"
    sync = files.bring_to_disk

    def full(path: Path) -> None:
        if path.name.startswith(".model.partial"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        sync(path)

    monkeypatch.setattr(files, "bring_to_disk", full)
    write_judgements(tmp_path / "judged.jsonl", prompts=40)
    command = (
        "train", "reward", "combined", "--data", str(tmp_path / "judged.jsonl"),
        "--output", str(target), "--base", "tiny", "--no-layers", "--epochs", "1",
    )  # fmt: skip
    told = shop.refuse(*command)
    assert told.code == 1
    assert "the disk is full; free some space and try again" in told.sentence
    assert not target.exists()
    assert not list(tmp_path.glob(".model*"))
    monkeypatch.undo()
    assert main([*command, "--data-dir", str(shop.workshop.settings.data_dir)]) == 0


def test_a_full_disk_while_a_snapshot_is_written(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_judgements(tmp_path / "more.jsonl", prompts=50)
    data_dir = str(shop.workshop.settings.data_dir)
    assert main(["import", str(tmp_path / "more.jsonl"), "--data-dir", data_dir]) == 0

    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(files, "bring_to_disk", full)
    assert "the disk is full" in shop.refuse("snapshot", "create").sentence


def test_a_folder_that_holds_something_is_not_written_over(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    output = ("--output", str(tmp_path / "mine"))
    told = shop.refuse("export", "preference", *output)
    assert "already holds something" in told.sentence
    told = shop.refuse("train", "reward", "combined", "--data", "x", *output)
    assert "already holds something" in told.sentence
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_a_data_directory_that_cannot_be_made(capsys: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    assert main(["jobs", "list", "--data-dir", str(tmp_path / "file" / "data")]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert "cannot be made" in said
