"""Who took part in a study, in counts: who finished, withdrew, failed, and what they say they are.

Nothing in a result tells one participant from another; identifiers of a panel are in none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from feedback.participation import Participation
from storage.annotators import annotators
from storage.database import Connection
from storage.judgements import judgements
from storage.participants import checked_answers, participants
from storage.records import AnnotatorId, Study

NOT_SAID = "not said"
"""Beside the answers to a question: who left it open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantFacts:
    """The participants of a study, in counts. Programs that judge are none."""

    agreed: int
    finished: int
    """Had nothing left to do; with those who withdrew afterwards."""
    withdrew: int
    """Their votes count for nothing and are in no other number."""
    checks: int
    """Attention checks that each of them was to meet."""
    passed: int
    failed: int
    """Got half or more of the attention checks wrong that they answered."""
    unchecked: int
    """Stayed, and answered no attention check."""
    failed_votes: int
    """Votes of those who failed."""
    failed_are_left_out: bool
    """As the plan says; otherwise they count like all others."""
    about: Mapping[str, Mapping[str, int]]
    """How many of those who began, and stayed, gave each answer, by question."""

    def sentences(self) -> list[str]:
        """The same in words."""
        if not self.agreed:
            return []
        people = f"{self.agreed} {'person' if self.agreed == 1 else 'people'} agreed to take part"
        found = [f"{people}, {self.finished} finished, {self.withdrew} withdrew."]
        if self.checks:
            what = "are left out" if self.failed_are_left_out else "are kept"
            found.append(
                f"Attention checks: {self.passed} passed, {self.failed} failed, {self.unchecked}"
                f" answered none. The {self.failed_votes} votes of those who failed {what}, as"
                " planned."
            )
        for question, counts in self.about.items():
            said = ", ".join(f"{answer} {number}" for answer, number in counts.items())
            found.append(f"{question}: {said}.")
        return found


def participant_facts(
    connection: Connection, study: Study
) -> tuple[ParticipantFacts, frozenset[str]]:
    """Count the participants of a study.

    Returns:
        The counts, and the pseudonyms of those whose votes the plan leaves out.
    """
    asked = Participation.of(study)
    everybody = participants(connection, study.id)
    stayed = [one for one in everybody if one.withdrawn is None]
    checked = checked_answers(connection, study.id)
    verdicts = {
        one.annotator: asked.failed(*checked[one.annotator])
        for one in stayed
        if one.annotator in checked
    }
    failed = {annotator for annotator, has_failed in verdicts.items() if has_failed}
    names = {one.pseudonym for one in annotators(connection) if one.id in failed}
    votes = judgements(connection, study.project, study=study.id) if failed else iter(())
    leaves_out = asked.failed_checks == "leave-out"
    began = [one for one in stayed if one.started is not None]
    facts = ParticipantFacts(
        agreed=len(everybody),
        finished=sum(one.finished is not None for one in everybody),
        withdrew=len(everybody) - len(stayed),
        checks=asked.attention_checks,
        passed=len(verdicts) - len(failed),
        failed=len(failed),
        unchecked=len(stayed) - len(verdicts),
        failed_votes=sum(one.annotator in names for one in votes),
        failed_are_left_out=leaves_out,
        about={
            question.text: _counts(
                [one.answers.get(question.text) for one in began], question.choices
            )
            for question in asked.questions
        },
    )
    return facts, frozenset(names) if leaves_out else frozenset()


def _counts(said: list[str | None], choices: tuple[str, ...]) -> dict[str, int]:
    """In the order of the choices; of free texts the most frequent first; who said nothing last."""
    counts = Counter(one for one in said if one is not None)
    order = choices or tuple(sorted(counts, key=lambda text: (-counts[text], text)))
    return {text: counts[text] for text in order} | {NOT_SAID: len(said) - counts.total()}


def sent_by_panel(connection: Connection, study: Study) -> list[dict[str, str | bool]]:
    """Whom a panel sent and who stayed, by the panel's identifier: to pay them, and for no result.

    In the order of the identifiers, so that not even the order leads to a pseudonym.

    Returns:
        pid, finished, and attention: passed, failed or none.
    """
    asked = Participation.of(study)
    checked = checked_answers(connection, study.id)

    def attention(annotator: AnnotatorId) -> str:
        if annotator not in checked:
            return "none"
        return "failed" if asked.failed(*checked[annotator]) else "passed"

    return sorted(
        (
            {
                "pid": one.pid,
                "finished": one.finished is not None,
                "attention": attention(one.annotator),
            }
            for one in participants(connection, study.id)
            if one.pid is not None
        ),
        key=lambda row: str(row["pid"]),
    )
