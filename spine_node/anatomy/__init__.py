"""The spine as landmarks: from a label map to endplates, frames, heads. No formulas of parameters."""
