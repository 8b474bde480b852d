"""Opening a study on its page: the start is there, files are arms, paths are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from invented import Invented
from pages_desk import Desk, open_study, refusal_of, uploaded

from storage import jobs
from storage.records import Job
from training.places import DEFAULT_BASE

Filled = tuple[Desk, Invented]


def newest(desk: Desk) -> Job:
    with desk.database.read() as connection:
        return jobs.jobs(connection)[0]


def test_the_start_of_the_newest_policy_is_there_before_anybody_chooses(full_desk: Filled) -> None:
    desk, _ = full_desk
    (offer,) = [one for one in desk.handlers("studies", "load") if one.fn.__name__ == "offer"]
    asked, against, _ = desk.call(offer)
    assert asked["value"] == "ppo-combined-1"
    assert against["value"] == [DEFAULT_BASE]
    prefer = desk.handler("studies", "prefer_start")
    assert desk.call(prefer, "ppo-combined-1")[0]["value"] == [DEFAULT_BASE]
    # Whose start is not known changes nothing.
    assert "value" not in desk.call(prefer, "org/other")[0]


def test_leaving_the_start_out_is_refused_without_a_reason_and_kept_with_one(
    full_desk: Filled,
) -> None:
    desk, _ = full_desk
    before = newest(desk)
    told = refusal_of(open_study(desk, "ppo-combined-1", ["org/other"]))
    assert f"leaves out {DEFAULT_BASE}, which a policy here grew from" in told
    assert newest(desk) == before
    open_study(desk, "ppo-combined-1", ["org/other"], without_start="It is on every card.")
    config = newest(desk).config
    assert config["policies"] == ["ppo-combined-1", "org/other"]
    assert config["without_start"] == "It is on every card."


def test_question_form_and_endpoints_reach_the_job(full_desk: Filled) -> None:
    desk, _ = full_desk
    served = "openai:served-1@http://127.0.0.1:9/v1"
    open_study(
        desk,
        "ppo-combined-1",
        [DEFAULT_BASE, served],
        question="Which is kinder?",
        form="ranking",
        overlap=5,
        revealing="redact",
        key_variable="SERVED_KEY",
    )
    config = newest(desk).config
    assert config["policies"] == ["ppo-combined-1", DEFAULT_BASE, served]
    assert (config["question"], config["form"], config["overlap"]) == (
        "Which is kinder?", "ranking", 5
    )  # fmt: skip
    assert (config["revealing"], config["key_variable"]) == ("redact", "SERVED_KEY")


@pytest.mark.parametrize(
    ("policy", "others", "problem"),
    [
        ("/etc", [DEFAULT_BASE], "may not name a folder"),
        ("ppo-combined-1", [DEFAULT_BASE, "../models/other"], "may not name a folder"),
        ("ppo-combined-1", [DEFAULT_BASE, "file:/etc/passwd"], "imported before"),
        ("ppo-combined-1", [DEFAULT_BASE, "openai:m@file:///etc/passwd"], "openai:NAME@http"),
        (None, [], "policies"),
    ],
)
def test_no_path_reaches_the_server_from_the_page(
    full_desk: Filled, policy: str | None, others: list[str], problem: str
) -> None:
    desk, _ = full_desk
    before = newest(desk)
    assert problem in refusal_of(open_study(desk, policy, others))
    assert newest(desk) == before


def test_an_uploaded_file_of_answers_is_an_arm_and_does_not_stay_where_it_came(
    full_desk: Filled, tmp_path: Path
) -> None:
    desk, _ = full_desk
    source = tmp_path / "gpt.jsonl"
    source.write_text(json.dumps({"instruction": "a?", "output": "b", "generator": "gpt-x"}))
    upload = uploaded(desk, source)
    told = open_study(desk, "ppo-combined-1", [DEFAULT_BASE], [upload])
    assert "Queued" in told[0]
    written = newest(desk).config["policies"][2]
    assert written.startswith("answers:gpt-x@")
    assert not Path(upload["path"]).exists()
    kept = desk.settings.data_dir / "study-files" / f"{written.rsplit('@', 1)[1]}.jsonl"
    assert json.loads(kept.read_text())["response"] == "b"


def test_a_bad_upload_is_refused_by_its_name_and_line_and_not_by_its_place(
    full_desk: Filled, tmp_path: Path
) -> None:
    desk, _ = full_desk
    source = tmp_path / "broken.jsonl"
    source.write_text('{"prompt": "a?"}\n')
    upload = uploaded(desk, source)
    told = refusal_of(open_study(desk, "ppo-combined-1", [DEFAULT_BASE], [upload]))
    assert "broken.jsonl, line 1: there is no answer" in told
    assert upload["path"] not in told
