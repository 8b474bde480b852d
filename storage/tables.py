"""The tables, in SQLAlchemy Core. `storage/migrations` creates them; nothing else may."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Column,
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
    Column("task_type", String(50), nullable=False),
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
    # Seats nobody holds. It could be counted from the assignments, but then each draw of a task
    # would read them all. `storage.tasks` changes it only together with a seat.
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
    Column("annotator", ForeignKey("annotators.id"), nullable=False, index=True),
    # 0 ... overlap - 1 while the lease or the judgement holds the place, NULL once it expired.
    # The unique pair below is what makes over-collection impossible under any concurrency.
    Column("seat", Integer),
    Column("shown", JSON, nullable=False),
    # True when `shown` is the task's own order turned round; counted to keep sides balanced.
    Column("turned", Boolean, nullable=False),
    Column("probability", Float, nullable=False),
    Column("leased", UtcDateTime, nullable=False),
    Column("expires", UtcDateTime, nullable=False),
    Column("submitted", UtcDateTime),
    UniqueConstraint("task", "seat"),
    UniqueConstraint("task", "annotator"),
)

submissions = Table(
    "submissions",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("annotator", ForeignKey("annotators.id"), nullable=False, index=True),
    Column("prompt", ForeignKey("prompts.id"), nullable=False, index=True),
    Column("assignment", ForeignKey("assignments.id"), unique=True),
    Column("study", ForeignKey("studies.id"), index=True),
    # Digest of what was said, so that a resend can be told from another answer under the same id.
    Column("content", String(32), nullable=False),
    Column("active_seconds", Float),
    Column("interface", String(50), nullable=False),
    Column("received", UtcDateTime, nullable=False, index=True),
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

# Draws the open tasks of a project or study without reading the tasks themselves.
Index("ix_tasks_open", tasks.c.project, tasks.c.study, tasks.c.free_seats, tasks.c.id)
_leased = assignments.c.seat.is_not(None) & assignments.c.submitted.is_(None)
Index(
    "ix_assignments_leased",
    assignments.c.expires,
    sqlite_where=_leased,
    postgresql_where=_leased,
)
