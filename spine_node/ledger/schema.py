"""The tables of the ledger, as the newest migration leaves them; times are Unix seconds."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()


def _words(name: str, **more: bool) -> sa.Column[str]:
    """A text that is "" where nothing is said, in rows older than the column too."""
    return sa.Column(name, sa.String, nullable=False, default="", server_default="", **more)


jobs = sa.Table(
    "ledger_jobs",
    metadata,
    sa.Column("job", sa.String, primary_key=True),
    sa.Column("series_uid", sa.String, nullable=False, index=True),
    sa.Column("study_uid", sa.String, nullable=False, index=True),
    sa.Column("instances", sa.Integer, nullable=False),
    sa.Column("state", sa.String, nullable=False, index=True),
    sa.Column("reason", sa.String, nullable=False, default=""),
    sa.Column("stage", sa.String, nullable=False, default=""),
    sa.Column("fraction", sa.Float, nullable=False, default=0.0),
    sa.Column("folder", sa.String, nullable=False),
    sa.Column("received_at", sa.Float, nullable=False),
    sa.Column("changed_at", sa.Float, nullable=False),
    _words("accession_number", index=True),
    _words("calling_ae"),
    _words("superseded_by"),
)
"""One row a job: one set of instances analysed by one model. `superseded_by` is the job whose results
take the place of this one's."""

deliveries = sa.Table(
    "ledger_deliveries",
    metadata,
    sa.Column("job", sa.String, primary_key=True),
    sa.Column("peer", sa.String, primary_key=True),
    sa.Column("sop_instance_uid", sa.String, primary_key=True),
    sa.Column("outcome", sa.String, nullable=False),
    sa.Column("status", sa.Integer, nullable=True),
    sa.Column("detail", sa.String, nullable=False, default=""),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("changed_at", sa.Float, nullable=False),
    sa.Column("sent_at", sa.Float, nullable=True),
    _words("commitment"),
    _words("transaction_uid", index=True),
    sa.Column("committed_at", sa.Float, nullable=True),
)
"""One row a result instance and peer. `commitment` is "" (none asked), "asked", "committed" or "failed"."""

arrivals = sa.Table(
    "ledger_arrivals",
    metadata,
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
"""What each sender brought of each series; "" for what a refused data set did not tell."""

commitments = sa.Table(
    "ledger_commitments",
    metadata,
    sa.Column("transaction_uid", sa.String, primary_key=True),
    sa.Column("role", sa.String, nullable=False),
    sa.Column("peer", sa.String, nullable=False),
    sa.Column("state", sa.String, nullable=False, index=True),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("due_at", sa.Float, nullable=False, index=True),
    sa.Column("asked_at", sa.Float, nullable=False),
    sa.Column("answered_at", sa.Float, nullable=True),
    _words("detail"),
    sa.Column("content", sa.String, nullable=False),
)
"""Storage commitment: `role` "scu" asks a peer, "scp" was asked by one. `state` is "open", "asked",
"answered" or "failed"; `content` the references and, once known, what became of each, in JSON."""

holdings = sa.Table(
    "ledger_holdings",
    metadata,
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
"""Our own result instances, for Query/Retrieve: `path` is relative to the results folder, `header` the
attributes that queries ask for, as Explicit VR Little Endian in base64, so that names keep their bytes."""

outbox = sa.Table(
    "ledger_outbox",
    metadata,
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("job", sa.String, nullable=False),
    sa.Column("peer", sa.String, nullable=False, index=True),
    sa.Column("study_uid", sa.String, nullable=False),
    sa.Column("queued_at", sa.Float, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("due_at", sa.Float, nullable=False),
    sa.Column("overtaken", sa.Boolean, nullable=False, default=False),
    _words("reason"),
    sa.UniqueConstraint("job", "peer", name="uq_ledger_outbox_job_peer"),
)
"""What waits for a peer, one row a job, in the order of `sequence`; a row goes when nothing of it waits."""

peers = sa.Table(
    "ledger_peers",
    metadata,
    sa.Column("peer", sa.String, primary_key=True),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("since", sa.Float, nullable=False),
    sa.Column("due_at", sa.Float, nullable=False),
    _words("reason"),
)
"""Destinations that do not take anything now: since when, why, and when they are called next."""

tombstones = sa.Table(
    "ledger_tombstones",
    metadata,
    sa.Column("study_uid", sa.String, primary_key=True),
    _words("accession_number", index=True),
    sa.Column("deleted_at", sa.Float, nullable=False, index=True),
    sa.Column("what", sa.String, nullable=False),
    sa.Column("why", sa.String, nullable=False),
)
"""What is left of a study whose rows were deleted: `what` there was of it, in words, and `why` it went."""
