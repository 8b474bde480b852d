"""Everything a study holds once its key may be read: votes by name, texts, plan, and the result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from evaluation.compared_arms import Pair, PlanOfPair, StudyVote
from evaluation.counted_study import counted, identical_in, plans_in
from evaluation.participants import participant_facts
from evaluation.study_plan import design_of
from evaluation.study_ratings import StudyRating, study_ratings
from evaluation.study_tasks import standing_for
from evaluation.study_votes import study_votes
from evaluation.verdict import StudyResult
from storage.annotators import annotators
from storage.database import Database
from storage.errors import NotAllowed
from storage.judgements import judgements
from storage.prompts import prompts_by_id, responses_by_id
from storage.records import Kind, Prompt, PromptId, Response, ResponseId, Study
from storage.studies import study as find_study
from storage.studies import study_key

JUDGE = "judge: "
"""What the names of programs that vote begin with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRecord:
    """A study with its votes under the names of the arms."""

    study: Study
    result: StudyResult
    votes: tuple[StudyVote, ...]
    """In the order in which they came."""
    ratings: tuple[StudyRating, ...]
    """Where participants were asked to rate."""
    key: Mapping[ResponseId, str]
    """The arm that wrote each response."""
    prompts: Mapping[PromptId, Prompt]
    responses: Mapping[ResponseId, Response]

    @property
    def still_open(self) -> bool:
        """Whether this is an early look, of which only totals may be shown."""
        return self.study.closed is None

    @property
    def plans(self) -> dict[Pair, PlanOfPair]:
        """What was planned for each pair of arms."""
        return plans_in(self.study.plan)


def study_record(database: Database, study: Study, *, peek: bool = False) -> StudyRecord:
    """Read a study with its key, and count its votes.

    Args:
        database: Where the study is kept.
        study: Any of its states; whether it is closed is read anew.
        peek: Look although votes are still coming in; only totals of it may be shown.

    Raises:
        NotAllowed: The study is open, and `peek` was not asked for.
        TooLittleData: Fewer than two prompts were voted on.
        InvalidData: The plan was changed after the study was opened.
    """
    with database.read() as connection:
        current = find_study(connection, study.id)
        if current.closed is None and not peek:
            raise NotAllowed(
                f"The study {study.name!r} is still open. Close it first, or ask for an early look."
            )
        key = study_key(connection, study.id, for_totals=peek)
        people, left_out = participant_facts(connection, current)
        said = [
            one
            for one in judgements(connection, study.project, study=study.id)
            if one.annotator not in left_out
        ]
        prompts = prompts_by_id(connection, map(PromptId, current.plan["prompts"]))
        responses = responses_by_id(connection, key)
        programs = {
            one.pseudonym: one.name.removeprefix(JUDGE)
            for one in annotators(connection)
            if one.kind is Kind.PROGRAM
        }
    # A program needs no pseudonym, and a reader wants to know which one it was.
    said = [replace(one, annotator=programs.get(one.annotator, one.annotator)) for one in said]
    ranked = design_of(current.plan).form == "ranking"
    votes = study_votes(
        said,
        key,
        standing_for=standing_for(current.arms, identical_in(current.plan)) if ranked else {},
        lengths={id_: len(response.text) for id_, response in responses.items()},
        prompt_kinds={id_: prompt.tags for id_, prompt in prompts.items()},
    )
    ratings = study_ratings(said, key)
    result = counted(
        votes,
        ratings,
        name=current.name,
        arms=current.arms,
        plan=current.plan,
        still_open=current.closed is None,
    )
    return StudyRecord(
        study=current,
        result=replace(result, people=people),
        votes=tuple(votes),
        ratings=tuple(ratings),
        key=key,
        prompts=prompts,
        responses=responses,
    )
