"""Texts of generated pages, with a place for each table: `@name@` on a line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path


def fill(name: str, tables: Mapping[str, str]) -> str:
    """Put tables into the text of a page.

    Args:
      name: of the page.
      tables: by the name of their place.

    Raises:
      ValueError: a place has no table, or a table no place.
    """
    text = Path(__file__).with_name(f"{name}.md").read_text()
    told = f"<!-- Written by docs/{name}.py, with the text of docs/parts/{name}.md. -->"
    given = {"written": told, **tables}
    places = re.findall(r"^@(\w+)@$", text, re.MULTILINE)
    if sorted(places) != sorted(given):
        raise ValueError(f"{name}.md has the places {places}, got {list(given)}")
    return re.sub(r"^@(\w+)@$", lambda at: given[at[1]], text, flags=re.MULTILINE)
