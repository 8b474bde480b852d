"""What exports hold, that `datasets` opens them, and that nothing is lost on the way back."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import datasets
import pytest
from exported_rows import rows

from feedback.exporters import EXPORTERS, ExportReport, export, export_file, files
from storage.annotators import add_annotator
from storage.database import Database
from storage.errors import InvalidOption, NotFound, TooLittleData
from storage.judgements import record_imported
from storage.parquet import read_rows
from storage.projects import ensure_project, set_collecting
from storage.prompts import add_prompts, add_responses, prompts, responses
from storage.records import (
    Collecting,
    Comparison,
    Kind,
    Project,
    Prompt,
    Purpose,
    Rating,
    Response,
    Role,
    Split,
    Submission,
    SubmissionId,
    TaskId,
    as_messages,
    split_of,
)

LEFT, RIGHT = "Why? alpha", "Why? beta"


# --- preference


def test_the_better_response_is_chosen_on_whichever_side_it_stood(say: Any, write: Any) -> None:
    say(-2)
    say(3)
    one, other = rows(write("preference"))
    assert one["prompt"] == [{"role": "user", "content": "Why?"}]
    assert one["chosen"] == other["rejected"] == [{"role": "assistant", "content": LEFT}]
    assert one["rejected"] == other["chosen"] == [{"role": "assistant", "content": RIGHT}]
    assert (one["strength"], other["strength"]) == (2, 3)


def test_the_margin_is_the_difference_of_the_ratings_of_the_same_sitting(
    say: Any, write: Any
) -> None:
    say(-1, (6, 3))
    say(2, (6, 3))  # rated against the choice
    say(-1, (6, None))
    say(-1)
    say(None, (1, 7))  # another sitting
    assert [row["margin"] for row in rows(write("preference"))] == [3, -3, None, None]


def test_without_ratings_there_is_no_margin_column(say: Any, write: Any) -> None:
    say(-1)
    report = write("preference")
    assert all("margin" not in row for row in rows(report))
    assert "margin" not in (report.folder / "README.md").read_text("utf-8")


def test_ties_are_left_out_and_counted(say: Any, write: Any) -> None:
    say(0)
    say(0, both_bad=True)
    say(1)
    report = write("preference")
    assert (sum(report.rows.values()), report.left_out) == (1, {"ties": 2})
    assert "2 ties left out" in report.sentence()
    assert "Left out: 2 ties." in (report.folder / "README.md").read_text("utf-8")


# --- ratings and unpaired


def test_ratings_come_with_their_scale(say: Any, write: Any) -> None:
    say(None, (6, 2.5))
    found = [
        (r["response"], r["rating"], r["scale_min"], r["scale_max"]) for r in rows(write("ratings"))
    ]
    assert found == [(LEFT, 6, 1, 7), (RIGHT, 2.5, 1, 7)]


def test_the_rating_decides_whether_a_response_is_good_and_else_the_choice(
    say: Any, write: Any
) -> None:
    say(-1, (5, 3))
    say(-3, (2, 1))  # better, but bad all the same
    say(1, (4, None))  # neither; the other one was preferred
    say(1)
    say(0)
    say(0, both_bad=True)
    report = write("unpaired")
    found = [(r["completion"][0]["content"], r["label"], r["reason"]) for r in rows(report)]
    assert found == [
        (LEFT, True, "rating"),
        (RIGHT, False, "rating"),
        (LEFT, False, "rating"),
        (RIGHT, False, "rating"),
        (RIGHT, True, "comparison"),
        (LEFT, False, "comparison"),
        (RIGHT, True, "comparison"),
        (LEFT, False, "comparison"),
        (RIGHT, False, "comparison"),
    ]
    assert report.left_out == {"responses that were neither good nor bad": 3}


# --- raw


def test_raw_keeps_all_that_is_known_of_a_judgement(
    database: Database, project: Project, person: Any, write: Any, now: datetime
) -> None:
    import numpy as np

    from feedback.assignment import next_tasks
    from feedback.intake import Answer, take
    from feedback.pairing import make_tasks

    rng = np.random.default_rng(0)
    ann = person("Ann Example")
    with database.write() as connection:
        make_tasks(connection, project, rng=rng)
    [shown] = next_tasks(database, ann, project, count=1, now=now, rng=rng)
    unique = "12345678-1234-5678-1234-567812345678"
    said = {"choice": None, "both_bad": True, "ratings": [1, 2], "active_seconds": 4.5}
    take(
        database,
        ann,
        Answer(submission=unique, assignment=shown.assignment.id, interface="widget", **said),
        now=now,
    )
    [row] = rows(write("raw"))
    left, right = shown.assignment.shown
    assert row["shown"] == [left, right]
    assert row["comparisons"] == [
        {"left": left, "right": right, "choice": 0, "graded": True, "both_bad": True}
    ]
    assert [(r["response"], r["value"]) for r in row["ratings"]] == [(left, 1), (right, 2)]
    assert (row["submission"], row["assignment"]) == (unique, shown.assignment.id)
    assert row["probability"] == pytest.approx(1 / 6)
    assert (row["active_seconds"], row["interface"]) == (4.5, "widget")
    assert datetime.fromisoformat(row["received"]) == now
    assert {r["response_id"]: r["text"] for r in row["responses"]} == dict(
        zip((left, right), shown.responses, strict=True)
    )
    assert "when and how a task was shown" in write("both").no_place
    assert "when and how a task was shown" not in write("raw").no_place


def test_raw_alone_keeps_what_nothing_is_learnt_from(
    database: Database, project: Project, person: Any, write: Any, now: datetime
) -> None:
    import numpy as np

    from feedback.assignment import next_tasks
    from feedback.intake import Answer, take
    from feedback.known_items import known_task
    from storage.exclusions import exclude
    from storage.judgements import retract
    from storage.tasks import add_tasks

    first, second, rosa = (person(name) for name in ("Ann", "Ben", "Rosa"))
    expected = {"better": "first", "ratings": None, "explanation": ""}
    with database.write() as connection:
        gold = []
        for answers in responses(connection, project.id).values():
            shown = [one.id for one in answers[:2]]
            purpose = {"purpose": Purpose.GOLD, "expected": expected}
            gold.append(known_task(project, answers[0].prompt, shown, **purpose))
            plain = replace(gold[-1], id=TaskId(f"plain {len(gold)}"), expected=None)
            gold.append(replace(plain, purpose=Purpose.FEEDBACK, overlap=2))
        add_tasks(connection, gold)
    asked = replace(project, collecting=Collecting(gold_rate=0.5))
    with database.write() as connection:
        set_collecting(connection, project.id, asked.collecting)
    rng = np.random.default_rng(0)
    for who in (first, second):
        given = next_tasks(database, who, project, count=9, now=now, rng=rng)
        for number, task in enumerate(given):
            said = {"choice": 1, "ratings": [1, 2], "comment": "Hm.", "contradiction": "meant"}
            sent = Answer(submission=uuid4(), assignment=task.assignment.id, **said)
            take(database, who, sent, now=now + timedelta(seconds=number))
    with database.write() as connection:
        retract(connection, "undo", SubmissionId(str(sent.submission)), second.id, now=now)
        exclude(connection, project.id, first.id, reason="Hurried.", by=rosa.id, now=now)
    raw = rows(write("raw"))
    assert {row["annotator"] for row in raw} == {first.pseudonym, second.pseudonym}
    assert {row["purpose"] for row in raw} == {"feedback", "gold"}
    assert {row["correct"] for row in raw if row["purpose"] == "gold"} <= {True, False}
    assert {row["correct"] for row in raw if row["purpose"] == "feedback"} == {None}
    assert [row["submission"] for row in raw if row["retracted"]] == [str(sent.submission)]
    assert {(row["comment"], row["contradiction"]) for row in raw} == {("Hm.", "meant")}
    learnt = [
        row["submission"]
        for row in raw
        if row["purpose"] == "feedback"
        and row["annotator"] == second.pseudonym
        and not row["retracted"]
    ]
    report = write("preference")
    assert len(rows(report)) == len(learnt) > 0
    assert report.left_out == {"excluded annotators": 1}
    assert len(rows(write("ratings"))) == 2 * len(learnt)
    judged = [row for row in rows(write("both")) if row["preferences"]]
    assert sum(len(row["preferences"]) for row in judged) == len(learnt)


# --- every format


@pytest.mark.parametrize("file_type", ["jsonl", "parquet"])
def test_datasets_opens_every_export(
    database: Database, uneven_project: Project, tmp_path: Path, file_type: str, now: datetime
) -> None:
    for name in EXPORTERS:
        report = export(
            database, uneven_project, name, folder=tmp_path / name, file_type=file_type, now=now
        )
        opened = datasets.load_dataset(str(report.folder), cache_dir=str(tmp_path / "cache"))
        written = {split: number for split, number in report.rows.items() if number}
        assert {split: len(part) for split, part in opened.items()} == written
        for split, part in opened.items():
            assert all(split_of(as_messages(asked(row))) == split for row in part)


@pytest.mark.parametrize("name", list(EXPORTERS))
def test_large_parquet_files_are_several_that_open_as_one(
    *,
    name: str,
    database: Database,
    uneven_project: Project,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    now: datetime,
) -> None:
    def written(folder: str, file_type: str) -> ExportReport:
        place = tmp_path / folder
        return export(database, uneven_project, name, folder=place, file_type=file_type, now=now)

    whole = rows(written("whole", "parquet"))
    monkeypatch.setattr(files, "LARGEST_FILE", 1)
    monkeypatch.setattr("storage.parquet.ROWS_AT_ONCE", 3)
    report = written("several", "parquet")
    part = max(report.rows, key=lambda split: report.rows[split])
    number = report.rows[part]
    assert number > 3
    expected = [f"{part}.parquet"]
    if not name.startswith("llamafactory"):  # its dataset_info.json names one file for each part
        expected += [f"{part}-{place}.parquet" for place in range(2, -(-number // 3) + 1)]
    assert [path.name for path in report.files if path.name.startswith(part)] == expected
    assert rows(report) == whole
    opened = datasets.load_dataset(str(report.folder), cache_dir=str(tmp_path / "cache"))
    assert len(opened[part]) == number
    # Who names one file gets one; and lines need not be fetched whole, so they stay together.
    if not name.startswith("llamafactory"):
        alone = tmp_path / "alone.parquet"
        options = {"split": str(part)}
        export_file(database, uneven_project, name, path=alone, options=options, now=now)
        assert len(list(read_rows(alone))) == number
    lines = written("lines", "jsonl").files
    assert [path.name for path in lines if path.name.startswith(part)] == [f"{part}.jsonl"]


def asked(row: dict[str, Any]) -> Any:
    """The prompt of a row, whatever its format calls it."""
    if "conversations" in row:
        return row["conversations"][0]["value"]
    known = ("prompt", "input", "instruction")
    return next((row[name] for name in known if name in row), row.get("chosen", [])[:-1])


@pytest.fixture
def uneven_project(database: Database, now: datetime) -> Project:
    """Made so that columns are empty in some files and not in others."""
    with database.write() as connection:
        project = ensure_project(connection, "many", now=now)
        ann = add_annotator(connection, "ann", role=Role.ANNOTATOR, now=now)
        asked = [Prompt.of(project.id, f"Question {number}?") for number in range(40)]
        add_prompts(connection, asked)
        for prompt in asked:
            # The training file comes first and knows least: types must not be read off it.
            known = prompt.split != Split.TRAIN
            policy, sampling = ("m", {"temperature": 1}) if known else ("", {})
            values = (6.5, 2.0) if known else (3.0,)
            one, other = (
                Response.of(prompt.id, text, policy=policy, sampling=sampling) for text in "ab"
            )
            add_responses(connection, [one, other])
            submission = Submission(
                id=SubmissionId(f"s-{prompt.id}"),
                annotator=ann.id,
                prompt=prompt.id,
                comparisons=(Comparison(left=one.id, right=other.id, choice=-1),),
                ratings=tuple(
                    Rating(response=answer.id, value=value)
                    for answer, value in zip((one, other), values, strict=False)
                ),
                received=now,
            )
            record_imported(connection, [submission])
    return project


@pytest.mark.parametrize("file_type", ["jsonl", "parquet"])
@pytest.mark.parametrize("name", [name for name in EXPORTERS if not name.endswith("prompts")])
def test_names_stay_at_home_and_simulated_says_so(
    say: Any, write: Any, name: str, file_type: str
) -> None:
    say(-1, (6, 2), who="Ann Example")
    honest = write(name, file_type)
    assert not honest.simulated
    assert "simulated**" not in (honest.folder / "README.md").read_text("utf-8")
    say(-1, (6, 2), who="Robert Robot", kind=Kind.SIMULATED)
    marked = write(name, file_type)
    assert marked.simulated
    assert "**simulated**" in (marked.folder / "README.md").read_text("utf-8")
    assert "simulated" in marked.sentence()
    text = json.dumps(rows(marked)) + (marked.folder / "README.md").read_text("utf-8")
    if any("annotator" in row or "preferences" in row for row in rows(marked)):
        assert '"annotator_kind": "simulated"' in text
    assert "Ann Example" not in text
    assert "Robert Robot" not in text


def test_the_two_file_types_hold_the_same(say: Any, write: Any) -> None:
    say(-1, (6, 2))
    say(0)
    for name in EXPORTERS:
        lines, table = rows(write(name)), rows(write(name, "parquet"))
        assert without_none(lines) == table


def without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_none(inner) for name, inner in value.items() if inner is not None}
    return [without_none(inner) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", EXPORTERS)
def test_an_empty_project_is_not_exported(
    database: Database, tmp_path: Path, now: datetime, name: str
) -> None:
    with database.write() as connection:
        empty = ensure_project(connection, "empty", now=now)
        if not name.endswith("prompts"):
            add_prompts(connection, [Prompt.of(empty.id, "Anybody there?")])
    with pytest.raises(TooLittleData, match=f"'empty' has nothing to export as '{name}' yet"):
        export(database, empty, name, folder=tmp_path / "folder", now=now)
    assert not (tmp_path / "folder").exists()


def test_a_wrong_format_type_or_folder_is_named(
    database: Database, project: Project, say: Any, tmp_path: Path, now: datetime
) -> None:
    say(1)
    with pytest.raises(
        NotFound, match=r"no export format called 'rating'\. Did you mean 'ratings'"
    ):
        export(database, project, "rating", folder=tmp_path / "new", now=now)
    with pytest.raises(InvalidOption, match=r"file_type: .*'exe'"):
        export(database, project, "raw", folder=tmp_path / "new", file_type="exe", now=now)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep", encoding="utf-8")
    with pytest.raises(InvalidOption, match="already holds something"):
        export(database, project, "raw", folder=tmp_path / "full", now=now)
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]


def test_votes_of_studies_and_their_answers_stay_out(
    database: Database, project: Project, say: Any, write: Any
) -> None:
    say(1)
    with database.write() as connection:
        [prompt, *_] = prompts(connection, project.id)
        voted = Response.of(prompt.id, "an arm's answer", sampling={"study": "s"})
        add_responses(connection, [voted])
    assert voted.text not in json.dumps(rows(write("both")))
