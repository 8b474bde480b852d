"""The pairs format: {prompt, chosen, rejected}, one verdict a line.

`chosen` and `rejected` are texts or, as TRL writes them, lists of messages. Whole conversations
that share their beginning are taken as well; the beginning is the prompt then, and `prompt` may be
left out. So are the transcripts of `Anthropic/hh-rlhf` (Bai et al., 2022, arXiv:2204.05862).

The annotator is `annotator`, else `judge`. `strength` (share of annotators agreeing) and `margin`
sum up several votes or ratings, so no single judgement can hold them: the verdict is kept, and the
option `each_vote` keeps the votes {annotator: chosen | rejected | tie} that they were made from. In
the files of `tandem export preference`, which name the responses by `chosen_id` and `rejected_id`,
`strength` is one annotator's own, from 1 to 3, and is kept.

What wrote the answers is read from `models`, a list of two with the chosen answer's first, or from
`chosen_model` and `rejected_model`; what kind of prompt it is, from `tags`, `kind` or `subset`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from feedback.importers.lines import Line, shown
from feedback.importers.records import (
    UNKNOWN_ANNOTATOR,
    Candidate,
    JudgedPrompt,
    PairsConfig,
    Verdict,
    candidate,
    kind_of,
)
from feedback.importers.transcripts import transcript
from storage.records import Message, digest

UNKNOWN_POLICY = "unknown"
"""What files in RewardBench's format, which need a name, call what is not known."""


def read_pair(config: PairsConfig, line: Line) -> JudgedPrompt:
    """Read one line.

    Which response stands left follows from the digests of the two texts alone, so the side says
    nothing about which one was chosen. Nothing is kept of conversations that part before their last
    turn: a comparison of these is not one of two answers to a prompt.
    """
    messages, *ends = two_conversations(line)
    votes = tuple(_votes(config, line))
    if any(len(end) > 1 for end in ends):
        return JudgedPrompt(messages=messages, source=line.source(), skipped=len(votes))
    chosen, rejected = (
        _candidate(line, what, end[0]["content"])
        for what, end in zip(("chosen", "rejected"), ends, strict=True)
    )
    left, right = sorted((chosen, rejected), key=lambda answer: digest(answer.text))
    kind = kind_of(line, line.fields, config)
    strength = _strength(line)
    winner = (-1 if left == chosen else 1) * (strength or 1)
    verdicts = tuple(
        Verdict(
            left=0,
            right=1,
            choice=vote * winner,
            annotator=annotator,
            kind=kind,
            graded=strength is not None,
        )
        for annotator, vote in votes
    )
    same = chosen.text == rejected.text
    return JudgedPrompt(
        messages=messages,
        responses=(left, right),
        verdicts=() if same else verdicts,
        tags=line.tags(),
        source=line.source(),
        skipped=len(verdicts) if same else 0,
    )


def two_conversations(
    line: Line,
) -> tuple[tuple[Message, ...], tuple[Message, ...], tuple[Message, ...]]:
    """What was said before a line's two conversations part, and how each goes on from there.

    Each goes on with at least one turn, and its last one is the assistant's. Where that is the only
    one, what was said before is a prompt with two answers.
    """
    chosen, rejected = _conversation(line, "chosen"), _conversation(line, "rejected")
    shared = 0
    while shared < min(len(chosen), len(rejected)) - 1 and chosen[shared] == rejected[shared]:
        shared += 1
    return _prompt(line, chosen[:shared]), chosen[shared:], rejected[shared:]


def _conversation(line: Line, what: str) -> tuple[Message, ...]:
    """The turns that a line holds under a name: those of a conversation, or an answer alone."""
    said = line.fields.get(what)
    if isinstance(said, list):
        turns = line.turns(said)
    else:
        text = line.text(said, f"'{what}'")
        turns = (Message(role="assistant", content=text),)
        if "prompt" not in line.fields and text.lstrip().startswith("Human:"):
            turns = transcript(f"\n\n{text.lstrip()}", r"\n\n(Human|Assistant):")
    if turns[-1]["role"] != "assistant":
        line.refuse(
            f"{what} needs to be a text, or messages of which the last one is the assistant's; got"
            f" {shown(said)}."
        )
    line.text(turns[-1]["content"], f"'{what}'")
    return turns


def _prompt(line: Line, begin: tuple[Message, ...]) -> tuple[Message, ...]:
    """The prompt that is given, that the conversations `begin` with, or one after the other."""
    given = line.fields.get("prompt")
    if given is None:
        if not begin:
            line.refuse(
                "there is no prompt; every line needs one, or chosen and rejected need to be whole"
                " conversations with the same beginning."
            )
        return line.turns(begin)
    prompt = line.messages()
    if not begin or begin[0]["role"] == "assistant":
        return prompt + begin
    repeated = (
        given in [turn["content"] for turn in begin]
        if isinstance(given, str)
        else begin[: len(prompt)] == prompt
    )
    if not repeated:
        line.refuse(
            f"the prompt {shown(given)} is not what chosen and rejected begin with; leave it out,"
            " or leave the beginning out of chosen and rejected."
        )
    return begin


def _candidate(line: Line, what: str, text: str) -> Candidate:
    """An answer with what wrote it, where the line says that."""
    policy = line.fields.get(f"{what}_model")
    both = line.fields.get("models")
    if policy is None and isinstance(both, list) and len(both) == 2:
        policy = both[what == "rejected"]
    if policy == UNKNOWN_POLICY:
        policy = None
    return candidate(line, {"text": text, "policy": policy}, f"'{what}'")


def _strength(line: Line) -> int | None:
    """By how much chosen was preferred, in the files that we export."""
    strength = line.fields.get("strength")
    if strength is None or not {"chosen_id", "rejected_id"} <= line.fields.keys():
        return None
    if strength not in (1, 2, 3):
        line.refuse(f"the strength of an exported comparison is 1, 2 or 3; got {shown(strength)}.")
    return int(strength)


def _votes(config: PairsConfig, line: Line) -> Iterator[tuple[str, int]]:
    """Each judgement of the line: who, and 1 for chosen, -1 for rejected, 0 for a tie."""
    votes = line.fields.get("votes")
    if not config.each_vote or votes is None:
        name = line.fields.get("annotator") or line.fields.get("judge")
        yield line.name(name, "the annotator", default=UNKNOWN_ANNOTATOR), 1
        return
    worth = {"chosen": 1, "rejected": -1, "tie": 0}
    if not isinstance(votes, Mapping) or not votes:
        line.refuse(f"votes need to be an object of annotator and vote; got {shown(votes)}.")
    for annotator, vote in votes.items():
        if vote not in worth:
            line.refuse(f"a vote is one of {', '.join(worth)}; {annotator!r} has {shown(vote)}.")
        yield line.name(annotator, "the annotator", default=UNKNOWN_ANNOTATOR), worth[vote]
