"""A study that was opened as the product opens it, and participants who go through it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
from fastapi.testclient import TestClient
from served import ARMS, Web, answer
from sqlalchemy import select

from app.consent import consent_text
from evaluation.studies import open_study
from feedback.participation import Participation
from storage import tables
from storage.projects import ensure_project
from storage.prompts import add_prompts
from storage.records import Project, Prompt, Purpose, Study, TaskId
from storage.studies import study_key
from storage.tasks import task as task_of

BETTER = "Water it early"
"""How the answers of the first arm begin."""
NAME = "A study whose name tells too much"

Choose = Callable[[dict[str, Any]], int]


@dataclass
class Opened:
    """A study, and what a test has to know of it that no participant may."""

    web: Web
    project: Project
    study: Study

    @property
    def path(self) -> str:
        return f"/study/{self.study.code}"

    @property
    def asked(self) -> Participation:
        return Participation.of(self.study)

    def purpose(self, shown: dict[str, Any]) -> Purpose:
        """What a task on a participant's screen is for."""
        table = tables.assignments
        with self.web.database.read() as connection:
            is_it = table.c.id == shown["assignment"]
            return Purpose(connection.scalar(select(table.c.purpose).where(is_it)))

    def right(self, shown: dict[str, Any]) -> int:
        """The right choice of an attention check."""
        table = tables.assignments
        with self.web.database.read() as connection:
            row = connection.execute(
                select(table.c.task, table.c.shown).where(table.c.id == shown["assignment"])
            ).one()
            known = task_of(connection, TaskId(row.task))
        assert known.expected is not None
        wanted = known.responses[0 if known.expected["better"] == "first" else 1]
        return -2 if row.shown[0] == wanted else 2

    def lefts(self, person: Person) -> list[str]:
        """The arms that a person met on the left, in order."""
        table = tables.assignments
        with self.web.database.read() as connection:
            key = study_key(connection, self.study.id, for_totals=True)
            rows = connection.execute(
                select(table.c.shown, table.c.purpose)
                .where(table.c.annotator == person.id)
                .order_by(table.c.leased)
            )
            return [key[row.shown[0]] for row in rows if row.purpose == Purpose.FEEDBACK]


@dataclass
class Person:
    """Somebody who takes part, and everything that their browser receives."""

    opened: Opened
    pid: str | None = None
    about: tuple[str | None, ...] = ()
    browser: TestClient = field(init=False)
    received: list[httpx.Response] = field(default_factory=list)
    pseudonym: str = ""

    def __post_init__(self) -> None:
        self.browser = self.opened.web.browser()
        self.browser.event_hooks["response"].append(self._receive)

    def _receive(self, response: httpx.Response) -> None:
        response.read()
        self.received.append(response)

    @property
    def link(self) -> str:
        query = f"?PROLIFIC_PID={self.pid}&STUDY_ID=s-1&SESSION_ID=e-1" if self.pid else ""
        return self.opened.path + query

    @property
    def id(self) -> str:
        table = tables.annotators
        with self.opened.web.database.read() as connection:
            found = connection.scalar(select(table.c.id).where(table.c.pseudonym == self.pseudonym))
        assert found is not None
        return str(found)

    def post(self, end: str, body: dict[str, Any]) -> httpx.Response:
        return self.browser.post(f"/api/v1{self.opened.path}/{end}", json=body)

    def enter(self) -> Person:
        """Open the link, agree, and pass what comes before the first vote."""
        assert self.browser.get(self.link).status_code == 200
        agreed: dict[str, Any] = {
            "consent": True,
            "version": consent_text(self.opened.asked).version,
        }
        if self.pid:
            agreed["panel"] = {"pid": self.pid, "study": "s-1", "session": "e-1"}
        reply = self.post("enter", agreed)
        assert reply.status_code == 200, reply.text
        self.pseudonym = reply.json()["annotator"]
        if self.opened.asked.has_introduction:
            assert self.browser.get(self.link).status_code == 200
            said = self.about or (None,) * len(self.opened.asked.questions)
            assert self.post("begin", {"answers": list(said)}).status_code == 200
        return self

    def work(self, count: int = 5) -> dict[str, Any]:
        reply = self.browser.get(
            "/api/v1/tasks", params={"study": self.opened.study.code, "count": count}
        )
        assert reply.status_code == 200, reply.text
        return dict(reply.json())

    def say(self, shown: dict[str, Any], choice: int, **more: Any) -> httpx.Response:
        return self.browser.post(
            "/api/v1/submissions",
            params={"study": self.opened.study.code},
            json=answer(shown, choice=choice, interface="study", **more),
        )

    def one_by_one(self) -> Iterator[dict[str, Any]]:
        """Every task, one at a time; whoever asks for the next has answered this one."""
        while tasks := self.work(count=1)["tasks"]:
            yield tasks[0]

    def go_through(self, check: Choose | None = None, vote: Choose | None = None) -> Person:
        """Answer everything: checks rightly and votes for the first arm, unless told otherwise."""
        for shown in self.one_by_one():
            is_check = self.opened.purpose(shown) is Purpose.ATTENTION
            choose = (check or self.opened.right) if is_check else (vote or for_first_arm)
            assert self.say(shown, choose(shown)).status_code == 200
        return self


def for_first_arm(shown: dict[str, Any]) -> int:
    return -2 if shown["responses"][0]["text"].startswith(BETTER) else 2


def opened_study(
    web: Web,
    *,
    project: str = "",
    prompts: int = 12,
    overlap: int = 5,
    arms: int = 2,
    **asked: Any,
) -> Opened:
    """Open a study of a project of its own."""
    names = (*ARMS, "a-third-secret")[:arms]
    begin = (BETTER, "Give it sun", "Let it be")
    with web.database.write() as connection:
        kept_in = ensure_project(connection, project or f"Project {prompts}", now=web.now)
        made = [Prompt.of(kept_in.id, f"Tip {n + 1} for tomatoes, please.") for n in range(prompts)]
        add_prompts(connection, made)
    study = open_study(
        web.database,
        name=NAME,
        project=kept_in,
        arms={
            name: [f"{words}, and see about case {n + 1}." for n in range(prompts)]
            for name, words in zip(names, begin, strict=False)
        },
        prompts=made,
        overlap=overlap,
        now=web.now,
        rng=np.random.default_rng(5),
        participation=Participation.read(asked),
    )
    return Opened(web, kept_in, study)
