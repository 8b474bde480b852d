"""Scoring a file: every line again with its rewards, however long the file is.

The file is read twice. What cannot be scored is found before the model has worked for hours, and
the second time it is known how much there is to do. What is written appears whole or not at all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from app.progress import ConsoleProgress
from app.scored_lines import AnswersInLine, Conversation, Scored
from app.sources import reward_folder
from feedback.importers.lines import Line, read_lines
from storage.errors import InvalidData, InvalidOption
from storage.files import write_file, write_lines
from storage.recipes import Progress

if TYPE_CHECKING:
    from storage.database import Database
    from storage.settings import Settings
    from training.rewards.scoring import RewardScorer

ANSWERS_AT_ONCE = 512
"""Answers given to the model together. Those of neighbouring lines to one prompt are then read
after it once, and the memory needed does not grow with the file."""
WRITTEN = (".jsonl", ".jsonl.gz", ".parquet")

_HALVES = re.compile("[\ud800-\udfff]")


@dataclass(slots=True)
class _Found:
    """What the first reading finds."""

    answers: int = 0
    too_long: int = 0
    columns: Any = None
    """Of the table to write; None where lines are written."""


@dataclass(slots=True)
class _Sums:
    """What is known of the rewards when all are written."""

    lines: int = 0
    scored: int = 0
    reward: float = 0.0
    standardised: float = 0.0

    def add(self, scored: Iterable[Scored]) -> None:
        self.lines += 1
        for reward, standardised in scored:
            if reward is not None and standardised is not None:
                self.scored += 1
                self.reward += reward
                self.standardised += standardised


def score_file(
    database: Database,
    settings: Settings,
    *,
    model: str,
    source: Path,
    target: Path,
    skip_too_long: bool = False,
) -> dict[str, Any]:
    """Write every line of a file again with its rewards, as `app.scored_lines` tells.

    Args:
        database: Where models are registered.
        settings: Where they lie and on which device they run.
        model: A reward model's name, id or folder.
        source: Lines with answers; .jsonl, .jsonl.gz, .parquet or .arrow.
        target: A .jsonl, .jsonl.gz or .parquet file. `reward` is in logits, `reward_standardised`
            in standard deviations around the mean of the model's training data.
        skip_too_long: Give answers that the model cannot read whole null instead of a reward.

    Returns:
        {"lines", "answers", "too_long", "mean", "mean_standardised"}; the means are null where
        nothing was scored.

    Raises:
        NotFound: No such model.
        InvalidOption: The target is of another file type.
        InvalidData: The file is missing or half-written, a line has no answer, or a conversation
            is longer than the model can read; names file and line.
        StorageFailed: The target cannot be written; nothing half-written stays.
    """
    from training.rewards.scoring import RewardScorer

    if not target.name.endswith(WRITTEN):
        raise InvalidOption("output", f"it ends in one of {', '.join(WRITTEN)}", str(target))
    with database.read() as connection:
        folder = reward_folder(connection, settings, model)
    next(read_lines(source))  # a missing file is told before the model is loaded
    scorer = RewardScorer.load(folder, device=settings.device)
    with ConsoleProgress("read") as progress:
        found = _look(scorer, source, target, skip_too_long=skip_too_long, progress=progress)
    sums = _Sums()
    with ConsoleProgress("score") as progress:
        rows = _scored(scorer, source, sums, total=found.answers, progress=progress)
        if found.columns is None:
            write_lines(target, (f"{_as_json(fields)}\n" for fields in rows))
        else:
            from storage.parquet import RowWriter

            with write_file(target) as partial, RowWriter(partial, found.columns) as table:
                for fields in rows:
                    table.add(fields)
    return {
        "lines": sums.lines,
        "answers": found.answers,
        "too_long": found.too_long,
        "mean": sums.reward / sums.scored if sums.scored else None,
        "mean_standardised": sums.standardised / sums.scored if sums.scored else None,
    }


def _look(
    scorer: RewardScorer, source: Path, target: Path, *, skip_too_long: bool, progress: Progress
) -> _Found:
    """Read the whole file for what cannot be scored or written."""
    found = _Found()
    columns = _Columns(source) if target.suffix == ".parquet" else None
    lines = 0
    for batch in _batches(source):
        fits = iter(scorer.fits(_conversations(batch)))
        for one in batch:
            for conversation in one.conversations:
                found.answers += 1
                if not next(fits):
                    found.too_long += 1
                    if not skip_too_long:
                        _refuse(scorer, one.line, conversation)
            scored = one.scored([(0.0, 0.0)] * len(one.conversations))
            if columns is None:
                try:
                    _as_json(scored)
                except (TypeError, ValueError) as error:
                    one.line.refuse(f"this is not for JSON lines ({error}); write a .parquet file.")
            else:
                columns.take(one.line.fields, scored)
        lines += len(batch)
        progress.report(lines)
    if columns is not None:
        found.columns = columns.all()
    return found


class _Columns:
    """The columns of the table to write: those of the table that is read, and what is added."""

    def __init__(self, source: Path) -> None:
        from storage.parquet import columns_of, no_columns

        is_table = source.suffix in (".parquet", ".arrow")
        self._read = columns_of(source) if is_table else no_columns()
        self._made = no_columns()
        self._waiting: list[dict[str, Any]] = []

    def take(self, fields: Mapping[str, Any], scored: Mapping[str, Any]) -> None:
        """See one line as it was read, and as it will be written."""
        read = self._read.names
        made = {
            name: value
            for name, value in scored.items()
            if name not in read or value is not fields.get(name)
        }
        self._waiting.append(made)
        if len(self._waiting) == ANSWERS_AT_ONCE:
            self._widen()

    def all(self) -> Any:
        """Those that were read, in their order and of their types, and then the new ones."""
        from storage.parquet import columns_with

        self._widen()
        return columns_with(self._read, self._made)

    def _widen(self) -> None:
        from storage.parquet import widened

        if self._waiting:
            self._made = widened(self._made, self._waiting)
            self._waiting = []


def _refuse(scorer: RewardScorer, line: Line, conversation: Conversation) -> NoReturn:
    """Raises InvalidData with the scorer's own sentence, which says how long is too long."""
    try:
        scorer.score([conversation])
    except InvalidData as error:
        line.refuse(f"{error} Or leave such lines without a reward (--skip-too-long).")
    line.refuse("the conversation is longer than the model can read; leave it out or shorten it.")


def _scored(
    scorer: RewardScorer, source: Path, sums: _Sums, *, total: int, progress: Progress
) -> Iterator[dict[str, Any]]:
    """The lines to write, while the sums and the bar grow."""
    done = 0
    for batch in _batches(source):
        conversations = _conversations(batch)
        fits = scorer.fits(conversations)
        readable = [one for one, fit in zip(conversations, fits, strict=True) if fit]
        raw = scorer.score(readable, progress=_Onwards(progress, done, total))
        rewards = zip(raw.tolist(), scorer.standardise(raw).tolist(), strict=True)
        every: Iterator[Scored] = iter([next(rewards) if fit else (None, None) for fit in fits])
        for one in batch:
            scored = [next(every) for _ in one.conversations]
            sums.add(scored)
            yield one.scored(scored)
        done += len(conversations)
        progress.report(done, total=total)


def _batches(source: Path) -> Iterator[list[AnswersInLine]]:
    batch: list[AnswersInLine] = []
    answers = 0
    for line in read_lines(source):
        batch.append(AnswersInLine.of(line))
        answers += len(batch[-1].conversations)
        if answers >= ANSWERS_AT_ONCE:
            yield batch
            batch, answers = [], 0
    if batch:
        yield batch


def _conversations(batch: Sequence[AnswersInLine]) -> list[Conversation]:
    return [conversation for one in batch for conversation in one.conversations]


def _as_json(fields: Mapping[str, Any]) -> str:
    text = json.dumps(fields, ensure_ascii=False, allow_nan=False)
    # Half of a surrogate pair, which JSON can write and UTF-8 cannot.
    return text if not _HALVES.search(text) else json.dumps(fields, allow_nan=False)


@dataclass(frozen=True, slots=True)
class _Onwards:
    """Tells the steps of a part as steps of the whole."""

    progress: Progress
    before: int
    total: int

    def report(
        self,
        step: int,
        metrics: Mapping[str, float] | None = None,
        *,
        total: int | None = None,  # noqa: ARG002, that of the part
        message: str | None = None,
    ) -> None:
        self.progress.report(self.before + step, metrics, total=self.total, message=message)

    def log(self, line: str) -> None:
        self.progress.log(line)
