"""Everything a closed study rests on, in one zip file, and its result counted again from that.

People are in it under their pseudonyms alone. The same study gives the same bytes.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evaluation.compared_arms import StudyVote
from evaluation.study_figures import DRAWN, drawn
from evaluation.study_methods import methods
from evaluation.study_ratings import StudyRating
from evaluation.study_reading import StudyReading, check_closed, in_words, read_study, reading
from evaluation.study_record import StudyRecord
from evaluation.study_report import shareable, study_html
from storage.errors import InvalidData, NotFound
from storage.files import write_file
from storage.records import Kind

DATED = (1980, 1, 1, 0, 0, 0)
"""Of every file in the package: the earliest that a zip file can say."""
CLOSE = 1e-12
"""Two numbers that differ by less, absolutely or relatively, are the same."""
NOT_FROM_VOTES = "people"
"""Part of a result that votes do not tell: who came, left, and failed attention checks."""
RECOMPUTE = '''"""Count the votes in this folder again, and say whether they give result.json.

Needs Tandem ({software}): run it with the Python that Tandem is installed in.
"""

import sys
from pathlib import Path

from evaluation.study_package import main

sys.exit(main(Path(__file__).parent))
'''
README = """{name}
{line}

{verdict}

plan.json      what was planned, frozen before the first vote; `digest` is the SHA-256 of the rest
key.json       which arm wrote each response
votes.jsonl    one vote a line, in the order in which they came, as `tandem evaluate votes` reads
               them: model_a stood on the left; judge is a pseudonym or a program; strength is how
               much better, from 1 to 3, 0 for a tie; lengths are in characters
answers.jsonl  every prompt with what each arm answered
ratings.jsonl  ratings of single answers from 1 to 7 (only where they were asked for)
result.json    the result in numbers; shares are fractions
report.html    the same to be read, with its figures
figures/       the figures; plotly.io.read_json opens them
methods.txt    how it was done, for a paper
recompute.py   counts the votes again: python recompute.py

Written by {software}.
"""


def study_package(record: StudyRecord, *, software: str) -> dict[str, bytes]:
    """Every file of the package, by its path.

    Args:
        record: The study.
        software: What counted, with its version.

    Raises:
        NotAllowed: The study is still open.
    """
    check_closed(record)
    record = shareable(record)
    found = reading(record)
    study = record.study
    figures = drawn(record.result, record.votes, plans=record.plans, still_open=False)
    texts = {
        "README.txt": README.format(
            name=study.name,
            line="=" * len(study.name),
            verdict=found.result.verdict,
            software=software,
        ),
        "answers.jsonl": _lines(_answers(record)),
        "key.json": _json({str(id_): arm for id_, arm in record.key.items()}),
        "methods.txt": methods(record, found, software=software) + "\n",
        "plan.json": _json(dict(study.plan)),
        "recompute.py": RECOMPUTE.format(software=software),
        "report.html": study_html(record, found, software=software),
        "result.json": _json(found.as_json()),
        "votes.jsonl": _lines(map(_vote_line, record.votes)),
    }
    if record.ratings:
        texts["ratings.jsonl"] = _lines(map(_rating_line, record.ratings))
    texts |= {
        f"figures/{name}.json": f"{figure.to_json()}\n"
        for name, figure in figures.items()
        if figure is not None and name in DRAWN
    }
    return {path: text.encode() for path, text in sorted(texts.items())}


def write_package(record: StudyRecord, path: Path, *, software: str) -> None:
    """Write the package as a zip file, whole or not at all.

    Raises:
        NotAllowed: The study is still open.
    """
    files = study_package(record, software=software)
    with write_file(path) as unfinished, zipfile.ZipFile(unfinished, "w") as packed:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, date_time=DATED)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            packed.writestr(entry, content)


def recompute(folder: Path) -> StudyReading:
    """Count the votes of a package again, from plan.json, votes.jsonl and answers.jsonl.

    Args:
        folder: Where the package was unpacked.

    Raises:
        NotFound: A file is missing.
        InvalidData: A file is not what a package holds, or the plan is not the one that was frozen.
        TooLittleData: Fewer than two prompts were voted on for some pair of arms.
    """
    plan, told = (_read_json(folder / name) for name in ("plan.json", "result.json"))
    answers, cast = (_read(folder / name) for name in ("answers.jsonl", "votes.jsonl"))
    rated = folder / "ratings.jsonl"
    given = _read(rated) if rated.exists() else []
    try:
        kinds = {row["question_id"]: tuple(row["kinds"]) for row in answers}
        votes = [_vote(row, kinds) for row in cast]
        ratings = [_rating(row) for row in given]
        name, arms = told["name"], list(dict.fromkeys(row["arm"] for row in answers))
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidData(
            f"The package in {folder} lacks or mistakes {error}; unpack it anew."
        ) from error
    return read_study(votes, ratings, name=name, arms=arms, plan=plan)


def differences(folder: Path) -> list[str]:
    """Where a package's result.json is not what its votes say; empty where it is.

    Args:
        folder: Where the package was unpacked.

    Raises:
        NotFound: A file is missing.
        InvalidData: A file is not what a package holds.
        TooLittleData: The votes are too few for a result.
    """
    told = _read_json(folder / "result.json")
    found = json.loads(_json(recompute(folder).as_json()))
    for one in (told, found):
        one.pop(NOT_FROM_VOTES, None)
    return list(_unlike(told, found, ""))


def main(folder: Path) -> int:
    """Say whether a package's result can be counted again; 0 where it can."""
    unlike = differences(folder)
    for one in unlike:
        print(one)  # noqa: T201
    print(  # noqa: T201
        "The votes give another result." if unlike else "The votes give the same result."
    )
    return int(bool(unlike))


def _answers(record: StudyRecord) -> Iterator[dict[str, Any]]:
    """In the order of the plan, and of the arms."""
    answers = {
        (response.prompt, record.key[id_]): response for id_, response in record.responses.items()
    }
    for id_ in record.study.plan["prompts"]:
        prompt = record.prompts[id_]
        for arm in record.study.arms:
            response = answers[id_, arm]
            yield {
                "question_id": id_,
                "prompt": in_words(prompt),
                "messages": list(prompt.messages),
                "kinds": list(prompt.tags),
                "arm": arm,
                "response_id": response.id,
                "text": response.text,
            }


def _vote_line(vote: StudyVote) -> dict[str, Any]:
    tie = "tie (both bad)" if vote.both_bad else "tie"
    winner = {-1: "model_a", 0: tie, 1: "model_b"}[(vote.choice > 0) - (vote.choice < 0)]
    return {
        "question_id": vote.prompt,
        "model_a": vote.left,
        "model_b": vote.right,
        "winner": winner,
        "strength": abs(vote.choice),
        "judge": vote.annotator,
        "kind": str(vote.kind),
        "left": "model_a",
        "length_a": vote.left_length,
        "length_b": vote.right_length,
    }


def _vote(row: Mapping[str, Any], kinds: Mapping[str, tuple[str, ...]]) -> StudyVote:
    winner = row["winner"]
    sign = {"model_a": -1, "model_b": 1}.get(winner, 0)
    return StudyVote(
        prompt=row["question_id"],
        annotator=row["judge"],
        kind=Kind(row["kind"]),
        left=row["model_a"],
        right=row["model_b"],
        choice=sign * row["strength"],
        both_bad=winner == "tie (both bad)",
        left_length=row["length_a"],
        right_length=row["length_b"],
        prompt_kinds=kinds[row["question_id"]],
    )


def _rating_line(rating: StudyRating) -> dict[str, Any]:
    return {
        "question_id": rating.prompt,
        "model": rating.arm,
        "judge": rating.annotator,
        "rating": rating.value,
    }


def _rating(row: Mapping[str, Any]) -> StudyRating:
    return StudyRating(
        prompt=row["question_id"], annotator=row["judge"], arm=row["model"], value=row["rating"]
    )


def _unlike(told: Any, found: Any, where: str) -> Iterator[str]:
    """Every place at which two JSON values differ, in words."""
    if isinstance(told, dict) and isinstance(found, dict):
        for name in sorted(told.keys() | found.keys()):
            yield from _unlike(told.get(name), found.get(name), f"{where}.{name}".lstrip("."))
    elif isinstance(told, list) and isinstance(found, list) and len(told) == len(found):
        for place, pair in enumerate(zip(told, found, strict=True)):
            yield from _unlike(*pair, f"{where}[{place}]")
    elif isinstance(told, float) and isinstance(found, float):
        if not math.isclose(told, found, rel_tol=CLOSE, abs_tol=CLOSE):
            yield f"{where}: {told} in result.json, {found} from the votes"
    elif told != found:
        yield f"{where}: {told!r} in result.json, {found!r} from the votes"


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _lines(rows: Any) -> str:
    return "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)


def _read_json(path: Path) -> dict[str, Any]:
    return next(iter(_parsed(path, [_text(path)])))


def _read(path: Path) -> list[dict[str, Any]]:
    return _parsed(path, [line for line in _text(path).split("\n") if line.strip()])


def _text(path: Path) -> str:
    if not path.is_file():
        raise NotFound("file of a package", str(path))
    return path.read_text(encoding="utf-8")


def _parsed(path: Path, texts: list[str]) -> list[dict[str, Any]]:
    try:
        rows = [json.loads(text) for text in texts]
    except json.JSONDecodeError as error:
        raise InvalidData(f"{path.name} is no JSON: {error}.") from error
    if not all(isinstance(row, dict) for row in rows):
        raise InvalidData(f"{path.name} holds something that is no JSON object.")
    return rows
