"""Simulated raters at work: they sign in by link and judge through the HTTP API, as people do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from evaluation.judges import JUDGES, vote
from feedback.simulation import SimulatedRater
from storage import annotators
from storage.errors import StorageFailed
from storage.records import Kind, Role, Study

if TYPE_CHECKING:
    import httpx

    from storage.database import Database

TASKS_AT_ONCE = 10
"""Leased together, as the widget does to have the next task ready."""
PATIENCE = 60.0
"""Seconds that one request may take."""
LINK_LIFETIME = timedelta(hours=1)
FIRST_VOTER = 100
"""Seed of the first voter, so that none has the taste of a rater that the models learned from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invited:
    """A simulated rater with the secret end of its sign-in link."""

    rater: SimulatedRater
    token: str


def invite(database: Database, raters: Sequence[SimulatedRater], *, now: datetime) -> list[Invited]:
    """Add raters, marked as simulated, and make each a link."""
    invited = []
    with database.write() as connection:
        for rater in raters:
            added = annotators.add_annotator(
                connection, rater.name, role=Role.ANNOTATOR, kind=Kind.SIMULATED, now=now
            )
            token = annotators.make_sign_in_link(
                connection, added.id, now=now, lifetime=LINK_LIFETIME
            )
            invited.append(Invited(rater=rater, token=token))
    return invited


def judge_everything(
    address: str,
    invited: Sequence[Invited],
    *,
    project: str,
) -> int:
    """Let raters judge, side by side, until there is nothing left for any of them.

    Args:
        address: Of the running server.
        invited: Who judges.
        project: Whose tasks.

    Returns:
        How many judgements were acknowledged.

    Raises:
        StorageFailed: The server does not answer, or refused something.
    """
    import httpx

    def work(one: Invited) -> int:
        try:
            with _browser(address) as browser:
                _checked(browser.post(f"/sign-in/{one.token}"))
                return _judge(browser, one.rater, project)
        except httpx.TransportError as error:
            raise StorageFailed(f"The server at {address} does not answer: {error}.") from error

    with ThreadPoolExecutor(len(invited)) as pool:
        return sum(pool.map(work, invited))


def vote_in_study(
    database: Database, study: Study, *, voters: int, now: Callable[[], datetime]
) -> int:
    """Let simulated voters judge a study to the end.

    They vote as `evaluation.judges` do and not through the HTTP API: whoever enters a study there
    counts as a person.

    Returns:
        How many votes were kept.
    """
    gold = JUDGES["gold"]
    return sum(
        vote(
            database,
            study,
            gold,
            gold.config.read({"seed": FIRST_VOTER + number}),
            now=now,
            seed=number,
        ).votes
        for number in range(voters)
    )


def _judge(browser: httpx.Client, rater: SimulatedRater, project: str) -> int:
    judged = 0
    while True:
        asked = browser.get("/api/v1/tasks", params={"count": TASKS_AT_ONCE, "project": project})
        work = _checked(asked).json()
        tasks, aspects = work["tasks"], work["project"]["aspects"]
        if not tasks:
            return judged
        for task in tasks:
            said = rater.judge(task, aspects=aspects)
            _checked(browser.post("/api/v1/submissions", json=said))
        judged += len(tasks)


def _browser(address: str) -> httpx.Client:
    import httpx

    return httpx.Client(
        base_url=address,
        headers={"X-Requested-With": "fetch", "Origin": address},
        timeout=PATIENCE,
    )


def _checked(reply: httpx.Response) -> httpx.Response:
    """The reply, unless the server refused.

    Raises:
        StorageFailed: It refused; says what and why.
    """
    if reply.is_error:
        raise StorageFailed(
            f"The server refused {reply.request.method} {reply.request.url.path} with"
            f" {reply.status_code}: {reply.text[:200]}"
        )
    return reply
