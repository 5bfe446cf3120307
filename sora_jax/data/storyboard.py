"""Read storyboards: YAML or JSON files of shots and their times."""

from __future__ import annotations

import collections
import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec
import yaml
from etils import epath

from sora_jax import files
from sora_jax.files import PathLike
from sora_jax.limits import LIMITS, NESTING, STORY_BYTES, Limits

T = TypeVar("T")


class Shot(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The prompt of a video from a time on.

    Attributes:
      at: seconds since the video's beginning.
      prompt: describes the video from then on.
      image: path of a picture to show at that time.
      cut: begin a new shot, instead of continuing the one before.
    """

    at: float
    prompt: str
    image: str | None = None
    cut: bool = False


class StoryboardFile(msgspec.Struct, frozen=True, kw_only=True):
    """The shots of a video, as its file gives them.

    Attributes:
      path: of the file.
      text: of the file.
      seconds: length of the whole video.
      shots: the first is at 0, each later one after the one before.
    """

    path: str
    text: str
    seconds: float
    shots: tuple[Shot, ...]


class _Outline(msgspec.Struct, forbid_unknown_fields=True):
    """A storyboard with unparsed shots, so that each reports its own errors."""

    seconds: float
    shots: list[Any]


REMEDIES: Mapping[type, str] = {
    _Outline: "a storyboard has the fields seconds (a number) and shots (a list)",
    Shot: "a shot has the fields at (seconds) and prompt (text, in quotes if it could "
    "be taken for something else, as with a comma inside braces), and if wanted "
    "image (a path), cut (true or false)",
}


class _Loader(yaml.SafeLoader):
    """Plain YAML without duplicate keys, which a missing dash would create."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()
        problem = None
        if getattr(event, "anchor", None) or getattr(event, "tag", None):
            problem = "tags, anchors and aliases are not taken"
        elif self.depth >= NESTING:
            problem = "it is nested too deeply"
        if problem:
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        try:
            _once([(key.value, value) for key, value in node.value])
        except ValueError as error:
            raise yaml.MarkedYAMLError(
                problem=str(error), problem_mark=node.start_mark
            ) from error
        return super().construct_mapping(node, deep)


def read_storyboard(
    path: PathLike, *, field: str = "--storyboard", limits: Limits = LIMITS
) -> StoryboardFile:
    """Read a storyboard.

    ```yaml
    seconds: 6  # length of the whole video
    shots:
      - at: 0  # seconds
        prompt: a red ball moves right on a green floor
      - at: 2.5
        prompt: a blue square spins
        image: start.png  # optional; relative to this file's folder
        cut: true  # default: false
    ```

    Args:
      path: JSON where it ends in `.json`, otherwise plain YAML; may be `gs://`.
      field: the flag or config field that error messages name.
      limits: how many shots it may have.

    Raises:
      ValueError: the file cannot be read or is invalid; lists each field, what is wrong
        with it and the remedy.
    """
    source = files.existing(path, field)
    named = f"{field} {files.quoted(path)}"
    text = files.read_text(path, field, STORY_BYTES)
    data, problems = _parse(source, text, named), []
    outline = _convert(data, _Outline, "", problems)
    shots: list[Shot | None] = []
    if outline is not None and len(outline.shots) > limits.items:
        problems.append(
            f"shots must be at most {limits.items}, got {len(outline.shots)}: make "
            "several videos, or give --unlimited"
        )
    elif outline is not None:
        for index, item in enumerate(outline.shots):
            shots.append(_convert(item, Shot, f"shots[{index}]", problems))
        problems += _check_times(outline.seconds, shots)
        problems += _check_content(shots, source.parent)
    if outline is None or problems:
        raise ValueError("\n".join(f"{named}: {problem}" for problem in problems))
    whole = (_resolved(shot, source.parent) for shot in shots if shot is not None)
    return StoryboardFile(
        path=os.fspath(path), text=text, seconds=outline.seconds, shots=tuple(whole)
    )


def _parse(source: epath.Path, text: str, named: str) -> Any:
    try:
        if source.suffix.lower() == ".json":
            return json.loads(text, object_pairs_hook=_once)
        return yaml.load(text, _Loader)
    # YAML's constructors of dates and numbers raise Python's errors.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or str(error)
        if isinstance(error, RecursionError):
            what = "it is nested too deeply"
        where = f" in line {mark.line + 1}" if mark else ""
        raise ValueError(
            f"{named} is no storyboard ({' '.join(what.split())}{where}): correct "
            "it; in YAML a dash begins each shot, and prompts with a colon, or with a "
            "comma inside braces, need quotes"
        ) from error


def _once(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    counts = collections.Counter(str(key) for key, _ in pairs)
    for key, count in counts.items():
        if count > 1:
            raise ValueError(f"{files.quoted(key)} is given {count} times in one place")
    return {str(key): value for key, value in pairs}


def _convert(data: Any, kind: type[T], place: str, problems: list[str]) -> T | None:
    """Convert plain data to a struct; on failure append to `problems`."""
    try:
        return msgspec.convert(data, kind)
    except UnicodeError as error:  # JSON can escape lone surrogates
        problems.append(f"{place or 'the file'}: it is no UTF-8 text ({error})")
        return None
    except msgspec.ValidationError as error:
        # Such as "Expected `str`, got `bool` - at `$.prompt`".
        what, _, where = str(error).partition(" - at ")
        place = (place + where.partition("$")[2].strip("`")).removeprefix(".")
        problems.append(f"{place or 'the file'}: {what}: {REMEDIES[kind]}")
        return None


def _check_times(seconds: float, shots: Sequence[Shot | None]) -> list[str]:
    problems, before, end = [], -math.inf, seconds
    if not 0 < seconds < math.inf:
        problems.append(
            f"seconds must be > 0, got {seconds}: say how long the video is"
        )
        end = math.inf
    if not shots:
        problems.append("shots is empty: say what the video shows, from 0 seconds on")
    for index, shot in enumerate(shots):
        if shot is None:
            continue
        place, at = f"shots[{index}].at", shot.at
        if index == 0 and at != 0:
            problems.append(
                f"{place} must be 0, where the video begins, got {at:g}: move it, or "
                "put another shot before"
            )
        elif not at > before:
            problems.append(
                f"{place} must be > {before:g}, where the shot before begins, got "
                f"{at:g}: put the shots in the order of time"
            )
        elif not at < end:
            problems.append(
                f"{place} must be < {end:g}, the video's seconds, got {at:g}: leave "
                "the shot out, or make the video longer"
            )
        else:
            before = at
    return problems


def _check_content(shots: Sequence[Shot | None], folder: epath.Path) -> list[str]:
    problems = []
    for index, shot in enumerate(shots):
        place = f"shots[{index}]"
        if shot is None:
            continue
        if not shot.prompt.strip():
            problems.append(f"{place}.prompt is empty: say what is to be seen")
        try:
            if shot.image is not None:
                if files.is_remote(shot.image) and not files.is_remote(folder):
                    raise ValueError("it is an address, in a storyboard that is a file")
                files.existing(_beside(folder, shot.image), "the picture")
        except ValueError as error:
            problems.append(
                f"{place}.image {files.quoted(shot.image)} is no file ({error}): give "
                "a path as it is from the storyboard's folder, "
                f"{files.quoted(folder)}"
            )
        if index == 0 and shot.cut:
            problems.append(
                f"{place}.cut must be false, since nothing is before it: leave it out"
            )
    return problems


def _beside(folder: epath.Path, image: str) -> PathLike:
    return image if files.is_remote(image) else folder / image


def _resolved(shot: Shot, folder: epath.Path) -> Shot:
    """Clean the prompt of a shot, and resolve its picture's path."""
    image = None if shot.image is None else os.fspath(_beside(folder, shot.image))
    prompt = " ".join(shot.prompt.split())  # YAML has ways to write several lines
    return msgspec.structs.replace(shot, prompt=prompt, image=image)
