"""The answers that a line of a file holds, and the line again with their rewards beside them.

An answer is `response`, as in Tandem's ratings, or `completion` or the last of `messages`, as TRL
writes them; its reward stands in the line, as `reward` and `reward_standardised`. Lines with
several answers are scored too: `responses` get their rewards each in its own object, `chosen` and
`rejected` get `chosen_reward`, `rejected_reward` and the same with `_standardised`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from feedback.importers.lines import Line, shown
from feedback.importers.pairs import two_conversations
from storage.errors import InvalidData
from storage.records import Message, check_text

Conversation = tuple[tuple[Message, ...], str]
"""What was said, and the answer to it."""
Scored = tuple[float | None, float | None]
"""A reward and the same standardised; None where the model cannot read the conversation."""


@dataclass(frozen=True, slots=True)
class AnswersInLine:
    """One line, with the conversations in it that end with an answer."""

    line: Line
    conversations: tuple[Conversation, ...]
    prefixes: tuple[str, ...] | None
    """Of the names of the fields that their rewards get; None where each has an object."""

    @classmethod
    def of(cls, line: Line) -> AnswersInLine:
        """Find the answers.

        Raises:
            InvalidData: There is none, or not all of it is text; names file and line.
        """
        said = line.without_null()
        fields = said.fields
        if "response" in fields:
            found = [(said.messages(), _answer(said, fields["response"], "the response"))]
        elif "chosen" in fields or "rejected" in fields:
            before, *ends = two_conversations(said)
            pair = tuple((before + end[:-1], end[-1]["content"]) for end in ends)
            return cls(line, pair, ("chosen_", "rejected_"))
        elif "responses" in fields:
            return cls(line, _listed(said), None)
        elif "completion" in fields:
            found = [_completed(said)]
        elif "messages" in fields:
            found = [_last_of(said, said.turns(fields["messages"]), "messages")]
        else:
            line.refuse(
                "there is no response to score; a line needs a prompt and a response, or"
                " responses, completion, messages, or chosen and rejected."
            )
        return cls(line, tuple(found), ("",))

    def scored(self, rewards: Sequence[Scored]) -> dict[str, Any]:
        """The line's fields with the rewards of its conversations, given in the same order."""
        fields = dict(self.line.fields)
        if self.prefixes is not None:
            for prefix, scored in zip(self.prefixes, rewards, strict=True):
                fields |= _named(scored, prefix)
            return fields
        responses = [{"text": r} if isinstance(r, str) else r for r in fields["responses"]]
        fields["responses"] = [
            {**response, **_named(scored)}
            for response, scored in zip(responses, rewards, strict=True)
        ]
        return fields


def _named(scored: Scored, prefix: str = "") -> dict[str, float | None]:
    reward, standardised = scored
    return {f"{prefix}reward": reward, f"{prefix}reward_standardised": standardised}


def _answer(line: Line, value: Any, what: str) -> str:
    """A text, which may be empty: a policy may say nothing, and that has a reward as well."""
    if not isinstance(value, str):
        line.refuse(f"{what} needs to be a text; got {shown(value)}.")
    try:
        check_text(value, what)
    except InvalidData as error:
        line.refuse(str(error))
    return value


def _listed(line: Line) -> tuple[Conversation, ...]:
    responses = line.fields["responses"]
    if not isinstance(responses, list) or not responses:
        line.refuse(f"'responses' needs to be a list of answers; got {shown(responses)}.")
    texts = [r.get("text") if isinstance(r, Mapping) else r for r in responses]
    return tuple(
        (line.messages(), _answer(line, text, f"response {place}"))
        for place, text in enumerate(texts, start=1)
    )


def _completed(line: Line) -> Conversation:
    completion = line.fields["completion"]
    if isinstance(completion, list):
        return _last_of(line, line.messages() + line.turns(completion), "the completion")
    return line.messages(), _answer(line, completion, "the completion")


def _last_of(line: Line, turns: tuple[Message, ...], what: str) -> Conversation:
    if len(turns) < 2 or turns[-1]["role"] != "assistant":
        line.refuse(
            f"{what} needs to end with the assistant's answer, after a prompt; the last turn is"
            f" {shown(turns[-1])}."
        )
    return turns[:-1], turns[-1]["content"]
