"""HelpSteer2 and its preferences: five attributes from 0 to 4, and how much better an answer is.

A line of `nvidia/HelpSteer2` is {prompt, response, helpfulness, correctness, coherence, complexity,
verbosity} (Wang et al., 2024, arXiv:2406.08673); a line of its preferences is {prompt, response_1,
response_2, preference_strength}, from -3 (the first is much better) to 3 (arXiv:2410.01257).
HelpSteer3 writes {context, response1, response2, overall_preference}.

In a prompt of several turns, `<extra_id_1>User` and `<extra_id_1>Assistant` say who speaks.
"""

from __future__ import annotations

from feedback.importers.lines import Line, shown
from feedback.importers.records import (
    UNKNOWN_ANNOTATOR,
    Candidate,
    ImportConfig,
    JudgedPrompt,
    Verdict,
    candidate,
    kind_of,
    score_on,
)
from feedback.importers.transcripts import transcript
from storage.records import Message

ATTRIBUTES = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")
_SCALE = (0.0, 4.0)
_SPEAKER = r"<extra_id_1>(User|Assistant)\n"


def read_helpsteer(config: ImportConfig, line: Line) -> JudgedPrompt:
    """Read one line: the mean of several people for each attribute, handed in together."""
    fields = line.fields
    annotator = line.name(fields.get("annotator"), "the annotator", default=UNKNOWN_ANNOTATOR)
    kind = kind_of(line, fields, config)
    return JudgedPrompt(
        messages=_messages(line),
        responses=(candidate(line, {"text": fields.get("response")}, "the response"),),
        scores=tuple(
            score_on(
                line,
                fields.get(name),
                _SCALE,
                what=f"'{name}'",
                response=0,
                aspect=name,
                annotator=annotator,
                kind=kind,
                sitting="attributes",
            )
            for name in ATTRIBUTES
        ),
        source=line.source(),
    )


def read_helpsteer_preference(config: ImportConfig, line: Line) -> JudgedPrompt:
    """Read one line: one graded comparison, the first response on the left."""
    fields = line.fields
    newer = "overall_preference" in fields
    strength = fields.get("overall_preference" if newer else "preference_strength")
    is_number = isinstance(strength, int | float) and not isinstance(strength, bool)
    if not is_number or strength not in range(-3, 4):
        line.refuse(f"the preference is a whole number from -3 to 3; got {shown(strength)}.")
    responses = tuple(_response(line, f"response{'' if newer else '_'}{n}") for n in (1, 2))
    same = responses[0].text == responses[1].text
    verdict = Verdict(
        left=0,
        right=1,
        choice=int(line.number_of(strength, "the preference")),
        graded=True,
        annotator=line.name(fields.get("annotator"), "the annotator", default=UNKNOWN_ANNOTATOR),
        kind=kind_of(line, fields, config),
    )
    return JudgedPrompt(
        messages=_messages(line),
        responses=responses,
        verdicts=() if same else (verdict,),
        skipped=int(same),
        source=line.source(),
    )


def _response(line: Line, name: str) -> Candidate:
    return candidate(line, {"text": line.fields.get(name)}, f"'{name}'")


def _messages(line: Line) -> tuple[Message, ...]:
    prompt = line.fields.get("prompt", line.fields.get("context"))
    if not isinstance(prompt, str) or "<extra_id_1>" not in prompt:
        if prompt is None:
            line.refuse("there is no prompt and no context; every line needs one.")
        return line.turns(prompt)
    # The first turn has no name before it, and an answer is what comes next.
    turns = transcript(f"<extra_id_1>User\n{prompt}", _SPEAKER)
    if turns and turns[-1]["role"] == "assistant" and not turns[-1]["content"]:
        turns = turns[:-1]
    return line.turns(turns)
