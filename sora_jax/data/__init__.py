"""Reading, writing, encoding and packing of clips, in NumPy."""
