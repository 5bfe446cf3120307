"""Curate a folder: every file in processes of their own, resumable."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pebble
import tqdm
from etils import epath

from sora_jax import hashes
from sora_jax.data.curation import fingerprints, journal
from sora_jax.data.curation.file_shots import curate_file
from sora_jax.data.curation.shots import VERSION, CuratedShot, Line, UnreadableFile
from sora_jax.files import PathLike

AHEAD = 4  # files a worker that are handed out before they are done
_THREADS = 8  # beyond, disks are slower


def curate(
    files: Mapping[str, epath.Path],
    out: PathLike,
    *,
    workers: int,
    seconds: float,
    duplicates: float = fingerprints.DISTANCE,
) -> list[Line]:
    """Write the lines of all files; those that `out` has already are kept.

    Args:
      files: paths by their names in the folder.
      out: a JSONL file on this disk.
      workers: number of processes; 0 works in this one, which a damaged file may end.
      seconds: how long a file may take.
      duplicates: see `fingerprints.mark_duplicates`.

    Returns:
      The lines, in the order of the files.

    Raises:
      ValueError: `out` cannot be written, or holds something else.
      OSError: the disk is full.
    """
    with journal.open_journal(out, Line) as (kept, lines):
        done = finished(lines)
        with tqdm.tqdm(total=len(files), unit="file", leave=None) as bar:
            same = _unchanged(files, done)
            bar.update(len(same))
            todo = {name: files[name] for name in files if name not in same}
            for group in _curated(todo, workers, seconds):
                kept.append(group)
                done[group[0].file] = group
                bar.update()
        ordered = [line for name in files for line in done[_told(name)]]
        ordered = _marked(ordered, duplicates)
        kept.replace(ordered)
        return ordered


def finished(lines: list[Line]) -> dict[str, list[Line]]:
    """Group lines by file; leave out files that were not finished.

    The shots of a file are written together, in order. Later ones replace earlier ones.
    """
    groups: dict[str, list[Line]] = {}
    for line in lines:
        number = line.shot if isinstance(line, CuratedShot) else 0
        group = groups.setdefault(line.file, [])
        if number == 0:
            group.clear()
        group.append(line)
    return {name: group for name, group in groups.items() if _is_whole(group)}


def _is_whole(group: list[Line]) -> bool:
    first = group[0]
    count = first.shots if isinstance(first, CuratedShot) else 1
    numbers = [line.shot for line in group if isinstance(line, CuratedShot)]
    return len(group) == count and numbers in ([], list(range(count)))


def _unchanged(
    files: Mapping[str, epath.Path], done: Mapping[str, list[Line]]
) -> set[str]:
    """Return the names of the files whose lines are of the same content."""
    names = [name for name in files if name in done]
    with ThreadPoolExecutor(_THREADS) as pool:
        found = pool.map(lambda name: _is_same(done[name], files[name]), names)
        return {name for name, is_same in zip(names, found, strict=True) if is_same}


def _is_same(group: list[Line], path: epath.Path) -> bool:
    """Return whether a file is the one whose lines these are."""
    try:
        key = hashes.of_file(path)
    except (OSError, ValueError):
        return False
    return group[0].version == VERSION and group[0].hash == key


def _told(name: str) -> str:
    """Return a file's name in lines, which are UTF-8."""
    return name.encode("utf-8", "backslashreplace").decode()


def _curated(
    files: Mapping[str, epath.Path], workers: int, seconds: float
) -> Iterator[list[Line]]:
    """Yield the lines of each file, as they are finished."""
    if not files:
        return
    if not workers:
        yield from (curate_file(path, _told(name)) for name, path in files.items())
        return
    # Forks of a process with threads may hang.
    context = multiprocessing.get_context("spawn")
    with pebble.ProcessPool(max_workers=workers, context=context) as pool:
        waiting: dict[Future[Any], str] = {}
        try:
            for name, path in files.items():
                task = pool.schedule(
                    curate_file, args=[os.fspath(path), _told(name)], timeout=seconds
                )
                waiting[task] = name
                if len(waiting) >= AHEAD * workers:
                    yield from _first_done(waiting, seconds)
            while waiting:
                yield from _first_done(waiting, seconds)
        except BaseException:
            pool.stop()  # otherwise it would finish what was handed out
            raise


def _first_done(
    waiting: dict[Future[Any], str], seconds: float
) -> Iterator[list[Line]]:
    done, _ = concurrent.futures.wait(
        waiting, return_when=concurrent.futures.FIRST_COMPLETED
    )
    for task in done:
        name = _told(waiting.pop(task))
        try:
            yield task.result()
        except concurrent.futures.TimeoutError:
            yield [_failed(name, f"it took more than {seconds:g} seconds")]
        except pebble.ProcessExpired as error:
            reason = f"the process that read it died with code {error.exitcode}"
            yield [_failed(name, reason)]


def _failed(name: str, reason: str) -> UnreadableFile:
    return UnreadableFile(file=name, hash="", error=reason)


def _marked(lines: list[Line], most: float) -> list[Line]:
    shots = [line for line in lines if isinstance(line, CuratedShot)]
    marked = iter(fingerprints.mark_duplicates(shots, most))
    return [next(marked) if isinstance(line, CuratedShot) else line for line in lines]
