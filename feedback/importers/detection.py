"""Which format a line is in, told from the names of its fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from feedback.importers.lines import Line

Fields = Mapping[str, Any]


def _has(*names: str) -> Callable[[Fields], bool]:
    return lambda fields: fields.keys() >= set(names)


def _any(*names: str) -> Callable[[Fields], bool]:
    return lambda fields: bool(fields.keys() & set(names))


def _completed(fields: Fields) -> bool:
    """UltraFeedback as it was published: completions that are objects with annotations."""
    completions = fields.get("completions")
    return (
        "instruction" in fields
        and isinstance(completions, list)
        and all(isinstance(one, Mapping) for one in completions)
    )


def _rated(fields: Fields) -> bool:
    responses = fields.get("responses")
    return isinstance(responses, list) and any(
        isinstance(response, Mapping) and "ratings" in response for response in responses
    )


def _tree(fields: Fields) -> bool:
    prompt = fields.get("prompt")
    return "message_tree_id" in fields and isinstance(prompt, Mapping)


def _argilla(fields: Fields) -> bool:
    nested = isinstance(fields.get("fields"), Mapping)
    return nested or any(name.endswith(".responses") or _asked(fields[name]) for name in fields)


def _asked(column: object) -> bool:
    """A question of Argilla 1: a list of what people answered."""
    return (
        isinstance(column, list)
        and bool(column)
        and all(isinstance(one, Mapping) and {"user_id", "value"} <= one.keys() for one in column)
    )


# What stands beside a completion that was judged; without these, it is one to learn from as it is.
_JUDGED = {"label", "response", "responses"}

# The first that fits is it, so what has more fields stands before what has fewer.
FORMATS: tuple[tuple[str, Callable[[Fields], bool]], ...] = (
    ("ultrafeedback-binarized", _has("chosen", "rejected", "score_chosen", "score_rejected")),
    ("scored-pairs", _has("chosen", "rejected", "chosen_score", "rejected_score")),
    ("scored-pairs", _has("chosen", "rejected", "chosen_rating", "rejected_rating")),
    ("pairs", _any("chosen", "rejected")),
    ("oasst", _tree),
    ("ultrafeedback", _completed),
    ("helpsteer-preference", _has("response_1", "response_2", "preference_strength")),
    ("helpsteer-preference", _has("response1", "response2", "overall_preference")),
    ("helpsteer", _has("prompt", "response", "helpfulness", "correctness", "coherence")),
    ("alpaca-annotations", _has("instruction", "output_1", "output_2")),
    ("alpaca-outputs", _has("instruction", "output", "generator")),
    ("arena", _has("conversation_a", "conversation_b", "winner")),
    ("label-studio", _has("data", "annotations")),
    ("argilla", _argilla),
    ("rankings", lambda fields: "rankings" in fields and "preferences" not in fields),
    ("prompts", lambda fields: "completion" in fields and not fields.keys() & _JUDGED),
    ("both", lambda fields: "preferences" in fields or _rated(fields)),
    ("ratings", _any("rating", "response")),
)


def format_of(line: Line) -> str:
    """Name of the format of a line, an entry of `IMPORTERS`.

    Raises:
        InvalidData: It is in none of them; says what is missing.
    """
    fields = line.fields
    if isinstance(line.around.get("type"), str) or _any("positive", "negative")(fields):
        return "lmflow"
    if line.is_table and all(isinstance(cell, str) for cell in fields.values()):
        return "columns"
    if fields.keys() >= {"submission", "comparisons", "ratings"}:
        line.refuse(
            "this is what `tandem export raw` writes, where known items, repeats, answers that were"
            " taken back and annotators who are excluded stand among the rest. Export the project"
            " as `both`, which is read back whole."
        )
    for name, fits in FORMATS:
        if fits(fields):
            return name
    if fields.keys() & {"label", "labels"} and fields.keys() & {"completion", "completions"}:
        line.refuse(
            "this is unpaired or stepwise feedback, as TRL's KTO and PRM trainers read it. A label"
            " says neither which of two answers is better nor how good one is from 1 to 7, so no"
            " reward recipe learns from it. Where a label may count as a rating of 0 or 1, for the"
            " recipe 'absolute', name the format 'unpaired'."
        )
    if "model_a" in fields and "model_b" in fields:
        line.refuse(
            "these are votes between models without prompts, which are not imported;"
            " `tandem evaluate votes` reads them."
        )
    if fields.keys() >= {"message_id", "text", "role"}:
        line.refuse(
            "these are single messages of Open Assistant; download the file of trees instead, where"
            " a line is a whole tree (such as 2023-04-12_oasst_ready.trees.jsonl.gz)."
        )
    if "prompt" not in fields:
        line.refuse(
            f"the format cannot be told from the fields {', '.join(fields) or '(none)'}; each line"
            " needs a prompt, and to be judged: chosen and rejected, response and rating, or"
            " responses and preferences. Or name the format, or, with the format 'columns', which"
            " field is what."
        )
    return "prompts"
