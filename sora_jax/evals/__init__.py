"""Evaluation: cases of tasks, metrics, and tables of results."""
