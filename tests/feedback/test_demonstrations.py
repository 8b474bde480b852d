"""Files of answers to learn from as they are, in TRL's two forms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from feedback.importers.demonstrations import is_demonstrated, read_demonstrations
from storage.errors import InvalidData
from storage.records import Message

HELLO = Message(role="user", content="Hello?")
YES = Message(role="assistant", content="Yes?")
MORE = Message(role="user", content="Tell me more.")
MUCH = Message(role="assistant", content="There is much to tell.")
BRIEF = Message(role="system", content="Be brief.")


def written(folder: Path, *lines: dict[str, Any]) -> Path:
    path = folder / "shown.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ({"prompt": "Hello?", "completion": "Yes?"}, [([HELLO], "Yes?")]),
        ({"prompt": [HELLO], "completion": [YES], "id": 3}, [([HELLO], "Yes?")]),
        ({"messages": [HELLO, YES], "prompt": None}, [([HELLO], "Yes?")]),
        (
            {"messages": [BRIEF, HELLO, YES, MORE, MUCH]},
            [([BRIEF, HELLO], "Yes?"), ([BRIEF, HELLO, YES, MORE], "There is much to tell.")],
        ),
        # A greeting answers nothing, and a last word of the user's is not answered.
        ({"messages": [YES, HELLO, MUCH, MORE]}, [([YES, HELLO], "There is much to tell.")]),
    ],
)
def test_each_answer_comes_with_all_that_was_said_before_it(
    tmp_path: Path, line: dict[str, Any], expected: list[tuple[list[Message], str]]
) -> None:
    path = written(tmp_path, line)
    assert is_demonstrated(path)
    assert [(list(prompt), answer) for prompt, answer in read_demonstrations(path)] == expected


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ({"completion": "Yes?"}, "there is no prompt"),
        ({"prompt": "Hello?"}, "'completion' needs some text; got None"),
        ({"prompt": "Hello?", "completion": " "}, "'completion' needs some text"),
        ({"prompt": "Hello?", "completion": [HELLO]}, "a list of one assistant message"),
        ({"prompt": "Hello?", "completion": [YES, MORE]}, "a list of one assistant message"),
        ({"messages": [HELLO]}, "'messages' needs a turn of the assistant after one of the user"),
        ({"messages": "Hello?"}, "'messages' needs a turn of the assistant"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "needs a role"),
        ({"messages": [HELLO, {"role": "assistant", "content": ""}]}, "needs some text; got ''"),
    ],
)
def test_a_line_of_another_kind_is_named(
    tmp_path: Path, line: dict[str, Any], complaint: str
) -> None:
    path = written(tmp_path, {"prompt": "Hello?", "completion": "Yes?"}, line)
    with pytest.raises(InvalidData, match=rf"shown.jsonl, line 2: .*{complaint}"):
        list(read_demonstrations(path))


@pytest.mark.parametrize("line", [{"prompt": "p", "chosen": "a", "rejected": "b"}, {"prompt": "p"}])
def test_judgements_are_not_taken_for_demonstrations(tmp_path: Path, line: dict[str, str]) -> None:
    assert not is_demonstrated(written(tmp_path, line))
