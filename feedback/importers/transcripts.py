"""Conversations that are one text, with the name of who speaks before each turn."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from storage.records import Message

_ROLES: Mapping[str, Literal["user", "assistant"]] = {
    "human": "user",
    "user": "user",
    "assistant": "assistant",
}


def transcript(text: str, speaker: str) -> tuple[Message, ...]:
    """Split a text into turns.

    Args:
        text: The conversation; what stands before the first name is no turn.
        speaker: A regular expression whose one group is who speaks: Human, User or Assistant.
    """
    pieces = re.split(speaker, text)[1:]
    return tuple(
        Message(role=_ROLES[name.lower()], content=content.strip())
        for name, content in zip(pieces[::2], pieces[1::2], strict=True)
    )
