"""Helios: Wan 2.1's networks, which make a video chunk by chunk."""
