"""Rewards that an answer's text settles by itself, and the names they go by.

| name            | reward                                                             |
|-----------------|--------------------------------------------------------------------|
| `length`        | words in the answer                                                |
| `length:80`     | minus the distance from 80 words, in words                         |
| `matches:REGEX` | 1 where the regular expression is found in the answer, 0 otherwise |
| `json`          | 1 where the answer is a JSON object or array and nothing else      |

Words are what stands between white space. A number or a text alone is JSON too, but a policy would
soon find out that `1` earns the reward.

Expressions are those of Rust's `regex`, which pydantic brings along: time grows with the length of
the text, never faster, and an expression that would need much memory is refused when it is read. So
no expression, careless or hostile, can hold up a worker, which Python's own could for ever. What
that engine has not are look-around and back-references.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial

from pydantic_core import SchemaError, SchemaValidator, core_schema

LONGEST_TARGET = 100_000
"""Words."""
LONGEST_EXPRESSION = 500
"""Characters."""
NAMES = ("json", "length")
"""The functions that are named by a word alone, as a reward model could be."""

EXAMPLES = ("length", "length:80", r"matches:\d", "json")
"""One of each kind, to choose from or to change."""


def text_function(name: str) -> Callable[[str], float] | None:
    """The function of this name; None when it is the name of something else.

    Raises:
        ValueError: It is meant to be one, but what stands behind the colon cannot be used.
    """
    kind, colon, detail = name.partition(":")
    match kind, colon:
        case "length", "":
            return _words
        case "length", ":":
            return partial(_closeness, target=_words_wanted(detail))
        case "matches", ":":
            return _finder(detail)
        case "json", "":
            return _is_json
        case "json", ":":
            raise ValueError("nothing stands behind `json`")
        case _:
            return None


def _words(answer: str) -> float:
    return float(len(answer.split()))


def _closeness(answer: str, *, target: int) -> float:
    return -abs(_words(answer) - target)


def _words_wanted(detail: str) -> int:
    if re.fullmatch("[0-9]{1,6}", detail) and 1 <= int(detail) <= LONGEST_TARGET:
        return int(detail)
    raise ValueError(
        f"behind `length:` stands a whole number of words from 1 to {LONGEST_TARGET}, as in"
        f" `length:80`, not {detail!r}"
    )


def _finder(expression: str) -> Callable[[str], float]:
    if not expression:
        raise ValueError(r"a regular expression stands behind `matches:`, as in `matches:\d`")
    if len(expression) > LONGEST_EXPRESSION:
        raise ValueError(
            f"a regular expression has at most {LONGEST_EXPRESSION} characters, this one"
            f" {len(expression)}"
        )
    # The engine is named, lest a later pydantic takes Python's by default.
    wanted = core_schema.str_schema(pattern=expression, regex_engine="rust-regex")
    try:
        validator = SchemaValidator(wanted)
    except SchemaError as error:
        problem = re.split("[Ee]rror: ", str(error))[-1].rstrip(". \n")
        raise ValueError(
            f"the regular expression {expression!r} cannot be used: {problem}"
        ) from error
    return lambda answer: float(validator.isinstance_python(answer))


def _is_json(answer: str) -> float:
    try:
        # Python reads NaN and Infinity, which JSON has not; and how long a whole number is, or how
        # large, is no matter here.
        found = json.loads(answer, parse_constant=_refuse, parse_int=str)
    except (ValueError, RecursionError):
        return 0.0
    return float(isinstance(found, dict | list))


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
