"""Evaluation suites of the playground."""
