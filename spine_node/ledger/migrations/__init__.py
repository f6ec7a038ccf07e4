"""How a ledger of an earlier release becomes one of this: one file a version, run by alembic.

A version, once released, is never edited: a change of `schema` is a new file.
"""
