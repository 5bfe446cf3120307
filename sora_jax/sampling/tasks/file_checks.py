"""Check the files of a task by their first bytes. Needs no JAX."""

from __future__ import annotations

from typing import Any

from sora_jax import files
from sora_jax.data import animations, containers, pictures, storyboard
from sora_jax.limits import Limits
from sora_jax.sampling.tasks.inputs import Keyframe


def check_footage(path: str, field: str, limits: Limits) -> None:
    """Check that a file is a clip or a picture.

    Raises:
      ValueError: names the field, the file and the remedy.
    """
    source = files.existing(path, field)
    if path.endswith(".npy") or pictures.is_still(path, field=field):
        return
    try:
        if not animations.is_animation(source):
            with containers.open_container(source, limits):
                pass
    except Exception as error:  # as in `decoding.decode`
        raise containers.unreadable_error(
            f"{field} {files.quoted(path)}", 0, error
        ) from (error)


def check_keyframes(keys: tuple[Keyframe, ...], field: str, limits: Limits) -> None:
    """Check that the files of keyframes are pictures; see `check_pictures`."""
    check_pictures(tuple(key.picture for key in keys), field, limits)


def check_pictures(paths: tuple[Any, ...], field: str, limits: Limits) -> None:
    """Check that files are pictures.

    Raises:
      ValueError: names each file and the remedy.
    """
    problems = []
    for path in paths:
        try:
            pictures.check_picture(path, field, limits)
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError("\n".join(problems))


def check_storyboard(
    path: str, field: str, limits: Limits
) -> storyboard.StoryboardFile:
    """Check a storyboard, and return it: a check reads it whole.

    Raises:
      ValueError: lists each wrong field and the remedy.
    """
    return storyboard.read_storyboard(path, field=field, limits=limits)


def check_exists(path: str, field: str, limits: Limits) -> None:
    """Check that a path is a regular file.

    Raises:
      ValueError: names the field, the file and the remedy.
    """
    del limits
    files.existing(path, field)


def check_two(paths: tuple[Any, ...], field: str, limits: Limits) -> None:
    """Check that two files are clips.

    Raises:
      ValueError: names the first that is not, and the remedy.
    """
    for path in paths:
        check_footage(path, field, limits)
