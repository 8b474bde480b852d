"""The researcher's pages over HTTP: who is let in, what they show, what they do."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from invented import Invented, fill, people

from app.pages.memory import drawn as drawn_memory
from storage import jobs, models, snapshots, studies
from storage.annotators import annotator_named
from storage.database import Database
from storage.errors import NoConvergence, NotAllowed
from storage.flags import add_flag
from storage.judgements import record_submission
from storage.messages import unread
from storage.projects import project_named
from storage.prompts import prompts_by_id
from storage.records import (
    Annotator,
    Comparison,
    JobState,
    Model,
    ModelId,
    ProjectId,
    Purpose,
    Rating,
    Snapshot,
    Submission,
    SubmissionId,
)
from storage.settings import Settings
from storage.tasks import lease, task, tasks
from training.policies import POLICIES
from training.rewards import REWARDS

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
HERE = "?project=everyday+questions"
PAGES = ("", "data", "quality", "train", "models", "studies", "people")


@dataclass
class Desk:
    """The pages, mounted behind a gate that lets whoever is named here pass."""

    settings: Settings
    database: Database
    pages: Any
    client: TestClient
    seated: list[Annotator]
    home: str = ""
    """What the address bar says, where a test does not say otherwise."""

    def sit(self, person: Annotator) -> Desk:
        self.seated[:] = [person]
        return self

    def handlers(self, path: str, event: str) -> list[Any]:
        """The handlers of a page that an event starts, in the order in which they were bound."""
        return [
            one
            for one in self.pages.fns.values()
            if one.fn is not None and one.page == path and any(t[1] == event for t in one.targets)
        ]

    def handler(self, path: str, name: str) -> Any:
        found = [
            one
            for one in self.pages.fns.values()
            if one.fn is not None and one.page == path and one.fn.__name__ == name
        ]
        assert found, f"no handler {name!r} on page {path!r}"
        return found[0]

    def form(self, having: str, name: str = "start") -> tuple[Any, dict[str, Any]]:
        """The first handler on Train with this name and input, and its inputs by their labels."""
        found = next(
            one
            for one in self.handlers("train", "click")
            if one.fn.__name__ == name and having in [shown.label for shown in one.inputs]
        )
        return found, {shown.label: shown.value for shown in found.inputs}

    def newest_snapshot(self, project: ProjectId) -> Snapshot:
        with self.database.read() as connection:
            return snapshots.snapshots(connection, project)[0]

    def call(self, handler: Any, *values: Any, address: str | None = None) -> list[Any]:
        """What the browser would get; inputs that are not given hold what the page shows first."""
        address = self.home if address is None else address
        shown = [component.value for component in handler.inputs]
        reply = self.client.post(
            f"/research/gradio_api/run/predict{address}",
            json={
                "data": [*values, *shown[len(values) :]],
                "fn_index": handler._id,
                "session_hash": "desk",
            },
        )
        assert reply.status_code == 200, reply.text
        return list(reply.json()["data"])

    def opened(self, path: str, address: str | None = None) -> str:
        """Everything that opening a page draws, as text."""
        drawn = [self.call(one, address=address) for one in self.handlers(path, "load")]
        assert drawn, f"page {path!r} draws nothing when it is opened"
        refused = [data[-1] for data in drawn if isinstance(data[-1], str) and data[-1]]
        assert not refused, refused
        return json.dumps(drawn, ensure_ascii=False)


# Drawing the pages takes seconds, so each installation is made once; tests leave one another alone.


@pytest.fixture(scope="module")
def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(scope="module")
def empty_desk(
    sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory, now: datetime
) -> Iterator[tuple[Desk, tuple[Annotator, Annotator, Annotator]]]:
    """Nothing but an administrator, a researcher and an annotator."""
    for desk in _desk(sqlite_template, tmp_path_factory.mktemp("empty")):
        yield desk, people(desk.database, now)


@pytest.fixture(scope="module")
def filled(
    sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory, now: datetime
) -> Iterator[tuple[Desk, Invented]]:
    for desk in _desk(sqlite_template, tmp_path_factory.mktemp("full")):
        desk.home = HERE
        yield desk, fill(desk.database, desk.settings, now, prompts=40)


@pytest.fixture
def full_desk(filled: tuple[Desk, Invented]) -> tuple[Desk, Invented]:
    """A whole installation, with its administrator at the desk."""
    desk, invented = filled
    return desk.sit(invented.administrator), invented


def _desk(template: Path, data_dir: Path) -> Iterator[Desk]:
    import gradio as gr

    from app.pages.research import research_page

    settings = Settings(data_dir=data_dir)
    shutil.copy(template, data_dir / "tandem.sqlite")
    database = Database(settings.database)
    pages = research_page(settings, database)
    seated: list[Annotator] = []
    app = gr.mount_gradio_app(
        FastAPI(),
        pages,
        "/research",
        auth_dependency=lambda request: seated[0].id,
        show_error=False,
    )
    yield Desk(settings, database, pages, TestClient(app), seated)
    database.close()


def refusal_of(data: list[Any]) -> str:
    """The sentence of a refusal, after a look that nothing else was drawn with it."""
    for one in data[:-1]:
        assert one["__type__"] == "update"
        assert set(one.get("props", one)) == {"__type__"}, one
    assert 'role="alert"' in data[-1]
    return str(data[-1])


# Who is let in -----------------------------------------------------------------------------------


def test_each_handler_refuses_an_annotator_who_got_past_the_gate(
    empty_desk: tuple[Desk, tuple[Annotator, Annotator, Annotator]],
) -> None:
    desk, (_, _, annotator) = empty_desk
    desk.sit(annotator)
    handlers = [one for one in desk.pages.fns.values() if one.fn is not None]
    assert len(handlers) > 30
    for handler in handlers:
        sentence = refusal_of(desk.call(handler))
        assert "This needs the role" in sentence, handler.fn.__name__


def test_people_are_the_administrators_business(full_desk: tuple[Desk, Invented]) -> None:
    desk, invented = full_desk
    desk.sit(invented.researcher)
    for handler in desk.pages.fns.values():
        if handler.fn is not None and handler.page == "people" and handler.fn.__name__ != "greet":
            assert "role administrator" in refusal_of(desk.call(handler))
    desk.sit(invented.administrator)
    drawn = json.dumps(desk.call(desk.handler("people", "add"), "Nina Novak", "researcher"))
    assert "/sign-in/" in drawn
    with desk.database.read() as connection:
        assert annotator_named(connection, "Nina Novak").role == "researcher"


def test_whoever_was_deactivated_is_refused_at_once(full_desk: tuple[Desk, Invented]) -> None:
    desk, invented = full_desk
    desk.call(desk.handler("people", "add"), "Olga Orlova", "researcher")
    with desk.database.read() as connection:
        newcomer = annotator_named(connection, "Olga Orlova")
    assert newcomer.id in desk.opened("people"), "the menu of people lacks the newcomer"
    desk.sit(newcomer).opened("data")
    desk.sit(invented.administrator)
    desk.call(desk.handler("people", "change"), newcomer.id, "researcher", False)
    desk.sit(newcomer)
    assert "This needs the role" in refusal_of(desk.call(desk.handlers("data", "load")[0]))


def test_administrators_cannot_lock_themselves_out(full_desk: tuple[Desk, Invented]) -> None:
    desk, invented = full_desk
    desk.opened("people")
    change = desk.handler("people", "change")
    for role, active in (("researcher", True), ("administrator", False)):
        sentence = refusal_of(desk.call(change, invented.administrator.id, role, active))
        assert "another administrator" in sentence


def test_every_handler_is_unqueued_and_private(full_desk: tuple[Desk, Invented]) -> None:
    for handler in full_desk[0].pages.fns.values():
        if handler.fn is not None:
            assert handler.queue is False
            assert handler.api_visibility == "private"


# What they show ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES)
def test_an_empty_installation_says_what_to_do_first(
    empty_desk: tuple[Desk, tuple[Annotator, Annotator, Annotator]], path: str
) -> None:
    desk, (administrator, _, _) = empty_desk
    text = desk.sit(administrator).opened(path)
    expected = {
        "": "Create the first one",
        "data": "No project yet",
        "quality": "No project yet",
        "train": "Freeze one",
        "models": "Train one",
        "studies": "No study yet",
        "people": "Lena Holm",
    }
    assert expected[path] in text


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", ("everyday questions", "collect votes", "Policy with PPO", "items judged by two")),
        ("data", ("80 tasks", "choices,", "export/preference?file_type=jsonl")),
        (
            "quality",
            (
                "Krippendorff",
                "Fleiss",
                "In plain words",
                "Pull to the right",
                "Pairs that need another opinion",
                "Nothing reported",
            ),
        ),
        (
            "train",
            (
                "about ",
                "47 of 120",
                "KL from the start",
                "Checkpoint at step 40",
                "Most answers are cut",
            ),
        ),
        ("models", ("combined-1", "ppo-combined-1", "snapshot", "Reward models compared")),
        ("studies", ("Does PPO help?", "No result yet", "/study/", "72 of 72")),
        ("people", ("kept out", "simulated", "may sign in")),
    ],
)
def test_a_full_installation_shows_what_is_there(
    full_desk: tuple[Desk, Invented], path: str, expected: tuple[str, ...]
) -> None:
    text = full_desk[0].opened(path)
    for words in expected:
        assert words in text, words


def test_a_reward_model_is_shown_with_what_it_comes_to_and_its_figures(
    full_desk: tuple[Desk, Invented],
) -> None:
    text = full_desk[0].opened("models", f"{HERE}&model=absolute-1")
    for words in (
        "ounting characters",  # in the verdict
        "length-only baseline",  # among the doubts
        "Accuracy against absolute-1",
        "Kendall",
        "The numbers in the figures",
        "stated probability of being preferred",
        "Rewards by kind of prompt",
        "agreement with each annotator",
    ):
        assert words in text, words
    for name in ("Lena Holm", "Mei Lin"):
        assert name not in text


def test_only_models_judged_by_the_same_pairs_are_compared(
    full_desk: tuple[Desk, Invented],
) -> None:
    desk, _ = full_desk
    with desk.database.read() as connection:
        known = models.model(connection, "combined-1")
    elsewhere = {**known.metrics["held_out"], "judged_by": "others", "verdict": "Of other pairs."}
    stranger = replace(
        known, id=ModelId("stranger"), name="stranger-1", metrics={"held_out": elsewhere}
    )
    with desk.database.write() as connection:
        models.add_model(connection, stranger)
    text = desk.opened("models", f"{HERE}&model=combined-1")
    assert "1 reward model judged by other pairs cannot be compared with these." in text
    assert text.count("stranger-1") < text.count("preference-1")
    alone = desk.opened("models", f"{HERE}&model=stranger-1")
    assert "Of other pairs." in alone
    assert "Reward models compared" not in alone


def test_simulated_projects_say_so_on_every_page_of_theirs(
    full_desk: tuple[Desk, Invented],
) -> None:
    for path in ("", "data", "quality", "train", "models", "studies"):
        assert "t-simulated" in full_desk[0].opened(path, "?project=demo+of+the+loop"), path
        assert "t-simulated" not in full_desk[0].opened(path), path


def test_a_project_that_is_not_there_is_named(full_desk: tuple[Desk, Invented]) -> None:
    desk, _ = full_desk
    data = desk.call(desk.handlers("train", "load")[0], address="?project=everyday+question")
    assert "Did you mean &#39;everyday questions&#39;?" in refusal_of(data)


def test_answers_and_names_enter_the_page_without_their_markup(
    full_desk: tuple[Desk, Invented],
) -> None:
    desk, invented = full_desk
    text = desk.opened("models", f"{HERE}&asked={invented.asked.id}")
    assert "<script>" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; <strong>Rayleigh" in text
    assert "&lt;b&gt;Be brief.&lt;/b&gt;" in text
    desk.call(desk.handler("data", "create"), "<img src=x onerror=alert(1)>", "", "pair", 1)
    for path in PAGES:
        assert "<img" not in desk.opened(path), path


def test_a_closed_study_gives_its_verdict_and_an_open_one_only_when_asked(
    full_desk: tuple[Desk, Invented],
) -> None:
    desk, invented = full_desk
    with desk.database.read() as connection:
        closed = next(one for one in studies.studies(connection) if one.closed)
    assert "of 72 votes over 24 prompts" in desk.opened(
        "studies", f"{HERE}&study={closed.id}"
    ).replace("\u00a0", " ")
    assert "t-verdict" not in desk.opened("studies", f"{HERE}&study={invented.study.id}")
    early = json.dumps(desk.call(desk.handler("studies", "look_early")))
    assert "early look" in early
    assert "Early look:" in early


# What they do ------------------------------------------------------------------------------------


def test_a_run_is_queued_with_its_whole_configuration_and_stopped(
    full_desk: tuple[Desk, Invented],
) -> None:
    desk, invented = full_desk
    desk.opened("train")
    snapshot = desk.newest_snapshot(invented.project.id)
    start, values = desk.form("Snapshot")
    values |= {"Snapshot": snapshot.id, "Base": "tiny", "Name": "mine", "Epochs": 3}
    values["Layers"] = ""  # empty trains all
    data = desk.call(start, *values.values())
    with desk.database.read() as connection:
        job = jobs.job(connection, data[0])
    assert job.state is JobState.QUEUED
    assert (job.kind, job.recipe) == ("reward", "preference")
    assert (job.config["base"], job.config["name"], job.config["epochs"]) == ("tiny", "mine", 3)
    assert job.config["layers"] is None
    assert "seed" in job.config
    desk.call(desk.handler("train", "stop_run"), address=f"{HERE}&job={job.id}")
    with desk.database.read() as connection:
        assert jobs.job(connection, job.id).state is JobState.CANCELLED


def test_the_form_says_how_much_memory_training_would_take_and_starts_nothing(
    full_desk: tuple[Desk, Invented],
) -> None:
    desk, invented = full_desk
    desk.opened("train")
    snapshot = desk.newest_snapshot(invented.project.id)
    with desk.database.read() as connection:
        before = len(jobs.jobs(connection))
    estimate, values = desk.form("Snapshot", "estimate")
    values |= {"Snapshot": snapshot.id, "Base": "tiny"}
    drawn, after = desk.call(estimate, *values.values())
    assert after == "", after
    for words in ("iB</strong> at the peak", "GiB are free", "gradients and AdamW <b>"):
        assert words in drawn
    values["Base"] = "tiny-and-nowhere"
    assert "tiny-and-nowhere" in refusal_of(desk.call(estimate, *values.values()))
    values["Epochs"] = 0
    assert "epochs" in refusal_of(desk.call(estimate, *values.values()))
    with desk.database.read() as connection:
        assert len(jobs.jobs(connection)) == before


@pytest.mark.parametrize(
    ("free", "advice"),
    [
        (16, "at the peak; 16.0 GiB are free. </p>"),
        (5, "It may not fit: estimates are up to a quarter off."),
        (3, "It would not fit."),
    ],
)
def test_an_estimate_says_whether_training_would_fit(free: int, advice: str) -> None:
    gib = 2**30
    needed = {"program": gib // 2, "weights": gib, "learning": gib // 2, "activations": 2 * gib}
    bar = drawn_memory({**needed, "kept": 0, "total": 4 * gib, "free": free * gib})
    assert "<strong>About 4.0 GiB</strong>" in bar
    assert advice in bar
    assert "program and libraries <b>512 MiB</b>" in bar
    assert "kept states" not in bar
    assert f"width:{100 * 2 / max(4, free):.2f}%" in bar  # the activations
    assert f"left:{100 * free / max(4, free):.2f}%" in bar  # where free memory ends


def test_an_ablation_is_shown_with_its_figures_which_are_sent_once(
    full_desk: tuple[Desk, Invented],
) -> None:
    desk, _ = full_desk
    with desk.database.read() as connection:
        job = next(one for one in jobs.jobs(connection) if one.kind == "ablation")
    here = f"{HERE}&job={job.id}"
    watch = desk.handler("train", "watch")
    first = desk.call(watch, "", address=here)
    text = json.dumps(first, ensure_ascii=False)
    for words in (
        "Ablation of preference, absolute, combined",
        "What does each signal buy?",
        "With 1,000 labels combined beats",
        "From 250 to 1,000 labels",
        "labels to learn from",
        "difference in pair accuracy, percentage points",
        "The numbers in the figures",
        f"/api/v1/jobs/{job.id}/report",
    ):
        assert words in text, words
    (seen,) = (one for one in first if isinstance(one, str) and one.startswith(job.id))
    again = json.dumps(desk.call(watch, seen, address=here))
    assert "What does each signal buy?" in again
    assert "labels to learn from" not in again
    assert "labels to learn from" not in json.dumps(desk.call(watch, seen, address=HERE))


def test_an_ablation_shows_what_it_found_while_it_runs(
    full_desk: tuple[Desk, Invented], now: datetime
) -> None:
    desk, invented = full_desk
    with desk.database.read() as connection:
        done = next(one for one in jobs.jobs(connection) if one.kind == "ablation")
    with desk.database.write() as connection:
        job = jobs.add_job(
            connection,
            kind="ablation",
            recipe="ablation",
            config=done.config,
            project=invented.project.id,
            now=now - timedelta(hours=70),
        )
        jobs.mark_running(connection, job.id, now=now - timedelta(hours=70))
    here = f"{HERE}&job={job.id}"
    assert "The first comes with the first model." in desk.opened("train", here)
    partly = {**done.result["ablation"], "to_come": 4}
    (desk.settings.folder("jobs", job.id) / "ablation.json").write_text(json.dumps(partly))
    text = desk.opened("train", here)
    assert "With 1,000 labels combined beats" in text
    assert "4 models are still to be trained; the figures are of the rest." in text
    with desk.database.write() as connection:
        jobs.finish(connection, job.id, JobState.CANCELLED, now=now)
    assert "4 models are still to be trained" in desk.opened("train", here)


def test_an_ablation_is_started_from_its_form_or_refused(
    full_desk: tuple[Desk, Invented],
) -> None:
    desk, invented = full_desk
    desk.opened("train")
    snapshot = desk.newest_snapshot(invented.project.id)
    start, values = desk.form("Seeds")
    assert list(values)[:6] == ["Snapshot", "Kinds", "Labels", "Seeds", "Base", "Epochs"]
    assert values["Labels"] == ["250", "500", "1000"]
    values["Snapshot"] = snapshot.id
    assert "labels: preference has only" in refusal_of(desk.call(start, *values.values()))
    values["Labels"] = ["40", "20"]
    data = desk.call(start, *values.values())
    with desk.database.read() as connection:
        job = jobs.job(connection, data[0])
    assert (job.kind, job.recipe) == ("ablation", "ablation")
    assert (job.config["labels"], job.config["seeds"]) == ([20, 40], 3)
    desk.call(desk.handler("train", "stop_run"), "", address=f"{HERE}&job={job.id}")
    with desk.database.read() as connection:
        assert jobs.job(connection, job.id).state is JobState.CANCELLED


def test_policies_with_whole_weights_are_offered_as_a_base(
    full_desk: tuple[Desk, Invented], now: datetime
) -> None:
    desk, _ = full_desk
    for name in ("sft-whole", "ppo-adapter"):
        model = Model(
            id=ModelId(name),
            name=name,
            purpose="policy",
            recipe="sft",
            base="tiny",
            folder=f"models/{name}",
            # Not the newest, which other tests look at.
            created=now - timedelta(days=1),
        )
        folder = desk.settings.folder("models", name)
        if name == "ppo-adapter":
            (folder / "adapter_config.json").write_text("{}")
        with desk.database.write() as connection:
            models.add_model(connection, model)
    start = desk.handler("train", "start")
    places = [place for place, one in enumerate(start.inputs) if one.label == "Base"]
    assert places
    drawn = json.dumps(desk.call(desk.handler("train", "offer")))
    offered = re.findall(r'"choices": (\[\[.*?\]\])', drawn)
    with_base = [menu for menu in offered if "sft-whole" in menu]
    # As base of every reward model, of an ablation and of SFT, and as start of the other policies,
    # which take adapters too.
    assert len(with_base) == len(REWARDS) + 1 + len(POLICIES)
    with_start = sum("start" in recipe.config.model_fields for recipe in POLICIES.values())
    assert sum("ppo-adapter" in menu for menu in with_base) == with_start


def test_a_policy_of_good_answers_is_queued_from_its_form(
    full_desk: tuple[Desk, Invented],
) -> None:
    desk, invented = full_desk
    desk.opened("train")
    snapshot = desk.newest_snapshot(invented.project.id)
    start, values = desk.form("Min rating")
    assert list(values)[:4] == ["Snapshot", "Base", "Name", "Min rating"]
    values["Snapshot"] = snapshot.id
    values["Min rating"] = ""  # empty takes no rating for good
    data = desk.call(start, *values.values())
    with desk.database.read() as connection:
        job = jobs.job(connection, data[0])
    assert (job.kind, job.recipe) == ("policy", "sft")
    assert (job.config["snapshot"], job.config["min_rating"]) == (snapshot.id, None)
    shown = desk.opened("train", f"{HERE}&job={job.id}")
    assert "Policy with SFT" in shown
    assert snapshot.id[:12] in shown
    desk.call(desk.handler("train", "stop_run"), address=f"{HERE}&job={job.id}")


def test_an_option_out_of_bounds_starts_nothing(full_desk: tuple[Desk, Invented]) -> None:
    desk, invented = full_desk
    desk.opened("train")
    snapshot = desk.newest_snapshot(invented.project.id)
    with desk.database.read() as connection:
        before = len(jobs.jobs(connection))
    data = desk.call(desk.handler("train", "start"), snapshot.id, "tiny", "", 0)
    assert "epochs" in refusal_of(data)
    with desk.database.read() as connection:
        assert len(jobs.jobs(connection)) == before


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
    upload = _uploaded(desk, source)
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
    upload = _uploaded(desk, source)
    sentence = refusal_of(desk.call(desk.handler("data", "bring_in"), upload, "detect"))
    assert "broken.jsonl, line 1" in sentence
    assert upload["path"] not in sentence


def test_policies_are_asked_and_studies_opened_through_the_queue(
    full_desk: tuple[Desk, Invented],
) -> None:
    desk, invented = full_desk
    desk.opened("models")
    asked = desk.call(desk.handler("models", "send"), "Hello?", ["ppo-combined-1", "tiny"])
    desk.opened("studies")
    opened = desk.handler("studies", "open_study")
    desk.call(opened, "ppo-combined-1", "tiny", "Strangers", "", 2)
    with desk.database.read() as connection:
        sample = jobs.job(connection, asked[0])
        study = jobs.jobs(connection)[0]
    assert sample.config["prompts"] == [[{"role": "user", "content": "Hello?"}]]
    assert sample.config["keep"] is False
    assert (study.kind, study.config["title"], study.config["overlap"]) == ("study", "Strangers", 2)
    assert study.project == invented.project.id


def _uploaded(desk: Desk, file: Path) -> dict[str, Any]:
    reply = desk.client.post(
        "/research/gradio_api/upload", files={"files": (file.name, file.read_bytes())}
    )
    assert reply.status_code == 200, reply.text
    return {"path": reply.json()[0], "meta": {"_type": "gradio.FileData"}}


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


# The Quality centre ------------------------------------------------------------------------------


def test_a_researcher_writes_to_an_annotator_and_leaves_them_out_and_in_again(
    full_desk: tuple[Desk, Invented],
) -> None:
    desk, invented = full_desk
    who = invented.annotator
    do = desk.handler("quality", "do")
    told = json.dumps(desk.call(do, who.id, "message", "Please read both answers to the end."))
    assert f"{who.pseudonym} sees the message" in told
    assert "1 to 2000 characters" in refusal_of(desk.call(do, who.id, "message", " "))
    assert "an exclusion needs one" in refusal_of(desk.call(do, who.id, "exclude", ""))
    told = json.dumps(desk.call(do, who.id, "exclude", "<b>Clicks</b> left"))
    assert "stay out of the next snapshot" in told
    assert "&lt;b&gt;Clicks&lt;/b&gt; left" in desk.opened("quality")
    assert "was excluded already" in json.dumps(desk.call(do, who.id, "exclude", "again"))
    assert "counts again" in json.dumps(desk.call(do, who.id, "count", ""))
    assert "Excluded from the next snapshot" not in desk.opened("quality")
    assert "may not sign in now" in json.dumps(desk.call(do, who.id, "pause", ""))
    assert "may sign in again" in json.dumps(desk.call(do, who.id, "resume", ""))
    with desk.database.read() as connection:
        assert annotator_named(connection, who.name).active
        assert [one.text for one in unread(connection, who.id)] == [
            "Please read both answers to the end."
        ]
    assert "There is no annotator" in refusal_of(desk.call(do, None, "message", "Hello?"))


def test_nobody_but_annotators_can_be_paused(full_desk: tuple[Desk, Invented]) -> None:
    from app.pages.quality import act_on
    from app.pages.visit import Visit

    desk, invented = full_desk
    visit = Visit(
        who=invented.researcher, project=invented.project, projects=(invented.project,),
        query={}, now=datetime.now(UTC),
    )  # fmt: skip
    with pytest.raises(NotAllowed, match="only an administrator may pause them"):
        act_on(visit, desk.database, invented.administrator.id, "pause", "")
    with desk.database.read() as connection:
        assert annotator_named(connection, invented.administrator.name).active


def test_a_reported_task_is_shown_until_it_is_settled(full_desk: tuple[Desk, Invented]) -> None:
    desk, invented = full_desk
    now = datetime.now(UTC)
    with desk.database.write() as connection:
        given = lease(
            connection, invented.annotator.id, count=1, project=invented.project.id,
            rng=np.random.default_rng(0), now=now, lifetime=timedelta(hours=1),
        )[0]  # fmt: skip
        add_flag(
            connection, "flag-1", given.id, invented.annotator.id,
            reason="broken", comment="The <i>second</i> answer is cut off.", now=now,
        )  # fmt: skip
    shown = desk.opened("quality")
    assert "The &lt;i&gt;second&lt;/i&gt; answer is cut off." in shown
    settled = desk.handler("quality", "settled")
    assert "Choose one of this project&#39;s" in refusal_of(desk.call(settled, None))
    drawn = json.dumps(desk.call(settled, "flag-1"))
    assert "Nothing reported" in drawn
    assert "1 report settled before" in drawn


def test_more_judgements_than_a_visit_can_measure_wait_for_a_click(
    full_desk: tuple[Desk, Invented], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, _ = full_desk
    monkeypatch.setattr("app.pages.quality.AT_ONCE", 10)
    assert "Pull to the right" not in desk.opened("quality")
    drawn = json.dumps(desk.call(desk.handler("quality", "measure_now")))
    assert "Pull to the right" in drawn
    assert "Pairs that need another opinion" in drawn


def test_a_measurement_that_does_not_settle_says_so(
    full_desk: tuple[Desk, Invented], monkeypatch: pytest.MonkeyPatch
) -> None:
    def restless(*_: Any) -> None:
        raise NoConvergence("The measurement did not settle.")

    desk, _ = full_desk
    monkeypatch.setattr("app.pages.quality.fit", restless)
    shown = desk.opened("quality")
    assert "Not measured." in shown
    assert "The measurement did not settle." in shown
    assert "In plain words" in shown


def test_the_quality_of_imported_ratings_and_rankings_is_shown(
    full_desk: tuple[Desk, Invented], shared_data: Path
) -> None:
    from app.importing import import_into

    desk, _ = full_desk
    file = shared_data / "both_sparse_feedback_sample.jsonl.gz"
    import_into(desk.database, file, project="sparse", now=datetime.now(UTC))
    shown = desk.opened("quality", "?project=sparse")
    assert "against their own ratings" in shown
    assert "How each annotator uses the scales" in shown
    assert "t-refusal" not in shown
