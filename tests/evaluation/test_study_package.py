"""The package of a study: complete, nameless, the same bytes each time, and counted again."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_study import ARMS, made_study

from evaluation.study_package import (
    differences,
    main,
    recompute,
    study_package,
    write_package,
)
from evaluation.study_plan import plan_digest
from evaluation.study_reading import reading
from evaluation.study_record import StudyRecord
from evaluation.votes import read_votes
from evaluation.votes_report import votes_report
from storage.errors import InvalidData, NotAllowed, NotFound
from storage.records import Kind

SOFTWARE = "Tandem 1.2.3"
FILES = {
    "README.txt",
    "answers.jsonl",
    "key.json",
    "methods.txt",
    "plan.json",
    "recompute.py",
    "report.html",
    "result.json",
    "votes.jsonl",
}
STUDIES: dict[str, dict[str, Any]] = {
    "three arms and a program": {"identical": 2, "prompts": 12},
    "rated pairs": {"rated": True, "prompts": 8, "arms": ARMS[:2]},
    "all ties": {"ties": 1, "prompts": 6},
    "one pair, few people": {"arms": ARMS[:2], "people": 3, "judge": None, "prompts": 8},
    "simulated": {"kind": Kind.SIMULATED, "judge": None, "prompts": 6, "arms": ARMS[:2]},
    "closed early": {"voted": 0.5, "prompts": 12},
    "hostile": {
        "arms": ('"><script>alert(1)</script>', "b\u2028\nc", "../../d"),
        "asked": {0: "{}\n\u2029\x85 'x' \\ \""},
        "texts": {(0, "../../d"): "</script>\n\n{software}"},
        "name": "{name} <b>",
        "prompts": 6,
    },
}


@pytest.fixture(scope="module")
def record() -> StudyRecord:
    return made_study(identical=2, prompts=12)


def unpacked(record: StudyRecord, folder: Path) -> Path:
    write_package(record, folder / "study.zip", software=SOFTWARE)
    with zipfile.ZipFile(folder / "study.zip") as packed:
        packed.extractall(folder / "study")
    return folder / "study"


@pytest.fixture(scope="module")
def folder(record: StudyRecord, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpacked(record, tmp_path_factory.mktemp("package"))


def close_to(told: Any, found: Any) -> None:
    """The same everywhere, numbers to 1e-12."""
    if isinstance(told, dict):
        assert told.keys() == found.keys()
        for name, value in told.items():
            close_to(value, found[name])
    elif isinstance(told, list | tuple):
        assert len(told) == len(found)
        for one, other in zip(told, found, strict=True):
            close_to(one, other)
    elif isinstance(told, float):
        assert found == pytest.approx(told, rel=1e-12, abs=1e-12)
    else:
        assert found == told


@pytest.mark.parametrize("made", STUDIES.values(), ids=STUDIES)
def test_what_is_counted_again_is_the_result(made: dict[str, Any], tmp_path: Path) -> None:
    record = made_study(**made)
    folder = unpacked(record, tmp_path)
    close_to(reading(record).as_json(), recompute(folder).as_json())
    assert differences(folder) == []
    assert recompute(folder).result.simulated == ("kind" in made)


def test_the_package_holds_its_files_and_nothing_else(
    record: StudyRecord, folder: Path, tmp_path: Path
) -> None:
    figures = ("as_votes_came", "beside", "by_kind", "by_length", "matrix", "outcome", "splits")
    # Twelve prompts are four of each kind, too few for a win rate of their own.
    shown = {f"figures/{name}.json" for name in figures if name != "by_kind"}
    with zipfile.ZipFile(folder.parent / "study.zip") as packed:
        assert set(packed.namelist()) == FILES | shown
        assert {one.date_time for one in packed.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    rated = study_package(made_study(rated=True, prompts=15), software=SOFTWARE)
    assert set(rated) == FILES | {f"figures/{name}.json" for name in (*figures, "ratings")} | {
        "ratings.jsonl"
    }
    write_package(record, tmp_path / "again.zip", software=SOFTWARE)
    assert (tmp_path / "again.zip").read_bytes() == (folder.parent / "study.zip").read_bytes()


def test_the_plan_is_the_one_that_was_frozen(record: StudyRecord, folder: Path) -> None:
    plan = json.loads((folder / "plan.json").read_text())
    assert plan == record.study.plan
    assert plan["digest"] == plan_digest(plan)
    key = json.loads((folder / "key.json").read_text())
    answers = [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]
    assert {one["response_id"]: one["arm"] for one in answers} == key
    assert [one["question_id"] for one in answers[::3]] == plan["prompts"]
    assert {one["text"] for one in answers} == {one.text for one in record.responses.values()}


def test_the_votes_are_a_file_that_the_command_reads(record: StudyRecord, folder: Path) -> None:
    votes = read_votes(folder / "votes.jsonl")
    assert [vote.question for vote in votes] == [vote.prompt for vote in record.votes]
    assert all(vote.second_was_left is False for vote in votes)
    found = votes_report(votes, rng=np.random.default_rng(0), programs=["longest answer"])
    (one,) = [
        each
        for each in found["win_rates"]
        if (each["model"], each["opponent"]) == ("Combined", "Preference only")
    ]
    first = record.result.comparisons[0]
    assert first.identical == 0
    assert one["win_rate"] == pytest.approx(first.win_rate.as_json())
    assert one["length_controlled"]["value"] == pytest.approx(first.at_equal_length.value)  # type: ignore[union-attr]


def test_another_result_or_another_vote_is_found_out(
    record: StudyRecord, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = unpacked(record, tmp_path)
    assert main(folder) == 0
    assert capsys.readouterr().out == "The votes give the same result.\n"
    told = json.loads((folder / "result.json").read_text())
    told["comparisons"][0]["win_rate"]["value"] += 1e-9
    (folder / "result.json").write_text(json.dumps(told))
    (unlike,) = differences(folder)
    assert unlike.startswith("comparisons[0].win_rate.value: 0.")
    lines = (folder / "votes.jsonl").read_text().splitlines(keepends=True)
    (folder / "votes.jsonl").write_text("".join(lines[1:]))
    assert main(folder) == 1
    assert "The votes give another result." in capsys.readouterr().out


def test_a_changed_plan_and_a_broken_package_are_refused(
    record: StudyRecord, tmp_path: Path
) -> None:
    folder = unpacked(record, tmp_path)
    plan = (folder / "plan.json").read_text()
    (folder / "plan.json").write_text(plan.replace('"confidence": 0.95', '"confidence": 0.5'))
    with pytest.raises(InvalidData, match="was changed after it was opened"):
        recompute(folder)
    (folder / "plan.json").write_text(plan)
    votes = (folder / "votes.jsonl").read_text()
    (folder / "votes.jsonl").write_text(votes.replace('"strength"', '"strenght"'))
    with pytest.raises(InvalidData, match="lacks or mistakes 'strength'"):
        recompute(folder)
    (folder / "votes.jsonl").write_text("{")
    with pytest.raises(InvalidData, match=r"votes\.jsonl is no JSON"):
        recompute(folder)
    (folder / "votes.jsonl").unlink()
    with pytest.raises(NotFound, match=r"votes\.jsonl"):
        recompute(folder)


def test_the_script_in_the_package_counts_again(folder: Path) -> None:
    run = subprocess.run(
        [sys.executable, str(folder / "recompute.py")],
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stdout) == (0, "The votes give the same result.\n"), run.stderr


def test_an_open_study_is_not_packed(tmp_path: Path) -> None:
    with pytest.raises(NotAllowed, match="still open"):
        write_package(made_study(closed=False), tmp_path / "early.zip", software=SOFTWARE)
    assert list(tmp_path.iterdir()) == []
