"""What a project holds, streamed for an export."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby

from storage.database import Connection
from storage.exclusions import exclusions
from storage.judgements import Judgement, judgements
from storage.prompts import prompts_by_id, responses, responses_by_id, stream_prompts
from storage.records import Kind, Project, Prompt, Response, ResponseId
from storage.rows import in_batches

PROMPTS_AT_ONCE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A judgement with the texts it is about. The annotator appears under the pseudonym only."""

    judgement: Judgement
    prompt: Prompt
    responses: Mapping[ResponseId, Response]

    def rating(self, response: ResponseId) -> float | None:
        """The rating this submission gave a response, the mean over its aspects; None if none."""
        values = [r.value for r in self.judgement.ratings if r.response == response]
        return sum(values) / len(values) if values else None


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptFile:
    """A prompt with its responses, but for those of studies, and all that was said of them."""

    prompt: Prompt
    responses: tuple[Response, ...]
    judgements: tuple[Judgement, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A project seen through one open connection, without the votes of studies.

    What models are not to learn from is left out, too: known items, repeats, what was taken back,
    and the judgements of annotators who are excluded from the project.
    """

    connection: Connection
    project: Project
    raters: dict[Kind, set[str]] = field(default_factory=dict)
    """Pseudonyms of the annotators met while reading, by kind."""
    excluded: set[str] = field(default_factory=set)
    """Pseudonyms of the annotators left out while reading."""

    def told(self, *, everything: bool = False) -> Iterator[Told]:
        """Every judgement, oldest first; with `everything` also those that are left out else."""
        if everything:
            said = judgements(self.connection, self.project.id, everything=True)
        else:
            said = self._to_learn_from()
        for batch in in_batches(said):
            self._meet(batch)
            asked = prompts_by_id(self.connection, (judgement.prompt for judgement in batch))
            texts = responses_by_id(
                self.connection, (of for judgement in batch for of in _judged(judgement))
            )
            for judgement in batch:
                yield Told(
                    judgement=judgement,
                    prompt=asked[judgement.prompt],
                    responses={of: texts[of] for of in _judged(judgement)},
                )

    def prompts(self) -> Iterator[Prompt]:
        """Every prompt, in the order of their identifiers."""
        return stream_prompts(self.connection, self.project.id)

    def prompt_files(self) -> Iterator[PromptFile]:
        """Every prompt with what was said of it, in the order of their identifiers."""
        for batch in in_batches(self._prompts_and_judgements(), PROMPTS_AT_ONCE):
            for _, group in batch:
                self._meet(group)
            answers = responses(self.connection, [prompt.id for prompt, _ in batch])
            for prompt, group in batch:
                yield PromptFile(
                    prompt=prompt,
                    responses=tuple(one for one in answers[prompt.id] if one.study is None),
                    judgements=group,
                )

    def _prompts_and_judgements(self) -> Iterator[tuple[Prompt, tuple[Judgement, ...]]]:
        # Both streams have one order, so they are read side by side and nothing is remembered.
        said = groupby(self._to_learn_from(by_prompt=True), lambda one: one.prompt)
        judged, group = next(said, (None, iter(())))
        for prompt in self.prompts():
            if prompt.id == judged:
                yield prompt, tuple(group)
                judged, group = next(said, (None, iter(())))
            else:
                yield prompt, ()

    def _meet(self, said: Iterable[Judgement]) -> None:
        for judgement in said:
            self.raters.setdefault(judgement.kind, set()).add(judgement.annotator)

    def _to_learn_from(self, *, by_prompt: bool = False) -> Iterator[Judgement]:
        in_force = exclusions(self.connection, self.project.id)
        self.excluded.update(one.pseudonym for one in in_force if one.lifted is None)
        return judgements(
            self.connection, self.project.id, by_prompt=by_prompt, without_excluded=True
        )


def _judged(judgement: Judgement) -> set[ResponseId]:
    """Every response that a judgement speaks of."""
    return {
        *(of for comparison in judgement.comparisons for of in (comparison.left, comparison.right)),
        *(rating.response for rating in judgement.ratings),
    }
