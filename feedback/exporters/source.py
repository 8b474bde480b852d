"""What a project holds, streamed for an export."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby

from feedback.exporters.parts import Part, parts_of_answers, parts_of_judgement, parts_of_prompt
from storage.database import Connection
from storage.exclusions import exclusions
from storage.judgements import Judgement, has_ratings, judgements, unjudged
from storage.prompts import (
    answered,
    prompts_by_id,
    responses,
    responses_by_id,
    stream_prompts,
)
from storage.records import Kind, Message, Project, Prompt, Response, ResponseId, Split, split_of
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
    split: Split | None = None
    """The only part of the data that is wanted; None for all."""
    raters: dict[Kind, set[str]] = field(default_factory=dict)
    """Pseudonyms of the annotators met while reading, by kind."""
    excluded: set[str] = field(default_factory=set)
    """Pseudonyms of the annotators left out while reading."""
    met: set[Part] = field(default_factory=set)
    """What was met while reading, whether or not a format has a place for it."""

    def told(self, *, everything: bool = False) -> Iterator[Told]:
        """Every judgement, oldest first; with `everything` also those that are left out else."""
        if everything:
            said = judgements(self.connection, self.project.id, everything=True)
        else:
            said = self._to_learn_from()
        for some in in_batches(said):
            asked = prompts_by_id(self.connection, (judgement.prompt for judgement in some))
            batch = [judgement for judgement in some if self._wants(asked[judgement.prompt])]
            self._meet(batch)
            texts = responses_by_id(
                self.connection, (of for judgement in batch for of in _judged(judgement))
            )
            for prompt in {judgement.prompt for judgement in batch}:
                self._meet_prompt(asked[prompt])
            self.met.update(parts_of_answers(texts.values()))
            for judgement in batch:
                yield Told(
                    judgement=judgement,
                    prompt=asked[judgement.prompt],
                    responses={of: texts[of] for of in _judged(judgement)},
                )
        lonely = unjudged(
            self.connection,
            self.project.id,
            everything=everything,
            without_excluded=not everything,
        )
        self._meet_any(lonely, Part.UNJUDGED)

    def is_rated(self) -> bool:
        """False when the project holds no rating at all, which is told without reading it."""
        return has_ratings(self.connection, self.project.id)

    def prompts(self) -> Iterator[Prompt]:
        """Every prompt, in the order of their identifiers."""
        for prompt in stream_prompts(self.connection, self.project.id):
            if self._wants(prompt):
                self._meet_prompt(prompt)
                yield prompt
        self._meet_any(answered(self.connection, self.project.id), Part.ANSWERS)

    def prompt_files(self) -> Iterator[PromptFile]:
        """Every prompt with what was said of it, in the order of their identifiers."""
        for batch in in_batches(self._prompts_and_judgements(), PROMPTS_AT_ONCE):
            wanted = [(prompt, group) for prompt, group in batch if self._wants(prompt)]
            answers = responses(self.connection, [prompt.id for prompt, _ in wanted])
            for prompt, group in wanted:
                file = PromptFile(
                    prompt=prompt,
                    responses=tuple(one for one in answers[prompt.id] if one.study is None),
                    judgements=group,
                )
                self._meet_file(file)
                yield file

    def _prompts_and_judgements(self) -> Iterator[tuple[Prompt, tuple[Judgement, ...]]]:
        # Both streams have one order, so they are read side by side and nothing is remembered.
        said = groupby(self._to_learn_from(by_prompt=True), lambda one: one.prompt)
        judged, group = next(said, (None, iter(())))
        for prompt in stream_prompts(self.connection, self.project.id):
            if prompt.id == judged:
                yield prompt, tuple(group)
                judged, group = next(said, (None, iter(())))
            else:
                yield prompt, ()

    def _wants(self, prompt: Prompt) -> bool:
        return self.split is None or self.split is prompt.split

    def _meet(self, said: Iterable[Judgement]) -> None:
        for judgement in said:
            self.raters.setdefault(judgement.kind, set()).add(judgement.annotator)
            self.met.update(parts_of_judgement(judgement))

    def _meet_prompt(self, prompt: Prompt) -> None:
        self.met.update(parts_of_prompt(prompt))

    def _meet_file(self, file: PromptFile) -> None:
        self._meet(file.judgements)
        self._meet_prompt(file.prompt)
        self.met.update(parts_of_answers(file.responses))
        judged = set().union(*map(_judged, file.judgements))
        if not judged or any(one.id not in judged for one in file.responses):
            self.met.add(Part.UNJUDGED)
        if len(file.responses) > 1:
            self.met.add(Part.OTHER_ANSWERS)

    def _meet_any(self, of: Iterator[tuple[Message, ...]], part: Part) -> None:
        """Meet a part that some prompts have, if one of those is wanted."""
        if part not in self.met and any(self.split in (None, split_of(one)) for one in of):
            self.met.add(part)

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
