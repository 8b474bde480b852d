"""Files in the format of RewardBench and RewardBench 2, read without their package.

RewardBench: {prompt, chosen, rejected, subset, id}, one answer each, as texts or as whole
conversations that differ in their last turn. RewardBench 2: `chosen` and `rejected` are lists of
answers, one chosen among four, except in the subset Ties, where all right answers are chosen and
`id` is "ref:N" for a question with one right answer or "tied:N" for its counterpart with many.

Source:
    Lambert et al. (2024), arXiv:2403.13787; Malik et al. (2025), arXiv:2506.01937; the cards of the
    data sets allenai/reward-bench and allenai/reward-bench-2; `rewardbench/constants.py` in the
    repository allenai/reward-bench (Apache-2.0) for the tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feedback.importers.lines import Line, read_lines, shown
from storage.errors import InvalidData
from storage.records import Message, as_messages

TIES = "ties"
"""Name of the subset with many right answers, in small letters."""
NO_SUBSET = "all"
SECTIONS: Mapping[str, Mapping[str, int]] = {
    "Chat": {
        "alpacaeval-easy": 100,
        "alpacaeval-length": 95,
        "alpacaeval-hard": 95,
        "mt-bench-easy": 28,
        "mt-bench-med": 40,
    },
    "Chat Hard": {
        "mt-bench-hard": 37,
        "llmbar-natural": 100,
        "llmbar-adver-neighbor": 134,
        "llmbar-adver-GPTInst": 92,
        "llmbar-adver-GPTOut": 47,
        "llmbar-adver-manual": 46,
    },
    "Safety": {
        "refusals-dangerous": 100,
        "refusals-offensive": 100,
        # The data set has these two the other way round, 154 and 250 pairs; the weights are kept as
        # they were published.
        "xstest-should-refuse": 250,
        "xstest-should-respond": 154,
        "donotanswer": 136,
    },
    "Reasoning": {
        # 447 pairs, weighted so that mathematics counts as much as code.
        "math-prm": 984,
        "hep-cpp": 164,
        "hep-go": 164,
        "hep-java": 164,
        "hep-js": 164,
        "hep-python": 164,
        "hep-rust": 164,
    },
}
"""RewardBench's sections with the weight of each subset (SUBSET_MAPPING and EXAMPLE_COUNTS)."""
SUBSETS_OF_2 = ("Factuality", "Precise IF", "Math", "Safety", "Focus", "Ties")
"""RewardBench 2 averages over these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A prompt with answers of which it is known which are right."""

    id: str
    subset: str
    prompt: tuple[Message, ...]
    chosen: tuple[str, ...]
    """One, or in the subset Ties all right ones."""
    rejected: tuple[str, ...]
    line: int
    """Where it stands in its file."""

    @property
    def answers(self) -> tuple[str, ...]:
        """All answers, the chosen ones first."""
        return self.chosen + self.rejected


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """A file of questions."""

    best_of_many: bool
    """True for RewardBench 2, false for pairs."""
    questions: tuple[Question, ...]


def read_benchmark(path: Path) -> Benchmark:
    """Read a .jsonl, .jsonl.gz or .parquet file.

    Raises:
        InvalidData: The file is missing or half-written, or a line is in neither format; names file
            and line.
    """
    questions: list[Question] = []
    forms: set[bool] = set()
    for raw in read_lines(path):
        line = raw.without_null()
        many = _is_list_of_texts(line.fields.get("rejected"))
        forms.add(many)
        if len(forms) > 1:
            line.refuse("pairs and lists of answers are mixed; put them into two files.")
        questions.append(_best_of_many(line) if many else _pair(line))
    return Benchmark(best_of_many=forms == {True}, questions=tuple(questions))


def ties_place(question: Question, path: Path | str = "the file") -> tuple[str, int]:
    """Of a question in the subset Ties: "ref" or "tied", and the number that joins the two.

    Raises:
        InvalidData: Its id says something else.
    """
    kind, _, number = question.id.partition(":")
    if kind not in ("ref", "tied") or not number.isdecimal():
        raise InvalidData(
            f"{path}, line {question.line}: the id of a question in the subset Ties is ref:N or"
            f" tied:N; got {shown(question.id)}."
        )
    return kind, int(number)


def _pair(line: Line) -> Question:
    chosen: Any = line.fields.get("chosen")
    rejected: Any = line.fields.get("rejected")
    if _is_conversation(chosen) and _is_conversation(rejected):
        if chosen[:-1] != rejected[:-1]:
            line.refuse("chosen and rejected need to be one conversation up to their last turn.")
        # A conversation of one turn leaves the prompt to its own field.
        prompt = _messages(line, chosen[:-1]) if len(chosen) > 1 else line.messages()
        chosen, rejected = chosen[-1].get("content"), rejected[-1].get("content")
    else:
        prompt = line.messages()
    return _question(line, prompt, [chosen], [rejected])


def _best_of_many(line: Line) -> Question:
    chosen: Any = line.fields.get("chosen")
    rejected: list[str] = line.fields["rejected"]
    chosen = [chosen] if isinstance(chosen, str) else chosen
    if not _is_list_of_texts(chosen) or not chosen or not rejected:
        line.refuse("chosen and rejected need to be lists of at least one answer each.")
    said = line.fields.get("num_correct", len(chosen))
    if said != len(chosen):
        line.refuse(f"num_correct is {shown(said)}, but {len(chosen)} answers are chosen.")
    question = _question(line, line.messages(), chosen, rejected)
    if question.subset.lower() == TIES:
        ties_place(question, line.path)
    elif len(chosen) > 1:
        line.refuse(
            f"{len(chosen)} answers are chosen; only the subset Ties has more than one, and this is"
            f" {question.subset!r}."
        )
    return question


def _question(
    line: Line, prompt: tuple[Message, ...], chosen: list[Any], rejected: list[Any]
) -> Question:
    for answer in (*chosen, *rejected):
        # An empty answer is an answer: benchmarks hold some, and they ought to lose.
        if not isinstance(answer, str):
            line.refuse(
                "chosen and rejected need to be texts, or conversations that end with an answer;"
                f" got {shown(answer)}."
            )
    return Question(
        id=str(line.fields.get("id", line.number)),
        subset=str(line.fields.get("subset", NO_SUBSET)),
        prompt=prompt,
        chosen=tuple(chosen),
        rejected=tuple(rejected),
        line=line.number,
    )


def _messages(line: Line, turns: list[Mapping[str, Any]]) -> tuple[Message, ...]:
    try:
        return as_messages(turns)
    except InvalidData as error:
        line.refuse(str(error))


def _is_list_of_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(part, str) for part in value)


def _is_conversation(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(t, Mapping) for t in value)
