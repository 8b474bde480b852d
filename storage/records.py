"""The nouns of Tandem: what people were shown, what they said about it, and what was made of it.

Records are frozen. A correction is a new record, so history is never edited. Identifiers of prompts
and responses are digests of their content, so that importing a file twice adds nothing.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, NewType, TypedDict

from storage.errors import InvalidAnswer, InvalidData, InvalidOption

ProjectId = NewType("ProjectId", str)
PromptId = NewType("PromptId", str)
ResponseId = NewType("ResponseId", str)
TaskId = NewType("TaskId", str)
AssignmentId = NewType("AssignmentId", str)
AnnotatorId = NewType("AnnotatorId", str)
SubmissionId = NewType("SubmissionId", str)
SnapshotId = NewType("SnapshotId", str)
ModelId = NewType("ModelId", str)
JobId = NewType("JobId", str)
StudyId = NewType("StudyId", str)

LOWEST_RATING, HIGHEST_RATING = 1, 7
STRONGEST_CHOICE = 3
LONGEST_COMMENT = 2000

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
"""NUL, which PostgreSQL refuses, and halves of surrogate pairs, which are not Unicode text."""


class Message(TypedDict):
    """One turn of a conversation, as chat templates and TRL write it."""

    role: Literal["system", "user", "assistant"]
    content: str


class Role(StrEnum):
    """What a person may do. Each role may do everything that the later ones may."""

    ADMINISTRATOR = "administrator"
    RESEARCHER = "researcher"
    ANNOTATOR = "annotator"
    PARTICIPANT = "participant"


class Kind(StrEnum):
    """Who is behind a judgement. Simulated judgements are marked wherever they are shown."""

    PERSON = "person"
    PROGRAM = "program"
    SIMULATED = "simulated"


class Split(StrEnum):
    """Which part of the data a prompt belongs to, for every snapshot and model alike."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class Purpose(StrEnum):
    """What a task is for. People see no difference between all but the qualification."""

    FEEDBACK = "feedback"
    """Judged to learn from. Only these judgements reach snapshots, training and agreement."""
    GOLD = "gold"
    """The right answer is known; mixed in to see how well people judge."""
    ATTENTION = "attention"
    """Nobody who reads could miss the right answer; mixed in like gold."""
    QUALIFICATION = "qualification"
    """The right answer is known, and explained; asked before the first real task."""
    REPEAT = "repeat"
    """The same responses in the opposite order for somebody who judged them before."""

    @property
    def is_known(self) -> bool:
        """True when the right answer is known, so that any number of people may judge it."""
        return self in (Purpose.GOLD, Purpose.ATTENTION, Purpose.QUALIFICATION)


class JobState(StrEnum):
    """How far a job is."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        """True when nothing more will happen."""
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


def digest(*parts: object, length: int = 16) -> str:
    """Hexadecimal SHA-256 of the parts as canonical JSON, cut to `length` digits."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def check_text(text: str, what: str) -> None:
    """Refuse the two kinds of characters that not every database and file format can keep.

    Raises:
        InvalidData: The text holds a NUL character or half of a surrogate pair; says where.
    """
    found = _UNSTORABLE.search(text)
    if found:
        raise InvalidData(
            f"{what} holds the character U+{ord(found.group()):04X} at position {found.start()},"
            " which cannot be kept; remove it from the text."
        )


def as_messages(prompt: str | Sequence[Mapping[str, Any]]) -> tuple[Message, ...]:
    """A prompt in either written form, as messages.

    Raises:
        InvalidData: It is empty, or a turn has no known role or no text.
    """
    if isinstance(prompt, str):
        prompt = [{"role": "user", "content": prompt}]
    if not isinstance(prompt, Sequence) or not prompt:
        raise InvalidData(
            "A prompt is a text or a list of {role, content} with at least one turn;"
            f" got {prompt!r}."
        )
    messages: list[Message] = []
    for turn in prompt:
        role = turn.get("role") if isinstance(turn, Mapping) else None
        content = turn.get("content") if isinstance(turn, Mapping) else None
        if role not in ("system", "user", "assistant") or not isinstance(content, str):
            raise InvalidData(
                "Each turn of a prompt needs a role (system, user or assistant) and a text as"
                f" content; got {turn!r}."
            )
        check_text(content, "A prompt")
        messages.append(Message(role=role, content=content))
    if not any(message["content"].strip() for message in messages if message["role"] != "system"):
        raise InvalidData("A prompt needs some text; this one is empty.")
    return tuple(messages)


def split_of(messages: Sequence[Message]) -> Split:
    """The part of the data that a prompt belongs to: 70 % train, 10 % validation, 20 % test.

    The choice depends on the letters and digits of the conversation alone, so a prompt falls in the
    same part in every snapshot, project and study, also when only spacing, case or punctuation
    differ.
    """
    text = "".join(c for m in messages for c in m["content"].lower() if c.isalnum())
    bucket = int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) % 100
    if bucket < 70:
        return Split.TRAIN
    return Split.VALIDATION if bucket < 80 else Split.TEST


@dataclass(frozen=True, slots=True, kw_only=True)
class Collecting:
    """How a project collects judgements: what is asked, and how the asking is controlled."""

    task_types: tuple[str, ...] = ("pair_with_ratings",)
    """Names of entries of `feedback.tasks.TASKS`; each new task is of one of them."""
    aspects: tuple[str, ...] = ("overall",)
    """What is rated, each on its own."""
    gold_rate: float = 0.0
    """Share of the tasks given out whose answer is known."""
    repeat_rate: float = 0.0
    """Share of the tasks given out that repeat one, in the opposite order."""
    random_share: float = 0.2
    """How often a task is drawn from all open ones, whatever their priorities; a fraction."""
    qualification: int = 0
    """How many known items come before the first real task; 0 for none."""
    qualification_pass: float = 0.7
    """Share of them that must be right."""
    break_after_minutes: int = 45
    """When the widget suggests a break; 0 for never."""
    argilla_workspace: str = ""
    """Where on an Argilla server people judge; empty: they judge here, in Tandem."""

    def __post_init__(self) -> None:
        if self.argilla_workspace:
            _check_names("argilla_workspace", (self.argilla_workspace,), longest=200)
        _check_names("task_types", self.task_types, longest=50)
        _check_names("aspects", self.aspects, longest=200)
        for name, value, highest in (
            ("gold_rate", self.gold_rate, 0.5),
            ("repeat_rate", self.repeat_rate, 0.4),
            ("random_share", self.random_share, 1.0),
            ("qualification_pass", self.qualification_pass, 1.0),
        ):
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_number or not 0 <= value <= highest:
                raise InvalidOption(name, f"it must lie between 0 and {highest}", value)
        for name, number, most in (
            ("qualification", self.qualification, 100),
            ("break_after_minutes", self.break_after_minutes, 480),
        ):
            is_whole = isinstance(number, int) and not isinstance(number, bool)
            if not is_whole or not 0 <= number <= most:
                raise InvalidOption(name, f"it must be a whole number from 0 to {most}", number)

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> Collecting:
        """From plain values, as JSON keeps them; what is missing has its default."""
        lists = {"task_types", "aspects"} & kept.keys()
        return cls(**{**kept, **{name: tuple(kept[name]) for name in lists}})


def _check_names(what: str, names: tuple[str, ...], *, longest: int) -> None:
    """At least one, all different, each one line that every database can keep."""
    for name in names:
        if not (isinstance(name, str) and name.strip() and name.isprintable()):
            raise InvalidOption(what, "each needs a name of one printable line", name)
        if len(name) > longest:
            raise InvalidOption(what, f"a name has at most {longest} characters", name)
    if not 1 <= len(names) <= 20 or len(set(names)) < len(names):
        raise InvalidOption(what, "it takes 1 to 20 different names", list(names))


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A body of prompts and what is asked about their responses."""

    id: ProjectId
    name: str
    guidelines: str = ""
    collecting: Collecting = field(default_factory=Collecting)
    overlap: int = 1
    """How many annotators judge each task."""
    simulated: bool = False
    """True when simulated raters may have judged here; then every screen and export says so."""
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A conversation that wants an answer."""

    id: PromptId
    project: ProjectId
    messages: tuple[Message, ...]
    tags: tuple[str, ...] = ()
    source: str = ""

    @classmethod
    def of(
        cls,
        project: ProjectId,
        prompt: str | Sequence[Mapping[str, Any]],
        *,
        tags: Sequence[str] = (),
        source: str = "",
    ) -> Prompt:
        """A prompt under the identifier that its content gives it."""
        messages = as_messages(prompt)
        return cls(
            id=PromptId(digest(project, messages)),
            project=project,
            messages=messages,
            tags=tuple(tags),
            source=source,
        )

    @property
    def split(self) -> Split:
        """The part of the data this prompt belongs to."""
        return split_of(self.messages)


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One answer to a prompt, and what wrote it."""

    id: ResponseId
    prompt: PromptId
    text: str
    policy: str = ""
    """Name of the model (or person) that wrote it; empty when unknown."""
    sampling: Mapping[str, Any] = field(default_factory=dict)
    """Settings it was sampled with: temperature, top_p, max_new_tokens, seed."""

    @classmethod
    def of(
        cls,
        prompt: PromptId,
        text: str,
        *,
        policy: str = "",
        sampling: Mapping[str, Any] | None = None,
    ) -> Response:
        """A response under the identifier that its content gives it."""
        if not isinstance(text, str) or not text.strip():
            raise InvalidData(f"A response needs some text; got {text!r}.")
        check_text(text, "A response")
        check_text(policy, "The name of a policy")
        return cls(
            id=ResponseId(digest(prompt, text, policy)),
            prompt=prompt,
            text=text,
            policy=policy,
            sampling=dict(sampling or {}),
        )

    @property
    def study(self) -> StudyId | None:
        """The study it was written for. Such answers are never given out as feedback tasks."""
        return self.sampling.get("study")


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotator:
    """Whoever judges or works with Tandem: a person, or a program in a person's place."""

    id: AnnotatorId
    name: str
    """Sign-in name; never exported."""
    pseudonym: str
    """What exports and pages of others show."""
    role: Role = Role.ANNOTATOR
    kind: Kind = Kind.PERSON
    active: bool = True
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Responses that `overlap` annotators are to judge, each in an order of their own.

    One response is rated, two are compared, more are ranked.
    """

    id: TaskId
    project: ProjectId
    prompt: PromptId
    responses: tuple[ResponseId, ...]
    type: str
    """Name of an entry of `feedback.tasks.TASKS`."""
    overlap: int
    """How many annotators judge it. It means nothing for known items, which everybody may meet."""
    study: StudyId | None = None
    """The study whose vote this is; None for feedback that models may learn from."""
    purpose: Purpose = Purpose.FEEDBACK
    priority: float = 0.0
    """Tasks of a higher priority are given out first, but for the project's random share."""
    expected: Mapping[str, Any] | None = None
    """Of known items, the right answer by place in `responses`; see `storage.known_items`."""
    repeats: TaskId | None = None
    """Of repeats, the task that was judged before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """A task on one annotator's screen: the responses in the order shown, leased until a time."""

    id: AssignmentId
    task: TaskId
    annotator: AnnotatorId
    shown: tuple[ResponseId, ...]
    """Left to right, as on the screen."""
    probability: float
    """Chance with which this task was drawn among those open to the annotator."""
    leased: datetime
    expires: datetime
    submitted: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One annotator's verdict on two responses to the same prompt.

    `left` and `right` say where each response stood on the screen, so that position bias can be
    measured afterwards.
    """

    left: ResponseId
    right: ResponseId
    choice: int
    """-3 left much better ... 0 tie ... +3 right much better."""
    graded: bool = True
    """False when only the direction was asked, so that -1, 0 and 1 are the only choices."""
    both_bad: bool = False
    """A tie between two responses that are both unusable."""

    def __post_init__(self) -> None:
        if self.left == self.right:
            raise InvalidAnswer(f"Response {self.left!r} was compared with itself.")
        strongest = STRONGEST_CHOICE if self.graded else 1
        whole = isinstance(self.choice, int) and not isinstance(self.choice, bool)
        if not whole or abs(self.choice) > strongest:
            raise InvalidAnswer(
                f"A choice is a whole number from -{strongest} (left) to {strongest} (right);"
                f" got {self.choice!r}."
            )
        if self.both_bad and self.choice:
            raise InvalidAnswer(
                f"'Both bad' is a tie, so its choice is 0; got {self.choice}."
                " Send either the choice or both_bad."
            )

    @property
    def preferred(self) -> ResponseId | None:
        """The better response, or None for a tie."""
        if not self.choice:
            return None
        return self.left if self.choice < 0 else self.right


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """How good one annotator finds one response, from 1 (worst) to 7 (best).

    People give whole numbers; imported scales that were mapped to 1-7 may lie between them.
    """

    response: ResponseId
    value: float
    aspect: str = "overall"

    def __post_init__(self) -> None:
        is_number = isinstance(self.value, int | float) and not isinstance(self.value, bool)
        if (
            not is_number
            or not math.isfinite(self.value)
            or not (LOWEST_RATING <= self.value <= HIGHEST_RATING)
        ):
            raise InvalidAnswer(
                f"A rating lies between {LOWEST_RATING} and {HIGHEST_RATING}; got {self.value!r}."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """Everything one annotator said of one task in one go. It is kept whole or not at all."""

    id: SubmissionId
    """Made by the sender; a resend of the same id changes nothing."""
    annotator: AnnotatorId
    prompt: PromptId
    assignment: AssignmentId | None = None
    """None for judgements that were imported from a file."""
    study: StudyId | None = None
    comparisons: tuple[Comparison, ...] = ()
    ratings: tuple[Rating, ...] = ()
    active_seconds: float | None = None
    """Time from first sight to submission without idle time; None when unknown."""
    interface: str = "web"
    received: datetime
    comment: str = ""
    """What the annotator wants to say about it; at most 2,000 characters."""
    contradiction: Literal["", "meant", "changed"] = ""
    """What came of the hint that grade and ratings disagree; empty when it was not shown."""
    retracted: datetime | None = None
    """When the annotator took it back. It stays, but counts for nothing."""

    def __post_init__(self) -> None:
        if not self.comparisons and not self.ratings:
            raise InvalidAnswer("A submission needs a choice or a rating; this one has neither.")
        pairs = [frozenset((one.left, one.right)) for one in self.comparisons]
        rated = [(one.response, one.aspect) for one in self.ratings]
        if len(set(pairs)) < len(pairs) or len(set(rated)) < len(rated):
            raise InvalidAnswer(
                "A submission says each thing once; this one compares the same two responses, or"
                " rates the same aspect of a response, twice."
            )
        seconds = self.active_seconds
        if seconds is not None and not (math.isfinite(seconds) and seconds >= 0):
            raise InvalidAnswer(f"A judgement cannot take {seconds} seconds.")
        if len(self.comment) > LONGEST_COMMENT:
            raise InvalidAnswer(
                f"A comment has at most {LONGEST_COMMENT} characters, this one has"
                f" {len(self.comment)}; shorten it."
            )
        if self.contradiction not in ("", "meant", "changed"):
            raise InvalidAnswer(
                f"A contradiction is '', 'meant' or 'changed'; got {self.contradiction!r}."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A frozen selection of judgements, named by the digest of its rows."""

    id: SnapshotId
    project: ProjectId
    parent: SnapshotId | None
    folder: str
    """Relative to the data directory."""
    rows: Mapping[str, int]
    """How many, by table and split: {"comparisons/train": 812, ...}."""
    simulated: bool
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A reward model or a policy, where it lies and where it came from."""

    id: ModelId
    name: str
    purpose: Literal["reward", "policy"]
    recipe: str
    base: str
    """Hugging Face name or folder it was trained from."""
    folder: str
    """Relative to the data directory."""
    snapshot: SnapshotId | None = None
    job: JobId | None = None
    parents: tuple[ModelId, ...] = ()
    """The models it was made with: what it started from, and a policy's reward models."""
    config: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    simulated: bool = False
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Slow work: a recipe with its complete configuration, and how far it is."""

    id: JobId
    kind: str
    """Which recipe table: reward, policy, sample, judge."""
    recipe: str
    config: Mapping[str, Any]
    state: JobState
    step: int = 0
    total: int | None = None
    message: str = ""
    error: str = ""
    result: Mapping[str, Any] = field(default_factory=dict)
    """What it made, for example {"model": id}."""
    project: ProjectId | None = None
    cancel_asked: bool = False
    created: datetime
    started: datetime | None = None
    beat: datetime | None = None
    """Last sign of life."""
    finished: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """Policies put side by side, blinded, before participants."""

    id: StudyId
    code: str
    """The unguessable end of the participants' link."""
    name: str
    project: ProjectId
    arms: tuple[str, ...]
    """Display names of the policies; the first is the one the study asks about."""
    plan: Mapping[str, Any]
    """Question, prompts, overlap and confidence, frozen before the first vote."""
    opened: datetime
    closed: datetime | None = None
    simulated: bool = False
