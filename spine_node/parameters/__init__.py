"""Spinal parameters: from landmarks to numbers, each with its definition. No voxels, no files."""
