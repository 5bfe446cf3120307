"""Caption the clips of a folder, resumable.

One thread reads the clips, each file once; several ask the captioner.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import tqdm
from etils import epath

from sora_jax import files, hashes
from sora_jax.data.curation import journal
from sora_jax.data.curation.captioner import Captioner, Hint
from sora_jax.data.curation.captions import (
    VERSION,
    CaptionedClip,
    Line,
    UncaptionedClip,
)
from sora_jax.data.curation.endpoint import EndpointError
from sora_jax.data.curation.frames import file_frames, sampled_rate, shot_frames
from sora_jax.data.curation.shots import CuratedShot
from sora_jax.files import PathLike, quoted

SHORT_SIDE = 384  # pixels of the frames that are shown to the captioner
AHEAD = 2  # clips a worker that are read before they are asked for
HINT_BYTES = 2**16  # of the text beside a clip


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClipFile:
    """A clip to caption.

    Attributes:
      id: see `shots.CuratedShot.id`.
      path: of its file.
      shot: its shot, if the folder was curated; None is the whole file.
    """

    id: str
    path: epath.Path
    shot: CuratedShot | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Shown:
    """What the captioner is shown of a clip, and the hash of its file."""

    frames: np.ndarray
    fps: float
    hint: Hint
    hash: str


def clip_files(
    found: Mapping[str, epath.Path], shots: Sequence[CuratedShot] | None
) -> list[ClipFile]:
    """Return the clips of a folder: shots, or whole files.

    Args:
      found: paths by their names in the folder.
      shots: of its curation; None takes whole files.

    Raises:
      ValueError: no shot is of a file of the folder.
    """
    if shots is None:
        return [ClipFile(id=name, path=path) for name, path in found.items()]
    clips = [
        ClipFile(id=shot.id, path=found[shot.file], shot=shot)
        for shot in sorted(shots, key=lambda shot: (shot.file, shot.shot))
        if shot.file in found
    ]
    if not clips:
        raise ValueError(
            f"none of the {len(shots)} shots of --curation is of a file in --from: "
            "give the folder that was curated"
        )
    return clips


def caption_clips(
    clips: Sequence[ClipFile],
    captioner: Captioner,
    out: PathLike,
    *,
    model: str,
    prompt: str,
    workers: int,
    frames: int = 8,
) -> dict[str, Line]:
    """Write captions of all clips; those that `out` has already are kept.

    Args:
      clips: to caption; those of a file follow one another, in order.
      captioner: what describes them.
      out: a JSONL file on this disk.
      model: its name.
      prompt: hash of its prompt.
      workers: number of threads.
      frames: how many are sampled of each clip.

    Returns:
      The last line of each clip.

    Raises:
      ValueError: `out` cannot be written, or holds something else, or captions of
        another model or prompt.
      EndpointError: no clip can be captioned.
      OSError: the disk is full.
    """

    def ask(shown: _Shown) -> Line:
        name = shown.hint.id
        try:
            found = captioner.caption(shown.frames, shown.fps, shown.hint)
        except EndpointError:
            raise
        except ValueError as error:
            return UncaptionedClip(id=name, error=str(error)[:1000])
        return CaptionedClip(
            id=name, hash=shown.hash, captions=found, model=model, prompt=prompt
        )

    with journal.open_journal(out, Line) as (kept, lines):
        done: dict[str, Line] = {line.id: line for line in lines}
        _check_kept(done, out, model, prompt)
        with tqdm.tqdm(total=len(clips), unit="clip", leave=None) as bar:
            todo = _read(clips, done, frames, bar.update)
            for line in _in_threads(ask, todo, workers):
                kept.append([line])
                done[line.id] = line
                bar.update()
        ordered = {clip.id: done[clip.id] for clip in clips}
        others = [line for name, line in done.items() if name not in ordered]
        kept.replace([*ordered.values(), *others])
        return ordered


def _check_kept(
    done: Mapping[str, Line], out: PathLike, model: str, prompt: str
) -> None:
    """Refuse captions of another model or prompt, which would be mixed."""
    for line in done.values():
        if not isinstance(line, CaptionedClip):
            continue
        if (line.model, line.prompt) != (model, prompt):
            raise ValueError(
                f"--out {quoted(out)} holds captions of model {quoted(line.model)} and "
                f"prompt {line.prompt}: give another --out for those of "
                f"{quoted(model)} and {prompt}"
            )


def _read(
    clips: Sequence[ClipFile],
    done: Mapping[str, Line],
    frames: int,
    skip: Callable[[int], object],
) -> Iterator[_Shown | UncaptionedClip]:
    """Read the clips that are not done, each file once."""
    for path, group in itertools.groupby(clips, key=lambda clip: clip.path):
        todo = members = list(group)
        try:
            key = hashes.of_file(path)
            todo = [clip for clip in members if not _is_done(done.get(clip.id), key)]
            skip(len(members) - len(todo))
            for shown in _shown(path, todo, frames, key) if todo else ():
                todo = todo[1:]
                yield shown
        except (ValueError, OSError) as error:
            yield from (
                UncaptionedClip(id=clip.id, error=str(error)[:1000]) for clip in todo
            )


def _is_done(line: Line | None, key: str) -> bool:
    is_captioned = isinstance(line, CaptionedClip)
    return is_captioned and (line.version, line.hash) == (VERSION, key)


def _shown(
    path: epath.Path, clips: Sequence[ClipFile], frames: int, key: str
) -> Iterator[_Shown]:
    """Yield what is shown of each clip of a file."""
    text = _text_beside(path)
    shots = [clip.shot for clip in clips if clip.shot is not None]
    if not shots:
        found, fps = file_frames(path, frames, short_side=SHORT_SIDE)
        hint = Hint(id=clips[0].id, text=text)
        yield _Shown(frames=found, fps=fps, hint=hint, hash=key)
        return
    if shots[0].hash != key:
        raise ValueError("it has changed since it was curated: curate it again")
    each = shot_frames(path, shots, frames, short_side=SHORT_SIDE)
    for shot, found in zip(shots, each, strict=True):
        fps = sampled_rate(shot, len(found))
        yield _Shown(frames=found, fps=fps, hint=Hint(id=shot.id, text=text), hash=key)


def _text_beside(path: epath.Path) -> str:
    """Return the text of `clip.txt` beside `clip.mp4`; "" if there is none."""
    beside = path.with_suffix(".txt")
    if not beside.exists():
        return ""
    return files.read_text(beside, "the text beside it", HINT_BYTES).strip()


def _in_threads(
    ask: Callable[[_Shown], Line],
    todo: Iterable[_Shown | UncaptionedClip],
    workers: int,
) -> Iterator[Line]:
    """Yield lines as they are finished; only a few clips wait in memory."""
    waiting: set[Future[Line]] = set()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in todo:
                if isinstance(item, UncaptionedClip):
                    yield item
                    continue
                waiting.add(pool.submit(ask, item))
                if len(waiting) >= AHEAD * workers:
                    done, waiting = _wait(waiting)
                    yield from (task.result() for task in done)
            while waiting:
                done, waiting = _wait(waiting)
                yield from (task.result() for task in done)
        finally:
            for task in waiting:
                task.cancel()


def _wait(waiting: set[Future[Line]]) -> tuple[set[Future[Line]], set[Future[Line]]]:
    found = concurrent.futures.wait(
        waiting, return_when=concurrent.futures.FIRST_COMPLETED
    )
    return found.done, found.not_done
