"""Bringing a file into a project: the whole file or nothing, and never twice.

The file is read twice: once to find every mistake before the database is touched, once to write, in
one transaction. Everything gets its identifier from its content, so a second import adds nothing.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from feedback.importers.reading import choose, read_judged_prompts
from feedback.importers.records import JudgedPrompt, Score, Verdict
from feedback.known_items import KNOWN, known_task
from storage.annotators import add_annotator, find_annotator, set_active
from storage.database import Connection, Database
from storage.errors import InvalidData
from storage.judgements import counts, record_imported
from storage.projects import ensure_project
from storage.prompts import add_prompts, add_responses
from storage.recipes import Progress
from storage.records import (
    AnnotatorId,
    Comparison,
    Kind,
    Project,
    Prompt,
    Rating,
    Response,
    Role,
    Submission,
    SubmissionId,
    Task,
    digest,
)
from storage.rows import in_batches
from storage.tasks import add_tasks

logger = logging.getLogger(__name__)

LINES_AT_ONCE = 200
FROM_FILE = "file:"
"""How the sign-in name of somebody begins who is known from a file alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What an import added, and what it left out."""

    file: str
    format: str
    project: str
    lines: int
    prompts: int
    """New ones; the same holds for the next three."""
    responses: int
    comparisons: int
    ratings: int
    duplicates: int
    """Comparisons and ratings that the project had already."""
    skipped: int
    """Comparisons that are not of two different answers to one prompt."""
    dependent: int
    """Comparisons computed from ratings of the same sitting; they add nothing to those ratings."""
    known_items: int
    """New tasks whose right answer is known."""

    def sentence(self) -> str:
        """The report for people."""
        remarks = [
            f"{count} {remark}"
            for count, remark in (
                (self.known_items, "of the prompts are known items"),
                (self.duplicates, "judgements were there already"),
                (self.skipped, "comparisons were not of two different answers to one prompt"),
                (self.dependent, "comparisons were computed from ratings and are not independent"),
            )
            if count
        ]
        return (
            f"{self.file} ({self.format}) added {self.prompts} prompts, {self.responses} responses,"
            f" {self.comparisons} comparisons and {self.ratings} ratings to {self.project!r}"
            f"{'; ' if remarks else ''}{'; '.join(remarks)}."
        )


def import_file(
    database: Database,
    path: Path,
    *,
    project: str,
    format_name: str | None = None,
    options: Mapping[str, Any] | None = None,
    now: datetime,
    progress: Progress | None = None,
) -> ImportReport:
    """Add everything in a file to a project, or nothing at all.

    The `split` of a file is not taken over: prompts fall into parts by their text (`split_of`).

    Args:
        database: Where to.
        path: A file in one of the formats of `IMPORTERS`.
        project: Its name; it is made when there is none.
        format_name: Which format; detected from the first line when None.
        options: Options of the format's config.
        now: Kept as the moment when the judgements were received.
        progress: Told the lines written so far.

    Raises:
        InvalidData: Something in the file is wrong, or contradicts what is stored.
        NotFound: There is no format of that name.
        InvalidOption: An option is unknown to the format or out of bounds.
        StorageFailed: The disk or the database refused.
    """
    recipe, config = choose(path, format_name, options or {})
    # Every mistake is found here, before the database is touched and others have to wait.
    lines = sum(1 for _ in read_judged_prompts(path, recipe, config))
    with database.write() as connection:
        stored = ensure_project(connection, project, now=now)
        before = counts(connection, stored.id)
        arrivals = _Arrivals(connection, stored, now)
        for batch in in_batches(read_judged_prompts(path, recipe, config), LINES_AT_ONCE):
            arrivals.add(batch)
            if progress is not None:
                progress.report(arrivals.found["lines"], total=lines)
        after = counts(connection, stored.id)
    found = arrivals.found
    new = {
        what: after[what] - before[what]
        for what in ("prompts", "responses", "comparisons", "ratings")
    }
    report = ImportReport(
        file=path.name,
        format=recipe.name,
        project=project,
        lines=lines,
        duplicates=found["judgements"] - new["comparisons"] - new["ratings"],
        skipped=found["skipped"],
        dependent=found["dependent"],
        known_items=found["known_items"],
        **new,
    )
    logger.info(report.sentence())
    return report


@dataclass
class _Arrivals:
    """Judged prompts on their way into one project, in one transaction."""

    connection: Connection
    project: Project
    now: datetime
    annotators: dict[str, tuple[AnnotatorId, Kind]] = field(default_factory=dict)
    met: Counter[str] = field(default_factory=Counter)
    """How often each judgement occurred in the file so far."""
    found: Counter[str] = field(default_factory=Counter)
    """Lines, judgements, skipped and dependent comparisons, and known items of the file so far."""

    def add(self, batch: Iterable[JudgedPrompt]) -> None:
        prompts: list[Prompt] = []
        responses: list[Response] = []
        submissions: list[Submission] = []
        known_items: list[Task] = []
        for judged in batch:
            self.found.update(
                lines=1,
                judgements=len(judged.verdicts) + len(judged.scores),
                skipped=judged.skipped,
                dependent=judged.dependent,
            )
            prompt = Prompt.of(
                self.project.id, judged.messages, tags=judged.tags, source=judged.source
            )
            known = judged.known
            # Responses that were made to be recognised are not given out as feedback tasks.
            marked = {} if known is None else {KNOWN: str(known.purpose)}
            answers = [
                Response.of(prompt.id, r.text, policy=r.policy, sampling={**r.sampling, **marked})
                for r in judged.responses
            ]
            prompts.append(prompt)
            responses += answers
            if known is not None:
                known_items.append(
                    known_task(
                        self.project,
                        prompt.id,
                        [answer.id for answer in answers],
                        purpose=known.purpose,
                        expected=known.expected,
                    )
                )
            submissions += self._submissions(judged, prompt, answers)
        add_prompts(self.connection, prompts)
        add_responses(self.connection, responses)
        record_imported(self.connection, submissions)
        self.found.update(known_items=add_tasks(self.connection, known_items))

    def _submissions(
        self, judged: JudgedPrompt, prompt: Prompt, answers: list[Response]
    ) -> Iterator[Submission]:
        for sitting in _sittings(judged):
            comparisons = tuple(
                Comparison(
                    left=answers[verdict.left].id,
                    right=answers[verdict.right].id,
                    choice=verdict.choice,
                    graded=verdict.graded,
                    both_bad=verdict.both_bad,
                )
                for verdict in sitting
                if isinstance(verdict, Verdict)
            )
            ratings = tuple(
                Rating(response=answers[score.response].id, value=score.value, aspect=score.aspect)
                for score in sitting
                if isinstance(score, Score)
            )
            content = digest(
                prompt.id,
                sitting[0].annotator,
                [(c.left, c.right, c.choice, c.graded, c.both_bad) for c in comparisons],
                [(r.response, r.aspect, r.value) for r in ratings],
                length=32,
            )
            # The same words twice in a file are two judgements; the same file twice is not.
            # Counting rather than using the line number lets a file be sorted anew and imported
            # again.
            occurrence = self.met[content]
            self.met[content] += 1
            yield Submission(
                id=SubmissionId(digest("imported", content, occurrence, length=32)),
                annotator=self._annotator(sitting[0].annotator, sitting[0].kind),
                prompt=prompt.id,
                comparisons=comparisons,
                ratings=ratings,
                interface="import",
                received=self.now,
            )

    def _annotator(self, name: str, kind: Kind) -> AnnotatorId:
        """The annotator of a file, the same in every file of the project."""
        if name not in self.annotators:
            # Another name than any person's here, and kept out: no file speaks for somebody who
            # signs in, and nobody signs in as somebody in a file.
            sign_in_name = f"{FROM_FILE}{self.project.id}:{name}"
            known = find_annotator(self.connection, sign_in_name)
            if known is None:
                known = add_annotator(
                    self.connection, sign_in_name, role=Role.ANNOTATOR, kind=kind, now=self.now
                )
                set_active(self.connection, known.id, False)
            self.annotators[name] = known.id, known.kind
        annotator, known_kind = self.annotators[name]
        if known_kind != kind:
            raise InvalidData(
                f"The annotator {name!r} of the project {self.project.name!r} is a {known_kind},"
                f" and here a {kind}; use one kind, or another project."
            )
        return annotator


def _sittings(judged: JudgedPrompt) -> Iterator[list[Verdict | Score]]:
    """What was handed in together. Files that do not say so get one submission per judgement."""
    together: defaultdict[tuple[str, str], list[Verdict | Score]] = defaultdict(list)
    judgements: tuple[Verdict | Score, ...] = judged.verdicts + judged.scores
    for judgement in judgements:
        if judgement.sitting is None:
            yield [judgement]
        else:
            together[judgement.sitting, judgement.annotator].append(judgement)
    yield from together.values()
