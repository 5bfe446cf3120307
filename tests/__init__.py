"""Tests, what they share (`helpers/`), and the programs they start (`spawned/`)."""
