"""Training objectives: one file each, all of one protocol."""
