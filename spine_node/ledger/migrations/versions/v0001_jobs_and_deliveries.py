"""The tables of release 0.2, which wrote no version."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0001", None


def upgrade() -> None:
    """Make the two tables."""
    op.create_table(
        "ledger_jobs",
        sa.Column("job", sa.String, primary_key=True),
        sa.Column("series_uid", sa.String, nullable=False, index=True),
        sa.Column("study_uid", sa.String, nullable=False, index=True),
        sa.Column("instances", sa.Integer, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("stage", sa.String, nullable=False),
        sa.Column("fraction", sa.Float, nullable=False),
        sa.Column("folder", sa.String, nullable=False),
        sa.Column("received_at", sa.Float, nullable=False),
        sa.Column("changed_at", sa.Float, nullable=False),
    )
    op.create_table(
        "ledger_deliveries",
        sa.Column("job", sa.String, primary_key=True),
        sa.Column("peer", sa.String, primary_key=True),
        sa.Column("sop_instance_uid", sa.String, primary_key=True),
        sa.Column("outcome", sa.String, nullable=False),
        sa.Column("status", sa.Integer, nullable=True),
        sa.Column("detail", sa.String, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("changed_at", sa.Float, nullable=False),
    )
