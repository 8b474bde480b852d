"""Orders of lines and a real file: nothing is lost when they are exported and imported again.

That every format gives back what it holds is the subject of `test_doors_both_ways`.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feedback.exporters import export
from feedback.importers.store import import_file
from storage.annotators import add_annotator
from storage.database import Connection, Database
from storage.judgements import judgements, record_imported
from storage.projects import ensure_project, project_named
from storage.prompts import add_prompts, add_responses, prompts, responses, responses_by_id
from storage.records import (
    Annotator,
    Comparison,
    Kind,
    Project,
    Prompt,
    Rating,
    Response,
    Role,
    Submission,
    SubmissionId,
    digest,
)


@st.composite
def said(draw: st.DrawFn) -> dict[str, Any]:
    """One sitting: a choice, ratings, or both."""
    graded = draw(st.booleans())
    strongest = 3 if graded else 1
    choice = draw(st.none() | st.integers(-strongest, strongest))
    values = draw(st.lists(st.none() | st.floats(1, 7), min_size=3, max_size=3))
    if choice is None and values == [None, None, None]:
        choice = 0
    return {
        "prompt": draw(st.integers(0, 2)),
        "graded": graded,
        "choice": choice,
        "both_bad": choice == 0 and draw(st.booleans()),
        "ratings": values,
        "aspect": draw(st.sampled_from(["overall", "style"])),
        "kind": draw(st.sampled_from(Kind)),
    }


def _fill(connection: Connection, sittings: list[dict[str, Any]], now: datetime) -> Project:
    unique = secrets.token_hex(8)
    here = ensure_project(connection, f"here {unique}", now=now)
    people = {
        kind: add_annotator(connection, f"{kind} {unique}", role=Role.ANNOTATOR, kind=kind, now=now)
        for kind in Kind
    }
    asked = [Prompt.of(here.id, f"Q{number}", tags=["t"], source="s") for number in range(3)]
    answers = [
        [
            Response.of(prompt.id, text, policy=f"model {text}", sampling={"temperature": 0.5})
            for text in "abc"
        ]
        for prompt in asked
    ]
    add_prompts(connection, asked)
    add_responses(connection, [one for theirs in answers for one in theirs])
    record_imported(connection, _submissions(sittings, answers, people, now))
    return here


def _submissions(
    sittings: list[dict[str, Any]],
    answers: list[list[Response]],
    people: dict[Kind, Annotator],
    now: datetime,
) -> Iterator[Submission]:
    for one in sittings:
        theirs = answers[one["prompt"]]
        comparison = one["choice"] is not None and Comparison(
            left=theirs[1].id,
            right=theirs[0].id,
            choice=one["choice"],
            graded=one["graded"],
            both_bad=one["both_bad"],
        )
        yield Submission(
            id=SubmissionId(secrets.token_hex(16)),
            annotator=people[one["kind"]].id,
            prompt=theirs[0].prompt,
            comparisons=(comparison,) if comparison else (),
            ratings=tuple(
                Rating(response=answer.id, value=value, aspect=one["aspect"])
                for answer, value in zip(theirs, one["ratings"], strict=True)
                if value is not None
            ),
            received=now,
        )


def _content(database: Database, project: str) -> Counter[str]:
    """All that a project holds, but for the identifiers and names that an import makes anew."""
    with database.read() as connection:
        found = project_named(connection, project)
        asked = {prompt.id: prompt for prompt in prompts(connection, found.id)}
        answers = responses(connection, found.id)
        said = list(judgements(connection, found.id))
    texts = {one.id: one.text for theirs in answers.values() for one in theirs}
    # There is one annotator of each kind, so kinds tell them apart.
    assert len({(one.kind, one.annotator) for one in said}) == len({one.kind for one in said})
    return Counter(
        [
            *(digest(p.messages, p.tags, p.source) for p in asked.values()),
            *(
                digest(asked[r.prompt].messages, r.text, r.policy, dict(r.sampling))
                for theirs in answers.values()
                for r in theirs
            ),
            *(
                digest(
                    one.kind,
                    asked[one.prompt].messages,
                    [
                        (texts[c.left], texts[c.right], c.choice, c.graded, c.both_bad)
                        for c in one.comparisons
                    ],
                    sorted((texts[r.response], r.aspect, float(r.value)) for r in one.ratings),
                )
                for one in said
            ),
        ]
    )


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(sittings=st.lists(said(), min_size=1, max_size=6), order=st.randoms(use_true_random=False))
def test_lines_in_any_order_give_the_same(
    database: Database,
    tmp_path: Path,
    now: datetime,
    sittings: list[dict[str, Any]],
    order: Any,
) -> None:
    there = f"there {secrets.token_hex(8)}"
    with database.write() as connection:
        here = _fill(connection, sittings, now)
    files = export(database, here, "both", folder=tmp_path / here.name, now=now).files
    lines = [
        line
        for path in files
        if path.name != "README.md"
        for line in path.read_text("utf-8").splitlines()
    ]
    order.shuffle(lines)
    shuffled = tmp_path / f"{secrets.token_hex(8)}.jsonl"
    shuffled.write_text("\n".join(lines), encoding="utf-8")
    import_file(database, shuffled, project=there, now=now)
    assert _content(database, there) == _content(database, here.name)
    again = import_file(database, files[0], project=there, now=now)
    assert (again.prompts, again.comparisons, again.ratings) == (0, 0, 0)


def test_preferences_and_ratings_are_read_back_too(
    database: Database, tmp_path: Path, now: datetime
) -> None:
    sitting = {
        "prompt": 0,
        "graded": True,
        "choice": -2,
        "both_bad": False,
        "ratings": [2, 6, None],
        "aspect": "overall",
        "kind": Kind.PERSON,
    }
    with database.write() as connection:
        here = _fill(connection, [sitting, sitting | {"choice": 1}], now)
    for name in ("preference", "ratings"):
        for path in export(database, here, name, folder=tmp_path / name, now=now).files:
            if path.name != "README.md":
                import_file(database, path, project="back", now=now)
    with database.read() as connection:
        said = list(judgements(connection, project_named(connection, "back").id))
        comparisons = [c for one in said for c in one.comparisons]
        texts = responses_by_id(connection, (r for c in comparisons for r in (c.left, c.right)))
    # b stood left: it was chosen with -2, and a with 1.
    assert sorted(texts[c.preferred].text for c in comparisons if c.preferred) == ["a", "b"]
    assert sorted(r.value for one in said for r in one.ratings) == [2, 2, 6, 6]


def test_a_real_file_comes_back_as_it_went(
    database: Database, tmp_path: Path, shared_data: Path, now: datetime
) -> None:
    path = shared_data / "both_sparse_feedback_sample.jsonl.gz"
    import_file(database, path, project="here", now=now)
    with database.read() as connection:
        here = project_named(connection, "here")
    files = export(database, here, "both", folder=tmp_path / "export", now=now).files
    reports = [
        import_file(database, file, project="there", now=now)
        for file in files
        if file.name != "README.md"
    ]
    assert sum(report.comparisons for report in reports) == 90
    assert sum(report.ratings for report in reports) == 146
    with database.read() as connection:
        said = {
            name: Counter(
                [
                    *(
                        (c.choice, c.graded)
                        for one in _said(connection, name)
                        for c in one.comparisons
                    ),
                    *(r.value for one in _said(connection, name) for r in one.ratings),
                ]
            )
            for name in ("here", "there")
        }
    assert said["here"] == said["there"]


def _said(connection: Connection, project: str) -> list[Any]:
    return list(judgements(connection, project_named(connection, project).id))
