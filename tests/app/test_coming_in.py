"""Files come in on the Data page: tables with named columns, and broken lines left out if asked."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from invented import Invented
from pages_desk import Desk, refusal_of, uploaded

from app.pages.coming_in import CELLS
from storage.judgements import counts
from storage.projects import project_named

HERE = "?project=tomatoes"
TABLE = 'question,good,bad,who\nWhy?,Because.,No.,ann\nWhen?,"Soon, I think.",Never.,bo\n'


def offered(desk: Desk, upload: dict[str, Any] | None, name: str = "detect") -> dict[str, Any]:
    """What stands in the menu of each option that names a column."""
    shown, *menus, refused = desk.call(desk.handler("data", "offer"), upload, name, address=HERE)
    assert refused in ("", None) or "__type__" in refused, refused
    return {"visible": shown["visible"]} | dict(zip(CELLS, menus, strict=True))


def brought_in(desk: Desk, upload: dict[str, Any], **typed: Any) -> list[Any]:
    handler = desk.handler("data", "bring_in")
    values = {one.label: one.value for one in handler.inputs} | typed
    values |= {"File": upload}
    return desk.call(handler, *values.values(), address=HERE)


def made(desk: Desk) -> None:
    desk.call(desk.handler("data", "create"), "tomatoes", "", "pair", 1)


def held(desk: Desk) -> int:
    """Comparisons of the project."""
    with desk.database.read() as connection:
        return counts(connection, project_named(connection, "tomatoes").id)["comparisons"]


def test_a_table_comes_in_by_the_columns_that_are_named(
    full_desk: tuple[Desk, Invented], tmp_path: Path
) -> None:
    desk, _ = full_desk
    made(desk)
    (tmp_path / "table.csv").write_text(TABLE)
    upload, before = uploaded(desk, tmp_path / "table.csv"), held(desk)
    menus = offered(desk, upload)
    assert menus["visible"]
    assert [value for _, value in menus["prompt"]["choices"]] == ["question", "good", "bad", "who"]
    # A column is not guessed: what has another name is named by the person.
    assert menus["prompt"]["value"] == ""
    nothing = refusal_of(brought_in(desk, upload))
    assert "table.csv, line 2" in nothing
    named = {"Prompt": "question", "Chosen": "good", "Rejected": "bad", "Annotator": "who"}
    told = brought_in(desk, upload, **named)[1].replace("\u00a0", " ")
    assert "2 prompts, 4 responses, 2 choices from table.csv (columns)" in told
    assert held(desk) == before + 2
    assert not Path(upload["path"]).exists()


def test_columns_with_the_usual_names_are_there_at_once_and_ratings_take_a_scale(
    full_desk: tuple[Desk, Invented], tmp_path: Path
) -> None:
    desk, _ = full_desk
    made(desk)
    (tmp_path / "rated.tsv").write_text("prompt\tresponse\trating\nWhy?\tBecause.\t4\n")
    upload = uploaded(desk, tmp_path / "rated.tsv")
    menus = offered(desk, upload)
    assert (menus["prompt"]["value"], menus["rating"]["value"]) == ("prompt", "rating")
    typed = {label: label.lower() for label in ("Prompt", "Response", "Rating")}
    told = brought_in(desk, upload, **typed, **{"Scale min": "1", "Scale max": "5"})[1]
    assert "1 rating mapped from 1 to 5 to 1 to 7" in told.replace("\u00a0", " ")


def test_other_files_ask_for_no_columns_unless_they_are_to_be_read_so(
    full_desk: tuple[Desk, Invented], tmp_path: Path
) -> None:
    desk, _ = full_desk
    made(desk)
    (tmp_path / "odd.jsonl").write_text(json.dumps({"question": "Why?", "good": "a", "bad": "b"}))
    upload = uploaded(desk, tmp_path / "odd.jsonl")
    assert not offered(desk, upload)["visible"]
    assert not offered(desk, None)["visible"]
    menus = offered(desk, upload, "columns")
    assert menus["visible"]
    named = {"Format": "columns", "Prompt": "question", "Chosen": "good", "Rejected": "bad"}
    assert "1 choice" in brought_in(desk, upload, **named)[1].replace("\u00a0", " ")


def test_broken_lines_refuse_the_file_or_are_left_out_as_chosen(
    full_desk: tuple[Desk, Invented], tmp_path: Path
) -> None:
    desk, _ = full_desk
    made(desk)
    good = json.dumps({"prompt": "Why?", "chosen": "Because.", "rejected": "<b>No</b>."})
    lines = [good, "{broken", '{"prompt": "<i>x</i>", "chosen": 3, "rejected": "y"}']
    (tmp_path / "some.jsonl").write_text("\n".join(lines))
    upload, before = uploaded(desk, tmp_path / "some.jsonl"), held(desk)
    assert "some.jsonl, line 2: this is not JSON" in refusal_of(brought_in(desk, upload))
    assert held(desk) == before
    told = brought_in(desk, upload, **{"A broken line": "skip"})[1].replace("\u00a0", " ")
    assert "1 choice from some.jsonl (pairs)" in told
    assert "2 broken lines left out." in told
    assert "some.jsonl, line 3: " in told
    assert upload["path"] not in told
    assert "<i>" not in told
    assert held(desk) == before + 1


def test_a_csv_file_of_ours_comes_back_without_naming_its_columns(
    full_desk: tuple[Desk, Invented], tmp_path: Path
) -> None:
    desk, _ = full_desk
    made(desk)
    messages = [{"role": "user", "content": "Why, then?"}]
    file = tmp_path / "preference.csv"
    with file.open("w", encoding="utf-8", newline="") as opened:
        rows = csv.writer(opened)
        rows.writerow(["prompt", "chosen", "rejected", "strength", "chosen_id", "rejected_id"])
        ends = ([{"role": "assistant", "content": text}] for text in ("Because.", "No."))
        rows.writerow([*(json.dumps(each) for each in (messages, *ends)), "3", "a", "b"])
    upload = uploaded(desk, file)
    assert not offered(desk, upload)["visible"]
    told = brought_in(desk, upload)[1].replace("\u00a0", " ")
    assert "1 prompt, 2 responses, 1 choice from preference.csv (pairs)" in told
