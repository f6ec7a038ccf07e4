"""The ledger: what was received, what became of it, and where each result was delivered. Knows no DICOM.

database ─► schema (all tables) ─► jobs (series and their results' deliveries), outbox (what waits)
    └► migrations (one file a version of the schema)

SQLAlchemy tables beside the durable engine's own, in the same database.
"""

from spine_node.ledger.database import Database, database_url
from spine_node.ledger.jobs import NOT_ANALYSED, STATES, Delivery, Job, Ledger

__all__ = ["NOT_ANALYSED", "STATES", "Database", "Delivery", "Job", "Ledger", "database_url"]
