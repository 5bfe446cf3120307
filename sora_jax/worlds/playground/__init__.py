"""Captioned videos of moving coloured shapes, with ground truth."""
