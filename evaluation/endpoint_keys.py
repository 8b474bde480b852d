"""The key for an OpenAI-compatible server: from the environment or a mounted secret, and bound.

A variable such as `SERVED_KEY` holds the key, or `HOST=KEY` with spaces between several hosts.
Where it is not set, `SERVED_KEY_FILE` may name a file that holds the same, as Docker and Kubernetes
mount secrets. In the environment of a worker a key has to name its host: whoever may start a job
may name any address. The key in `OPENAI_API_KEY` needs no host, because everybody knows whose it
is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from storage.errors import InvalidOption

DEFAULT_KEY_VARIABLE = "OPENAI_API_KEY"
OPENAI_HOST = "api.openai.com"
FILE_ENDING = "_FILE"
"""Behind the name of a variable: that of another, which names a file with the same in it."""
LONGEST_SECRET = 2**16
"""Bytes of a file; keys have hundreds, and more hosts than fit in here have no use."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HOST = re.compile(r"[\w.-]+(:\d+)?|\[[\da-fA-F:]+\](:\d+)?")


def key_for(
    host: str, variable: str, environment: Mapping[str, str], *, bound: bool = False
) -> str | None:
    """The key to show at a host; None where no variable is named or set, or it names other hosts.

    Args:
        host: Where it is to be shown, with its port where one is written, in small letters.
        variable: Name of the variable; empty for none.
        environment: Where it is read; usually `os.environ`.
        bound: Take a key only with its host.

    Raises:
        InvalidOption: That is no name of a variable, its file cannot be read, or it holds a key
            without a host where that is needed. No part of the key is told.
    """
    said = secret(variable, environment).split()
    if not said:
        return None
    if not all(part.isascii() and part.isprintable() for part in said):
        raise InvalidOption("key_variable", "what it holds cannot be sent as a key", variable)
    parts = [part.partition("=") for part in said]
    hosts = {name: key for name, _, key in parts}
    named = {name.lower(): key for name, key in hosts.items() if key}
    if host in named:
        return named[host]
    if all(_is_host(name) and key for name, key in hosts.items()):
        return None
    if variable == DEFAULT_KEY_VARIABLE and host == OPENAI_HOST:
        bound = False
    if bound or len(said) > 1:
        raise InvalidOption(
            "key_variable",
            f"here it needs to say which host a key is for, as in {host}=KEY, so that no job can"
            " send it elsewhere",
            variable,
        )
    return said[0]


def secret(variable: str, environment: Mapping[str, str]) -> str:
    """What a variable holds, or the file that the variable with `_FILE` behind it names.

    Raises:
        InvalidOption: That is no name of a variable, both are set, or the file cannot be read.
    """
    if not variable:
        return ""
    if not _NAME.fullmatch(variable):
        # Perhaps it is the key itself, so it is not repeated.
        raise InvalidOption(
            "key_variable",
            "it is the name of an environment variable that holds the key, not the key",
            "something else",
        )
    said = environment.get(variable, "").strip()
    named = environment.get(variable + FILE_ENDING, "").strip()
    if not named:
        return said
    if said:
        raise InvalidOption(
            "key_variable",
            f"it and {variable}{FILE_ENDING} are both set; unset one of them",
            variable,
        )
    try:
        with Path(named).open("rb") as file:
            read = file.read(LONGEST_SECRET + 1)
        found = read.decode("utf-8").strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise InvalidOption(
            "key_variable",
            f"the file that {variable}{FILE_ENDING} names cannot be read ({reason})",
            variable,
        ) from None  # an error of decoding holds what was read
    if not found or len(read) > LONGEST_SECRET:
        raise InvalidOption(
            "key_variable",
            f"the file that {variable}{FILE_ENDING} names is {'too long' if found else 'empty'}",
            variable,
        )
    return found


def _is_host(text: str) -> bool:
    """Keys have no dots and no ports; a host has one of them, or is this machine."""
    return bool(_HOST.fullmatch(text)) and ("." in text or ":" in text or text == "localhost")
