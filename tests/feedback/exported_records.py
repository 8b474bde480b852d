"""What a project holds, as plain values to compare: drawn at random, kept, and read again."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hypothesis import strategies as st

from storage.annotators import add_annotator, annotators
from storage.database import Database
from storage.judgements import judgements, record_imported
from storage.projects import ensure_project, project_named
from storage.prompts import add_prompts, add_responses, prompts, responses
from storage.records import (
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


@dataclass(frozen=True)
class Choice:
    """Two answers by their texts."""

    left: str
    right: str
    choice: int
    graded: bool = True
    both_bad: bool = False

    @property
    def better(self) -> str | None:
        return None if not self.choice else self.left if self.choice < 0 else self.right

    @property
    def worse(self) -> str | None:
        return None if not self.choice else self.right if self.choice < 0 else self.left


@dataclass(frozen=True)
class Rated:
    text: str
    aspect: str
    value: float


@dataclass(frozen=True)
class Sitting:
    """What somebody said of one prompt's answers in one go."""

    who: str
    kind: Kind
    choices: tuple[Choice, ...] = ()
    ratings: tuple[Rated, ...] = ()
    comment: str = ""


@dataclass(frozen=True)
class Answer:
    text: str
    policy: str = ""
    sampling: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """A prompt with all that belongs to it."""

    messages: tuple[tuple[str, str], ...]
    answers: tuple[Answer, ...] = ()
    sittings: tuple[Sitting, ...] = ()
    tags: tuple[str, ...] = ()
    source: str = ""


Fact = tuple[Any, ...]


def facts(asked: list[Asked]) -> Counter[Fact]:
    """Everything there is to know, each piece by itself; the first word says what it is.

    A piece that is about another one, such as who made a choice, names that one, too.
    """
    return Counter(fact for one in asked for fact in _facts(one))


def _facts(one: Asked) -> Iterator[Fact]:
    q = one.messages
    yield "prompt", q
    if one.tags:
        yield "tags", q, one.tags
    if one.source:
        yield "source", q, one.source
    for answer in one.answers:
        yield "answer", q, answer.text
        if answer.policy:
            yield "policy", q, answer.text, answer.policy
        if answer.sampling:
            yield "sampling", q, answer.text, digest(answer.sampling)
    for sitting in one.sittings:
        cores = []
        for each in sitting.choices:
            said = each.better or ("both bad" if each.both_bad else "tie", "")
            core = ("choice", q, frozenset((each.left, each.right)), said)
            cores.append(core)
            yield core
            yield "side", core, each.left
            if each.graded and each.choice:
                yield "grade", core, abs(each.choice)
        for rated in sitting.ratings:
            core = ("rating", q, rated.text, rated.aspect, float(rated.value))
            cores.append(core)
            yield core
        for core in cores:
            yield "who", core, sitting.who, sitting.kind
        if len(cores) > 1:
            yield "sitting", q, frozenset(Counter(cores).items())
        if sitting.comment:
            yield "comment", q, frozenset(Counter(cores).items()), sitting.comment


# --- drawing

TRICKY = (
    "Line one\nline two\r\n\r\nline four",
    "\n\nHuman: Hi\n\nAssistant: Hello",
    "###Human: a ###Assistant: b",
    "<extra_id_1>User\n",
    'a,"b";c\td|e',
    '{"role": "user"}',
    "null",
    "7",
    "U+2028:\u2028 U+0085:\x85 U+001C:\x1c end",
    "  spaces around  ",
    "\ufeffbyte order mark",
    "e\u0301 \u00e9 \u202eright to left \U0001f600\u200d\U0001f9d1",
    "日本語のテキスト",
    "<script>alert(1)</script> & &amp;",
    "$x$ \\n \\u0000 %s {0}",
)
texts = st.sampled_from(TRICKY) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12
).filter(str.strip)
names = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=8)
PEOPLE = (
    ("ann", Kind.PERSON),
    ("ben", Kind.PERSON),
    ("judge", Kind.PROGRAM),
    ("robot", Kind.SIMULATED),
)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[tuple[str, str], ...]:
    """A prompt: mostly one turn of a user, else several, perhaps after a system message."""
    turns = [("user", draw(texts))]
    if draw(st.booleans()):
        if draw(st.booleans()):
            turns = [turns[0], ("assistant", draw(texts)), ("user", draw(texts))]
        if draw(st.booleans()):
            turns.insert(0, ("system", draw(texts)))
        if draw(st.integers(0, 4)) == 0:
            turns.append(("assistant", draw(texts)))
    return tuple(turns)


@st.composite
def sittings(draw: st.DrawFn, answers: list[Answer]) -> Sitting:
    who, kind = draw(st.sampled_from(PEOPLE))
    known = [one.text for one in answers]
    pairs = [(a, b) for n, a in enumerate(known) for b in known[n + 1 :]]
    compared = draw(st.lists(st.sampled_from(pairs), max_size=2, unique=True)) if pairs else []
    choices = []
    for pair in compared:
        graded = draw(st.booleans())
        choice = draw(st.integers(-3, 3) if graded else st.integers(-1, 1))
        left, right = draw(st.permutations(pair))
        both_bad = choice == 0 and draw(st.booleans())
        choices.append(Choice(left, right, choice, graded, both_bad))
    about = st.tuples(st.sampled_from(known), st.sampled_from(["overall", "style"]))
    at_least = 0 if choices else 1
    values = st.sampled_from([1, 2, 3, 4.5, 5, 6, 7]) | st.floats(1, 7)
    rated = draw(st.dictionaries(about, values, min_size=at_least, max_size=3))
    return Sitting(
        who,
        kind,
        tuple(choices),
        tuple(Rated(text, aspect, value) for (text, aspect), value in rated.items()),
        draw(st.sampled_from(["", "", "Both are odd.\nReally."])),
    )


@st.composite
def asked_for(draw: st.DrawFn, messages: tuple[tuple[str, str], ...]) -> Asked:
    told = draw(st.lists(texts, max_size=4, unique=True))
    answers = [
        Answer(
            text,
            draw(st.sampled_from(["", "ppo-1", "ppo-1", "gpt 4o, mini"])),
            draw(st.sampled_from([{}, {}, {"temperature": 0.7, "seed": 3}])),
        )
        for text in told
    ]
    said = draw(st.lists(sittings(answers), max_size=4)) if answers else []
    return Asked(
        messages,
        tuple(answers),
        tuple(said),
        tuple(draw(st.lists(names, max_size=3, unique=True))),
        draw(st.just("") | names),
    )


@st.composite
def projects(draw: st.DrawFn) -> list[Asked]:
    """Some prompts, all different, judged and not."""
    different = draw(st.lists(conversations(), min_size=1, max_size=4, unique=True))
    return [draw(asked_for(messages)) for messages in different]


# --- keeping and reading


def keep(database: Database, asked: list[Asked], now: datetime) -> Project:
    """A new project that holds just this."""
    unique = secrets.token_hex(8)
    with database.write() as connection:
        project = ensure_project(connection, f"here {unique}", now=now)
        people = {
            who: add_annotator(
                connection, f"{who} {unique}", role=Role.ANNOTATOR, kind=kind, now=now
            ).id
            for who, kind in PEOPLE
        }
        for one in asked:
            prompt = Prompt.of(
                project.id,
                [{"role": role, "content": text} for role, text in one.messages],
                tags=one.tags,
                source=one.source,
            )
            known = {
                each.text: Response.of(
                    prompt.id, each.text, policy=each.policy, sampling=each.sampling
                )
                for each in one.answers
            }
            add_prompts(connection, [prompt])
            add_responses(connection, known.values())
            record_imported(
                connection,
                [
                    Submission(
                        id=SubmissionId(secrets.token_hex(16)),
                        annotator=people[said.who],
                        prompt=prompt.id,
                        comparisons=tuple(
                            Comparison(
                                left=known[each.left].id,
                                right=known[each.right].id,
                                choice=each.choice,
                                graded=each.graded,
                                both_bad=each.both_bad,
                            )
                            for each in said.choices
                        ),
                        ratings=tuple(
                            Rating(
                                response=known[each.text].id, value=each.value, aspect=each.aspect
                            )
                            for each in said.ratings
                        ),
                        comment=said.comment,
                        received=now,
                    )
                    for said in one.sittings
                ],
            )
    return project


def held(database: Database, project: str) -> list[Asked]:
    """What a project holds. Annotators go by their pseudonyms, or by what a file called them."""
    with database.read() as connection:
        found = project_named(connection, project)
        asked = prompts(connection, found.id)
        answers = responses(connection, found.id)
        said = list(judgements(connection, found.id))
        called = {
            one.pseudonym: one.name.removeprefix(f"file:{found.id}:")
            if one.name.startswith("file:")
            else one.pseudonym
            for one in annotators(connection)
        }
    texts_of = {one.id: one.text for theirs in answers.values() for one in theirs}
    return [
        Asked(
            tuple((turn["role"], turn["content"]) for turn in prompt.messages),
            tuple(Answer(one.text, one.policy, one.sampling) for one in answers[prompt.id]),
            tuple(
                Sitting(
                    called[one.annotator],
                    one.kind,
                    tuple(
                        Choice(texts_of[c.left], texts_of[c.right], c.choice, c.graded, c.both_bad)
                        for c in one.comparisons
                    ),
                    tuple(Rated(texts_of[r.response], r.aspect, r.value) for r in one.ratings),
                    one.comment,
                )
                for one in said
                if one.prompt == prompt.id
            ),
            prompt.tags,
            prompt.source,
        )
        for prompt in asked
    ]
