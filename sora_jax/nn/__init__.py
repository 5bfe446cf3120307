"""Layers: linear, norms, attention, rotary embedding, convolutions."""
