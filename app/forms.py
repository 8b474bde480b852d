"""A web form drawn from a recipe's configuration, and read back through it.

Nothing about an option is written here: its name, bounds, default and description come from the
configuration's JSON schema, and `Config.read` has the last word on what was typed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import gradio as gr
from gradio.components import Component

from storage.recipes import RecipeConfig

Config = TypeVar("Config", bound=RecipeConfig)

SPELLING = {
    "dpo": "DPO",
    "gae": "GAE",
    "grpo": "GRPO",
    "id": "ID",
    "iterative-dpo": "Iterative DPO",
    "kl": "KL",
    "l2": "L2",
    "lora": "LoRA",
    "ppo": "PPO",
    "rejection-sampling": "Rejection sampling (RAFT)",
    "rloo": "RLOO",
    "sft": "SFT",
}
"""Words of option names that are not written as one would guess."""

LARGEST_TOLD = 1e9
"""Upper bounds beyond this, such as that of a seed, tell nobody anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form(Generic[Config]):
    """The inputs of one configuration, in the order in which a handler receives their values."""

    config: type[Config]
    inputs: Mapping[str, Component]

    def read(self, values: Sequence[Any]) -> Config:
        """Turn what the page sent into a checked configuration.

        Raises:
            InvalidOption: A value is missing, out of bounds or of the wrong kind.
        """
        return self.config.read(self.typed(values))

    def typed(self, values: Sequence[Any]) -> dict[str, Any]:
        """The same, unchecked, by option: for a page that adds options of its own."""
        schema = _properties(self.config)
        pairs = zip(self.inputs, values, strict=True)
        return {name: _typed(schema[name], value) for name, value in pairs}


def draw_form(
    config: type[Config],
    *,
    first: Sequence[str] = (),
    omit: Collection[str] = (),
    choices: Mapping[str, Sequence[str]] | None = None,
) -> Form[Config]:
    """Place one input for each option of `config` on the page that is being built.

    Args:
        config: The configuration to ask for.
        first: Options to show at once, most important first; the rest waits under "Advanced".
            Options that have no default are always shown at once. Empty shows all at once.
        omit: Options that the page asks for in a way of its own, or not at all.
        choices: Texts to offer for an option, beside any that a person may type. An empty list
            makes a menu that the page fills later.
    """
    schema = {name: piece for name, piece in _properties(config).items() if name not in omit}
    needed = [name for name, field in config.model_fields.items() if field.is_required()]
    shown = [name for name in (*first, *needed) if name in schema] if first else list(schema)
    shown = list(dict.fromkeys(shown))
    hidden = [name for name in schema if name not in shown]
    offered = choices or {}
    inputs = _grid(schema, shown, offered)
    if hidden:
        with gr.Accordion(f"Advanced: {len(hidden)} more options", open=False):
            inputs |= _grid(schema, hidden, offered)
    return Form(config=config, inputs=inputs)


def label(name: str) -> str:
    """An option's name as a person would write it."""
    words = [SPELLING.get(word, word) for word in name.split("_")]
    first = words[0] if words[0] != words[0].lower() else words[0].capitalize()
    return " ".join([first, *words[1:]])


def written(value: Any) -> Any:
    """A configuration's value as its input shows it; the inverse of what `Form.read` does.

    Weights are written as names, with the weight behind unless it is 1: `["all", "helpful=0.5"]`.
    What stands behind the last equals sign is always the weight, so that a name may hold some.
    """
    if isinstance(value, Mapping):
        return [
            name if weight == 1 and "=" not in name else f"{name}={weight}"
            for name, weight in value.items()
        ]
    if isinstance(value, tuple | list):
        # A menu shows nothing for a number.
        return [str(part) if isinstance(part, int | float) else part for part in value]
    return value


def _grid(
    schema: Mapping[str, Any], names: Sequence[str], choices: Mapping[str, Sequence[str]]
) -> dict[str, Component]:
    inputs: dict[str, Component] = {}
    with gr.Row(elem_classes="t-form"):
        for name in names:
            inputs[name] = _input(name, schema[name], choices.get(name))
    return inputs


def _properties(config: type[RecipeConfig]) -> dict[str, Any]:
    """Each option's JSON schema, with references followed and "or null" marked as `optional`."""
    whole = config.model_json_schema()
    definitions = whole.get("$defs", {})

    def follow(piece: Mapping[str, Any]) -> dict[str, Any]:
        if "$ref" in piece:
            piece = {**definitions[piece["$ref"].rsplit("/", 1)[-1]], **piece}
        alternatives = [other for other in piece.get("anyOf", ()) if other.get("type") != "null"]
        if len(alternatives) == 1:
            return {**piece, **follow(alternatives[0]), "optional": True}
        return dict(piece)

    return {name: follow(piece) for name, piece in whole.get("properties", {}).items()}


def _input(name: str, schema: Mapping[str, Any], choices: Sequence[str] | None) -> Component:
    common: dict[str, Any] = {
        "value": written(schema.get("default")),
        "label": label(name),
        "info": _info(schema),
        "min_width": 260,
    }
    match schema.get("type"):
        case "boolean":
            drawn = gr.Checkbox(**common)
        case "object" | "array":
            drawn = gr.Dropdown(
                list(choices or ()), multiselect=True, allow_custom_value=True, **common
            )
        case _ if "enum" in schema or "const" in schema:
            named = [str(value) for value in schema.get("enum", [schema.get("const")])]
            default = schema.get("default")
            common["value"] = None if default is None else str(default)
            drawn = gr.Dropdown(named, **common)
        case "integer" | "number" if not schema.get("optional"):
            # Bounds are told in the text and checked by the configuration, which names the option
            # in its sentence; Gradio's own check would not.
            whole = schema["type"] == "integer"
            drawn = gr.Number(precision=0 if whole else None, **common)
        case "string" if choices is not None:
            drawn = gr.Dropdown(list(choices), allow_custom_value=True, **common)
        case "string" if "lines" in schema:
            drawn = gr.Textbox(lines=schema["lines"], **common)
        case "string" | "integer" | "number":
            # Gradio's number input has no empty state: it would show "all of them" as 0.
            drawn = gr.Textbox(**common)
        case _:
            raise TypeError(f"Option {name!r} has no input that fits {dict(schema)!r}.")
    return drawn


def _info(schema: Mapping[str, Any]) -> str:
    """The description, with the bounds behind it."""
    text = str(schema.get("description", "")).rstrip(".")
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    if high is not None and high >= LARGEST_TOLD:
        high = None
    if low is not None and high is not None:
        bounds = f"{low:.9g} to {high:.9g}"
    elif low is not None:
        bounds = f"{'above' if 'exclusiveMinimum' in schema else 'from'} {low:.9g}"
    elif high is not None:
        bounds = f"up to {high:.9g}"
    else:
        return text
    return f"{text} ({bounds})"


def _typed(schema: Mapping[str, Any], value: Any) -> Any:
    """A page's value as the configuration wants it."""
    kind = schema.get("type")
    if schema.get("optional") and value in ("", None, []):
        return None
    if "enum" in schema:
        return next((known for known in schema["enum"] if str(known) == value), value)
    if kind == "object":
        return dict(_weight(part) for part in value or ())
    if kind == "array":
        return list(value or ())
    return value


def _weight(part: str) -> tuple[str, float | str]:
    """A name with its weight. What is no number is passed on for the configuration to refuse."""
    name, equals, weight = part.rpartition("=")
    if not equals:
        return part, 1.0
    try:
        return name.strip(), float(weight)
    except ValueError:
        return name.strip(), weight
