"""A standing spine made from parameters: its shapes, its image, its exact truth."""
