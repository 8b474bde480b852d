"""The LLaMA-Factory exports: ShareGPT lines, with the dataset_info.json that names their columns.

Source: `SharegptDatasetConverter` in `src/llamafactory/data/converter.py` of the repository
hiyouga/LLaMA-Factory (Apache-2.0): after the system text, turns of user and assistant alternate,
the user begins and, before an answer, ends.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from feedback.exporters.best import RULE
from feedback.exporters.decided import decided
from feedback.exporters.parts import NOT_IN_BEST, NOT_IN_UNGRADED_PAIRS, Part
from feedback.exporters.sft import best_answers
from feedback.exporters.source import Source
from feedback.exporters.table import ExportConfig, Row, Table
from storage.records import Message, Split

if TYPE_CHECKING:
    from storage.parquet import Column

INFO = "dataset_info.json"
OTHER_TURNS = "rows whose turns are not user and assistant in turn"

_NAMES = {"user": "human", "assistant": "gpt"}
_TURN: Column = {"from": str, "value": str}
_PAIRS: dict[str, Column] = {
    "conversations": [_TURN],
    "chosen": _TURN,
    "rejected": _TURN,
    "system": str,
    "annotator": str,
    "annotator_kind": str,
    "prompt_id": str,
}
_SFT: dict[str, Column] = {"conversations": [_TURN], "system": str, "prompt_id": str}
_USE = f"""
`{INFO}` names one data set for each part: put the folder's name behind `--dataset_dir`, and
`tandem_train` behind `--dataset`. `system` is empty where the prompt has no system text.
"""
_PAIRS_MEANING = f"""\
One row is one comparison that was not a tie, in LLaMA-Factory's ShareGPT format for preferences:
`chosen` was preferred to `rejected` as the answer to `conversations`.
{_USE}"""
_SFT_MEANING = f"""\
One row is one prompt with its best answer as the last turn of `conversations`, in LLaMA-Factory's
ShareGPT format.
{_USE}
{RULE}"""


class LlamaFactoryConfig(ExportConfig):
    """Options of the LLaMA-Factory formats."""

    file_type: Literal["jsonl", "json", "parquet"] = Field(
        default="jsonl", description="Type of the files; LLaMA-Factory opens no others of ours."
    )


def llamafactory(config: LlamaFactoryConfig, source: Source) -> Table:  # noqa: ARG001
    """Comparisons."""

    def rows(left_out: Counter[str]) -> Iterator[tuple[Split, Row]]:
        for one in decided(source, left_out):
            asked = _conversation(one.told.prompt.messages)
            if asked is None:
                left_out[OTHER_TURNS] += 1
                continue
            yield (
                one.told.prompt.split,
                {
                    **asked,
                    "chosen": {"from": "gpt", "value": one.chosen.text},
                    "rejected": {"from": "gpt", "value": one.rejected.text},
                    "annotator": one.told.judgement.annotator,
                    "annotator_kind": str(one.told.judgement.kind),
                    "prompt_id": one.told.prompt.id,
                },
            )

    return Table(
        columns=_PAIRS,
        meaning=_PAIRS_MEANING,
        rows=rows,
        lacks=NOT_IN_UNGRADED_PAIRS,
        beside=_info(ranking=True),
    )


def llamafactory_sft(config: LlamaFactoryConfig, source: Source) -> Table:  # noqa: ARG001
    """Prompts with an answer worth learning."""

    def rows(left_out: Counter[str]) -> Iterator[tuple[Split, Row]]:
        for file, best in best_answers(source, left_out):
            asked = _conversation(file.prompt.messages)
            if asked is None:
                left_out[OTHER_TURNS] += 1
                continue
            answer = {"from": "gpt", "value": best.response.text}
            yield (
                file.prompt.split,
                {
                    "conversations": [*asked["conversations"], answer],
                    "system": asked["system"],
                    "prompt_id": file.prompt.id,
                },
            )

    return Table(
        columns=_SFT,
        meaning=_SFT_MEANING,
        rows=rows,
        lacks=NOT_IN_BEST | {Part.POLICIES},
        beside=_info(ranking=False),
    )


def _conversation(messages: Sequence[Message]) -> dict[str, Any] | None:
    """A prompt's turns and its system text; None where the turns are not as they need to be."""
    system = messages[0]["content"] if messages[0]["role"] == "system" else ""
    turns = messages[1:] if messages[0]["role"] == "system" else messages
    roles = [turn["role"] for turn in turns]
    expected = [("user", "assistant")[place % 2] for place in range(len(turns))]
    if roles != expected or len(turns) % 2 == 0:
        return None
    return {
        "conversations": [
            {"from": _NAMES[turn["role"]], "value": turn["content"]} for turn in turns
        ],
        "system": system,
    }


def _info(*, ranking: bool) -> Any:
    """What makes dataset_info.json of the names of the data files."""
    columns = {"messages": "conversations", "system": "system"}
    if ranking:
        columns |= {"chosen": "chosen", "rejected": "rejected"}

    def beside(files: Mapping[Split, str]) -> dict[str, str]:
        entries = {
            f"tandem_{split}": {
                "file_name": name,
                "formatting": "sharegpt",
                **({"ranking": True} if ranking else {}),
                "columns": columns,
            }
            for split, name in files.items()
        }
        return {INFO: json.dumps(entries, indent=2) + "\n"}

    return beside
