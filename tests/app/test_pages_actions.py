"""What researchers do on the pages: files, policies asked, studies, how a project collects."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from invented import Invented
from pages_desk import Desk, open_study, refusal_of, uploaded

from storage import jobs, snapshots
from storage.judgements import record_submission
from storage.projects import project_named
from storage.prompts import prompts_by_id
from storage.records import (
    Comparison,
    Purpose,
    Rating,
    Submission,
    SubmissionId,
)
from storage.tasks import lease, task, tasks
from training.places import DEFAULT_BASE


def test_a_file_becomes_prompts_tasks_and_later_a_snapshot(
    full_desk: tuple[Desk, Invented], tmp_path: Path
) -> None:
    desk, _ = full_desk
    desk.call(desk.handler("data", "create"), "tomatoes", "Be kind.", "pair", 2)
    address = "?project=tomatoes"
    source = tmp_path / "tips.jsonl"
    source.write_text(
        "\n".join(
            json.dumps({"prompt": f"Tip {number}?", "chosen": "Water.", "rejected": "No idea."})
            for number in range(12)
        )
    )
    upload = uploaded(desk, source)
    told = desk.call(desk.handler("data", "bring_in"), upload, "detect", address=address)
    assert "12 prompts, 24 responses, 12 choices" in told[1]
    assert not Path(upload["path"]).exists(), "the upload stayed on the server"
    made = desk.call(desk.handler("data", "make"), "1", address=address)
    assert "12 new tasks" in made[0]
    frozen = desk.call(desk.handler("data", "freeze"), address=address)
    assert "ready to learn from" in frozen[0]
    with desk.database.read() as connection:
        project = project_named(connection, "tomatoes")
        assert (project.overlap, project.guidelines) == (2, "Be kind.")
        assert project.collecting.task_types == ("pair",)
        assert len(snapshots.snapshots(connection, project.id)) == 1


def test_a_bad_file_is_refused_by_its_name_and_line_not_by_its_place(
    full_desk: tuple[Desk, Invented], tmp_path: Path
) -> None:
    desk, _ = full_desk
    source = tmp_path / "broken.jsonl"
    source.write_text('{"prompt": "x", "chosen": 3, "rejected": "y"}\n')
    upload = uploaded(desk, source)
    sentence = refusal_of(desk.call(desk.handler("data", "bring_in"), upload, "detect"))
    assert "broken.jsonl, line 1" in sentence
    assert upload["path"] not in sentence


def test_policies_are_asked_and_studies_opened_through_the_queue(
    full_desk: tuple[Desk, Invented],
) -> None:
    desk, invented = full_desk
    desk.opened("models")
    asked = desk.call(desk.handler("models", "send"), "Hello?", ["ppo-combined-1", "tiny"])
    assert "Queued" in open_study(desk, "ppo-combined-1", [DEFAULT_BASE], overlap=2)[0]
    with desk.database.read() as connection:
        sample = jobs.job(connection, asked[0])
        study = jobs.jobs(connection)[0]
    assert sample.config["prompts"] == [[{"role": "user", "content": "Hello?"}]]
    assert sample.config["keep"] is False
    assert (study.kind, study.config["title"], study.config["overlap"]) == ("study", "Strangers", 2)
    assert study.config["policies"] == ["ppo-combined-1", DEFAULT_BASE]
    assert study.project == invented.project.id


def test_how_a_project_collects_is_shown_and_changed(full_desk: tuple[Desk, Invented]) -> None:
    desk, _ = full_desk
    desk.call(desk.handler("data", "create"), "seedlings", "", "pair", 1)
    address = "?project=seedlings"
    page = desk.opened("data", address=address)
    assert '["pair"], "overall", 0.0, 0.0, 20.0, 0, 70.0, 45' in page
    save = desk.handler("data", "save")
    typed = (["pair", "aspects"], "helpful, honest", 10, 5, 20, 3, 70, 30)
    told = desk.call(save, *typed, address=address)[0]
    assert "Saved." in told
    assert "There are no known items to mix in yet." in told
    assert "asks for 3 items, but the project has 0" in told
    with desk.database.read() as connection:
        kept = project_named(connection, "seedlings").collecting
    assert (kept.task_types, kept.aspects) == (("pair", "aspects"), ("helpful", "honest"))
    assert (kept.gold_rate, kept.repeat_rate, kept.qualification) == (0.1, 0.05, 3)
    assert kept.break_after_minutes == 30
    for place, wrong, named in (
        (0, [], "What is asked"),
        (1, " ,", "aspects"),
        (2, 51, "Known items, percent"),
        (2, None, "Known items, percent"),
        (5, -1, "Qualification, items"),
        (6, 101, "To qualify, percent"),
    ):
        changed = [*typed[:place], wrong, *typed[place + 1 :]]
        assert f"<p>{named}:" in refusal_of(desk.call(save, *changed, address=address))
    with desk.database.read() as connection:
        assert project_named(connection, "seedlings").collecting == kept


def test_a_judgement_of_ones_own_becomes_a_known_item(full_desk: tuple[Desk, Invented]) -> None:
    desk, invented = full_desk
    project, who, now = invented.project, invented.administrator, datetime.now(UTC)
    make = desk.handler("data", "check_against")
    assert "choose one; judge a task first" in refusal_of(desk.call(make, None, "gold", 1, ""))
    with desk.database.write() as connection:
        given = lease(
            connection, who.id, count=1, project=project.id,
            rng=np.random.default_rng(0), now=now, lifetime=timedelta(hours=1),
        )[0]  # fmt: skip
        left, right = given.shown
        prompt = task(connection, given.task).prompt
        record_submission(
            connection,
            Submission(
                id=SubmissionId("mine"), annotator=who.id, assignment=given.id, prompt=prompt,
                comparisons=(Comparison(left=left, right=right, choice=2),),
                ratings=(Rating(response=left, value=2), Rating(response=right, value=7)),
                received=now,
            ),
        )  # fmt: skip
        asked = prompts_by_id(connection, [prompt])[prompt].messages[-1]["content"]
    assert json.dumps([asked[:70], "mine"], ensure_ascii=False) in desk.opened("data")
    told = desk.call(make, "mine", "gold", 1, "It says **how**.")
    assert "mixed in from now on" in told[0]
    assert "known item of this kind already" in desk.call(make, "mine", "gold", 1, "")[0]
    assert "from 0 to 3" in refusal_of(desk.call(make, "mine", "gold", 4, ""))
    with desk.database.read() as connection:
        every = tasks(connection, project.id, everything=True)
    (known,) = (one for one in every if one.purpose is Purpose.GOLD)
    better = known.responses[0 if known.expected["better"] == "first" else 1]
    assert better == right
    bounds = dict(zip(known.responses, known.expected["ratings"], strict=True))
    assert bounds == {left: [1, 3], right: [6, 7]}
    assert known.expected["explanation"] == "It says **how**."
