"""From a file to judged prompts, and to rows that training and evaluation read without a store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feedback.importers import IMPORTERS
from feedback.importers.lines import Line, lines_of
from feedback.importers.records import JudgedPrompt
from storage.errors import InvalidData
from storage.recipes import Recipe, RecipeConfig, find
from storage.records import Message, ProjectId, Prompt, PromptId, Response, Split, split_of
from storage.snapshots import ComparisonRow, RatingRow


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedRows:
    """Every judgement of a file or folder, as rows to train on or to evaluate with."""

    comparisons: list[ComparisonRow]
    ratings: list[RatingRow]
    splits: Mapping[PromptId, Split]
    """Which part of the data each prompt belongs to, where the lines or the folder say so."""
    remarks: tuple[str, ...]
    """What a person should know of how it was read, in words."""


def detect(path: Path) -> str:
    """Name of the format that the first line of a file, or of a folder's first file, is in.

    Raises:
        InvalidData: The file cannot be read, or its first line is in no format of `IMPORTERS`.
    """
    return _format_of(next(lines_of(path)).without_null())


def _format_of(line: Line) -> str:
    fields = line.fields
    responses = fields.get("responses")
    if "chosen" in fields or "rejected" in fields:
        return "pairs"
    if "preferences" in fields or (
        isinstance(responses, list)
        and any(isinstance(r, Mapping) and "ratings" in r for r in responses)
    ):
        return "both"
    if "rating" in fields or "response" in fields:
        return "ratings"
    if fields.keys() & {"label", "labels"} and fields.keys() & {"completion", "completions"}:
        line.refuse(
            "this is unpaired or stepwise feedback, as TRL's KTO and PRM trainers read it. A label"
            " says neither which of two answers is better nor how good one is from 1 to 7, so no"
            " reward recipe learns from it. Where a label may count as a rating of 0 or 1, write"
            " response and rating with scale_min 0 and scale_max 1, for the recipe 'absolute'."
        )
    if "model_a" in fields and "model_b" in fields:
        line.refuse(
            "these are votes between models without prompts, which are not imported;"
            " `tandem evaluate votes` reads them."
        )
    if "prompt" not in fields:
        line.refuse(
            f"the format cannot be told from the fields {', '.join(fields) or '(none)'}; each line"
            " needs a prompt, and to be judged: chosen and rejected, response and rating, or"
            f" responses and preferences. Or name the format: {', '.join(IMPORTERS)}."
        )
    return "prompts"


def choose(
    path: Path, format_name: str | None, options: Mapping[str, Any]
) -> tuple[Recipe, RecipeConfig]:
    """The format to read a file in, named or detected, with its options checked.

    Raises:
        NotFound: There is no format of that name.
        InvalidOption: An option is unknown to the format or out of bounds.
        InvalidData: The format cannot be told from the first line.
    """
    recipe = find(IMPORTERS, "format", format_name or detect(path))
    return recipe, recipe.config.read(options)


def read_judged_prompts(path: Path, recipe: Recipe, config: RecipeConfig) -> Iterator[JudgedPrompt]:
    """Stream what the lines of a file, or of a folder with a dataset, say.

    Raises:
        InvalidData: At the first line that is not in the format; names file, line and what to do.
    """
    for _, judged in _judged_lines(path, recipe, config):
        yield judged


def _judged_lines(
    path: Path, recipe: Recipe, config: RecipeConfig
) -> Iterator[tuple[Line, JudgedPrompt]]:
    for line in lines_of(path):
        whole = line.without_null()
        yield whole, recipe.run(config, whole)


def rows_of(
    path: Path, format_name: str | None = None, *, options: Mapping[str, Any] | None = None
) -> tuple[list[ComparisonRow], list[RatingRow]]:
    """The comparisons and ratings of `judged_rows`, for whom parts do not matter."""
    rows = judged_rows(path, format_name, options=options)
    return rows.comparisons, rows.ratings


def judged_rows(
    path: Path, format_name: str | None = None, *, options: Mapping[str, Any] | None = None
) -> JudgedRows:
    """Every judgement in a file or folder, as rows to train on or to evaluate with.

    Where the lines have a `split`, or the folder has parts, these are kept. A part that the data
    has not is drawn from train, by the texts of the prompts as everywhere (`split_of`). A prompt in
    several parts goes whole into the last of train, validation and test that has it, so that
    nothing to be judged by was learned from.

    Args:
        path: A file in one of the formats of `IMPORTERS`, or a folder with a dataset of such lines.
        format_name: Which one; detected from the first line when None.
        options: Options of the format's config.

    Raises:
        InvalidData: Something in the file is wrong, or it holds no judgement.
        NotFound, InvalidOption: As `choose`.
    """
    recipe, config = choose(path, format_name, options or {})
    comparisons: list[ComparisonRow] = []
    ratings: list[RatingRow] = []
    parts = _Parts()
    met: Counter[str] = Counter()
    for line, judged in _judged_lines(path, recipe, config):
        prompt = Prompt.of(ProjectId(""), judged.messages)
        parts.add(prompt, line.split())
        met.update(skipped=judged.skipped, margins="margin" in line.fields)
        responses = [Response.of(prompt.id, r.text, policy=r.policy) for r in judged.responses]
        for verdict in judged.verdicts:
            left, right = responses[verdict.left], responses[verdict.right]
            comparisons.append(
                ComparisonRow(
                    prompt_id=prompt.id,
                    prompt=prompt.messages,
                    left_id=left.id,
                    left=left.text,
                    right_id=right.id,
                    right=right.text,
                    choice=verdict.choice,
                    graded=verdict.graded,
                    both_bad=verdict.both_bad,
                    annotator=verdict.annotator,
                    kind=verdict.kind,
                    left_policy=left.policy,
                    right_policy=right.policy,
                    tags=judged.tags,
                )
            )
        for score in judged.scores:
            response = responses[score.response]
            ratings.append(
                RatingRow(
                    prompt_id=prompt.id,
                    prompt=prompt.messages,
                    response_id=response.id,
                    response=response.text,
                    aspect=score.aspect,
                    value=score.value,
                    annotator=score.annotator,
                    kind=score.kind,
                    policy=response.policy,
                    tags=judged.tags,
                )
            )
    if not comparisons and not ratings:
        raise InvalidData(
            f"{path} holds no judgement (format {recipe.name!r}); name a file with pairs or"
            " ratings."
        )
    remarks = [
        f"{met[what]} {remark}"
        for what, remark in (
            ("skipped", "comparisons are not of two different answers to one prompt: left out"),
            ("margins", "lines have a margin, which is passed over: who was preferred counts"),
        )
        if met[what]
    ]
    return JudgedRows(
        comparisons=comparisons,
        ratings=ratings,
        splits=parts.settled(),
        remarks=(*remarks, *parts.remarks()),
    )


class _Parts:
    """Which part of the data the lines put each prompt into."""

    def __init__(self) -> None:
        self._said: dict[PromptId, set[Split]] = {}
        self._messages: dict[PromptId, tuple[Message, ...]] = {}

    def add(self, prompt: Prompt, part: Split | None) -> None:
        if part is not None:
            self._said.setdefault(prompt.id, set()).add(part)
            self._messages[prompt.id] = prompt.messages

    def settled(self) -> dict[PromptId, Split]:
        """One part for each prompt."""
        order, named = list(Split), self._named()
        settled = {}
        for prompt, parts in self._said.items():
            part = max(parts, key=order.index)
            if part is Split.TRAIN:
                drawn = split_of(self._messages[prompt])
                part = part if drawn in named else drawn
            settled[prompt] = part
        return settled

    def remarks(self) -> list[str]:
        named = self._named()
        if not named:
            return []
        made = set(self.settled().values()) - named
        drawn = f"; {' and '.join(sorted(made))} drawn from train" if made else ""
        told = [f"parts as the data has them: {', '.join(sorted(named))}{drawn}"]
        several = sum(len(parts) > 1 for parts in self._said.values())
        if several:
            told.append(f"{several} prompts are in several parts: kept in the last of them alone")
        return told

    def _named(self) -> set[Split]:
        return set().union(*self._said.values())
