"""What segmenters are evaluated on."""

from __future__ import annotations

TEST_SEED = 2_000_000
"""First seed of the phantoms that nobody trains on; training and validation stay below."""
