"""The report of a curation: a page of Markdown with histograms and contact sheets."""

from __future__ import annotations

import collections
import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from etils import epath

from sora_jax.data.curation import drawing
from sora_jax.data.curation.frames import shot_frames
from sora_jax.data.curation.shots import CuratedShot, Line, Scores, UnreadableFile
from sora_jax.files import PathLike, located, quoted

EXAMPLES = 8  # pictures on a sheet
SHARES = (0, 5, 25, 50, 75, 95, 100)  # percentiles in the table
LISTED = 200  # unreadable files that are listed


class Sheet(NamedTuple):
    """A contact sheet of the report.

    Attributes:
      name: of its file.
      title: of its section.
      take: whether a shot may be on it.
      order: the smallest come first.
    """

    name: str
    title: str
    take: Callable[[CuratedShot], bool]
    order: Callable[[CuratedShot], float]


def _moves(shot: CuratedShot) -> bool:
    return shot.frames > 1


def _any(shot: CuratedShot) -> bool:
    return True


SHEETS = (
    Sheet("shortest", "Shortest", _moves, lambda x: x.scores.duration),
    Sheet("least_motion", "Least motion", _moves, lambda x: x.scores.motion),
    Sheet("most_motion", "Most motion", _moves, lambda x: -x.scores.motion),
    Sheet("least_sharp", "Least sharp", _any, lambda x: x.scores.sharpness),
    Sheet("darkest", "Darkest", _any, lambda x: x.scores.exposure),
    Sheet("brightest", "Brightest", _any, lambda x: -x.scores.exposure),
    Sheet("least_contrast", "Least contrast", _any, lambda x: x.scores.contrast),
    Sheet("most_clipped", "Most clipped", _any, lambda x: -x.scores.clipped),
    Sheet("borders", "Black borders", lambda x: x.has_borders, lambda x: 0.0),
    Sheet("stills", "Stills", lambda x: _moves(x) and x.is_still, lambda x: 0.0),
    Sheet("loops", "Loops", lambda x: x.is_loop, lambda x: 0.0),
)


def write(lines: Sequence[Line], source: PathLike, folder: PathLike) -> epath.Path:
    """Write the report; return its page.

    Args:
      lines: of a finished curation.
      source: the folder of the files, of which the examples are read.
      folder: where the report goes; created if missing, and older pages are replaced.
    """
    target = located(folder, "--report")
    target.mkdir(parents=True, exist_ok=True)
    shots = [line for line in lines if isinstance(line, CuratedShot)]
    bad = [line for line in lines if isinstance(line, UnreadableFile)]
    files = len({shot.file for shot in shots})
    text = [
        "# Curation",
        f"{len(shots)} shots in {files} files; {len(bad)} files cannot be read.",
    ]
    if shots:
        text += [*_histograms(shots, target), *_sheets(shots, source, target)]
        text += _copies(shots, source, target)
    text += _unreadable(bad)
    page = target / "report.md"
    page.write_text("\n\n".join(text) + "\n")
    return page


def _histograms(shots: Sequence[CuratedShot], target: epath.Path) -> list[str]:
    """Draw a histogram of each score; return a table of percentiles and pictures."""
    shares = " | ".join(f"{share}%" for share in SHARES)
    table = [f"| score | {shares} |", "|---|" + "---:|" * len(SHARES)]
    pictures = []
    for name in Scores.__struct_fields__:
        values = np.array([getattr(shot.scores, name) for shot in shots])
        cells = " | ".join(f"{x:.4g}" for x in np.percentile(values, SHARES))
        table.append(f"| {name} | {cells} |")
        drawing.save(drawing.histogram(values, name), target / f"histogram_{name}.png")
        pictures.append(f"![{name}](histogram_{name}.png)")
    return ["## Scores", "\n".join(table), *pictures]


def _sheets(
    shots: Sequence[CuratedShot], source: PathLike, target: epath.Path
) -> list[str]:
    text = []
    for sheet in SHEETS:
        fit = sorted(filter(sheet.take, shots), key=sheet.order)
        if fit:
            text += _section(sheet.name, sheet.title, len(fit), fit, source, target)
    return text


def _copies(
    shots: Sequence[CuratedShot], source: PathLike, target: epath.Path
) -> list[str]:
    """Show near-duplicates beside the shots that they are duplicates of."""
    by_id = {shot.id: shot for shot in shots}
    copies = [shot for shot in shots if shot.duplicate_of in by_id]
    pairs = [pair for shot in copies for pair in (by_id[shot.duplicate_of], shot)]
    if not pairs:
        return []
    title = "Near-duplicates, each after its original"
    return _section("duplicates", title, len(copies), pairs, source, target)


def _section(
    name: str,
    title: str,
    count: int,
    shots: Sequence[CuratedShot],
    source: PathLike,
    target: epath.Path,
) -> list[str]:
    """Draw a contact sheet; return its heading, picture, and list of clips."""
    shown = list(shots[:EXAMPLES])
    tiles = [_example(epath.Path(source), shot) for shot in shown]
    drawing.save(drawing.sheet(tiles), target / f"{name}.png")
    listed = [
        f"{i}. {_code(shot.id)}: {_told(shot)}" for i, shot in enumerate(shown, 1)
    ]
    heading = f"## {title}" + (
        f" ({count})" if count < len(shots) or _few(name) else ""
    )
    return [heading, f"![{title}]({name}.png)", "\n".join(listed)]


def _few(name: str) -> bool:
    """Return whether a sheet is of some shots, not of all in an order."""
    return name in ("borders", "stills", "loops", "duplicates")


@functools.lru_cache(maxsize=256)
def _example(source: epath.Path, shot: CuratedShot) -> np.ndarray:
    """Return the middle frame of a shot, small, with its crop outlined."""
    try:
        path, side = source / shot.file, drawing.TILE
        (found,) = shot_frames(path, [shot], 1, short_side=side, cropped=False)
    except ValueError:  # it has changed since
        return np.zeros((drawing.TILE, drawing.TILE, 3), np.uint8)
    if not shot.has_borders:
        return found[0]
    return drawing.outlined(found[0], shot.crop, (shot.height, shot.width))


def _told(shot: CuratedShot) -> str:
    scores = (
        f"{name} {x:.4g}"
        for name, x in zip(Scores.__struct_fields__, _values(shot.scores), strict=True)
    )
    return ", ".join(scores)


def _values(scores: Scores) -> list[float]:
    return [getattr(scores, name) for name in Scores.__struct_fields__]


def _unreadable(bad: Sequence[UnreadableFile]) -> list[str]:
    if not bad:
        return []
    kinds = collections.Counter(line.error for line in bad)
    lines = [f"- {_code(line.file)}: {_plain(line.error)}" for line in bad[:LISTED]]
    more = [f"And {len(bad) - LISTED} more."] if len(bad) > LISTED else []
    heading = f"## Files that cannot be read ({len(bad)}, of {len(kinds)} reasons)"
    return [heading, "\n".join(lines), *more]


def _code(text: str) -> str:
    """Return a file's name as Markdown's code, whatever it holds."""
    return "`" + quoted(text)[1:-1].replace("`", "'") + "`"


def _plain(text: str) -> str:
    return " ".join(text.replace("<", "&lt;").replace("`", "'").split())
