"""Animated characters and things by professional artists, with composed captions."""
