"""Snapshots on the Data page: versions, what changed between them, and what learned from them."""

from __future__ import annotations

import json
from pathlib import Path

from invented import Invented
from pages_desk import HERE, Desk, refusal_of

from feedback.importers.store import import_file
from storage import snapshots
from storage.projects import project_named

VERSIONS = "?project=versions"


def test_the_page_lists_what_learned_from_a_snapshot(full_desk: tuple[Desk, Invented]) -> None:
    desk, _ = full_desk
    drawn = desk.opened("data", HERE)
    # The policy learned from it through its reward model.
    for name in ("preference-1", "absolute-1", "combined-1", "ppo-combined-1"):
        assert f"model={name}" in drawn


def test_two_versions_are_compared_and_those_of_other_projects_are_not(
    full_desk: tuple[Desk, Invented], tmp_path: Path
) -> None:
    desk, invented = full_desk
    desk.call(desk.handler("data", "create"), "versions", "", "pair", 1)
    for numbers in (range(4), range(4, 7)):
        source = tmp_path / f"{numbers[0]}.jsonl"
        said = (
            {"prompt": f"Tip {number}?", "chosen": "Water.", "rejected": "No idea."}
            for number in numbers
        )
        source.write_text("".join(json.dumps(line) + "\n" for line in said))
        now = invented.administrator.created
        import_file(desk.database, source, project="versions", now=now)
        frozen = desk.call(desk.handler("data", "freeze"), address=VERSIONS)
        assert "ready to learn from" in frozen[0]
    with desk.database.read() as connection:
        project = project_named(connection, "versions")
        second, first = sorted(
            snapshots.snapshots(connection, project.id), key=lambda one: -sum(one.rows.values())
        )
    drawn = desk.opened("data", VERSIONS)
    assert first.id[:10] in drawn
    assert second.id[:10] in drawn
    compare = desk.handler("data", "difference")
    shown = desk.call(compare, first.id, second.id, address=VERSIONS)[0]
    cells = [part.partition("</td")[0] for part in shown.split("<td")[1:]]
    assert [cell.rpartition(">")[2] for cell in cells] == [
        *("Choices", "3", "0", "0", "4"),
        *("Ratings", "0", "0", "0", "0"),
    ]
    assert "choose two of them" in refusal_of(desk.call(compare, None, first.id, address=VERSIONS))
    elsewhere = desk.call(compare, first.id, second.id, address=HERE)
    assert "it is of another project" in refusal_of(elsewhere)


def test_a_format_that_has_no_such_file_type_says_so(full_desk: tuple[Desk, Invented]) -> None:
    desk, _ = full_desk
    draws = [one for one in desk.handlers("data", "change") if one.fn.__name__ == "show"]
    handler = next(one for one in draws if "File type" in [shown.label for shown in one.inputs])
    assert "export/sft?file_type=csv" in desk.call(handler, "sft", "csv", address=HERE)[0]
    refused = desk.call(handler, "llamafactory", "csv", address=HERE)
    assert "file_type" in refusal_of(refused)
