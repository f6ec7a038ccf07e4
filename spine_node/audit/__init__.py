"""The audit trail (PS3.15 A.5): who did what to whose study. Messages and the files they are kept in.

Unlike logs, these hold patient ids, as the standard asks: the files are for the node's user alone.
"""
