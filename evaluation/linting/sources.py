"""Where entries come from: a file in any format that can be imported, a snapshot, or rows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from evaluation.linting.entries import Entry, RawRating, Refused
from feedback.importers.lines import Line, lines_of
from feedback.importers.reading import choose
from feedback.importers.records import JudgedPrompt, Score, Verdict
from feedback.importers.report import pass_over
from storage.errors import InvalidData
from storage.records import Kind, Message, Split, as_messages, split_of
from storage.snapshots import ComparisonRow, RatingRow, SnapshotData

_DEEPEST = 4
"""Lists and objects within each other in which ratings are sought."""
_ASKS = ("instruction", "question", "text")
"""Fields that evaluation sets keep their prompts in."""
_SAYS_WHERE = re.compile(r"^.*?, ([a-z]+ [0-9]+): ", re.DOTALL)


def entries_of_file(
    path: Path, format_name: str | None = None, *, options: Mapping[str, Any] | None = None
) -> Iterator[Entry | Refused]:
    """Every line of a file or folder, also those that an import would refuse.

    A file that breaks off, or cannot be read as a whole, ends with a `Refused`.

    Args:
        path: As `feedback.importers.reading.judged_rows`.
        format_name: One of `IMPORTERS`; detected from the first line that can be read when None.
        options: Options of the format's config.

    Raises:
        InvalidData: The file is not there, or its first line is in no known format.
        NotFound, InvalidOption: As `feedback.importers.reading.choose`.
    """
    recipe, config = choose(path, format_name, options or {}, on_broken=pass_over)
    # Lines of several files share their numbers.
    several = path.is_dir()
    broken: list[InvalidData] = []
    try:
        for told in lines_of(path, on_broken=broken.append):
            yield from _refused(broken, path)
            line = told.without_null()
            place = f"{line.unit} {line.number}"
            place = f"{line.path.name}, {place}" if several else place
            raw = tuple(_ratings(line.fields))
            try:
                said = recipe.run(config, line)
                parts = [
                    _entry(place, judged, line.split() or split_of(judged.messages), line, raw)
                    for judged in (said if isinstance(said, list) else [said])
                ]
            except InvalidData as refused:
                yield Refused(
                    place=place,
                    reason=_SAYS_WHERE.sub("", _reason(refused, line.path)),
                    empty=_has_empty_answer(line.fields),
                    raw=raw,
                )
            else:
                # What the line says of ratings and of itself is counted once.
                yield from (
                    part if at == 0 else replace(part, same=0, raw=())
                    for at, part in enumerate(parts)
                )
    except InvalidData as error:
        broken.append(error)
    yield from _refused(broken, path)


def _refused(broken: list[InvalidData], path: Path) -> Iterator[Refused]:
    """The lines that could not be read since the last one that could; none are left."""
    for error in broken:
        said = _reason(error, path)
        where = _SAYS_WHERE.match(said)
        place = where.group(1) if where else "the file"
        yield Refused(place=place, reason=_SAYS_WHERE.sub("", said))
    broken.clear()


def entries_of_snapshot(data: SnapshotData) -> Iterator[Entry]:
    """Every row of a snapshot."""
    for split in Split:
        for table in ("comparisons", "ratings"):
            for row in data.stream(table, split):
                yield _entry_of(row, split)


def entries_of_rows(rows: Iterable[ComparisonRow | RatingRow]) -> Iterator[Entry]:
    """Rows as they would be frozen, in the parts that their prompts draw."""
    for row in rows:
        # Rows have slots and no __dict__.
        fields = {name: getattr(row, name) for name in row.__dataclass_fields__}
        yield _entry_of(fields, split_of(row.prompt))


def prompts_of_file(path: Path) -> list[tuple[Message, ...]]:
    """The prompts of an evaluation set: a file in any known format, or lines with `instruction`.

    Raises:
        InvalidData: The file cannot be read, or a line of it has no prompt.
    """
    if next(lines_of(path)).without_null().fields.keys() & {"prompt", "chosen"}:
        return [_known(path, entry).prompt for entry in entries_of_file(path)]
    return [_instruction(line.without_null()) for line in lines_of(path)]


def _known(path: Path, entry: Entry | Refused) -> Entry:
    if isinstance(entry, Refused):
        raise InvalidData(f"{path}, {entry.place}: {entry.reason}")
    return entry


def _instruction(line: Line) -> tuple[Message, ...]:
    asked = next((line.fields[name] for name in _ASKS if name in line.fields), None)
    if asked is None:
        line.refuse(f"a line of an evaluation set needs a prompt, or one of {', '.join(_ASKS)}.")
    return line.turns(asked)


def _entry(
    place: str, judged: JudgedPrompt, split: Split, line: Line, raw: tuple[RawRating, ...]
) -> Entry:
    return Entry(
        place=place,
        prompt=judged.messages,
        responses=tuple(answer.text for answer in judged.responses),
        verdicts=judged.verdicts,
        scores=judged.scores,
        split=split,
        sides="chosen" not in line.fields,
        same=_same(line.fields),
        raw=raw,
    )


def _entry_of(row: Mapping[str, Any], split: Split) -> Entry:
    who = {"annotator": row["annotator"], "kind": Kind(row["kind"])}
    messages = as_messages(row["prompt"])
    place = f"prompt {str(row['prompt_id'])[:10]}"
    if "choice" not in row:
        score = Score(response=0, aspect=row["aspect"], value=row["value"], **who)
        return Entry(
            place=place,
            prompt=messages,
            responses=(row["response"],),
            scores=(score,),
            split=split,
        )
    verdict = Verdict(
        left=0,
        right=1,
        choice=row["choice"],
        graded=row["graded"],
        both_bad=row["both_bad"],
        **who,
    )
    return Entry(
        place=place,
        prompt=messages,
        responses=(row["left"], row["right"]),
        verdicts=(verdict,),
        split=split,
        same=_folded(row["left"]) == _folded(row["right"]),
    )


def _same(fields: Mapping[str, Any]) -> int:
    """Comparisons of an answer with itself, which an import leaves out without a refusal."""
    if "chosen" in fields and "rejected" in fields:
        return int(_folded(fields["chosen"]) == _folded(fields["rejected"]))
    listed = fields.get("responses")
    if not isinstance(listed, list):
        return 0
    texts = {
        str(one.get("rid", place + 1)): _folded(one.get("text"))
        for place, one in enumerate(listed)
        if isinstance(one, Mapping)
    }
    preferences = fields.get("preferences") or []
    return sum(texts.get(str(one.get("a"))) == texts.get(str(one.get("b"))) for one in preferences)


def _folded(said: Any) -> Any:
    """A text, or the texts of a conversation, with one kind of white space."""
    if isinstance(said, list):
        return [
            _folded(one["content"]) for one in said if isinstance(one, Mapping) and "content" in one
        ]
    return " ".join(said.split()) if isinstance(said, str) else said


def _ratings(said: Any, depth: int = _DEEPEST) -> Iterator[RawRating]:
    """Every `rating` with its scale, however deep in a line."""
    if not depth:
        return
    if isinstance(said, list):
        for one in said:
            yield from _ratings(one, depth)
    elif isinstance(said, Mapping):
        if (value := _number(said.get("rating"))) is not None:
            low, high = _number(said.get("scale_min")), _number(said.get("scale_max"))
            yield RawRating(value=value, low=low, high=high)
        for one in said.values():
            if isinstance(one, list | Mapping):
                yield from _ratings(one, depth - 1)


def _number(said: Any) -> float | None:
    is_number = isinstance(said, int | float) and not isinstance(said, bool)
    # A number too long for a float is refused with its line.
    return float(said) if is_number and abs(said) < 1e300 else None


def _has_empty_answer(fields: Mapping[str, Any]) -> bool:
    answers = [fields[name] for name in ("chosen", "rejected", "response") if name in fields]
    listed = fields.get("responses")
    if isinstance(listed, list):
        answers += [one.get("text", "") if isinstance(one, Mapping) else one for one in listed]
    return any(isinstance(said, str) and not said.strip() for said in map(_end, answers))


def _end(said: Any) -> Any:
    """An answer alone, or the last turn of a conversation."""
    last = said[-1] if isinstance(said, list) and said else said
    return last.get("content") if isinstance(last, Mapping) else last


def _reason(error: InvalidData, path: Path) -> str:
    """The sentence, with the file's name in the place of where the server keeps it."""
    return str(error).replace(str(path), path.name)
