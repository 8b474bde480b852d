"""The RewardBench export: pairs of answers of which most annotators preferred the same one.

Source: the card of the data set allenai/reward-bench (Lambert et al., 2024, arXiv:2403.13787).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING

from feedback.exporters.parts import Part
from feedback.exporters.single_turn import SEVERAL_TURNS, instruction
from feedback.exporters.source import Source
from feedback.exporters.table import ExportConfig, Row, Table
from storage.records import ResponseId, Split

if TYPE_CHECKING:
    from storage.parquet import Column

UNDECIDED = "pairs of answers of which no majority preferred one"
UNKNOWN = "unknown"

_LACKS = frozenset(
    {
        Part.UNJUDGED,
        Part.VOTES,
        Part.RATINGS,
        Part.COMMENTS,
        Part.CIRCUMSTANCES,
        Part.SAMPLING,
        Part.FURTHER_TAGS,
        Part.SOURCES,
    }
)

_COLUMNS: dict[str, Column] = {
    "prompt": str,
    "chosen": str,
    "chosen_model": str,
    "rejected": str,
    "rejected_model": str,
    "subset": str,
    "id": int,
}
_MEANING = """\
One row is one pair of answers, all three texts plain: `chosen` is the answer that more comparisons
preferred; ties count for neither. `subset` is the first tag of the prompt, else the name of the
project; `chosen_model` and `rejected_model` are what wrote the answers, or "unknown". `id` numbers
the rows.
"""


def reward_bench(config: ExportConfig, source: Source) -> Table:  # noqa: ARG001
    """Pairs with a majority."""

    def rows(left_out: Counter[str]) -> Iterator[tuple[Split, Row]]:
        numbers = count()
        for file in source.prompt_files():
            votes: dict[tuple[ResponseId, ResponseId], int] = {}
            for judgement in file.judgements:
                for one in judgement.comparisons:
                    first, second = sorted((one.left, one.right))
                    vote = (one.preferred == first) - (one.preferred == second)
                    votes[first, second] = votes.get((first, second), 0) + vote
            asked = instruction(file.prompt)
            if asked is None:
                left_out[SEVERAL_TURNS] += bool(votes)
                continue
            texts = {response.id: response for response in file.responses}
            for (first, second), balance in votes.items():
                if not balance:
                    left_out[UNDECIDED] += 1
                    continue
                chosen, rejected = texts[first], texts[second]
                if balance < 0:
                    chosen, rejected = rejected, chosen
                yield (
                    file.prompt.split,
                    {
                        "prompt": asked,
                        "chosen": chosen.text,
                        "chosen_model": chosen.policy or UNKNOWN,
                        "rejected": rejected.text,
                        "rejected_model": rejected.policy or UNKNOWN,
                        "subset": next(iter(file.prompt.tags), source.project.name),
                        "id": next(numbers),
                    },
                )

    return Table(columns=_COLUMNS, meaning=_MEANING, rows=rows, lacks=_LACKS)
