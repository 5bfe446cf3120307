"""Curation: find shots in a folder of files, score them, find copies, caption them."""
