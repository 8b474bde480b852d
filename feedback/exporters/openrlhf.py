"""The OpenRLHF exports: pairs of whole conversations, and prompts under the key `input`.

Source: `preprocess_data` in `openrlhf/datasets/reward_dataset.py` and `prompts_dataset.py` of the
repository OpenRLHF/OpenRLHF (Apache-2.0). The keys are those that its commands have by default.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from feedback.exporters.decided import decided
from feedback.exporters.parts import NOT_IN_UNGRADED_PAIRS, Part
from feedback.exporters.source import Source
from feedback.exporters.table import MESSAGES, ExportConfig, Row, Table, as_answer
from storage.records import Split

if TYPE_CHECKING:
    from storage.parquet import Column

_PAIRS: dict[str, Column] = {
    "chosen": MESSAGES,
    "rejected": MESSAGES,
    "margin": float,
    "annotator": str,
    "annotator_kind": str,
    "prompt_id": str,
}
_PAIRS_MEANING = """\
One row is one comparison that was not a tie. `chosen` and `rejected` are whole conversations that
differ in the last turn, as `--chosen_key chosen --rejected_key rejected --apply_chat_template`
reads them, for reward models and DPO. `margin` is the rating (1 to 7) of `chosen` minus that of
`rejected` by the same annotator in the same sitting; OpenRLHF reads null as 0.
"""
_PROMPTS: dict[str, Column] = {"input": MESSAGES, "datasource": str, "prompt_id": str}
_NOT_IN_PROMPTS = frozenset({Part.ANSWERS, Part.FURTHER_TAGS, Part.SOURCES})
_PROMPTS_MEANING = """\
One row is one prompt: `input` holds its messages, as `--input_key input --apply_chat_template`
reads them. OpenRLHF shows results for each `datasource` apart: the first tag of the prompt, else
"default".
"""


def openrlhf(config: ExportConfig, source: Source) -> Table:  # noqa: ARG001
    """Comparisons as two conversations."""

    def rows(left_out: Counter[str]) -> Iterator[tuple[Split, Row]]:
        for one in decided(source, left_out):
            asked = one.told.prompt.messages
            yield (
                one.told.prompt.split,
                {
                    "chosen": [*asked, *as_answer(one.chosen.text)],
                    "rejected": [*asked, *as_answer(one.rejected.text)],
                    "margin": one.rating_gap,
                    "annotator": one.told.judgement.annotator,
                    "annotator_kind": str(one.told.judgement.kind),
                    "prompt_id": one.told.prompt.id,
                },
            )

    return Table(columns=_PAIRS, meaning=_PAIRS_MEANING, rows=rows, lacks=NOT_IN_UNGRADED_PAIRS)


def openrlhf_prompts(config: ExportConfig, source: Source) -> Table:  # noqa: ARG001
    """Every prompt."""

    def rows(left_out: Counter[str]) -> Iterator[tuple[Split, Row]]:  # noqa: ARG001, nothing is
        for prompt in source.prompts():
            yield (
                prompt.split,
                {
                    "input": prompt.messages,
                    "datasource": next(iter(prompt.tags), "default"),
                    "prompt_id": prompt.id,
                },
            )

    return Table(
        columns=_PROMPTS,
        meaning=_PROMPTS_MEANING,
        rows=rows,
        lacks=_NOT_IN_PROMPTS,
    )
