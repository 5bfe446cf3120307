"""Measure what a model has learned: videos in, tables of numbers out."""
