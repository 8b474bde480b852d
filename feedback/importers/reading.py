"""From a file to judged prompts, and to rows that training and evaluation read without a store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feedback.importers import IMPORTERS
from feedback.importers.detection import format_of
from feedback.importers.lines import Line, OnBroken, lines_of
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


def detect(path: Path, *, on_broken: OnBroken | None = None) -> str:
    """Name of the format that the first line of a file, or of a folder's first file, is in.

    Args:
        path: The file or folder.
        on_broken: Where given, the first line that can be read is the one that tells.

    Raises:
        InvalidData: The file cannot be read, or its first line is in no format of `IMPORTERS`.
    """
    for line in lines_of(path, on_broken=on_broken):
        return format_of(line.without_null())
    raise InvalidData(f"{path} has no line that can be read.")


def choose(
    path: Path,
    format_name: str | None,
    options: Mapping[str, Any],
    *,
    on_broken: OnBroken | None = None,
) -> tuple[Recipe, RecipeConfig]:
    """The format to read a file in, named or detected, with its options checked.

    Raises:
        NotFound: There is no format of that name.
        InvalidOption: An option is unknown to the format or out of bounds.
        InvalidData: The format cannot be told from the first line.
    """
    recipe = find(IMPORTERS, "format", format_name or detect(path, on_broken=on_broken))
    return recipe, recipe.config.read(options)


def read_judged_prompts(path: Path, recipe: Recipe, config: RecipeConfig) -> Iterator[JudgedPrompt]:
    """Stream what the lines of a file, or of a folder with a dataset, say.

    Raises:
        InvalidData: At the first line that is not in the format; names file, line and what to do.
    """
    for _, said in read_judged_lines(path, recipe, config):
        yield from said


def read_judged_lines(
    path: Path, recipe: Recipe, config: RecipeConfig, *, on_broken: OnBroken | None = None
) -> Iterator[tuple[Line, list[JudgedPrompt]]]:
    """Stream each line with what it says, which may be of several prompts.

    Args:
        path: A file, or a folder with a dataset.
        recipe: One of `IMPORTERS`.
        config: Its options.
        on_broken: Told of each line that is not in the format, which is then left out whole.
            Without it, the first such line is the end.

    Raises:
        InvalidData: As `read_lines`.
    """
    for line in lines_of(path, on_broken=on_broken):
        whole = line.without_null()
        try:
            said = recipe.run(config, whole)
        except InvalidData as error:
            if on_broken is None:
                raise
            on_broken(error)
        else:
            yield whole, said if isinstance(said, list) else [said]


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
    left_out: Counter[str] = Counter()
    lines = read_judged_lines(path, recipe, config)
    for line, judged in ((line, judged) for line, said in lines for judged in said):
        prompt = Prompt.of(ProjectId(""), judged.messages)
        parts.add(prompt, line.split())
        met.update(skipped=judged.skipped, margins="margin" in line.fields)
        left_out.update(judged.left_out)
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
        remarks=(
            *remarks,
            *(f"{number} {what}: left out" for what, number in left_out.items()),
            *parts.remarks(),
        ),
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
