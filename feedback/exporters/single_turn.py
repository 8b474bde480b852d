"""Prompts that are one text, for formats that have no place for conversations."""

from __future__ import annotations

from storage.records import Prompt

SEVERAL_TURNS = "prompts that are more than one turn of a user"


def instruction(prompt: Prompt) -> str | None:
    """The text of a prompt of one turn of a user; None for any other."""
    if len(prompt.messages) == 1 and prompt.messages[0]["role"] == "user":
        return prompt.messages[0]["content"]
    return None
