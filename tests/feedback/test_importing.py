"""Files brought into a project: whole or not at all, and never twice."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from feedback.importers.lines import read_lines
from feedback.importers.reading import rows_of
from feedback.importers.store import ImportReport, import_file
from storage.annotators import annotators
from storage.database import Database
from storage.errors import InvalidData, NotFound
from storage.judgements import counts, judgements
from storage.projects import project_named, projects
from storage.prompts import prompts, responses
from storage.records import Kind

PAIR = {"prompt": "p", "chosen": "good", "rejected": "bad", "judge": "ann"}
BOTH = {
    "prompt": "q",
    "tags": ["explain"],
    "source": "somewhere",
    "responses": [
        {
            "rid": "x",
            "text": "one",
            "model": "m",
            "ratings": [
                {"rating": 2, "scale_min": 1, "scale_max": 5, "annotator": "ann", "aspect": "style"}
            ],
        },
        {"rid": "y", "text": "two"},
    ],
    "preferences": [{"a": "x", "b": "y", "winner": "b", "annotator": "bob"}],
}


@pytest.fixture
def bring(database: Database, now: datetime) -> Callable[..., ImportReport]:
    def bring(path: Path, project: str = "demo", **options: Any) -> ImportReport:
        return import_file(database, path, project=project, options=options, now=now)

    return bring


def everything(database: Database, project: str = "demo") -> dict[str, int]:
    with database.read() as connection:
        return counts(connection, project_named(connection, project).id)


def test_a_line_of_both_arrives_whole(
    database: Database, bring: Any, write_lines: Any, now: datetime
) -> None:
    report = bring(write_lines(BOTH))
    assert (report.prompts, report.responses, report.comparisons, report.ratings) == (1, 2, 1, 1)
    with database.read() as connection:
        project = project_named(connection, "demo")
        [prompt] = prompts(connection, project.id)
        [answers] = responses(connection, project.id).values()
        said = list(judgements(connection, project.id))
        who = {each.pseudonym: each for each in annotators(connection)}
    assert (prompt.tags, prompt.source) == (("explain",), "somewhere")
    by_text = {answer.text: answer for answer in answers}
    assert by_text["one"].policy == "m"
    [rating] = [r for one in said for r in one.ratings]
    assert (rating.response, rating.aspect, rating.value) == (by_text["one"].id, "style", 2.5)
    [comparison] = [c for one in said for c in one.comparisons]
    assert (comparison.left, comparison.right) == (by_text["one"].id, by_text["two"].id)
    assert (comparison.choice, comparison.graded) == (1, False)
    assert {one.kind for one in said} == {Kind.PERSON}
    assert {(one.interface, one.received, one.active_seconds) for one in said} == {
        ("import", now, None)
    }
    # The file's name for somebody is kept, but never under what others see.
    assert sorted(each.name.rpartition(":")[2] for each in who.values()) == ["ann", "bob"]
    assert not {"ann", "bob"} & set(who)
    assert not any(each.active for each in who.values())


def test_a_second_import_adds_nothing_even_in_another_order_and_later(
    database: Database, bring: Any, write_lines: Any, now: datetime
) -> None:
    # The first two lines are the same judgement, made twice.
    lines = [PAIR, PAIR, PAIR | {"judge": "bob"}, PAIR | {"prompt": "r"}]
    assert bring(write_lines(*lines)).comparisons == 4
    before = everything(database)
    random.Random(3).shuffle(lines)
    path = write_lines(*lines, name="again.jsonl.gz")
    again = import_file(database, path, project="demo", now=now + timedelta(days=1))
    assert (again.prompts, again.responses, again.comparisons, again.ratings) == (0, 0, 0, 0)
    assert again.duplicates == 4
    assert everything(database) == before
    assert "4 judgements were there already" in again.sentence()


def test_the_same_annotator_in_two_files_is_one_but_not_in_two_projects(
    database: Database, bring: Any, write_lines: Any
) -> None:
    bring(write_lines(PAIR))
    bring(write_lines(PAIR | {"prompt": "r"}, name="second.jsonl"))
    assert everything(database)["annotators"] == 1
    bring(write_lines(PAIR, name="third.jsonl"), project="other")
    with database.read() as connection:
        assert len(annotators(connection)) == 2


def test_a_mistake_in_the_last_line_leaves_no_trace(
    database: Database, bring: Any, write_lines: Any
) -> None:
    lines = [PAIR | {"prompt": f"p{number}"} for number in range(500)]
    with pytest.raises(InvalidData, match=r"line 501: 'chosen' needs some text"):
        bring(write_lines(*lines, PAIR | {"chosen": None}))
    with database.read() as connection:
        assert projects(connection) == []
        assert annotators(connection) == []


def test_a_failure_while_writing_leaves_no_trace(
    database: Database, bring: Any, write_lines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring(write_lines(PAIR))
    before = everything(database)
    written = []

    def fail_later(*arguments: Any) -> None:
        written.append(arguments)
        if len(written) == 2:
            raise OSError("the power went")

    monkeypatch.setattr("feedback.importers.store.record_imported", fail_later)
    lines = [PAIR | {"prompt": f"p{number}"} for number in range(500)]
    with pytest.raises(OSError, match="the power went"):
        bring(write_lines(*lines, name="many.jsonl"))
    assert len(written) == 2
    assert everything(database) == before


def test_an_annotator_is_of_one_kind(database: Database, bring: Any, write_lines: Any) -> None:
    bring(write_lines(PAIR), annotator_kind="program")
    before = everything(database)
    with pytest.raises(InvalidData, match=r"'ann' of the project 'demo' is a program, .* a person"):
        bring(write_lines(PAIR | {"prompt": "r"}, name="second.jsonl"))
    assert everything(database) == before


def test_simulated_judgements_stay_marked(database: Database, bring: Any, write_lines: Any) -> None:
    bring(write_lines(PAIR | {"annotator_kind": "simulated"}))
    with database.read() as connection:
        project = project_named(connection, "demo")
        assert project.simulated
        assert [one.kind for one in judgements(connection, project.id)] == [Kind.SIMULATED]


def test_what_was_handed_in_together_stays_together(
    database: Database, bring: Any, write_lines: Any
) -> None:
    who = {"annotator": "ann", "submission": "s1"}
    line = {
        "prompt": "q",
        "responses": [
            {"rid": "x", "text": "one", "ratings": [{"rating": 6} | who]},
            {"rid": "y", "text": "two", "ratings": [{"rating": 3} | who]},
        ],
        "preferences": [
            {"a": "x", "b": "y", "winner": "a", "choice": -2, "graded": True} | who,
            {"a": "x", "b": "y", "winner": "b"},
        ],
    }
    bring(write_lines(line))
    with database.read() as connection:
        said = list(judgements(connection, project_named(connection, "demo").id))
    shapes = sorted((len(one.comparisons), len(one.ratings)) for one in said)
    assert shapes == [(1, 0), (1, 2)]


def test_what_was_left_out_is_told(bring: Any, write_lines: Any) -> None:
    line = BOTH | {"preferences": [{"a": "x", "b": "y", "winner": "b", "independent": False}]}
    report = bring(
        write_lines(line, BOTH | {"preferences": [{"a": "x", "b": "x", "winner": "tie"}]})
    )
    assert (report.lines, report.dependent, report.skipped) == (2, 1, 1)
    assert "1 comparisons were not of two different answers to one prompt" in report.sentence()
    assert "1 comparisons were computed from ratings and are not independent" in report.sentence()


def test_progress_is_told_in_lines(database: Database, write_lines: Any, now: datetime) -> None:
    steps: list[tuple[int, int | None]] = []

    class Listener:
        def report(
            self, step: int, metrics: Any = None, *, total: Any = None, message: Any = None
        ) -> None:
            steps.append((step, total))

        def log(self, line: str) -> None: ...

    path = write_lines(*({"prompt": f"p{number}"} for number in range(450)))
    import_file(database, path, project="demo", now=now, progress=Listener())
    assert steps == [(200, 450), (400, 450), (450, 450)]


def test_an_unknown_format_changes_nothing(
    database: Database, write_lines: Any, now: datetime
) -> None:
    with pytest.raises(NotFound, match="no format called 'csv'"):
        import_file(database, write_lines(PAIR), project="demo", format_name="csv", now=now)
    with database.read() as connection:
        assert projects(connection) == []


# --- rows without a store


def test_rows_say_the_same_as_the_store(write_lines: Any) -> None:
    comparisons, ratings = rows_of(write_lines(BOTH))
    [row], [rating] = comparisons, ratings
    assert (row.left, row.right, row.choice, row.graded, row.annotator) == (
        "one",
        "two",
        1,
        False,
        "bob",
    )
    assert row.prompt == ({"role": "user", "content": "q"},)
    assert (rating.response, rating.value, rating.aspect) == ("one", 2.5, "style")
    assert row.prompt_id == rating.prompt_id
    assert row.left_id == rating.response_id


def test_a_file_without_judgements_has_no_rows(write_lines: Any) -> None:
    with pytest.raises(InvalidData, match="holds no judgement"):
        rows_of(write_lines({"prompt": "p"}))


# --- the real files


REAL = {
    # file: lines, comparisons, ratings; counted from the files with `zcat FILE | jq`
    "both_alpaca_eval": (593, 4135, 9470),
    "both_qa_feedback": (379, 2274, 0),
    "both_sparse_feedback_sample": (70, 90, 146),
    "both_thesis_user_study": (30, 360, 0),
    "both_vicuna80": (55, 711, 1426),
    "pairs_alpaca_eval_gpt4": (11737, 11737, 0),
    "pairs_hh_harmless_test": (1691, 1691, 0),
    "pairs_llmbar": (664, 664, 0),
    "pairs_pandalm": (594, 594, 0),
    "pairs_qa_feedback": (1985, 1985, 0),
    "pairs_thesis_gpt4": (909, 909, 0),
    "pairs_ukp_convarg": (8389, 8389, 0),
    "ratings_dialogue_d2t_aspects": (6303, 0, 6303),
    "ratings_justeval_multi_aspect": (2929, 0, 2929),
    "ratings_justeval_safety": (2340, 0, 2340),
    "ratings_prometheus_gpt4x3": (1371, 0, 1371),
    "ratings_ukp_rank": (787, 0, 787),
}


@pytest.mark.parametrize("name", REAL)
def test_every_real_file_is_read(shared_data: Path, name: str) -> None:
    comparisons, ratings = rows_of(shared_data / f"{name}.jsonl.gz")
    assert (len(comparisons), len(ratings)) == REAL[name][1:]
    if name.startswith("pairs"):
        left = sum(row.choice < 0 for row in comparisons) / len(comparisons)
        # Three standard errors of a fair coin, counting the least number of distinct pairs.
        assert abs(left - 0.5) < 3 * 0.5 / (len(comparisons) / 10) ** 0.5


@pytest.mark.parametrize("name", ["both_vicuna80", "pairs_hh_harmless_test", "ratings_ukp_rank"])
def test_a_real_file_arrives_in_seconds_and_only_once(
    database: Database, bring: Any, shared_data: Path, name: str
) -> None:
    path = shared_data / f"{name}.jsonl.gz"
    report = bring(path)
    assert (report.lines, report.comparisons, report.ratings) == REAL[name]
    again = bring(path)
    assert (again.comparisons, again.ratings) == (0, 0)
    assert again.duplicates == sum(REAL[name][1:])
    with database.read() as connection:
        said = list(judgements(connection, project_named(connection, "demo").id))
    stored = Counter((c.choice, c.graded) for one in said for c in one.comparisons)
    expected = Counter((row.choice, row.graded) for row in rows_of(path)[0])
    assert stored == expected


def test_real_ratings_agree_with_the_mapping_their_collectors_wrote_down(shared_data: Path) -> None:
    # `rating_1_7` of the files is a second implementation. Its input had more than the four digits
    # that were kept of `rating`, which 6 / (max - min) enlarges.
    for name in ("ratings_dialogue_d2t_aspects", "ratings_justeval_safety", "ratings_ukp_rank"):
        path = shared_data / f"{name}.jsonl.gz"
        theirs = [line.fields["rating_1_7"] for line in read_lines(path)]
        ours = [row.value for row in rows_of(path)[1]]
        assert ours == pytest.approx(theirs, abs=6 * 0.5e-4 + 0.5e-4)


def test_records_of_a_report_are_plain_values(bring: Any, write_lines: Any) -> None:
    json.dumps(asdict(bring(write_lines(PAIR))), allow_nan=False)
