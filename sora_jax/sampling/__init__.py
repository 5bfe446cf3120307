"""Sampling: a task becomes segments, segments become windows, windows a video."""
