"""Synthetic worlds for training and evaluation; the core does not import them."""
