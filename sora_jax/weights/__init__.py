"""Weights on disk, to and from parameters: our folders, published ones, adapters."""
