"""The data checks on files: lines an import would refuse, and real data with published figures."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from evaluation.linting.check import CheckReport, check
from evaluation.linting.entries import Refused
from evaluation.linting.report import check_report
from evaluation.linting.sources import (
    entries_of_file,
    entries_of_rows,
    entries_of_snapshot,
    prompts_of_file,
)
from feedback.importers.reading import rows_of
from storage.errors import InvalidData
from storage.snapshots import SnapshotData, write_snapshot


def written(path: Path, *lines: dict[str, object] | str) -> Path:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path


def looked(path: Path, **options: object) -> CheckReport:
    return check(entries_of_file(path), name=path.name, **options)  # type: ignore[arg-type]


def names(report: CheckReport) -> dict[str, int]:
    return {one.name: one.count for one in report.findings}


def pair(number: int, **more: object) -> dict[str, object]:
    return {"prompt": f"What is {number}?", "chosen": f"It is {number}.", "rejected": "No.", **more}


def test_a_bad_line_is_told_with_its_number_and_the_others_are_looked_at(tmp_path: Path) -> None:
    file = written(
        tmp_path / "some.jsonl",
        pair(1),
        pair(2, chosen="  "),
        pair(3, rejected=7),
        pair(4, rejected="It is  4."),
        pair(5),
    )
    report = looked(file)
    found = {one.name: one for one in report.findings}
    assert names(report) | {"length-bias": 0} == {
        "refused-lines": 2, "empty-answers": 1, "chosen-equals-rejected": 1, "length-bias": 0
    }  # fmt: skip
    places = [shown.place for shown in found["refused-lines"].examples]
    assert places == ["line 2", "line 3"]
    assert found["refused-lines"].examples[0].text.startswith("'chosen' needs some text")
    assert str(tmp_path) not in json.dumps(report.as_json())
    assert report.rows == 5


def test_lines_that_cannot_be_read_are_told_and_the_rest_is_looked_at(tmp_path: Path) -> None:
    file = written(tmp_path / "some.jsonl", "{broken", pair(1), "[1]", pair(2))
    told = list(entries_of_file(file))
    assert [(isinstance(one, Refused), one.place) for one in told] == [
        (True, "line 1"), (False, "line 2"), (True, "line 3"), (False, "line 4")
    ]  # fmt: skip
    assert isinstance(told[0], Refused)
    assert told[0].reason.startswith("this is not JSON")
    with pytest.raises(InvalidData, match="There is no file"):
        list(entries_of_file(tmp_path / "other.jsonl"))


def test_a_file_that_breaks_off_says_so_at_the_end(tmp_path: Path) -> None:
    lines = "\n".join(json.dumps(pair(number)) for number in range(3000))
    file = tmp_path / "some.jsonl.gz"
    file.write_bytes(gzip.compress(lines.encode())[:-3000])
    told = list(entries_of_file(file))
    assert len(told) > 10
    assert isinstance(told[-1], Refused)
    assert told[-1].place == "the file"
    assert "breaks off" in told[-1].reason


def test_a_line_of_several_prompts_is_looked_at_whole(tmp_path: Path) -> None:
    replies = [
        {"role": "assistant", "text": text, "rank": rank, "replies": []}
        for rank, text in enumerate(("It is four.", "It is five."))
    ]
    more = {"role": "prompter", "text": "Why?", "replies": replies}
    first = {"role": "assistant", "text": "Four.", "rank": 0, "replies": [more]}
    root = {"role": "prompter", "text": "What is two and two?", "replies": [first]}
    file = written(tmp_path / "trees.jsonl", {"message_tree_id": "t", "prompt": root})
    assert [len(one.prompt) for one in entries_of_file(file) if not isinstance(one, Refused)] == [
        1, 3
    ]  # fmt: skip


def test_parts_that_lines_name_leak_where_they_share_a_prompt(tmp_path: Path) -> None:
    file = written(
        tmp_path / "some.jsonl", pair(1, split="train"), pair(1, split="test", chosen="It is one.")
    )
    assert names(looked(file))["leakage"] == 1


def test_a_rating_beyond_its_scale_is_named_though_an_import_would_stop(tmp_path: Path) -> None:
    line = {"prompt": "Why?", "response": "Because.", "rating": 6, "scale_min": 1, "scale_max": 5}
    file = written(tmp_path / "some.jsonl", line | {"rating": 5}, line)
    report = looked(file)
    assert names(report) == {"refused-lines": 1, "rating-out-of-scale": 1, "scale-mapped": 2}


def test_a_file_its_rows_and_its_snapshot_say_the_same(tmp_path: Path) -> None:
    file = written(tmp_path / "some.jsonl", *map(pair, range(30)), pair(3))
    comparisons, ratings = rows_of(file)
    write_snapshot(tmp_path / "frozen", comparisons, ratings)
    frozen = SnapshotData.open(tmp_path / "frozen")
    reports = [
        looked(file),
        check(entries_of_rows([*comparisons, *ratings]), name="rows"),
        check(entries_of_snapshot(frozen), name="snapshot"),
    ]
    found = [names(report) for report in reports]
    assert found[0]["repeated-rows"] == found[1]["repeated-rows"] == found[2]["repeated-rows"] == 1
    shares = {
        one.share for report in reports for one in report.findings if one.name == "length-bias"
    }
    assert len(shares) == 1


def test_evaluation_sets_are_read_by_prompt_or_instruction(tmp_path: Path) -> None:
    ours = prompts_of_file(written(tmp_path / "a.jsonl", {"instruction": "Why?"}))
    theirs = prompts_of_file(written(tmp_path / "b.jsonl", {"prompt": "Why?"}))
    assert ours == theirs == [({"role": "user", "content": "Why?"},)]
    with pytest.raises(InvalidData, match="line 1: a line of an evaluation set needs a prompt"):
        prompts_of_file(written(tmp_path / "c.jsonl", {"answer": "Because."}))


def test_the_report_is_one_file_that_runs_no_markup_of_the_data(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script> is what I ask about today, please"
    file = written(
        tmp_path / "some.jsonl", pair(1, prompt=evil), pair(1, prompt=evil), *map(pair, range(9))
    )
    text = check_report(looked(file))
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "No errors, but" in text
    assert "http-equiv" in text
    assert 'src="http' not in text


@pytest.mark.parametrize(
    ("file", "longer"),
    [("pairs_llmbar", 0.48), ("pairs_pandalm", 0.64), ("pairs_thesis_gpt4", 0.58)],
)
def test_real_pairs_have_the_share_of_longer_answers_that_their_list_says(
    shared_data: Path, file: str, longer: float
) -> None:
    report = looked(shared_data / f"{file}.jsonl.gz", kept=200)
    (bias,) = [one for one in report.findings if one.name == "length-bias"]
    # The list counts pairs of equal length, a hundredth at most, as not longer.
    assert bias.share == pytest.approx(longer, abs=0.01)
    assert not {"refused-lines", "leakage"} & names(report).keys()


def test_the_real_ratings_come_on_the_scales_that_their_list_says(shared_data: Path) -> None:
    report = looked(shared_data / "ratings_prometheus_gpt4x3.jsonl.gz", kept=100)
    (scale,) = [one for one in report.findings if one.name == "scale-mapped"]
    assert scale.count == report.ratings == 1371
    assert "1 to 5 (1,371, r becomes 1 + 1.5 (r - 1))" in scale.sentence


def test_alpaca_evals_answers_leak_from_its_own_prompts(shared_data: Path) -> None:
    prompts = prompts_of_file(shared_data / "prompts_alpaca_eval.jsonl.gz")
    report = looked(
        shared_data / "pairs_llmbar.jsonl.gz",
        kept=200,
        against={"AlpacaEval": prompts},
    )
    (leak,) = [one for one in report.findings if one.name == "evaluation-leakage"]
    # LLMBar's natural subset was drawn from AlpacaFarm's evaluation prompts among others.
    assert leak.count > 10
