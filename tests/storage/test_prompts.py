"""Projects, prompts and responses: what goes in comes out, once."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage import projects, prompts
from storage.database import Database
from storage.errors import InvalidData, InvalidOption, NotFound
from storage.records import Project, ProjectId, Prompt, PromptId, Response, ResponseId

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
words = texts.filter(str.strip)
turns = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": words}),
    min_size=1,
    max_size=4,
)
samplings = st.dictionaries(
    texts, st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
)


def project(database: Database, now: datetime, **changes: Any) -> Project:
    fields = {"id": ProjectId(secrets.token_hex(8)), "name": secrets.token_hex(4), "created": now}
    with database.write() as connection:
        return projects.add_project(connection, Project(**fields | changes))


@settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    conversations=st.lists(turns, min_size=1, max_size=3),
    answers=st.lists(st.tuples(words, st.text("abc /-", max_size=20), samplings), max_size=4),
    tags=st.lists(texts),
)
def test_what_goes_in_comes_out(
    conversations: list[Any],
    answers: list[tuple[str, str, dict[str, Any]]],
    tags: list[str],
    database: Database,
    now: datetime,
) -> None:
    home = project(database, now)
    asked = {
        one.id: one for one in (Prompt.of(home.id, turns, tags=tags) for turns in conversations)
    }
    first = next(iter(asked))
    given = {
        one.id: one
        for one in (Response.of(first, t, policy=p, sampling=s) for t, p, s in reversed(answers))
    }
    with database.write() as connection:
        assert prompts.add_prompts(connection, asked.values()) == len(asked)
        assert prompts.add_responses(connection, given.values()) == len(given)
    with database.read() as connection:
        assert {one.id: one for one in prompts.prompts(connection, home.id)} == asked
        assert prompts.prompt(connection, first) == asked[first]
        found = prompts.responses(connection, home.id)
        assert found == prompts.responses(connection, list(asked))
        assert {one.id: one for one in found[first]} == given
        assert prompts.responses_by_id(connection, given) == given


def test_the_same_prompt_is_kept_once(database: Database, now: datetime) -> None:
    home = project(database, now)
    once = [Prompt.of(home.id, f"prompt {n % 600}") for n in range(700)]
    with database.write() as connection:
        assert prompts.add_prompts(connection, once) == 600
        assert prompts.add_prompts(connection, once) == 0
        answers = [Response.of(one.id, "Yes.") for one in once]
        assert prompts.add_responses(connection, iter(answers)) == 600
        assert prompts.add_responses(connection, answers) == 0
        assert len(prompts.responses(connection, [one.id for one in once])) == 600


def test_each_project_has_its_own_prompts(database: Database, now: datetime) -> None:
    one, other = project(database, now), project(database, now)
    with database.write() as connection:
        prompts.add_prompts(connection, [Prompt.of(one.id, "Hi"), Prompt.of(other.id, "Hi")])
        assert len(prompts.prompts(connection, one.id)) == 1
        assert list(prompts.responses(connection, one.id).values()) == [[]]


def test_what_is_not_there_is_not_found(database: Database) -> None:
    with database.read() as connection:
        for look in (prompts.prompt, prompts.response):
            with pytest.raises(NotFound, match="'nothing'"):
                look(connection, "nothing")  # type: ignore[operator]
        assert prompts.prompts(connection, ProjectId("nothing")) == []
        assert prompts.responses(connection, [PromptId("nothing")]) == {"nothing": []}


def test_a_prompt_needs_its_project_and_a_response_its_prompt(
    database: Database, now: datetime
) -> None:
    with (
        pytest.raises(InvalidData, match="names a project that is not stored"),
        database.write() as connection,
    ):
        prompts.add_prompts(connection, [Prompt.of(ProjectId("nowhere"), "Hi")])
    with (
        pytest.raises(InvalidData, match="names a prompt that is not stored"),
        database.write() as connection,
    ):
        prompts.add_responses(connection, [Response.of(PromptId("nowhere"), "Hi")])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"policy": "x" * 501}, "policy of one of the responses has 501 characters, at most 500"),
        ({"sampling": {"temperature": float("nan")}}, "cannot be kept as JSON"),
        ({"sampling": {"model": object()}}, "cannot be kept as JSON"),
        ({"sampling": {"stop": "\ud800"}}, "cannot be kept as JSON"),
        ({"text": "a\0b"}, r"text of one of the responses holds the character U\+0000"),
    ],
)
def test_what_not_every_database_keeps_is_refused_on_each(
    changes: dict[str, Any], sentence: str, database: Database, now: datetime
) -> None:
    home = project(database, now)
    prompt = Prompt.of(home.id, "Hi")
    fields = {"id": ResponseId("r"), "prompt": prompt.id, "text": "Hello"}

    def add() -> None:
        with database.write() as connection:
            prompts.add_prompts(connection, [prompt])
            prompts.add_responses(connection, [Response(**fields | changes)])

    with pytest.raises(InvalidData, match=sentence):
        add()
    with database.read() as connection:
        assert prompts.prompts(connection, home.id) == []


class TestProjects:
    def test_a_project_is_found_by_name_or_identifier(
        self, database: Database, now: datetime
    ) -> None:
        kept = project(database, now, name="Starter", guidelines="Be fair.", overlap=2)
        with database.read() as connection:
            assert projects.project_named(connection, "Starter") == kept
            assert projects.project_named(connection, kept.id) == kept
            assert projects.projects(connection) == [kept]
            with pytest.raises(NotFound, match="Did you mean 'Starter'"):
                projects.project_named(connection, "Startr")

    @pytest.mark.parametrize(
        ("changes", "option"),
        [({"name": " "}, "name"), ({"overlap": 0}, "overlap"), ({"name": "Starter"}, "name")],
    )
    def test_a_project_needs_a_name_of_its_own_and_an_overlap(
        self, changes: dict[str, Any], option: str, database: Database, now: datetime
    ) -> None:
        project(database, now, name="Starter")
        with pytest.raises(InvalidOption, match=option):
            project(database, now, **changes)

    def test_a_project_is_made_when_it_is_not_there(
        self, database: Database, now: datetime
    ) -> None:
        with database.write() as connection:
            made = projects.ensure_project(connection, "Starter", now=now, overlap=3)
            again = projects.ensure_project(connection, "Starter", now=now, simulated=True)
            with pytest.raises(InvalidOption, match="overlap"):
                projects.ensure_project(connection, "Other", now=now, overlap=0)
        assert made == again
        assert (made.overlap, made.simulated) == (3, False)

    def test_a_project_that_somebody_makes_at_the_same_moment_is_taken(
        self, database: Database, now: datetime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kept = project(database, now, name="Starter")
        looks = iter([None, kept])
        monkeypatch.setattr(projects, "_find", lambda *_: next(looks))
        with database.write() as connection:
            assert projects.ensure_project(connection, "Starter", now=now) == kept
