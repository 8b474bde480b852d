"""The card that takes a project to Argilla and back: what it queues, tells and hides."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from invented import Invented
from pages_desk import Desk, refusal_of

import app.pages.visit
from app.argilla_address import KEY, URL, argilla_address
from app.pages.argilla_state import STOPPED, WAITS, outcome
from app.pages.runs import job_title
from app.queue import enqueue
from storage import jobs
from storage.errors import InvalidOption, NotFound
from storage.projects import project_named, set_collecting
from storage.records import Collecting, Job, JobId, JobState, ProjectId

SECRET = "owner.apikey-nobody-sees"
SERVER = "http://argilla.lan:6900"


@pytest.fixture
def desk(full_desk: tuple[Desk, Invented], monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A researcher at a desk that knows Argilla; afterwards the project is as it was before."""
    bench, invented = full_desk
    monkeypatch.setenv(URL, f"{SERVER}/")
    monkeypatch.setenv(KEY, SECRET)
    yield bench.sit(invented.researcher)
    for job in pushes_and_pulls(bench):
        if not job.state.is_over:
            end(bench, job, JobState.CANCELLED)
    collect(bench, invented.project.id, Collecting())


def collect(desk: Desk, project: ProjectId, collecting: Collecting) -> None:
    with desk.database.write() as connection:
        set_collecting(connection, project, collecting)


def collecting_of(desk: Desk) -> Collecting:
    with desk.database.read() as connection:
        return project_named(connection, "everyday questions").collecting


def pushes_and_pulls(desk: Desk) -> list[Job]:
    """Newest first."""
    with desk.database.read() as connection:
        return [job for job in jobs.jobs(connection, 200) if job.kind == "argilla"]


def end(desk: Desk, job: Job, state: JobState, **said: Any) -> None:
    with desk.database.write() as connection:
        jobs.finish(connection, job.id, state, now=datetime.now(UTC), **said)


def into_argilla(desk: Desk, workspace: str = "spring") -> None:
    """As a push does when it begins."""
    before = collecting_of(desk)
    with desk.database.write() as connection:
        project = project_named(connection, "everyday questions")
        set_collecting(connection, project.id, replace(before, argilla_workspace=workspace))


def state(desk: Desk) -> str:
    return str(desk.call(desk.handler("data", "look"))[0])


def test_tasks_are_pushed_through_the_queue_and_only_once_at_a_time(desk: Desk) -> None:
    before = len(pushes_and_pulls(desk))
    assert "People judge in <strong>Tandem</strong>." in state(desk)
    desk.opened("data")  # fills the menu of reward models
    push = desk.handler("data", "push_tasks")
    told, shown, refused = desk.call(push, " spring ", "combined-1")
    assert "Queued." in told
    assert (refused, WAITS in shown) == ("", True)
    assert "on its way already" in desk.call(push, "spring", "combined-1")[0]
    job, *older = pushes_and_pulls(desk)
    assert len(older) == before
    assert (job.recipe, job.config) == ("push", {"workspace": "spring", "suggest": "combined-1"})
    assert job.project is not None
    assert collecting_of(desk).argilla_workspace == "", "the job takes it there, not the page"
    sentence = refusal_of(desk.call(desk.handler("data", "pull_answers")))
    assert "push its tasks first" in sentence
    into_argilla(desk)
    told, shown, _ = desk.call(desk.handler("data", "pull_answers"))
    assert "Queued." in told
    assert shown.count(WAITS) == 2, "the push and the pull wait both"
    assert pushes_and_pulls(desk)[0].config == {}
    overview = desk.opened("")
    for title in ("Tasks to Argilla", "Answers from Argilla"):
        assert title in overview


def test_the_card_tells_what_the_last_push_and_pull_came_to(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    pulling = pytest.importorskip("feedback.argilla.pulling")
    from app.in_argilla import pull_project, push_project
    from feedback.argilla import pushing, server

    class Answering:
        url = SERVER

    made = [
        pushing.Pushed(dataset="pairs", added=1200, known=30),
        pushing.Pushed(dataset="rankings", added=34, known=6),
    ]
    pulled = pulling.Pulled(new=3, refused=1, reasons=["record r, user u: <script>no</script>"])
    monkeypatch.setattr(server.Server, "open", lambda *_, **__: Answering())
    monkeypatch.setattr(pushing, "push", lambda *_, **__: made)
    monkeypatch.setattr(pulling, "pull", lambda *_, **__: pulled)
    with desk.database.read() as connection:
        project = project_named(connection, "everyday questions")
    common: dict[str, Any] = {"environment": {}, "progress": None}
    pushed = push_project(
        desk.database, desk.settings, project, workspace="spring", suggest="", **common
    )
    desk.call(desk.handler("data", "push_tasks"), "spring", "")
    end(desk, pushes_and_pulls(desk)[0], JobState.DONE, result=pushed)
    into_argilla(desk)
    desk.call(desk.handler("data", "pull_answers"))
    back = pull_project(desk.database, project, now=datetime.now(UTC), **common)
    end(desk, pushes_and_pulls(desk)[0], JobState.DONE, result=back)
    text = state(desk)
    assert "1\u2009234 records added, 36 known, in 2 data sets." in text
    assert "3 new judgements, 1 answers refused." in text
    assert "user u: &lt;script&gt;" in text
    assert "<script" not in text
    assert text.index("Tasks pushed") < text.index("Answers pulled")


def test_a_push_that_failed_says_why_until_another_one_is_asked_for(desk: Desk) -> None:
    push, look = (desk.handler("data", name) for name in ("push_tasks", "look"))
    desk.call(push, "spring", "")
    waiting = desk.call(look)[1]
    assert "__type__" in waiting, "what was said of the queue stays while the job waits"
    end(desk, pushes_and_pulls(desk)[0], JobState.FAILED, error="Argilla does not answer.")
    shown, queued, _ = desk.call(look)
    assert ("Argilla does not answer." in shown, queued) == (True, "")
    assert "Queued." in desk.call(push, "spring", "")[0]
    assert "Argilla does not answer." not in state(desk)


def test_only_researchers_move_a_project(desk: Desk, filled: tuple[Desk, Invented]) -> None:
    into_argilla(desk)
    before = pushes_and_pulls(desk)
    desk.sit(filled[1].annotator)
    for name in ("push_tasks", "pull_answers", "collect_here", "choose_place", "look"):
        sentence = refusal_of(desk.call(desk.handler("data", name)))
        assert "needs the role researcher" in sentence, name
    assert pushes_and_pulls(desk) == before
    assert collecting_of(desk).argilla_workspace == "spring"


def test_a_project_comes_back_to_tandem_when_nothing_is_under_way(desk: Desk) -> None:
    back = desk.handler("data", "collect_here")
    assert "in Tandem already" in desk.call(back)[0]
    into_argilla(desk)
    desk.call(desk.handler("data", "pull_answers"))
    job = pushes_and_pulls(desk)[0]
    sentence = refusal_of(desk.call(back))
    assert f"tandem jobs cancel {job.id[:8]}" in sentence
    assert collecting_of(desk).argilla_workspace == "spring"
    end(desk, job, JobState.CANCELLED)
    told, shown, there, here, _ = desk.call(back)
    assert "push to the workspace &#39;spring&#39; again" in told
    assert "People judge in <strong>Tandem</strong>." in shown
    assert not there["visible"]
    assert not here["visible"]
    assert collecting_of(desk).argilla_workspace == ""


def test_the_way_back_is_offered_where_there_is_one_and_warns_of_what_is_left(desk: Desk) -> None:
    choose = desk.handler("data", "choose_place")

    def shown(chosen: str) -> list[bool]:
        return [one["visible"] for one in desk.call(choose, chosen)[:2]]

    assert [shown("tandem"), shown("argilla")] == [[False, False], [True, False]]
    into_argilla(desk)
    assert [shown("tandem"), shown("argilla")] == [[False, True], [True, False]]
    words = json.dumps(desk.pages.config["components"])
    assert "Pull what was answered in Argilla first." in words


@pytest.mark.parametrize(
    ("where", "typed", "problem"),
    [
        ("", " ", "write its name"),
        ("", "a\nb", "one printable line"),
        ("spring", "summer", "collect in Tandem again"),
    ],
)
def test_a_workspace_that_cannot_be_is_refused_before_anything_is_queued(
    desk: Desk, where: str, typed: str, problem: str
) -> None:
    into_argilla(desk, where)
    before = pushes_and_pulls(desk)
    assert problem in refusal_of(desk.call(desk.handler("data", "push_tasks"), typed, ""))
    assert pushes_and_pulls(desk) == before


@pytest.mark.parametrize(
    ("model", "error"), [("nobody", NotFound), ("ppo-combined-1", InvalidOption)]
)
def test_only_a_reward_model_may_suggest(
    desk: Desk, filled: tuple[Desk, Invented], model: str, error: type[Exception]
) -> None:
    before = pushes_and_pulls(desk)
    with pytest.raises(error, match=model):
        enqueue(
            desk.database,
            desk.settings,
            kind="argilla",
            recipe="push",
            config={"suggest": model},
            project=filled[1].project.id,
            now=datetime.now(UTC),
        )
    assert pushes_and_pulls(desk) == before


def test_saving_how_a_project_collects_leaves_it_in_argilla(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = desk.handler("data", "save")
    typed = (["pair"], "helpful", 0, 0, 20, 0, 70, 30)
    into_argilla(desk)
    assert "Saved." in desk.call(save, *typed)[0]
    assert collecting_of(desk).argilla_workspace == "spring"
    collect(desk, pushes_project(desk), Collecting())
    genuine = app.pages.visit.visit

    def just_before_a_push(*asked: Any) -> Any:
        found = genuine(*asked)
        into_argilla(desk, "summer")
        return found

    monkeypatch.setattr(app.pages.visit, "visit", just_before_a_push)
    assert "Saved." in desk.call(save, *typed)[0]
    assert collecting_of(desk).argilla_workspace == "summer"
    assert collecting_of(desk).aspects == ("helpful",)


def pushes_project(desk: Desk) -> ProjectId:
    with desk.database.read() as connection:
        return project_named(connection, "everyday questions").id


def test_the_way_to_argilla_is_shown_and_its_key_nowhere(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    into_argilla(desk, 'spring <b>"and"</b> summer')
    text = state(desk)
    assert f'<a href="{SERVER}" target="_blank" rel="noopener noreferrer">Open Argilla</a>' in text
    assert "spring &lt;b&gt;&#34;and&#34;&lt;/b&gt; summer" in text
    assert URL not in text
    desk.call(desk.handler("data", "pull_answers"))
    monkeypatch.setenv(URL, "http://ada:hunter2@argilla.lan")
    told = state(desk)
    assert "no plain http or https address" in told
    monkeypatch.delenv(URL)
    assert f"Set <code>{URL}</code>" in state(desk)
    assert f"<code>{KEY}</code>" in state(desk)
    everything = desk.opened("data") + desk.opened("") + told + repr(pushes_and_pulls(desk))
    for secret in (SECRET, "hunter2"):
        assert secret not in everything


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("http://localhost:6900", "http://localhost:6900"),
        (" https://argilla.example/judge/ ", "https://argilla.example/judge"),
        ("http://[::1]:6900/?api_key=owner.apikey#x", "http://[::1]:6900"),
        ("", None),
        ("argilla.lan:6900", None),
        ("ftp://argilla.lan", None),
        ("javascript:alert(1)", None),
        ("http://", None),
        ("http://argilla.lan:99999", None),
        ("http://argilla.lan:no", None),
        ("http://[::1", None),
        ("http://ada:hunter2@argilla.lan", None),
        ("http://argilla.lan/a b", None),
        ("http://argilla.lan/\x07", None),
    ],
)
def test_an_address_leads_somewhere_or_is_none(written: str, address: str | None) -> None:
    assert argilla_address({URL: written}) == address


def test_without_a_variable_there_is_no_address() -> None:
    assert argilla_address({KEY: SECRET}) is None


def test_the_variables_are_those_that_the_worker_reads() -> None:
    server = pytest.importorskip("feedback.argilla.server")
    assert (server.URL, server.KEY) == (URL, KEY)


def job(recipe: str, state: JobState, **said: Any) -> Job:
    return Job(
        id=JobId("1"), kind="argilla", recipe=recipe, config={}, state=state,
        created=datetime(2026, 3, 14, tzinfo=UTC) - timedelta(hours=1), **said,
    )  # fmt: skip


def test_every_state_of_a_job_says_something() -> None:
    assert outcome(job("pull", JobState.QUEUED)) == WAITS
    assert outcome(job("pull", JobState.RUNNING, message="pairs")) == "pairs"
    assert outcome(job("pull", JobState.RUNNING)) == "Runs now."
    assert outcome(job("push", JobState.CANCELLED, message="pairs")) == STOPPED
    assert outcome(job("push", JobState.FAILED, error="No.")) == "No."
    assert outcome(job("pull", JobState.DONE, result={"summary": "Nothing new."})) == "Nothing new."


def test_a_job_is_called_by_what_it_does() -> None:
    titles = [job_title(job(recipe, JobState.RUNNING)) for recipe in ("push", "pull")]
    assert titles == ["Tasks to Argilla", "Answers from Argilla"]


def test_a_project_in_argilla_is_told_what_it_cannot_do_there(desk: Desk) -> None:
    into_argilla(desk)
    assert "neither a qualification nor repeats" not in state(desk)
    before = collecting_of(desk)
    collect(desk, pushes_project(desk), replace(before, repeat_rate=0.1))
    assert "neither a qualification nor repeats" in state(desk)


def test_whoever_collects_in_argilla_is_sent_to_pull_and_not_to_judge_here(desk: Desk) -> None:
    desk.call(desk.handler("data", "create"), "fresh", "", "pair", 1)
    address = "?project=fresh"
    assert '/annotate\\"' in desk.opened("", address)
    with desk.database.write() as connection:
        fresh = project_named(connection, "fresh")
        set_collecting(connection, fresh.id, Collecting(argilla_workspace="spring"))
    text = desk.opened("", address)
    assert "Pull the answers from Argilla" in text
    assert "Judge some answers" not in text
