"""Wan 2.1 and 2.2 with umT5: layouts, tables and configs."""
