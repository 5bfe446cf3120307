"""Sampling: a request becomes a condition, the condition a video."""
