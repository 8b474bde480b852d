"""Chatbot Arena's votes: two conversations side by side, and which model won.

A line is {conversation_a, conversation_b, model_a, model_b, winner, judge, turn}, where the winner
is model_a, model_b, tie or "tie (bothbad)" (Zheng et al., 2023, arXiv:2306.05685; MT-Bench's human
judgements are alike, and there `turn` says after which question the vote was given). The first
conversation stood left.

A vote is one of two answers to a prompt where the conversations part at the assistant's last turn.
Where they part before, each answers another conversation: nothing is kept, and the report counts.
"""

from __future__ import annotations

from feedback.importers.lines import Line, shown
from feedback.importers.records import (
    UNKNOWN_ANNOTATOR,
    ImportConfig,
    JudgedPrompt,
    Verdict,
    candidate,
    kind_of,
)
from storage.records import Message

_WINNERS = {"model_a": -1, "model_b": 1, "tie": 0, "tie (bothbad)": 0, "both_bad": 0}
_BOTH_BAD = ("tie (bothbad)", "both_bad")


def read_vote(config: ImportConfig, line: Line) -> JudgedPrompt:
    """Read one line."""
    fields = line.fields
    left, right = _conversation(line, "conversation_a"), _conversation(line, "conversation_b")
    winner = fields.get("winner")
    if winner not in _WINNERS:
        line.refuse(f"the winner is one of {', '.join(_WINNERS)}; got {shown(winner)}.")
    responses = tuple(
        candidate(
            line,
            {"text": turns[-1]["content"], "policy": fields.get(f"model_{side}")},
            f"the last turn of conversation_{side}",
        )
        for turns, side in ((left, "a"), (right, "b"))
    )
    one_prompt = left[:-1] == right[:-1]
    different = responses[0].text != responses[1].text
    annotator = fields.get("judge") or fields.get("annotator")
    verdict = Verdict(
        left=0,
        right=1,
        choice=_WINNERS[winner],
        both_bad=winner in _BOTH_BAD,
        annotator=line.name(annotator, "the judge", default=UNKNOWN_ANNOTATOR),
        kind=kind_of(line, fields, config),
    )
    language = fields.get("language")
    return JudgedPrompt(
        messages=line.turns(left[:-1] if one_prompt else left[:1]),
        responses=responses if one_prompt else (),
        verdicts=(verdict,) if one_prompt and different else (),
        tags=() if language is None else (line.text(language, "'language'", longest=100),),
        source=line.source(),
        skipped=int(not (one_prompt and different)),
    )


def _conversation(line: Line, name: str) -> tuple[Message, ...]:
    """The turns that the vote is about, of which the last is the assistant's."""
    said = line.fields.get(name)
    if not isinstance(said, list):
        line.refuse(f"'{name}' needs to be a list of messages; got {shown(said)}.")
    turns = line.turns(said)
    turn = line.fields.get("turn")
    if isinstance(turn, int) and turn > 0:
        turns = turns[: 2 * turn + (turns[0]["role"] == "system")]
    if len(turns) < 2 or turns[-1]["role"] != "assistant":
        line.refuse(f"'{name}' needs to end with an answer of the assistant.")
    return turns
