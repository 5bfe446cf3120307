"""The `sora-jax data curate` program: find and score the shots of a folder."""

from __future__ import annotations

import collections
import dataclasses
import os
from collections.abc import Sequence
from typing import Annotated

import tyro

from sora_jax import cli, files
from sora_jax.data.curation import packages, report
from sora_jax.data.curation.folder import media_files
from sora_jax.data.curation.shots import CuratedShot, Line, UnreadableFile
from sora_jax.files import quoted


@dataclasses.dataclass(frozen=True, kw_only=True)
class CurateOptions:
    """Flags of the program."""

    # The folder of videos and pictures; may be gs://.
    source: Annotated[str, tyro.conf.arg(name="from")]
    # JSON lines, one for each shot and for each file that cannot be read.
    out: str = "curation.jsonl"
    # Processes; 0 is one for each core.
    workers: int = 0
    # A folder for a report with histograms and the worst examples.
    report: str = ""
    # Seconds that one file may take.
    timeout: float = 3600.0
    # Share of the 256 bits of their fingerprints in which near-duplicates may differ.
    duplicates: float = 0.16


def check_options(options: CurateOptions) -> None:
    """Check the flags.

    Raises:
      ValueError: names the flag, its value, and what it may be.
    """
    if options.workers < 0:
        raise ValueError(f"--workers must be >= 0, got {options.workers}")
    if not 0 < options.timeout < 1e7:
        raise ValueError(f"--timeout must be > 0 and < 1e7, got {options.timeout:g}")
    if not 0 <= options.duplicates < 0.5:
        raise ValueError(
            f"--duplicates must be in [0, 0.5), got {options.duplicates:g}"
        )
    if options.report and _is_inside(options.report, options.source):
        raise ValueError(
            f"--report {quoted(options.report)} is inside --from, so that its "
            "pictures would be curated: give another folder"
        )


def _is_inside(path: str, folder: str) -> bool:
    inner, outer = (
        name if files.is_remote(name) else os.path.realpath(name)
        for name in (path, folder)
    )
    return f"{inner}/".startswith(outer.rstrip("/") + "/")


def main(argv: Sequence[str]) -> None:
    """Curate a folder, and print what was found.

    Raises:
      ValueError: see `check_options`, `media_files` and `curate.curate`.
      OSError: the disk is full.
    """
    options = cli.parse(CurateOptions, argv, about=main.__doc__)
    check_options(options)
    packages.require_curation()
    from sora_jax.data.curation.curate import curate

    found = media_files(options.source)
    lines = curate(
        found,
        options.out,
        workers=options.workers or os.cpu_count() or 1,
        seconds=options.timeout,
        duplicates=options.duplicates,
    )
    for line in summary(lines):
        cli.say(line)
    cli.say(f"written: {options.out}")
    if options.report:
        cli.say(f"written: {report.write(lines, options.source, options.report)}")


def summary(lines: Sequence[Line]) -> list[str]:
    """Return what was found, in a few lines."""
    shots = [line for line in lines if isinstance(line, CuratedShot)]
    bad = [line for line in lines if isinstance(line, UnreadableFile)]
    counts = collections.Counter[str]()
    for shot in shots:
        counts["still"] += shot.is_still
        counts["loops"] += shot.is_loop
        counts["near-duplicates"] += bool(shot.duplicate_of)
        counts["with black borders"] += shot.has_borders
    seconds = sum(shot.scores.duration for shot in shots)
    told = ", ".join(f"{count} {name}" for name, count in counts.items())
    files = len({shot.file for shot in shots})
    text = [f"{len(shots)} shots in {files} files, {seconds:.1f} seconds: {told}"]
    if bad:
        text.append(f"{len(bad)} files cannot be read:")
        text += [f"  {line.file}: {line.error}" for line in bad[:10]]
        text += ["  ..."] if len(bad) > 10 else []
    return text
