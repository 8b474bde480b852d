"""The Train page: runs, estimates and ablations, queued and shown."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from invented import Invented
from pages_desk import HERE, Desk, refusal_of

from app.pages.memory import drawn as drawn_memory
from storage import jobs, models
from storage.records import (
    JobState,
    Model,
    ModelId,
)
from training.policies import POLICIES
from training.rewards import REWARDS


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
    full_desk: tuple[Desk, Invented],
) -> None:
    now = datetime.now(UTC)
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
    full_desk: tuple[Desk, Invented],
) -> None:
    now = datetime.now(UTC)
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
