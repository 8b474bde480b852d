"""How a program votes: it leases tasks and hands in answers as any participant does."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import reduce
from typing import Any, Literal, Self

import numpy as np

from feedback.assignment import ShownTask, next_tasks, tasks_beside
from feedback.intake import Answer, take
from storage import seats
from storage.annotators import add_annotator, find_annotator
from storage.database import Database
from storage.errors import InvalidOption, NotAllowed
from storage.projects import projects
from storage.recipes import Progress, Recipe, RecipeConfig
from storage.records import Annotator, Kind, Role, Study
from storage.studies import study as find_study

AT_ONCE = 32
"""Tasks leased together: enough to fill a reward model's batch."""
LEAST_PARSED = 0.9
"""Share of replies with a verdict below which a judge is doubted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What it took to ask others; nothing for judges that ask nobody."""

    replies: int = 0
    """That came, whatever was in them."""
    parsed: int = 0
    """Those with a verdict."""
    tokens: int = 0
    """Read and written, as far as the replies tell."""
    untold: int = 0
    """Replies that do not tell their tokens."""
    cost: float | None = 0.0
    """In the currency of the price; None where the price, or the tokens, are not known."""

    def __add__(self, other: Self) -> Self:
        unknown = self.cost is None or other.cost is None
        return type(self)(
            replies=self.replies + other.replies,
            parsed=self.parsed + other.parsed,
            tokens=self.tokens + other.tokens,
            untold=self.untold + other.untold,
            cost=None if unknown else (self.cost or 0.0) + (other.cost or 0.0),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ballot:
    """What a judge says of one task."""

    choice: int
    """-3 left much better ... 0 tie ... +3 right much better."""
    both_bad: bool = False
    inconsistent: bool = False
    """A tie because the judge said something else when the answers had changed places."""
    spent: Spent = field(default_factory=Spent)

    def __post_init__(self) -> None:
        if self.inconsistent and self.choice:
            raise ValueError(f"A judge that contradicts itself prefers none; got {self.choice}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Abstention:
    """A judge has nothing to say of a task: no vote, which is something else than a tie."""

    why: Literal["unparsable", "failed"]
    """A reply held no verdict, or did not come."""
    detail: str
    """In words, for whoever runs the judge."""
    spent: Spent = field(default_factory=Spent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """A program ready to vote. It sees what a person would see, and nothing else."""

    name: str
    """Under which it is registered as an annotator."""
    kind: Kind
    ballots: Callable[[Sequence[ShownTask]], Iterable[Ballot | Abstention]]
    """One for each task, in their order. Each is kept as soon as it comes."""
    at_once: int = AT_ONCE
    """Tasks leased together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Voting:
    """What came of letting a judge vote once."""

    judge: str
    votes: int
    """Those given now; earlier ones stay and are not counted."""
    inconsistent: int
    """Ties among them for which the judge contradicted itself."""
    unparsable: int
    """Tasks without a vote, because a reply held no verdict."""
    failed: int
    """Tasks without a vote, because a reply did not come."""
    example: str
    """Why the last task without a vote has none, in words; empty where all have one."""
    spent: Spent

    @property
    def abstained(self) -> int:
        """Tasks without a vote. They stay open, for this judge too."""
        return self.unparsable + self.failed

    @property
    def parse_rate(self) -> float | None:
        """Share of replies that held a verdict; None where none came."""
        return self.spent.parsed / self.spent.replies if self.spent.replies else None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What to doubt, in words."""
        found = []
        rate = self.parse_rate
        if rate is not None and rate < LEAST_PARSED:
            found.append(
                f"Only {rate:.0%} of {self.spent.replies} replies held a verdict".replace("%", " %")
                + f"; below {LEAST_PARSED:.0%}".replace("%", " %")
                + " the votes speak for the tasks this judge can read, not for the study."
            )
        if self.abstained:
            found.append(
                f"{_tasks(self.abstained)} got no vote: {self.unparsable} without a verdict in the"
                f" reply, {self.failed} without a reply. The last one: {self.example} Run the judge"
                " again to ask for what is open."
            )
        if self.spent.untold:
            found.append(
                f"{self.spent.untold} of {self.spent.replies} replies did not tell how many tokens"
                " they took; there were more than are counted."
            )
        return tuple(found)

    def as_json(self) -> dict[str, Any]:
        """The form in which commands carry it. Rates are fractions."""
        return {
            "annotator": self.judge,
            "votes": self.votes,
            "inconsistent": self.inconsistent,
            "abstained": self.abstained,
            "unparsable": self.unparsable,
            "failed": self.failed,
            "parse_rate": self.parse_rate,
            "tokens": self.spent.tokens,
            "cost": self.spent.cost,
            "warnings": list(self.warnings),
        }


def vote(
    database: Database,
    study: Study,
    recipe: Recipe,
    config: RecipeConfig,
    *,
    now: Callable[[], datetime],
    seed: int = 0,
    progress: Progress | None = None,
) -> Voting:
    """Let a judge vote once on every task of a study that is open to it.

    Calling it again goes on where it stopped, asks again for tasks on which the judge abstained,
    and adds nothing once everything is judged. When it ends, however it ends, the judge holds no
    seat that others could have.

    Args:
        database: Where the study is kept.
        study: An open one.
        recipe: An entry of `JUDGES`.
        config: The recipe's options.
        now: Clock for leases and votes; a judge over the network may take hours.
        seed: Draws the order of the tasks and the sides of the answers.
        progress: Told after each batch.

    Raises:
        NotAllowed: The study is closed, asks for something else than choices, or a service refuses
            the judge.
        InvalidOption: Another kind of annotator has the judge's name.
        ServiceFailed: A service that the judge asks does not answer.
    """
    judge: Judge = recipe.run(config)
    rng = np.random.default_rng(seed)
    with database.write() as connection:
        if find_study(connection, study.id).closed is not None:
            raise NotAllowed(f"The study {study.name!r} is closed; it takes no more votes.")
        if (form := study.plan.get("form", "pair")) != "pair":
            raise NotAllowed(
                f"Judges choose between two answers, and the study {study.name!r} asks for another"
                f" form of task ({form}). Open one that asks for pairs."
            )
        project = next(one for one in projects(connection) if one.id == study.project)
        annotator = find_annotator(connection, judge.name) or add_annotator(
            connection, judge.name, role=Role.PARTICIPANT, kind=judge.kind, now=now()
        )
    if annotator.kind is not judge.kind:
        raise InvalidOption("judge", f"the name belongs to a {annotator.kind}", judge.name)

    counted: Counter[str] = Counter()
    spent: list[Spent] = []
    abstained: dict[str, str] = {}

    def open_tasks() -> list[ShownTask]:
        # Those without a vote stay leased until the end, so that they are asked about once.
        # A simulated rater stands for a person, so it takes a person's place.
        ask = tasks_beside if judge.kind is Kind.PROGRAM else next_tasks
        leased = ask(
            database,
            annotator,
            project,
            study=study.id,
            count=judge.at_once + len(abstained),
            now=now(),
            rng=rng,
        )
        return [task for task in leased if task.assignment.id not in abstained]

    try:
        while tasks := open_tasks():
            for task, said in zip(tasks, judge.ballots(tasks), strict=True):
                spent.append(said.spent)
                if isinstance(said, Abstention):
                    counted[said.why] += 1
                    abstained[task.assignment.id] = said.detail
                elif _hand_in(database, annotator, task, said, now()):
                    counted["votes"] += 1
                    counted["inconsistent"] += said.inconsistent
            if progress is not None:
                progress.report(counted["votes"], message=f"{judge.name} voted")
    finally:
        with database.write() as connection:
            seats.leave(connection, annotator.id, project.id, study.id)
    return Voting(
        judge=judge.name,
        votes=counted["votes"],
        inconsistent=counted["inconsistent"],
        unparsable=counted["unparsable"],
        failed=counted["failed"],
        example=next(reversed(abstained.values()), ""),
        spent=reduce(Spent.__add__, spent, Spent()),
    )


def _hand_in(
    database: Database, annotator: Annotator, task: ShownTask, ballot: Ballot, now: datetime
) -> bool:
    answer = Answer(
        # Made from the assignment, so that handing in again after a crash changes nothing.
        submission=uuid.uuid5(uuid.NAMESPACE_OID, task.assignment.id),
        assignment=task.assignment.id,
        choice=ballot.choice,
        both_bad=ballot.both_bad,
        # As files of votes call it, so that it can be told from a tie that was meant.
        comment="tie (inconsistent)" if ballot.inconsistent else "",
        interface="judge",
    )
    return take(database, annotator, answer, now=now).saved


def _tasks(count: int) -> str:
    return f"{count} task" if count == 1 else f"{count} tasks"
