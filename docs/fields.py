"""Comments above the fields of dataclasses, as Sphinx shows them.

The command lines take their help from these comments (tyro reads them), and so do the
pages: a field is described once.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import Any

FIELD = re.compile(r"    (\w+): (.+?)(?: = (.+))?$")
STARS = re.compile(r"^(\s+)\*\*(\w+):")
COMMENT = re.compile(r"    # (.*)$")


@dataclasses.dataclass(frozen=True)
class Described:
    """A field of a dataclass.

    Attributes:
      name: of the field.
      kind: its type, as it is written.
      default: its default as it is written; empty where it has none.
      text: what its comment says.
    """

    name: str
    kind: str
    default: str
    text: str


def described(kind: type) -> list[Described]:
    """The fields of a dataclass that a comment stands above."""
    found, comments = [], []
    for line in inspect.getsource(kind).splitlines():
        if comment := COMMENT.match(line):
            comments.append(comment[1])
            continue
        field = FIELD.match(line)
        if field and comments:
            name, type_, default = field.groups()
            text = " ".join(comments)
            found.append(Described(name, type_, default or "", text))
        comments = []
    return found


def add_fields(
    app: Any, what: str, name: str, kind: Any, options: Any, lines: list[str]
) -> None:
    """Append the fields to the text of a dataclass."""
    del app, name, options
    if what == "class":
        # Outside a list of arguments, stars begin strong text.
        lines[:] = [STARS.sub(r"\1\\*\\*\2:", line) for line in lines]
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        return
    if any(line.startswith(":ivar") or "Attributes:" in line for line in lines):
        return
    lines.append("")
    for field in described(kind):
        default = f", by default ``{field.default}``" if field.default else ""
        lines.append(f"* **{field.name}** (``{field.kind}``{default}): {field.text}")
    lines.append("")


def connect(app: Any) -> None:
    """Listen to autodoc, before the docstring is read as Google's style."""
    app.connect("autodoc-process-docstring", add_fields)
