"""The judge of the playground: compares facts in pixels with captions."""
