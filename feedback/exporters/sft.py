"""The SFT export: each prompt with its best answer, what TRL's SFT trainer reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from feedback.exporters.best import RULE, Best, best_answer
from feedback.exporters.parts import NOT_IN_BEST
from feedback.exporters.source import PromptFile, Source
from feedback.exporters.table import MESSAGES, ExportConfig, Row, Table, as_answer
from storage.records import Split

if TYPE_CHECKING:
    from storage.parquet import Column

_COLUMNS: dict[str, Column] = {
    "prompt": MESSAGES,
    "completion": MESSAGES,
    "rating": float,
    "wins": float,
    "policy": str,
    "prompt_id": str,
    "response_id": str,
}
_MEANING = f"""\
One row is one prompt with its best answer, `completion`, both as messages. `rating` is its mean
rating (1 to 7), `wins` the share of its comparisons that it won, `policy` what wrote it, each null
where it is not known.

{RULE}"""


def sft(config: ExportConfig, source: Source) -> Table:  # noqa: ARG001
    """Prompts with an answer worth learning."""

    def rows(left_out: Counter[str]) -> Iterator[tuple[Split, Row]]:
        for file, best in best_answers(source, left_out):
            yield (
                file.prompt.split,
                {
                    "prompt": file.prompt.messages,
                    "completion": as_answer(best.response.text),
                    "rating": best.rating,
                    "wins": best.wins,
                    "policy": best.response.policy or None,
                    "prompt_id": file.prompt.id,
                    "response_id": best.response.id,
                },
            )

    return Table(columns=_COLUMNS, meaning=_MEANING, rows=rows, lacks=NOT_IN_BEST)


def best_answers(source: Source, left_out: Counter[str]) -> Iterator[tuple[PromptFile, Best]]:
    """Stream prompts with their best answers, and count those that have none."""
    for file in source.prompt_files():
        best = best_answer(file)
        if isinstance(best, str):
            left_out[best] += 1
        else:
            yield file, best
