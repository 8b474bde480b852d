"""The first tables: prompts, responses, judgements, snapshots, models, jobs and studies."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make every table."""
    op.create_table(
        "annotators",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("pseudonym", sa.String(length=50), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_annotators")),
        sa.UniqueConstraint("name", name=op.f("uq_annotators_name")),
        sa.UniqueConstraint("pseudonym", name=op.f("uq_annotators_pseudonym")),
    )
    op.create_table(
        "projects",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("guidelines", sa.Text(), nullable=False),
        sa.Column("task_type", sa.String(length=50), nullable=False),
        sa.Column("overlap", sa.Integer(), nullable=False),
        sa.Column("simulated", sa.Boolean(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("overlap >= 1", name=op.f("ck_projects_overlap")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_projects")),
        sa.UniqueConstraint("name", name=op.f("uq_projects_name")),
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=50), nullable=False),
        sa.Column("recipe", sa.String(length=100), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("project", sa.String(length=32), nullable=True),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("result", sa.JSON(), nullable=False),
        sa.Column("cancel_asked", sa.Boolean(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started", sa.DateTime(timezone=True), nullable=True),
        sa.Column("beat", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["project"], ["projects.id"], name=op.f("fk_jobs_project_projects")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
    )
    op.create_index(op.f("ix_jobs_state"), "jobs", ["state"], unique=False)
    op.create_table(
        "prompts",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("project", sa.String(length=32), nullable=False),
        sa.Column("messages", sa.JSON(), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("source", sa.String(length=500), nullable=False),
        sa.ForeignKeyConstraint(
            ["project"], ["projects.id"], name=op.f("fk_prompts_project_projects")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prompts")),
    )
    op.create_index(op.f("ix_prompts_project"), "prompts", ["project"], unique=False)
    op.create_table(
        "sign_in_links",
        sa.Column("token_digest", sa.String(length=64), nullable=False),
        sa.Column("annotator", sa.String(length=32), nullable=False),
        sa.Column("expires", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["annotator"], ["annotators.id"], name=op.f("fk_sign_in_links_annotator_annotators")
        ),
        sa.PrimaryKeyConstraint("token_digest", name=op.f("pk_sign_in_links")),
    )
    op.create_table(
        "snapshots",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project", sa.String(length=32), nullable=False),
        sa.Column("parent", sa.String(length=64), nullable=True),
        sa.Column("folder", sa.String(length=500), nullable=False),
        sa.Column("rows", sa.JSON(), nullable=False),
        sa.Column("simulated", sa.Boolean(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["parent"], ["snapshots.id"], name=op.f("fk_snapshots_parent_snapshots")
        ),
        sa.ForeignKeyConstraint(
            ["project"], ["projects.id"], name=op.f("fk_snapshots_project_projects")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_snapshots")),
    )
    op.create_index(op.f("ix_snapshots_project"), "snapshots", ["project"], unique=False)
    op.create_table(
        "studies",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("code", sa.String(length=50), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("project", sa.String(length=32), nullable=False),
        sa.Column("arms", sa.JSON(), nullable=False),
        sa.Column("plan", sa.JSON(), nullable=False),
        sa.Column("sealed_key", sa.JSON(), nullable=False),
        sa.Column("opened", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed", sa.DateTime(timezone=True), nullable=True),
        sa.Column("simulated", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project"], ["projects.id"], name=op.f("fk_studies_project_projects")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_studies")),
        sa.UniqueConstraint("code", name=op.f("uq_studies_code")),
    )
    op.create_index(op.f("ix_studies_project"), "studies", ["project"], unique=False)
    op.create_table(
        "metrics",
        sa.Column("job", sa.String(length=32), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], name=op.f("fk_metrics_job_jobs")),
        sa.PrimaryKeyConstraint("job", "step", "name", name=op.f("pk_metrics")),
    )
    op.create_table(
        "models",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("purpose", sa.String(length=20), nullable=False),
        sa.Column("recipe", sa.String(length=100), nullable=False),
        sa.Column("base", sa.String(length=500), nullable=False),
        sa.Column("folder", sa.String(length=500), nullable=False),
        sa.Column("snapshot", sa.String(length=64), nullable=True),
        sa.Column("job", sa.String(length=32), nullable=True),
        sa.Column("parents", sa.JSON(), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("simulated", sa.Boolean(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], name=op.f("fk_models_job_jobs")),
        sa.ForeignKeyConstraint(
            ["snapshot"], ["snapshots.id"], name=op.f("fk_models_snapshot_snapshots")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_models")),
        sa.UniqueConstraint("name", name=op.f("uq_models_name")),
    )
    op.create_table(
        "responses",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("prompt", sa.String(length=32), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("policy", sa.String(length=500), nullable=False),
        sa.Column("sampling", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["prompt"], ["prompts.id"], name=op.f("fk_responses_prompt_prompts")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_responses")),
    )
    op.create_index(op.f("ix_responses_prompt"), "responses", ["prompt"], unique=False)
    op.create_table(
        "tasks",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("project", sa.String(length=32), nullable=False),
        sa.Column("prompt", sa.String(length=32), nullable=False),
        sa.Column("responses", sa.JSON(), nullable=False),
        sa.Column("type", sa.String(length=50), nullable=False),
        sa.Column("overlap", sa.Integer(), nullable=False),
        sa.Column("study", sa.String(length=32), nullable=True),
        sa.Column("free_seats", sa.Integer(), nullable=False),
        sa.CheckConstraint("overlap >= 1", name=op.f("ck_tasks_overlap")),
        sa.CheckConstraint("free_seats BETWEEN 0 AND overlap", name=op.f("ck_tasks_free_seats")),
        sa.ForeignKeyConstraint(
            ["project"], ["projects.id"], name=op.f("fk_tasks_project_projects")
        ),
        sa.ForeignKeyConstraint(["prompt"], ["prompts.id"], name=op.f("fk_tasks_prompt_prompts")),
        sa.ForeignKeyConstraint(["study"], ["studies.id"], name=op.f("fk_tasks_study_studies")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tasks")),
    )
    op.create_index(
        "ix_tasks_open", "tasks", ["project", "study", "free_seats", "id"], unique=False
    )
    op.create_table(
        "assignments",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("task", sa.String(length=32), nullable=False),
        sa.Column("annotator", sa.String(length=32), nullable=False),
        sa.Column("seat", sa.Integer(), nullable=True),
        sa.Column("shown", sa.JSON(), nullable=False),
        sa.Column("turned", sa.Boolean(), nullable=False),
        sa.Column("probability", sa.Float(), nullable=False),
        sa.Column("leased", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires", sa.DateTime(timezone=True), nullable=False),
        sa.Column("submitted", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["annotator"], ["annotators.id"], name=op.f("fk_assignments_annotator_annotators")
        ),
        sa.ForeignKeyConstraint(["task"], ["tasks.id"], name=op.f("fk_assignments_task_tasks")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_assignments")),
        sa.UniqueConstraint("task", "annotator", name=op.f("uq_assignments_task_annotator")),
        sa.UniqueConstraint("task", "seat", name=op.f("uq_assignments_task_seat")),
    )
    op.create_index(op.f("ix_assignments_annotator"), "assignments", ["annotator"], unique=False)
    op.create_index(
        "ix_assignments_leased",
        "assignments",
        ["expires"],
        unique=False,
        sqlite_where=sa.text("seat IS NOT NULL AND submitted IS NULL"),
        postgresql_where=sa.text("seat IS NOT NULL AND submitted IS NULL"),
    )
    op.create_table(
        "submissions",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("annotator", sa.String(length=32), nullable=False),
        sa.Column("prompt", sa.String(length=32), nullable=False),
        sa.Column("assignment", sa.String(length=32), nullable=True),
        sa.Column("study", sa.String(length=32), nullable=True),
        sa.Column("content", sa.String(length=32), nullable=False),
        sa.Column("active_seconds", sa.Float(), nullable=True),
        sa.Column("interface", sa.String(length=50), nullable=False),
        sa.Column("received", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["annotator"], ["annotators.id"], name=op.f("fk_submissions_annotator_annotators")
        ),
        sa.ForeignKeyConstraint(
            ["assignment"], ["assignments.id"], name=op.f("fk_submissions_assignment_assignments")
        ),
        sa.ForeignKeyConstraint(
            ["prompt"], ["prompts.id"], name=op.f("fk_submissions_prompt_prompts")
        ),
        sa.ForeignKeyConstraint(
            ["study"], ["studies.id"], name=op.f("fk_submissions_study_studies")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_submissions")),
        sa.UniqueConstraint("assignment", name=op.f("uq_submissions_assignment")),
    )
    op.create_index(op.f("ix_submissions_annotator"), "submissions", ["annotator"], unique=False)
    op.create_index(op.f("ix_submissions_prompt"), "submissions", ["prompt"], unique=False)
    op.create_index(op.f("ix_submissions_received"), "submissions", ["received"], unique=False)
    op.create_index(op.f("ix_submissions_study"), "submissions", ["study"], unique=False)
    op.create_table(
        "comparisons",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("submission", sa.String(length=64), nullable=False),
        sa.Column("left", sa.String(length=32), nullable=False),
        sa.Column("right", sa.String(length=32), nullable=False),
        sa.Column("choice", sa.Integer(), nullable=False),
        sa.Column("graded", sa.Boolean(), nullable=False),
        sa.Column("both_bad", sa.Boolean(), nullable=False),
        sa.CheckConstraint("choice BETWEEN -3 AND 3", name=op.f("ck_comparisons_choice")),
        sa.ForeignKeyConstraint(
            ["left"], ["responses.id"], name=op.f("fk_comparisons_left_responses")
        ),
        sa.ForeignKeyConstraint(
            ["right"], ["responses.id"], name=op.f("fk_comparisons_right_responses")
        ),
        sa.ForeignKeyConstraint(
            ["submission"], ["submissions.id"], name=op.f("fk_comparisons_submission_submissions")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_comparisons")),
    )
    op.create_index(op.f("ix_comparisons_submission"), "comparisons", ["submission"], unique=False)
    op.create_table(
        "ratings",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("submission", sa.String(length=64), nullable=False),
        sa.Column("response", sa.String(length=32), nullable=False),
        sa.Column("aspect", sa.String(length=200), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.CheckConstraint("value BETWEEN 1 AND 7", name=op.f("ck_ratings_value")),
        sa.ForeignKeyConstraint(
            ["response"], ["responses.id"], name=op.f("fk_ratings_response_responses")
        ),
        sa.ForeignKeyConstraint(
            ["submission"], ["submissions.id"], name=op.f("fk_ratings_submission_submissions")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ratings")),
    )
    op.create_index(op.f("ix_ratings_response"), "ratings", ["response"], unique=False)
    op.create_index(op.f("ix_ratings_submission"), "ratings", ["submission"], unique=False)
