"""Participants of studies: what they agreed to, what they said of themselves, how far they came."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the two tables. Whoever took part before has no row, and goes on without one."""
    op.create_table(
        "consents",
        sa.Column("version", sa.String(length=16), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_consents")),
    )
    op.create_table(
        "participants",
        sa.Column("annotator", sa.String(length=32), nullable=False),
        sa.Column("study", sa.String(length=32), nullable=False),
        sa.Column("consent", sa.String(length=16), nullable=False),
        sa.Column("agreed", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished", sa.DateTime(timezone=True), nullable=True),
        sa.Column("withdrawn", sa.DateTime(timezone=True), nullable=True),
        sa.Column("pid", sa.String(length=100), nullable=True),
        sa.Column("panel_study", sa.String(length=100), nullable=True),
        sa.Column("panel_session", sa.String(length=100), nullable=True),
        sa.Column("answers", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["annotator"], ["annotators.id"], name=op.f("fk_participants_annotator_annotators")
        ),
        sa.ForeignKeyConstraint(
            ["consent"], ["consents.version"], name=op.f("fk_participants_consent_consents")
        ),
        sa.ForeignKeyConstraint(
            ["study"], ["studies.id"], name=op.f("fk_participants_study_studies")
        ),
        sa.PrimaryKeyConstraint("annotator", name=op.f("pk_participants")),
        sa.UniqueConstraint("study", "pid", name=op.f("uq_participants_study_pid")),
    )
