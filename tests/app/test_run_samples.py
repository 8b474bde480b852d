"""What a policy answers as it learns: side by side on the Train page, and given to annotators."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from invented import Invented
from pages_desk import HERE, Desk, refusal_of
from served import Web

from app.probes import Probe, give_to_annotators, probes, steps_of
from storage import jobs, prompts
from storage.database import Database
from storage.errors import InvalidData, InvalidOption, NotFound
from storage.prompts import responses
from storage.records import Collecting, Job, JobId, JobState, Message, Prompt
from storage.settings import Settings
from storage.tasks import tasks

NOW = datetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC)
HOSTILE = "<script>alert('x')</script>"


def a_job(**known: Any) -> Job:
    return Job(
        id=JobId("0123456789"),
        kind="policy",
        recipe="ppo",
        config={},
        state=JobState.RUNNING,
        created=NOW,
        **known,
    )


def line(prompt: Sequence[Message], step: int, response: str, *, finished: bool = True) -> str:
    said = {
        "step": step,
        "prompt": list(prompt),
        "response": response,
        "tokens": len(response.split()),
        "finished": finished,
    }
    return json.dumps(said) + "\n"


def write(folder: Path, *lines: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "samples.jsonl").write_text("".join(lines))


@pytest.fixture
def web(database: Database, data_dir: Path) -> Web:
    return Web(Settings(data_dir=data_dir), database, NOW)


def asked(web: Web, number: int) -> list[Prompt]:
    project = web.project(prompts=number)
    with web.database.read() as connection:
        return prompts.prompts(connection, project.id)


def test_samples_are_read_while_it_learns_and_afterwards(web: Web) -> None:
    first, second = asked(web, 2)
    job = a_job()
    assert probes(web.settings, job) == []
    lines = [line(one.messages, step, f"at {step}") for step in (0, 5) for one in (first, second)]
    write(web.settings.data_dir / "jobs" / job.id / "checkpoints", *lines)
    found = probes(web.settings, job)
    assert [probe.prompt for probe in found] == [first.messages, second.messages]
    assert steps_of(found) == [0, 5]
    assert found[1].answers[5]["response"] == "at 5"
    # When it is done, its checkpoints may be gone.
    done = replace(job, result={"model": "ppo-1"})
    shutil.move(web.settings.data_dir / "jobs", web.settings.data_dir / "models")
    shutil.move(
        web.settings.data_dir / f"models/{job.id}/checkpoints",
        web.settings.data_dir / "models/ppo-1",
    )
    assert probes(web.settings, done) == found
    write(web.settings.data_dir / "models/ppo-1", lines[0][:20])
    with pytest.raises(InvalidData, match="samples of job 0123456789 cannot be read"):
        probes(web.settings, done)


def test_a_step_counts_once_every_prompt_is_answered() -> None:
    one, other = Probe((), {0: {}, 5: {}}), Probe((), {0: {}})
    assert steps_of([one, other]) == [0]
    assert steps_of([]) == []


def test_two_steps_are_compared_by_annotators_who_are_not_told(web: Web) -> None:
    project = web.project(prompts=4)
    with web.database.read() as connection:
        known = prompts.prompts(connection, project.id)
        before = {task.id for task in tasks(connection, project.id)}
    said = [("a", "b"), ("same", "same"), ("c", " "), ("d\0", "e")]
    found = [
        Probe(prompt.messages, {0: {"response": left}, 9: {"response": right}})
        for prompt, (left, right) in zip(known, said, strict=True)
    ]
    job = a_job(result={"model": "ppo-1"})
    made = give_to_annotators(web.database, project, job, found, (0, 9))
    assert made == {"new_responses": 6, "tasks": 2}  # not the same ones, and not the empty one
    with web.database.read() as connection:
        kept = {
            one.id: one for answers in responses(connection, project.id).values() for one in answers
        }
        fresh = [task for task in tasks(connection, project.id) if task.id not in before]
    assert all(
        kept[name].policy.startswith("ppo-1 after step") for one in fresh for name in one.responses
    )
    texts = {frozenset(kept[name].text for name in one.responses) for one in fresh}
    assert texts == {frozenset({"a", "b"}), frozenset({"d�", "e"})}
    again = give_to_annotators(web.database, project, job, found, (9, 0))
    assert again == {"new_responses": 0, "tasks": 0}
    with pytest.raises(NotFound, match="step with samples"):
        give_to_annotators(web.database, project, job, found, (0, 3))
    singles = replace(project, collecting=Collecting(task_types=("single_rating",)))
    with pytest.raises(InvalidOption, match="shows two responses side by side"):
        give_to_annotators(web.database, singles, job, found, (0, 9))


@pytest.fixture
def sampled(full_desk: tuple[Desk, Invented]) -> tuple[Desk, Job, list[Prompt]]:
    desk, invented = full_desk
    with desk.database.read() as connection:
        job = next(one for one in jobs.jobs(connection) if one.recipe == "ppo")
        known = prompts.prompts(connection, invented.project.id)[:2]
    folder = desk.settings.data_dir / "jobs" / job.id / "checkpoints"
    write(
        folder,
        *(line(one.messages, 0, f"**Start** {HOSTILE}", finished=False) for one in known),
        *(line(one.messages, 10, f"later {place}") for place, one in enumerate(known)),
    )
    return desk, job, known


def test_the_page_shows_any_two_steps_and_sends_them(
    sampled: tuple[Desk, Job, list[Prompt]],
) -> None:
    desk, job, known = sampled
    here = f"{HERE}&job={job.id}"
    look = desk.handler("train", "look")
    card, left, right, drawn, everything, _, seen, _ = desk.call(look, None, None, "", address=here)
    assert card["visible"] is True
    assert left["choices"] == right["choices"] == [["Start", "0"], ["Step 10", "10"]]
    assert (left["value"], right["value"]) == ("0", "10")
    for words in (known[0].messages[-1]["content"], "<strong>Start</strong>", "cut", "later 1"):
        assert words in drawn
    assert HOSTILE not in drawn + everything
    # What is seen already is not drawn again, which would close an open menu.
    again = desk.call(look, "0", "0", seen, address=here)
    assert all(set(one.get("props", one)) == {"__type__"} for one in again)
    # Whoever looks at the newest goes on to; another choice stays.
    with (desk.settings.data_dir / f"jobs/{job.id}/checkpoints/samples.jsonl").open("a") as more:
        more.writelines(line(one.messages, 20, "newest") for one in known)
    assert desk.call(look, "0", "10", seen, address=here)[2]["value"] == "20"
    assert desk.call(look, "0", "0", seen, address=here)[2]["value"] == "0"

    choose = desk.handler("train", "choose")
    chosen = desk.call(choose, "10", "20", address=here)[0]
    assert "later 0" in chosen
    assert "newest" in chosen
    assert "Start" not in chosen

    give = desk.handler("train", "give")
    assert "2 tasks" in desk.call(give, "10", "20", address=here)[0]
    assert "Nothing new" in desk.call(give, "10", "20", address=here)[0]


def test_a_run_without_samples_shows_no_place_for_them(full_desk: tuple[Desk, Invented]) -> None:
    desk, _ = full_desk
    with desk.database.read() as connection:
        job = next(one for one in jobs.jobs(connection) if one.kind == "reward")
    here = f"{HERE}&job={job.id}"
    card, *_ = desk.call(desk.handler("train", "look"), None, None, "", address=here)
    assert card["visible"] is False
    assert "no run with samples" in refusal_of(
        desk.call(desk.handler("train", "give"), None, None, address=here)
    )
