"""The prompts export: prompts alone, for trainers that let a policy answer (GRPO, RLOO, PPO)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from feedback.exporters.parts import Part
from feedback.exporters.source import Source
from feedback.exporters.table import MESSAGES, ExportConfig, Row, Table
from storage.records import Split

if TYPE_CHECKING:
    from storage.parquet import Column

_COLUMNS: dict[str, Column] = {
    "prompt": MESSAGES,
    "tags": [str],
    "source": str,
    "prompt_id": str,
}
_MEANING = """\
One row is one prompt as messages, whether or not it was answered or judged. `tags` say what kind of
prompt it is and `source` where it is from. `tandem import` reads these files back.
"""


def prompts(config: ExportConfig, source: Source) -> Table:  # noqa: ARG001
    """Every prompt."""

    def rows(left_out: Counter[str]) -> Iterator[tuple[Split, Row]]:  # noqa: ARG001, nothing is
        for prompt in source.prompts():
            yield (
                prompt.split,
                {
                    "prompt": prompt.messages,
                    "tags": list(prompt.tags),
                    "source": prompt.source or None,
                    "prompt_id": prompt.id,
                },
            )

    return Table(columns=_COLUMNS, meaning=_MEANING, rows=rows, lacks=frozenset({Part.ANSWERS}))
