"""Compositions never seen in training, of which the true clips exist."""
