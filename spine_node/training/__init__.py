"""The training protocol: phantom to samples to weights to a bundle, and its evaluation."""
