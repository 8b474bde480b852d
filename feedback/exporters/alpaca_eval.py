"""The AlpacaEval export: what policies answered, as `alpaca_eval --model_outputs` reads it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from feedback.exporters.parts import NOT_IN_OUTPUTS, Part
from feedback.exporters.single_turn import SEVERAL_TURNS, instruction
from feedback.exporters.source import Source
from feedback.exporters.table import ExportConfig, Row, Table
from storage.records import Split

if TYPE_CHECKING:
    from storage.parquet import Column

UNANSWERED = "prompts without answers"
NAMELESS = "answers of which it is not known what wrote them"
ANOTHER = "further answers of the same policy to the same prompt"
NOT_ASKED_FOR = "answers of other policies"

_COLUMNS: dict[str, Column] = {
    "instruction": str,
    "output": str,
    "generator": str,
    "dataset": str,
    "prompt_id": str,
    "response_id": str,
}
_MEANING = """\
One row is the answer of one policy, `generator`, to one prompt, `instruction`, whether or not it
was judged. `dataset` is where the prompt is from. The judgements have no place here. `alpaca_eval
--model_outputs` takes the file of one generator at a time: export with the option `policy`. Where a
policy answered a prompt more than once, the first answer in the order of their ids is here.
"""


class AlpacaEvalConfig(ExportConfig):
    """Options of the AlpacaEval format."""

    file_type: Literal["json", "csv", "jsonl", "jsonl.gz", "parquet"] = Field(
        default="json", description="Type of the files; alpaca_eval opens json and csv."
    )
    policy: str = Field(
        default="", description="The policy whose answers are wanted; all of them when left out."
    )


def alpaca_eval(config: AlpacaEvalConfig, source: Source) -> Table:
    """Answers to prompts of one turn."""

    def rows(left_out: Counter[str]) -> Iterator[tuple[Split, Row]]:
        for file in source.prompt_files():
            asked = instruction(file.prompt)
            if asked is None:
                left_out[SEVERAL_TURNS] += 1
                continue
            if not file.responses:
                left_out[UNANSWERED] += 1
            met: set[str] = set()
            for response in file.responses:
                if not response.policy:
                    left_out[NAMELESS] += 1
                elif config.policy not in ("", response.policy):
                    left_out[NOT_ASKED_FOR] += 1
                elif response.policy in met:
                    left_out[ANOTHER] += 1
                else:
                    met.add(response.policy)
                    yield (
                        file.prompt.split,
                        {
                            "instruction": asked,
                            "output": response.text,
                            "generator": response.policy,
                            "dataset": file.prompt.source or source.project.name,
                            "prompt_id": file.prompt.id,
                            "response_id": response.id,
                        },
                    )

    return Table(columns=_COLUMNS, meaning=_MEANING, rows=rows, lacks=NOT_IN_OUTPUTS | {Part.TAGS})
