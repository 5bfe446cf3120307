"""Layers that know nothing of video models: linear, norms, attention, rotary, conv."""
