"""Answers and prompts that come from files: read, kept under their digest, matched to prompts.

A line of answers is {prompt, response}, or {instruction, output, generator?} as AlpacaEval writes
it, also in a `.json` file with one list. A line of prompts is {prompt} or {instruction}. Whatever
is kept lies in the data directory under a name that we gave it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.arms import ANSWERS, FILE, AnswersArm
from feedback.importers.lines import Line, lines_of
from storage import files
from storage.errors import InvalidData, NotFound
from storage.records import Message, ProjectId, Prompt, as_messages, digest

if TYPE_CHECKING:
    from storage.settings import Settings

FOLDER = "study-files"
"""In the data directory."""
MOST_NAMED = 3
"""Prompts that a refusal quotes."""
LONGEST_QUOTED = 80

Question = tuple[tuple[str, str], ...]
"""A conversation as a key: role and text of each turn, without space around the text."""


def keep_answers(settings: Settings, path: Path) -> str:
    """Import a file of answers, so that whoever wrote them can answer as a policy does.

    Returns:
        What stands for them among policies: `answers:NAME@DIGEST`, with the name of
        their generator, or else of the file.

    Raises:
        InvalidData: The file cannot be read, a line has no prompt or no answer, a prompt has two
            different answers, or several generators wrote them; names the line.
    """
    answers: dict[Question, tuple[tuple[Message, ...], str]] = {}
    generators: set[str] = set()
    for line in _lines(path):
        messages, fields = _messages(line), line.fields
        response = fields.get("response", fields.get("output"))
        # Models do give empty answers, and leaving them out would favour whoever gives them.
        if not isinstance(response, str):
            line.refuse("there is no answer; every line needs a text as 'response' or 'output'.")
        text = line.text(response, "'response'") if response.strip() else ""
        if "generator" in fields:
            generators.add(line.text(fields["generator"], "'generator'"))
        asked = _question(messages)
        if answers.setdefault(asked, (messages, text))[1] != text:
            line.refuse("this prompt has another answer further up; a study needs one to each.")
    if len(generators) > 1:
        raise InvalidData(
            f"{path} holds answers of {', '.join(sorted(generators))}; a file is one arm, so make"
            " one for each."
        )
    name = next(iter(generators), path.name.split(".")[0])
    rows = [{"prompt": list(messages), "response": text} for messages, text in answers.values()]
    return f"{ANSWERS}{name}@{_keep(settings, rows)}"


def keep_uploaded(settings: Settings, path: Path) -> str:
    """Import an uploaded file of answers, as `keep_answers` does.

    Raises:
        InvalidData: As there; people know their file by its name, not by where the server keeps it.
    """
    try:
        return keep_answers(settings, path)
    except InvalidData as error:
        raise InvalidData(str(error).replace(str(path), path.name)) from error


def named_answers(settings: Settings, policies: Sequence[str]) -> list[str]:
    """Policies as a command line names them, with each `file:PATH` imported.

    Files are read here, once: a job gets what they held, and no path.

    Raises:
        InvalidData: A file cannot be read, or holds something else.
    """
    return [
        keep_answers(settings, Path(one.removeprefix(FILE))) if one.startswith(FILE) else one
        for one in policies
    ]


def keep_prompts(settings: Settings, path: Path) -> str:
    """Import a file of prompts for a study.

    Returns:
        The digest by which `kept_prompts` finds them.

    Raises:
        InvalidData: The file cannot be read, or a line has no prompt; names the line.
    """
    read = (_messages(line) for line in _lines(path))
    found = {_question(messages): {"prompt": list(messages)} for messages in read}
    return _keep(settings, list(found.values()))


def kept_prompts(settings: Settings, named: str, project: ProjectId) -> list[Prompt]:
    """The prompts of an imported file, in its order.

    Raises:
        NotFound: Nothing was imported under this digest.
    """
    rows = _kept(settings, named)
    return list(
        {one.id: one for one in (Prompt.of(project, row["prompt"]) for row in rows)}.values()
    )


def answers_to(
    settings: Settings, arm: AnswersArm, prompts: Sequence[Sequence[Message]]
) -> list[str]:
    """The imported answer to each prompt, matched by the text of the conversation.

    Raises:
        NotFound: Nothing was imported under this digest.
        InvalidData: There is no answer to some prompts; says to how many and to which.
    """
    known = {
        _question(as_messages(row["prompt"])): row["response"]
        for row in _kept(settings, arm.digest)
    }
    missing = [one for one in prompts if _question(one) not in known]
    if missing:
        quoted = [repr(one[-1]["content"][:LONGEST_QUOTED]) for one in missing[:MOST_NAMED]]
        more = f" and {len(missing) - MOST_NAMED} more" if len(missing) > MOST_NAMED else ""
        raise InvalidData(
            f"{arm.label} has no answer to {len(missing)} of {len(prompts)} prompts:"
            f" {', '.join(quoted)}{more}. A prompt and its answer are matched by the prompt's whole"
            " text; add the answers, or name the prompts that have them."
        )
    return [known[_question(one)] for one in prompts]


def is_kept(settings: Settings, named: str) -> bool:
    """Whether a file was imported under this digest."""
    return _place(settings, named).is_file()


def _question(messages: Sequence[Message]) -> Question:
    return tuple((turn["role"], turn["content"].strip()) for turn in messages)


def _messages(line: Line) -> tuple[Message, ...]:
    asked = line.fields.get("prompt", line.fields.get("instruction"))
    if asked is None:
        line.refuse("there is no prompt; every line needs a 'prompt' or an 'instruction'.")
    return line.turns(asked)


def _lines(path: Path) -> Iterator[Line]:
    """The lines of a file, or what the one list of a `.json` file holds."""
    if path.suffix != ".json":
        for line in lines_of(path):
            yield line.without_null()
        return
    try:
        rows = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InvalidData(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise InvalidData(f"{path} is not JSON ({error}).") from error
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise InvalidData(f"{path} needs to hold one list of objects, with one at least.")
    for number, row in enumerate(rows, start=1):
        yield Line(path, number, row).without_null()


def _keep(settings: Settings, rows: list[dict[str, Any]]) -> str:
    named = digest(rows)
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    files.write_lines(_place(settings, named), lines)
    return named


def _kept(settings: Settings, named: str) -> list[dict[str, Any]]:
    place = _place(settings, named)
    if not place.is_file():
        raise NotFound("imported file", named)
    return [json.loads(line) for line in place.read_text(encoding="utf-8").split("\n") if line]


def _place(settings: Settings, named: str) -> Path:
    return settings.folder(FOLDER) / f"{named}.jsonl"
