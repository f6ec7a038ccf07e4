"""What senders brought, what waits for each destination, storage commitment in both roles, our own results
for Query/Retrieve, what was deleted.

Deliveries that release 0.2 has in flight come into the outbox by themselves (`workflows`).
"""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0002", "0001"


def upgrade() -> None:
    """The tables of release 0.3."""
    for name in ("accession_number", "calling_ae", "superseded_by"):
        op.add_column("ledger_jobs", _words(name))
    op.create_index("ix_ledger_jobs_accession_number", "ledger_jobs", ["accession_number"])
    op.create_index("ix_ledger_jobs_state", "ledger_jobs", ["state"])
    for column in (
        sa.Column("sent_at", sa.Float, nullable=True),
        _words("commitment"),
        _words("transaction_uid"),
        sa.Column("committed_at", sa.Float, nullable=True),
    ):
        op.add_column("ledger_deliveries", column)
    op.create_index("ix_ledger_deliveries_transaction_uid", "ledger_deliveries", ["transaction_uid"])
    op.create_table(
        "ledger_arrivals",
        sa.Column("series_uid", sa.String, primary_key=True),
        sa.Column("calling_ae", sa.String, primary_key=True),
        sa.Column("study_uid", sa.String, nullable=False, index=True),
        _words("accession_number", index=True),
        sa.Column("address", sa.String, nullable=False),
        sa.Column("stored", sa.Integer, nullable=False),
        sa.Column("refused", sa.Integer, nullable=False),
        _words("last_reason"),
        sa.Column("first_at", sa.Float, nullable=False),
        sa.Column("last_at", sa.Float, nullable=False),
    )
    op.create_table(
        "ledger_commitments",
        sa.Column("transaction_uid", sa.String, primary_key=True),
        sa.Column("role", sa.String, nullable=False),
        sa.Column("peer", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False, index=True),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due_at", sa.Float, nullable=False, index=True),
        sa.Column("asked_at", sa.Float, nullable=False),
        sa.Column("answered_at", sa.Float, nullable=True),
        _words("detail"),
        sa.Column("content", sa.String, nullable=False),
    )
    op.create_table(
        "ledger_holdings",
        sa.Column("sop_instance_uid", sa.String, primary_key=True),
        sa.Column("job", sa.String, nullable=False, index=True),
        sa.Column("product", sa.String, nullable=False),
        sa.Column("sop_class_uid", sa.String, nullable=False),
        sa.Column("transfer_syntax_uid", sa.String, nullable=False),
        sa.Column("patient_id", sa.String, nullable=False, index=True),
        sa.Column("study_uid", sa.String, nullable=False, index=True),
        sa.Column("series_uid", sa.String, nullable=False, index=True),
        sa.Column("accession_number", sa.String, nullable=False, index=True),
        sa.Column("study_date", sa.String, nullable=False),
        sa.Column("modality", sa.String, nullable=False),
        sa.Column("path", sa.String, nullable=False),
        sa.Column("header", sa.String, nullable=False),
        sa.Column("made_at", sa.Float, nullable=False),
    )
    op.create_table(
        "ledger_outbox",
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("job", sa.String, nullable=False),
        sa.Column("peer", sa.String, nullable=False, index=True),
        sa.Column("study_uid", sa.String, nullable=False),
        sa.Column("queued_at", sa.Float, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due_at", sa.Float, nullable=False),
        sa.Column("overtaken", sa.Boolean, nullable=False),
        sa.Column("reason", sa.String, nullable=False, server_default=""),
        sa.UniqueConstraint("job", "peer", name="uq_ledger_outbox_job_peer"),
    )
    op.create_table(
        "ledger_peers",
        sa.Column("peer", sa.String, primary_key=True),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("since", sa.Float, nullable=False),
        sa.Column("due_at", sa.Float, nullable=False),
        sa.Column("reason", sa.String, nullable=False, server_default=""),
    )
    op.create_table(
        "ledger_tombstones",
        sa.Column("study_uid", sa.String, primary_key=True),
        sa.Column("accession_number", sa.String, nullable=False, server_default="", index=True),
        sa.Column("deleted_at", sa.Float, nullable=False, index=True),
        sa.Column("what", sa.String, nullable=False),
        sa.Column("why", sa.String, nullable=False),
    )


def _words(name: str, *, index: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String, nullable=False, server_default="", index=index)
