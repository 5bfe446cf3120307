"""Captions and scores in the forms that people write them beside clips.

`clip.txt` beside `clip.mp4`, a phrasing on each line; `metadata.csv` and
`metadata.jsonl` with `file_name`, and `text` or `caption`; `key.json` in an archive.
Other numbers are scores.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

from sora_jax import files
from sora_jax.files import quoted

FILE = "file_name"
TEXTS = ("text", "caption", "captions")


@dataclasses.dataclass(frozen=True)
class Label:
    """What is said of a clip.

    Attributes:
      texts: phrasings of its caption.
      scores: measures of it, by name.
    """

    texts: tuple[str, ...] = ()
    scores: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def __add__(self, other: Label) -> Label:
        """Join what two files say; each text is kept once."""
        texts = tuple(dict.fromkeys((*self.texts, *other.texts)))
        return Label(texts, {**self.scores, **other.scores})


def text_of(content: bytes, named: str) -> str:
    """Decode a caption file.

    Raises:
      ValueError: it is not UTF-8.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{named} is not UTF-8 text ({error}): save it as UTF-8"
        ) from error


def from_lines(text: str) -> Label:
    """Read a text file: a phrasing on each line."""
    return Label(tuple(line.strip() for line in lines_of(text) if line.strip()))


def lines_of(text: str) -> list[str]:
    """Split text into lines, at line feeds only.

    `str.splitlines` splits at characters too that a caption may hold, such as U+2028.
    """
    return text.split("\n")


def from_json(text: str, named: str) -> Label:
    """Read an object with a caption, or several, and scores.

    Raises:
      ValueError: it is no JSON object.
    """
    return from_row(_parsed(text, named))


def from_row(row: Mapping[str, Any]) -> Label:
    """Read a row of a table, or an object."""
    texts = [text for name in TEXTS for text in _texts(row.get(name))]
    others = ((name, row[name]) for name in row if name not in (FILE, *TEXTS))
    scores = {name: score for name, value in others for score in _score(value)}
    return Label(tuple(dict.fromkeys(texts)), scores)


def _texts(value: Any) -> Iterator[str]:
    values = value if isinstance(value, list) else [value]
    for text in values:
        if isinstance(text, str) and text.strip():
            yield text.strip()


def _score(value: Any) -> Iterator[float]:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return
    if math.isfinite(number):
        yield number


def read_table(text: str, name: str, named: str) -> dict[str, Label]:
    """Read a table of captions.

    Args:
      text: of the file.
      name: of the table within its folder, which tells its form.
      named: the file, in errors.

    Returns:
      What is said of each clip, by its name within the same folder.

    Raises:
      ValueError: it is damaged, or has two columns of one name, or lacks one.
    """
    is_csv = name.lower().endswith(".csv")
    rows = _csv_rows(text, named) if is_csv else _json_rows(text, named)
    folder, labels = posixpath.dirname(name), {}
    has_text = False
    for number, row in rows:
        file = row.get(FILE)
        if not isinstance(file, str) or not file.strip():
            raise ValueError(
                f"{named} has no {FILE} in line {number}: name a clip, by its path "
                "from the folder of the table"
            )
        file = file.strip().replace("\\", "/")
        key = posixpath.normpath(posixpath.join(folder, file))
        labels[key] = labels.get(key, Label()) + from_row(row)
        has_text |= any(column in row for column in TEXTS)
    if labels and not has_text:
        raise ValueError(
            f"{named} has no captions: name their column 'text' or 'caption'"
        )
    return labels


def _csv_rows(text: str, named: str) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        columns = [column.strip() for column in next(reader, [])]
        twice = sorted({name for name in columns if columns.count(name) > 1})
        if twice:
            raise ValueError(f"{named} has two columns {quoted(twice[0])}: rename one")
        if columns and FILE not in columns:
            raise ValueError(
                f"{named} has no column {FILE}, but {quoted(columns)}: name the column "
                "of the clips' paths so"
            )
        for row in reader:
            if len(row) > len(columns):
                raise ValueError(
                    f"{named} has {len(row)} values for {len(columns)} columns in line "
                    f'{reader.line_num}: put captions with commas in "quotes"'
                )
            if row:
                yield reader.line_num, dict(zip(columns, row, strict=False))
    except csv.Error as error:
        raise ValueError(
            f"{named} cannot be read ({error}, line {reader.line_num}): correct it"
        ) from error


def _json_rows(text: str, named: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(lines_of(text), start=1):
        if line.strip():
            yield number, _parsed(line, f"{named}, line {number},")


def _parsed(text: str, named: str) -> dict[str, Any]:
    try:
        return files.decode_json(text, dict[str, Any], infinite=True)
    except ValueError as error:
        raise ValueError(f"{named} is no JSON object ({error}): correct it") from error
