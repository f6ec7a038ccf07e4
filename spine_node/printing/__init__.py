"""Structures of a label map as closed surfaces to print, plan with or draw, and as files."""
