"""The prompts format: {prompt, tags?, kind?, responses?}, nothing judged yet.

`responses` holds texts, or {text, policy?, sampling?}.
"""

from __future__ import annotations

from feedback.importers.lines import Line, shown
from feedback.importers.records import JudgedPrompt, PromptsConfig, candidate


def read_prompt(config: PromptsConfig, line: Line) -> JudgedPrompt:  # noqa: ARG001
    """Read one line."""
    fields = line.fields
    responses = fields.get("responses") or []
    if not isinstance(responses, list) or not all(isinstance(r, str | dict) for r in responses):
        line.refuse(
            f"'responses' needs to be a list of texts or {{text, policy?}}; got {shown(responses)}."
        )
    if fields.get("preferences") or any(
        isinstance(r, dict) and r.get("ratings") for r in responses
    ):
        line.refuse(
            "there are judgements here, which the format 'prompts' has no place for;"
            " import the file with the format 'both'."
        )
    return JudgedPrompt(
        messages=line.messages(),
        responses=tuple(
            candidate(line, response, f"response {place}")
            for place, response in enumerate(responses, start=1)
        ),
        tags=line.tags(),
        source=line.source(),
    )
