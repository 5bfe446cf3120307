"""Weights on disk, ours and foreign, to and from our parameter trees."""
