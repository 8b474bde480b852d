"""Files of answers to learn from as they are: TRL's {prompt, completion} or {messages} lines.

Nobody judged them, so they are not imported into a project; recipes that learn to write such
answers read them. `prompt` and `completion` are texts, or lists of messages, of which `completion`
is one of the assistant's. In `messages`, every turn of the assistant is an answer to all that was
said before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from feedback.importers.lines import Line, read_lines, shown
from storage.errors import InvalidData
from storage.records import Message, as_messages


def is_demonstrated(path: Path) -> bool:
    """True when the first line of a file is of this kind.

    Raises:
        InvalidData: The file cannot be read.
    """
    fields = next(read_lines(path)).without_null().fields
    return "completion" in fields or "messages" in fields


def read_demonstrations(path: Path) -> Iterator[tuple[tuple[Message, ...], str]]:
    """Stream (conversation, answer).

    Raises:
        InvalidData: At the first line that is of another kind; names file, line and what to do.
    """
    for line in read_lines(path):
        yield from _read(line.without_null())


def _read(line: Line) -> Iterator[tuple[tuple[Message, ...], str]]:
    if "messages" not in line.fields:
        yield line.messages(), completion(line)
        return
    try:
        messages = as_messages(line.fields["messages"])
    except InvalidData as error:
        line.refuse(str(error))
    answered = [
        place
        for place, message in enumerate(messages)
        if message["role"] == "assistant" and any(m["role"] == "user" for m in messages[:place])
    ]
    if not answered:
        line.refuse("'messages' needs a turn of the assistant after one of the user.")
    for place in answered:
        yield messages[:place], line.text(messages[place]["content"], "a turn of the assistant")


def completion(line: Line) -> str:
    """The answer that a line holds as `completion`: a text, or one message of the assistant."""
    said = line.fields.get("completion")
    if isinstance(said, list):
        is_turn = len(said) == 1 and isinstance(said[0], dict)
        if not is_turn or said[0].get("role") != "assistant":
            line.refuse(
                "'completion' needs to be a text or a list of one assistant message, with"
                f" everything before it in the prompt; got {shown(said)}."
            )
        said = said[0].get("content")
    return line.text(said, "'completion'")
