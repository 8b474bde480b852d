"""Push, three people answer, pull and follow: against a genuine Argilla server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from argilla import Dataset
from argilla_people import Person, Team
from genuine_server import GenuineServer
from ports import free_port

from feedback.argilla.pulling import project_datasets, pull, pull_file
from feedback.argilla.pushing import Pushed, Suggesting, push
from feedback.argilla.report import Pulled
from feedback.argilla.server import Server
from feedback.pairing import make_tasks
from storage.annotators import annotators
from storage.database import Database
from storage.errors import InvalidOption, NotFound, ServiceFailed
from storage.judgements import Judgement, judgements
from storage.projects import add_project, project_named, set_collecting
from storage.prompts import add_prompts, add_responses
from storage.records import Collecting, Project, ProjectId, Prompt, Response, ResponseId, digest
from storage.skips import skips
from storage.tasks import tasks

pytestmark = [pytest.mark.argilla, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
GOOD = {"preference": "1_better", "rating_1": 6, "rating_2": 3}


@dataclass
class Bridge:
    """A project here, a workspace there, and what goes between them."""

    database: Database
    project: Project
    server: Server
    team: Team

    def push(self, **options: Any) -> list[Pushed]:
        found = push(self.database, self.server, self.project, workspace=self.team.name, **options)
        self.look_again()
        return found

    def look_again(self) -> None:
        with self.database.read() as connection:
            self.project = project_named(connection, self.project.id)

    def pull(self) -> Pulled:
        return pull(self.database, self.server, self.project, now=datetime.now(UTC))

    def said(self, **which: Any) -> list[Judgement]:
        with self.database.read() as connection:
            return list(judgements(connection, self.project.id, **which))

    def open(self) -> Dataset:
        """The only data set, with what it asks."""
        (found,) = project_datasets(self.database, self.server, self.project)
        found.get()
        return found

    @property
    def dataset(self) -> str:
        """The server's id of the only data set."""
        return str(self.open().id)

    def records(self) -> list[dict[str, Any]]:
        return self.team.records(self.dataset)


@pytest.fixture
def database(sqlite_url: str) -> Iterator[Database]:
    """Once is enough for what takes so long; `tests/feedback` looks at both kinds of database."""
    fresh = Database(sqlite_url)
    yield fresh
    fresh.close()


@pytest.fixture
def bridge(
    database: Database, team: Team, argilla_server: GenuineServer, now: datetime
) -> Callable[..., Bridge]:
    def bridge(kind: str = "pair_with_ratings", prompts: int = 3, **changes: Any) -> Bridge:
        project = Project(
            id=ProjectId(digest(team.name, kind)),
            name=f"Demo {kind}",
            guidelines="Be *fair*.",
            overlap=2,
            collecting=Collecting(task_types=(kind,), **changes),
            created=now,
        )
        asked = [Prompt.of(project.id, f"Why is the sky {n}?") for n in range(prompts)]
        answers = 4 if kind == "ranking" else 2
        with database.write() as connection:
            add_project(connection, project)
            add_prompts(connection, asked)
            add_responses(
                connection,
                [Response.of(one.id, f"Because {n}.", policy=f"secret-{n}")
                 for one in asked for n in range(answers)],
            )  # fmt: skip
            make_tasks(connection, project, rng=np.random.default_rng(0))
        environment = {
            "ARGILLA_API_URL": argilla_server.url,
            "ARGILLA_API_KEY": argilla_server.owner_key,
        }
        return Bridge(database, project, Server.open(environment), team)

    return bridge


@pytest.fixture
def three(team: Team) -> list[Person]:
    return [team.join(name) for name in ("ann", "ben", "cid")]


def test_exactly_what_three_people_said_comes_back_through_restarts(
    bridge: Callable[..., Bridge], three: list[Person], argilla_server: GenuineServer
) -> None:
    desk = bridge()
    assert [(one.added, one.known) for one in desk.push()] == [(3, 0)]
    assert [(one.added, one.known) for one in desk.push()] == [(0, 3)]
    ann, ben, cid = three
    first, second, third = (one["id"] for one in desk.records())
    ann.submit(first, GOOD)
    changed = ann.submit(second, GOOD)
    ben.submit(first, GOOD | {"preference": "both_bad", "comment": "Neither."})
    ben.draft(second, {"preference": "tie"})
    # Saved with an error 500, and without a word.
    assert ben.respond(third, "discarded", None).status_code == 500
    gone = cid.submit(third, GOOD)
    cid.discard(second)
    argilla_server.restart()
    found = desk.pull()
    assert (found.new, found.drafts, found.discarded, found.refused) == (4, 1, 2, 0)
    assert (found.records, found.responses, found.beside, found.missed) == (3, 7, 0, 0)
    assert found.mended == 1
    assert told(desk) == {(first, ann.id, -2), (second, ann.id, -2), (first, ben.id, None),
                          (third, cid.id, -2)}  # fmt: skip
    # Nothing twice: not from the same server, not from one that was started again.
    before = desk.said(everything=True)
    argilla_server.restart()
    again = desk.pull()
    assert (again.new, again.changed, again.withdrawn, again.discarded) == (0, 0, 0, 0)
    assert (again.known, again.drafts, again.mended) == (6, 1, 0)
    assert desk.said(everything=True) == before
    # Minds are changed: an edit, a deletion, a draft that is finished.
    ann.edit(changed["id"], GOOD | {"preference": "2_much_better"})
    cid.delete(gone["id"])
    (drafted,) = [
        one["id"] for record in desk.records() for one in record["responses"]
        if one["user_id"] == ben.id and one["status"] == "draft"
    ]  # fmt: skip
    ben.edit(drafted, GOOD | {"preference": "tie"})
    argilla_server.restart()
    last = desk.pull()
    assert (last.new, last.changed, last.withdrawn, last.drafts) == (1, 1, 1, 0)
    assert told(desk) == {(first, ann.id, -2), (second, ann.id, 3), (first, ben.id, None),
                          (second, ben.id, 0)}  # fmt: skip
    comments = {one.comment for one in desk.said()}
    assert comments == {"", "Neither."}
    with desk.database.read() as connection:
        assert Counter(one.reason for one in skips(connection, desk.project.id)) == {
            "Discarded in Argilla.": 2
        }


def told(desk: Bridge) -> set[tuple[str, str, int | None]]:
    """What counts here: record, person and choice (None for both bad), by Argilla's ids."""
    said = desk.said()
    with desk.database.read() as connection:
        names = {one.pseudonym: one.name.removeprefix("argilla:") for one in annotators(connection)}
    records = {one["external_id"]: one["id"] for one in desk.records()}
    found = set()
    for one in said:
        (compared,) = one.comparisons
        assert {rating.response for rating in one.ratings} == set(one.shown or ())
        choice = None if compared.both_bad else compared.choice
        found.add((records[str(one.task)], names[one.annotator], choice))
    return found


def test_a_record_shows_the_task_and_not_who_wrote_what(
    bridge: Callable[..., Bridge], three: list[Person]
) -> None:
    desk = bridge()
    desk.push()
    with desk.database.read() as connection:
        known = {one.id: one for one in tasks(connection, desk.project.id)}
    seen = three[0].pending(desk.dataset)
    assert {one["external_id"] for one in seen} == set(known)
    for one in seen:
        assert [turn["role"] for turn in one["fields"]["prompt"]] == ["user"]
        assert one["fields"]["prompt"][0]["content"].startswith("Why is the sky")
        assert {one["fields"]["response_1"], one["fields"]["response_2"]} == {
            "Because 0.",
            "Because 1.",
        }
        assert "secret" not in json.dumps(one)
        assert not one["suggestions"]
    dataset = desk.open()
    assert dataset.settings.guidelines == "Be *fair*."
    assert dataset.settings.distribution.min_submitted == 2
    # Left and right are as told: whoever prefers the first field prefers its response.
    for record in desk.records():
        three[0].submit(record["id"], GOOD)
    desk.pull()
    texts = {Response.of(one.prompt, f"Because {n}.", policy=f"secret-{n}").id: f"Because {n}."
             for one in desk.said() for n in range(2)}  # fmt: skip
    by_task = {one["external_id"]: one["fields"] for one in desk.records()}
    for one in desk.said():
        shown = [texts[ResponseId(response)] for response in one.shown or ()]
        fields = by_task[str(one.task)]
        assert shown == [fields["response_1"], fields["response_2"]]
        assert one.comparisons[0].preferred == (one.shown or ())[0]


ANSWERS: dict[str, dict[str, Any]] = {
    "pair": {"preference": "2_slightly_better"},
    "single_rating": {"rating_1": 7},
    "ranking": {
        "ranking": [{"value": f"response_{n}", "rank": rank} for n, rank in
                    ((1, 2), (2, 1), (3, 2), (4, 4))]
    },
    "aspects": {
        "preference": "tie", "rating_1_helpful": 1, "rating_2_helpful": 2,
        "rating_1_truth_ab2d9d": 3, "rating_2_truth_ab2d9d": 4,
    },
    "edit": {"preference": "1_better", "edited": "Because of *light*."},
}  # fmt: skip


@pytest.mark.parametrize("kind", ANSWERS)
def test_every_kind_of_task_goes_there_and_comes_back(
    bridge: Callable[..., Bridge], three: list[Person], kind: str
) -> None:
    aspects = ("helpful", "Truth!") if kind == "aspects" else ("overall",)
    desk = bridge(kind, prompts=1, aspects=aspects)
    desk.push()
    asked = [one["name"] for one in desk.team.get(f"/datasets/{desk.dataset}/questions")["items"]]
    values = dict(ANSWERS[kind])
    if kind == "aspects":  # the name that Argilla takes ends in a digest of the aspect's own
        strange = [name for name in asked if "truth" in name]
        values = {name: value for name, value in values.items() if "truth" not in name}
        values |= dict(zip(strange, (3, 4), strict=True))
    record = desk.records()[0]
    three[0].submit(record["id"], values | {"comment": "Hm."})
    found = desk.pull()
    assert (found.new, found.refused) == (1, 0), found.reasons
    (kept,) = desk.said()
    shown = kept.shown or ()
    choices = [(one.left, one.right, one.choice) for one in kept.comparisons]
    ratings = [(one.response, one.aspect, one.value) for one in kept.ratings]
    match kind:
        case "pair":
            assert (choices, ratings) == ([(*shown, 1)], [])
        case "single_rating":
            assert (choices, ratings) == ([], [(shown[0], "overall", 7)])
        case "ranking":
            assert [choice for _, _, choice in choices] == [1, 0, -1, -1, -1, -1]
            assert ratings == []
        case "aspects":
            assert choices == [(*shown, 0)]
            assert [(aspect, value) for _, aspect, value in ratings] == [
                ("helpful", 1), ("helpful", 2), ("Truth!", 3), ("Truth!", 4)]  # fmt: skip
        case "edit":
            assert len(choices) == 3
            assert choices[0] == (*shown, -2)
    assert kept.comment == "Hm."


def test_more_people_than_were_asked_are_all_kept(
    bridge: Callable[..., Bridge], three: list[Person]
) -> None:
    desk = bridge(prompts=1)
    desk.push()
    (record,) = desk.records()
    for person in three:
        person.submit(record["id"], GOOD)
    found = desk.pull()
    assert (found.new, found.beside) == (3, 1)
    assert len(desk.said()) == 3


def test_a_model_suggests_what_nobody_has_answered(
    bridge: Callable[..., Bridge], three: list[Person]
) -> None:
    desk = bridge(prompts=2)
    desk.push()
    answered, free = desk.records()
    # The server cannot write such a record again.
    assert three[0].respond(answered["id"], "discarded", None).status_code == 500
    asked: list[Any] = []

    def gaps(pairs: Any) -> list[float]:
        asked.extend(pairs)
        return [2.0 if second == "Because 1." else -2.0 for _, _, second in pairs]

    found = desk.push(suggesting=Suggesting(model="combined-1", gaps=gaps))
    assert [(one.added, one.known) for one in found] == [(0, 2)]
    assert len(asked) == 1
    suggested = {one["id"]: one["suggestions"] for one in desk.records()}
    assert not suggested[answered["id"]]
    (one,) = suggested[free["id"]]
    better = "2" if free["fields"]["response_2"] == "Because 1." else "1"
    assert (one["value"], one["agent"]) == (f"{better}_better", "combined-1")
    assert one["score"] == pytest.approx(0.8808, abs=1e-4)


def test_a_data_set_that_asks_something_else_is_left_alone(bridge: Callable[..., Bridge]) -> None:
    desk = bridge("aspects", prompts=1, aspects=("helpful", "true"))
    desk.push()
    with desk.database.write() as connection:
        asked = replace(desk.project.collecting, aspects=("helpful", "short"))
        desk.project = set_collecting(connection, desk.project.id, asked)
    with pytest.raises(InvalidOption, match=r"it asks .*rating_1_true.*pull what was answered"):
        desk.push()


def test_a_workspace_that_is_gone_is_told(bridge: Callable[..., Bridge]) -> None:
    desk = bridge(prompts=1)
    desk.push()
    with desk.database.write() as connection:
        elsewhere = replace(desk.project.collecting, argilla_workspace=desk.team.name + "x")
        desk.project = set_collecting(connection, desk.project.id, elsewhere)
    with pytest.raises(NotFound, match=f"Did you mean '{desk.team.name}'"):
        desk.pull()


def test_a_wrong_key_is_told(argilla_server: GenuineServer) -> None:
    with pytest.raises(ServiceFailed, match="does not know the key"):
        Server.open({"ARGILLA_API_URL": argilla_server.url, "ARGILLA_API_KEY": "wrong"})


def test_its_export_file_is_read_without_it(
    bridge: Callable[..., Bridge], three: list[Person], tmp_path: Path
) -> None:
    desk = bridge()
    desk.push()
    for place, record in enumerate(desk.records()):
        three[place].submit(record["id"], GOOD)
    dataset = desk.open()
    as_json, as_rows = tmp_path / "records.json", tmp_path / "rows.parquet"
    dataset.records(with_responses=True).to_json(as_json)
    dataset.records(with_responses=True).to_datasets().to_parquet(as_rows)
    now = datetime.now(UTC)
    assert pull_file(desk.database, as_rows, desk.project, now=now).new == 3
    assert pull_file(desk.database, as_json, desk.project, now=now).known == 3
    # They are the same people and the same judgements when the server is asked.
    assert desk.pull().known == 3
    assert len(desk.said(everything=True)) == 3


@pytest.fixture
def command(
    argilla_server: GenuineServer, sqlite_url: str, tmp_path: Path
) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `tandem` as a user would, on the same database."""
    started: list[subprocess.Popen[str]] = []
    environment = os.environ | {
        "ARGILLA_API_URL": argilla_server.url,
        "ARGILLA_API_KEY": argilla_server.owner_key,
        "TANDEM_DATA_DIR": str(tmp_path),
        "TANDEM_DATABASE_URL": sqlite_url,
    }

    def start(*words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "app.cli", "argilla", *words],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_people_are_followed_while_either_side_is_started_again(
    bridge: Callable[..., Bridge],
    three: list[Person],
    command: Callable[..., subprocess.Popen[str]],
    argilla_server: GenuineServer,
) -> None:
    desk = bridge()
    desk.push()
    ann, ben, cid = three
    first, second, third = (one["id"] for one in desk.records())
    listen = f"127.0.0.1:{free_port()}"
    # So seldom that whatever comes soon came by a message.
    words = ("sync", "--project", desk.project.name, "--listen", listen, "--every", "3600")
    following = command(*words)
    wait_for(lambda: hooks(desk.team, listen) == 1)
    response = ann.submit(first, GOOD)
    wait_for(lambda: told(desk) == {(first, ann.id, -2)})
    ann.edit(response["id"], GOOD | {"preference": "tie"})
    wait_for(lambda: told(desk) == {(first, ann.id, 0)})
    # Nobody listens: what was said meanwhile is found at the start.
    following.kill()
    following.wait(30)
    ben.submit(second, GOOD)
    following = command(*words)
    wait_for(lambda: (second, ben.id, -2) in told(desk))
    # The server is started again under it.
    argilla_server.restart()
    cid.submit(third, GOOD)
    wait_for(lambda: (third, cid.id, -2) in told(desk))
    ann.delete(response["id"])
    wait_for(lambda: told(desk) == {(second, ben.id, -2), (third, cid.id, -2)})
    assert len(desk.said(everything=True)) == 4
    following.send_signal(signal.SIGTERM)
    _, said = following.communicate(timeout=60)
    assert following.returncode == 0, said
    assert "1 new judgements" in said
    assert hooks(desk.team, listen) == 0


def hooks(team: Team, listen: str) -> int:
    """How many subscriptions the server has to our listener."""
    return sum(listen in one["url"] for one in team.get("/webhooks")["items"])


def wait_for(what: Callable[[], bool], seconds: float = 90.0) -> None:
    """Messages take seconds, on a busy machine many."""
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            pytest.fail(f"It did not come to that within {seconds:.0f} seconds.")
        time.sleep(0.2)


def test_the_commands_push_and_pull(
    bridge: Callable[..., Bridge],
    three: list[Person],
    command: Callable[..., subprocess.Popen[str]],
) -> None:
    desk = bridge(prompts=1)
    named = ("--project", desk.project.name, "--json")
    out, said = command("push", *named, "--workspace", desk.team.name).communicate(timeout=120)
    assert [one["added"] for one in json.loads(out)["datasets"]] == [1], said
    desk.look_again()
    three[0].submit(desk.records()[0]["id"], GOOD)
    out, said = command("pull", *named).communicate(timeout=120)
    assert json.loads(out)["new"] == 1, said
    out, said = command("pull", "--project", desk.project.name).communicate(timeout=120)
    assert out == "1 records, 1 responses: Nothing new.\n", said
