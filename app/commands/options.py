"""A recipe's options as command-line options: the second of its configuration's three views."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any, TypeVar, get_args, get_origin

from cyclopts import Parameter
from pydantic.fields import FieldInfo

from storage.errors import InvalidOption
from storage.recipes import Recipe, RecipeConfig, find

Config = TypeVar("Config", bound=RecipeConfig)


def with_options(
    command: Callable[..., None], config: type[RecipeConfig], *, without: Collection[str] = ()
) -> Callable[..., None]:
    """Give a function that takes `**typed` one keyword per option of `config`.

    Args:
        command: The function; its own keywords come first in the help.
        config: Whose options are wanted.
        without: Options that the command sets itself.
    """
    signature = inspect.signature(command, eval_str=True)
    own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    drawn = [
        _option(name, field)
        for name, field in config.model_fields.items()
        if name not in without and name not in signature.parameters
    ]
    command.__signature__ = signature.replace(parameters=[*own, *drawn])  # type: ignore[attr-defined]
    return command


def read_options(config: type[Config], typed: Mapping[str, Any]) -> Config:
    """What was typed, as a checked configuration.

    Raises:
        InvalidOption: An option is missing or out of bounds.
    """
    values = dict(typed)
    for name, field in config.model_fields.items():
        if name in values and get_origin(field.annotation) is dict:
            pair = _weight if _is_weighed(field) else _pair
            values[name] = dict(pair(name, text) for text in values[name])
    return config.read(values)


def unknown_recipe(table: Mapping[str, Recipe], kind: str) -> Callable[..., None]:
    """What answers to a recipe that is not there: the nearest name."""

    def command(
        recipe: Annotated[str | None, Parameter(show=False)] = None,
        /,
        *_rest: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    ) -> None:
        if recipe is None:
            raise InvalidOption("recipe", f"name one of {', '.join(sorted(table))}", None)
        find(table, kind, recipe)

    return command


def _option(name: str, field: FieldInfo) -> inspect.Parameter:
    """One option. Bounds are left to the configuration, whose sentence names the option."""
    several = get_origin(field.annotation) in (dict, tuple, list)
    required = field.is_required()
    kind: Any = list[str] if several else field.annotation
    kind = kind | None if several or required else kind
    default = None if required else field.get_default(call_default_factory=True)
    text = field.description or ""
    if get_origin(field.annotation) is dict:
        text += f"; written {'NAME or NAME=WEIGHT' if _is_weighed(field) else 'NAME=TEXT'}"
    if several and default:
        text += f" [default: {' '.join(str(part) for part in default)}]"
    # What is not typed stays None, and then the configuration's own default rules.
    annotation: Any = Annotated[
        kind,
        Parameter(
            help=text,
            consume_multiple=several or None,
            negative=() if several else None,
            # `--no-layers` says "empty" where the default is a number.
            negative_none="no-" if not several and default is not None else None,
            required=required,
        ),
    ]
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if required else None if several else default,
        annotation=annotation,
    )


def _is_weighed(field: FieldInfo) -> bool:
    """Whether what an option says behind each name is a number."""
    return get_args(field.annotation)[1] is float


def _pair(option: str, text: str) -> tuple[str, str]:
    """A name, and what stands behind its last equals sign.

    Raises:
        InvalidOption: There is no equals sign.
    """
    name, equals, said = text.rpartition("=")
    if not equals:
        raise InvalidOption(option, "it is written NAME=TEXT", text)
    return name, said


def _weight(option: str, text: str) -> tuple[str, float]:
    """A name with its weight; the weight is 1 where none is written.

    Raises:
        InvalidOption: What stands behind the last equals sign is no number.
    """
    name, equals, weight = text.rpartition("=")
    if not equals:
        return text, 1.0
    try:
        return name, float(weight)
    except ValueError:
        raise InvalidOption(option, "a weight is a number, as in NAME=0.5", text) from None
