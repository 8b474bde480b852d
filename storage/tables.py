"""The tables, in SQLAlchemy Core. `storage/migrations` creates them; nothing else may."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    literal_column,
)


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC. SQLite forgets time zones; this gives them back."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _: Dialect) -> datetime | None:
        """Refuse a moment without a zone; keep the others in UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"A moment needs a time zone; got {value!r}.")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _: Dialect) -> datetime | None:
        """Give the zone back that SQLite forgot."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

projects = Table(
    "projects",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(200), nullable=False, unique=True),
    Column("guidelines", Text, nullable=False),
    Column("collecting", JSON, nullable=False),
    Column("overlap", Integer, CheckConstraint("overlap >= 1", name="overlap"), nullable=False),
    Column("simulated", Boolean, nullable=False),
    Column("created", UtcDateTime, nullable=False),
)

prompts = Table(
    "prompts",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("project", ForeignKey("projects.id"), nullable=False, index=True),
    Column("messages", JSON, nullable=False),
    Column("tags", JSON, nullable=False),
    Column("source", String(500), nullable=False),
)

responses = Table(
    "responses",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("prompt", ForeignKey("prompts.id"), nullable=False, index=True),
    Column("text", Text, nullable=False),
    Column("policy", String(500), nullable=False),
    Column("sampling", JSON, nullable=False),
)

annotators = Table(
    "annotators",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(200), nullable=False, unique=True),
    Column("pseudonym", String(50), nullable=False, unique=True),
    Column("role", String(20), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("active", Boolean, nullable=False),
    Column("created", UtcDateTime, nullable=False),
)

sign_in_links = Table(
    "sign_in_links",
    metadata,
    # Only the digest is kept: whoever reads the database cannot sign in with it.
    Column("token_digest", String(64), primary_key=True),
    Column("annotator", ForeignKey("annotators.id"), nullable=False),
    Column("expires", UtcDateTime, nullable=False),
    Column("used", UtcDateTime),
)

studies = Table(
    "studies",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("code", String(50), nullable=False, unique=True),
    Column("name", String(200), nullable=False),
    Column("project", ForeignKey("projects.id"), nullable=False, index=True),
    Column("arms", JSON, nullable=False),
    Column("plan", JSON, nullable=False),
    # Which response belongs to which arm. Read only after closing.
    Column("sealed_key", JSON, nullable=False),
    Column("opened", UtcDateTime, nullable=False),
    Column("closed", UtcDateTime),
    Column("simulated", Boolean, nullable=False),
)

tasks = Table(
    "tasks",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("project", ForeignKey("projects.id"), nullable=False),
    Column("prompt", ForeignKey("prompts.id"), nullable=False),
    Column("responses", JSON, nullable=False),
    Column("type", String(50), nullable=False),
    Column("overlap", Integer, CheckConstraint("overlap >= 1", name="overlap"), nullable=False),
    Column("study", ForeignKey("studies.id")),
    Column("purpose", String(20), nullable=False),
    Column("priority", Float, nullable=False),
    Column("expected", JSON(none_as_null=True)),
    Column("repeats", ForeignKey("tasks.id")),
    # The tasks of a project (or study) stand in line under the numbers 0, 1, 2, ... with those that
    # have a free seat in front, so that one of them is drawn, and all are counted, without walking
    # through them. NULL for all but feedback, which nobody draws so. `storage.line` changes it.
    Column("place", Integer),
    # Seats nobody holds. It could be counted from the assignments, but then each draw of a task
    # would read them all. `storage.line` changes it only together with a seat. Known items have
    # room for everybody; theirs never change.
    Column(
        "free_seats",
        Integer,
        CheckConstraint("free_seats BETWEEN 0 AND overlap", name="free_seats"),
        nullable=False,
    ),
)

assignments = Table(
    "assignments",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("task", ForeignKey("tasks.id"), nullable=False),
    # Those of the task, so that what one person holds or did is counted without reading the tasks.
    Column("project", ForeignKey("projects.id"), nullable=False),
    Column("study", ForeignKey("studies.id")),
    Column("purpose", String(20), nullable=False),
    # Whether the task stands in front of its line; `storage.line` says so when it moves.
    Column("is_open", Boolean, nullable=False),
    Column("annotator", ForeignKey("annotators.id"), nullable=False),
    # 0 ... overlap - 1 while the lease or the judgement holds the place, NULL once it expired.
    # Seats at known items are numbered without end.
    # The unique pair below is what makes over-collection impossible under any concurrency.
    Column("seat", Integer),
    Column("shown", JSON, nullable=False),
    # True when `shown` is the task's own order turned round; counted to keep sides balanced. NULL
    # where no coin decided: a single response, more than two, or a repeat.
    Column("turned", Boolean),
    Column("probability", Float, nullable=False),
    Column("leased", UtcDateTime, nullable=False),
    Column("expires", UtcDateTime, nullable=False),
    Column("submitted", UtcDateTime),
    # Since when this annotator does not want to see it again.
    Column("skipped", UtcDateTime),
    UniqueConstraint("task", "seat"),
    UniqueConstraint("task", "annotator"),
)

submissions = Table(
    "submissions",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("annotator", ForeignKey("annotators.id"), nullable=False),
    Column("prompt", ForeignKey("prompts.id"), nullable=False, index=True),
    Column("assignment", ForeignKey("assignments.id")),
    Column("study", ForeignKey("studies.id"), index=True),
    # Of the task; imported judgements are feedback.
    Column("purpose", String(20), nullable=False),
    # Whether it met what is expected of a known item; NULL where nothing is.
    Column("correct", Boolean),
    # Digest of what was said, so that a resend can be told from another answer under the same id.
    Column("content", String(32), nullable=False),
    Column("active_seconds", Float),
    Column("interface", String(50), nullable=False),
    Column("received", UtcDateTime, nullable=False, index=True),
    Column("comment", Text, nullable=False),
    Column("contradiction", String(20), nullable=False),
    Column("retracted", UtcDateTime),
    # Made by the sender of the undo; a resend of the same id changes nothing.
    Column("undo", String(64), unique=True),
)

comparisons = Table(
    "comparisons",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("submission", ForeignKey("submissions.id"), nullable=False, index=True),
    Column("left", ForeignKey("responses.id"), nullable=False),
    Column("right", ForeignKey("responses.id"), nullable=False),
    Column(
        "choice", Integer, CheckConstraint("choice BETWEEN -3 AND 3", name="choice"), nullable=False
    ),
    Column("graded", Boolean, nullable=False),
    Column("both_bad", Boolean, nullable=False),
)

ratings = Table(
    "ratings",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("submission", ForeignKey("submissions.id"), nullable=False, index=True),
    Column("response", ForeignKey("responses.id"), nullable=False, index=True),
    Column("aspect", String(200), nullable=False),
    Column("value", Float, CheckConstraint("value BETWEEN 1 AND 7", name="value"), nullable=False),
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("project", ForeignKey("projects.id"), nullable=False, index=True),
    Column("parent", ForeignKey("snapshots.id")),
    Column("folder", String(500), nullable=False),
    Column("rows", JSON, nullable=False),
    Column("simulated", Boolean, nullable=False),
    Column("created", UtcDateTime, nullable=False),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("kind", String(50), nullable=False),
    Column("recipe", String(100), nullable=False),
    Column("config", JSON, nullable=False),
    Column("project", ForeignKey("projects.id")),
    Column("state", String(20), nullable=False, index=True),
    Column("step", Integer, nullable=False),
    Column("total", Integer),
    Column("message", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("result", JSON, nullable=False),
    Column("cancel_asked", Boolean, nullable=False),
    Column("created", UtcDateTime, nullable=False),
    Column("started", UtcDateTime),
    Column("beat", UtcDateTime),
    Column("finished", UtcDateTime),
)

metrics = Table(
    "metrics",
    metadata,
    Column("job", ForeignKey("jobs.id"), primary_key=True),
    Column("step", Integer, primary_key=True),
    Column("name", String(100), primary_key=True),
    Column("value", Float, nullable=False),
    Column("at", UtcDateTime, nullable=False),
)

models = Table(
    "models",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(200), nullable=False, unique=True),
    Column("purpose", String(20), nullable=False),
    Column("recipe", String(100), nullable=False),
    Column("base", String(500), nullable=False),
    Column("folder", String(500), nullable=False),
    Column("snapshot", ForeignKey("snapshots.id")),
    Column("job", ForeignKey("jobs.id")),
    Column("parents", JSON, nullable=False),
    Column("config", JSON, nullable=False),
    Column("metrics", JSON, nullable=False),
    Column("simulated", Boolean, nullable=False),
    Column("created", UtcDateTime, nullable=False),
)

skips = Table(
    "skips",
    metadata,
    # Made by the sender; a resend of the same id changes nothing.
    Column("id", String(64), primary_key=True),
    Column("assignment", ForeignKey("assignments.id"), nullable=False, unique=True),
    Column("annotator", ForeignKey("annotators.id"), nullable=False, index=True),
    Column("task", ForeignKey("tasks.id"), nullable=False, index=True),
    Column("reason", String(2000), nullable=False),
    Column("at", UtcDateTime, nullable=False),
)

flags = Table(
    "flags",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("task", ForeignKey("tasks.id"), nullable=False, index=True),
    Column("annotator", ForeignKey("annotators.id"), nullable=False),
    Column("reason", String(20), nullable=False),
    Column("comment", String(2000), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("resolved", UtcDateTime),
)

exclusions = Table(
    "exclusions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("project", ForeignKey("projects.id"), nullable=False),
    Column("annotator", ForeignKey("annotators.id"), nullable=False),
    Column("reason", String(2000), nullable=False),
    Column("by", ForeignKey("annotators.id"), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("lifted", UtcDateTime),
)

messages = Table(
    "messages",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("annotator", ForeignKey("annotators.id"), nullable=False),
    Column("author", ForeignKey("annotators.id"), nullable=False),
    Column("text", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("read", UtcDateTime),
)

tokens = Table(
    "tokens",
    metadata,
    # Only the digest is kept: whoever reads the database cannot use it.
    Column("digest", String(64), primary_key=True),
    Column("annotator", ForeignKey("annotators.id"), nullable=False, index=True),
    Column("label", String(200), nullable=False),
    Column("created", UtcDateTime, nullable=False),
    Column("revoked", UtcDateTime),
)


consents = Table(
    "consents",
    metadata,
    # A digest of the text, so that what somebody agreed to can be read word by word.
    Column("version", String(16), primary_key=True),
    Column("text", Text, nullable=False),
)

participants = Table(
    "participants",
    metadata,
    Column("annotator", ForeignKey("annotators.id"), primary_key=True),
    Column("study", ForeignKey("studies.id"), nullable=False),
    Column("consent", ForeignKey("consents.version"), nullable=False),
    Column("agreed", UtcDateTime, nullable=False),
    # When they had read the instructions and passed the questions about themselves.
    Column("started", UtcDateTime),
    # When they were first told that there is nothing left to do; they are given no more since.
    Column("finished", UtcDateTime),
    Column("withdrawn", UtcDateTime),
    # Who they are to the panel that sent and pays them. No result and no export reads these.
    Column("pid", String(100)),
    Column("panel_study", String(100)),
    Column("panel_session", String(100)),
    # What they said of themselves, by question; only counts of it are ever shown.
    Column("answers", JSON, nullable=False),
    UniqueConstraint("study", "pid"),
)


def _partial(name: str, *columns: Any, where: ColumnElement[bool], unique: bool = False) -> None:
    """An index of some rows only, alike on both databases."""
    Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)


Index("ix_tasks_place", tasks.c.project, tasks.c.study, tasks.c.place)
Index("ix_tasks_purpose", tasks.c.project, tasks.c.purpose)
_open = (tasks.c.free_seats > literal_column("0")) & tasks.c.place.is_not(None)
_partial("ix_tasks_open", tasks.c.project, tasks.c.study, tasks.c.place, where=_open)
_partial("ix_tasks_priority", tasks.c.project, tasks.c.study, tasks.c.priority, where=_open)
# Everything that is counted of one person, so that not even the assignments are read.
Index(
    "ix_assignments_annotator",
    assignments.c.annotator,
    assignments.c.project,
    assignments.c.study,
    assignments.c.submitted,
    assignments.c.seat,
    assignments.c.skipped,
    assignments.c.turned,
    assignments.c.purpose,
    assignments.c.is_open,
)
# What stands must be the only answer to its assignment; what was taken back may be any number.
_stands = submissions.c.retracted.is_(None)
_partial("ix_submissions_assignment", submissions.c.assignment, where=_stands, unique=True)
Index("ix_submissions_annotator", submissions.c.annotator, submissions.c.received)
_in_force = exclusions.c.lifted.is_(None)
_partial(
    "ix_exclusions_in_force",
    exclusions.c.project,
    exclusions.c.annotator,
    where=_in_force,
    unique=True,
)
_unread = messages.c.read.is_(None)
_partial("ix_messages_unread", messages.c.annotator, where=_unread)
_leased = assignments.c.seat.is_not(None) & assignments.c.submitted.is_(None)
_partial("ix_assignments_leased", assignments.c.expires, where=_leased)
