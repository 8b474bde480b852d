"""Bringing a file into a project: the whole file or nothing, and never twice.

Who asks for it gets all but the broken lines instead, each of which is counted. The file is read
twice: once to find every mistake before the database is touched, once to write, in
one transaction. Everything gets its identifier from its content, so a second import adds nothing.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from feedback.importers.occurrences import Occurrences
from feedback.importers.reading import choose, read_judged_lines
from feedback.importers.records import JudgedPrompt, Scale, Score, Verdict
from feedback.importers.report import Faults, ImportReport, pass_over
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
Broken = Literal["refuse", "skip"]
"""What a broken line does: it refuses the whole file, or is left out itself."""
FROM_FILE = "file:"
"""How the sign-in name of somebody begins who is known from a file alone."""


def import_file(
    database: Database,
    path: Path,
    *,
    project: str,
    format_name: str | None = None,
    options: Mapping[str, Any] | None = None,
    broken: Broken = "refuse",
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
        broken: What a line does that cannot be read: with `refuse` nothing is added, with `skip`
            all the other lines are, and the report says which are missing.
        now: Kept as the moment when the judgements were received.
        progress: Told the lines written so far.

    Raises:
        InvalidData: Something in the file is wrong, or contradicts what is stored.
        NotFound: There is no format of that name.
        InvalidOption: An option is unknown to the format or out of bounds.
        StorageFailed: The disk or the database refused.
    """
    faults = Faults()
    tell = faults.add if broken == "skip" else None
    recipe, config = choose(path, format_name, options or {}, on_broken=tell)
    # Every mistake is found here, before the database is touched and others have to wait.
    faults = Faults()
    tell = faults.add if broken == "skip" else None
    lines = sum(1 for _ in read_judged_lines(path, recipe, config, on_broken=tell))
    if not lines:
        raise InvalidData(
            f"None of the {faults.number} lines of {path} can be read. {' '.join(faults.first[:1])}"
        )
    with closing(Occurrences()) as met, database.write() as connection:
        stored = ensure_project(connection, project, now=now)
        before = counts(connection, stored.id)
        arrivals = _Arrivals(connection, stored, now, met)
        again = read_judged_lines(path, recipe, config, on_broken=tell and pass_over)
        for batch in in_batches((said for _, said in again), LINES_AT_ONCE):
            arrivals.add([judged for said in batch for judged in said], lines=len(batch))
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
        rescaled=arrivals.scales.total(),
        scales=tuple(f"{low:g} to {high:g}" for low, high in sorted(arrivals.scales)),
        left_out=dict(arrivals.left_out),
        broken=faults.number,
        reasons=tuple(faults.first),
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
    met: Occurrences
    annotators: dict[str, tuple[AnnotatorId, Kind]] = field(default_factory=dict)
    found: Counter[str] = field(default_factory=Counter)
    """Lines, judgements, skipped and dependent comparisons, and known items of the file so far."""
    scales: Counter[Scale] = field(default_factory=Counter)
    """How many ratings were mapped from which scale."""
    left_out: Counter[str] = field(default_factory=Counter)

    def add(self, batch: Iterable[JudgedPrompt], *, lines: int) -> None:
        self.found.update(lines=lines)
        prompts: list[Prompt] = []
        responses: list[Response] = []
        submissions: list[Submission] = []
        known_items: list[Task] = []
        for judged in batch:
            self.found.update(
                judgements=len(judged.verdicts) + len(judged.scores),
                skipped=judged.skipped,
                dependent=judged.dependent,
            )
            self.scales.update(one.scale for one in judged.scores if one.scale is not None)
            self.left_out.update(judged.left_out)
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
            occurrence = self.met.before(content)
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
