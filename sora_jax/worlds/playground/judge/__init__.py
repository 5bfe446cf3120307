"""The judge of the playground: pixels in, how much of what was asked they show out."""
