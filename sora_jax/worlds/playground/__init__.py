"""Captioned videos of coloured shapes whose physics is known, with their truth."""
