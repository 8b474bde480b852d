"""The prompts format: {prompt, tags?, kind?, responses?, known?}, nothing judged yet.

`responses` holds texts, or {text, policy?, sampling?}; TRL's {prompt, completion} has one. With
`known` the line is a known item: {"purpose": "gold" | "attention" | "qualification", "better":
"first" | "second" | "tie", "ratings": [[low, high] | null, ...], "explanation": text}, about the
responses in their order.
"""

from __future__ import annotations

from collections.abc import Mapping

from feedback.importers.demonstrations import completion
from feedback.importers.lines import Line, shown
from feedback.importers.records import JudgedPrompt, KnownAnswer, PromptsConfig, candidate
from storage.errors import InvalidData
from storage.known_items import check_expected
from storage.records import Purpose, ResponseId


def read_prompt(config: PromptsConfig, line: Line) -> JudgedPrompt:  # noqa: ARG001
    """Read one line."""
    fields = line.fields
    responses = fields.get("responses") or []
    if not isinstance(responses, list) or not all(isinstance(r, str | dict) for r in responses):
        line.refuse(
            f"'responses' needs to be a list of texts or {{text, policy?}}; got {shown(responses)}."
        )
    if any(fields.get(name) for name in ("preferences", "comparisons", "ratings")) or any(
        isinstance(r, dict) and r.get("ratings") for r in responses
    ):
        line.refuse(
            "there are judgements here, which the format 'prompts' has no place for;"
            " import the file with the format 'both'."
        )
    return JudgedPrompt(
        messages=line.messages(),
        responses=(
            *(
                candidate(line, response, f"response {place}")
                for place, response in enumerate(responses, start=1)
            ),
            *(
                [candidate(line, {**fields, "text": completion(line)}, "the completion")]
                if "completion" in fields
                else []
            ),
        ),
        tags=line.tags(),
        source=line.source(),
        known=_known(line, len(responses)),
    )


def _known(line: Line, responses: int) -> KnownAnswer | None:
    known = line.fields.get("known")
    if known is None:
        return None
    if not isinstance(known, Mapping):
        line.refuse(f"'known' needs to be an object; got {shown(known)}.")
    purposes = [str(purpose) for purpose in Purpose if purpose.is_known]
    if known.get("purpose") not in purposes:
        line.refuse(
            f"the purpose of a known item is one of {', '.join(purposes)};"
            f" got {shown(known.get('purpose'))}."
        )
    expected = {name: value for name, value in known.items() if name != "purpose"}
    try:
        check_expected(expected, [ResponseId(str(place)) for place in range(responses)])
    except InvalidData as error:
        line.refuse(str(error))
    return KnownAnswer(purpose=Purpose(known["purpose"]), expected=expected)
