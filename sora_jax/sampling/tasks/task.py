"""`Task`: a dataclass of arguments, and one method that builds segments.

Its fields are flags of the command line, keywords of the Python methods and keys of a
JSON object alike. Each is annotated with its `Kind`, which converts any of these.
"""

from __future__ import annotations

import abc
import dataclasses
import functools
import types
from collections.abc import Callable, Mapping
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    NamedTuple,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import docstring_parser
import numpy as np

from sora_jax.config import Direction
from sora_jax.data.storyboard import StoryboardFile
from sora_jax.files import quoted
from sora_jax.limits import Limits
from sora_jax.sampling.converters import (
    as_condition,
    as_count,
    as_number,
    describe_value,
)
from sora_jax.sampling.segments import Segment
from sora_jax.sampling.tasks import converters, file_checks
from sora_jax.sampling.tasks.context import TaskContext


class Kind(NamedTuple):
    """How an argument is parsed and checked.

    Attributes:
      convert: checks and converts a value of Python, JSON or a flag.
      flag: how the command line takes it: "one" text, "several" texts, or a type; None
        if it has no flag.
      takes: whether `convert` takes "one" value, or a "list" of them.
      check_file: checks the first bytes of a file: (value, field, limits). What it
        reads whole, it returns.
      is_fitted: whether its pixels are brought to the size of the video.
    """

    convert: Callable[[Any, str], Any]
    flag: Any = "one"
    takes: Literal["one", "list"] = "one"
    check_file: Callable[[Any, str, Limits], Any] | None = None
    is_fitted: bool = False


# A path, or an array of frames [t h w 3] in [-1, 1].
Video = Annotated[
    Any, Kind(converters.as_video, "several", "one", file_checks.check_footage, True)
]
# Two of them.
TwoVideos = Annotated[
    Any, Kind(converters.as_two_videos, "several", "list", file_checks.check_two, True)
]
# A path, or an array [t h w]: 1 where the video is repainted, 0 where it is kept.
Mask = Annotated[
    Any, Kind(converters.as_mask_input, check_file=file_checks.check_footage)
]
# Pictures at frames, or one picture for the first frame.
Keyframes = Annotated[
    Any,
    Kind(converters.as_keyframes, "several", "list", file_checks.check_keyframes, True),
]
# Pictures [1 h w 3], or paths.
Pictures = Annotated[
    Any, Kind(converters.as_pictures, "several", "list", file_checks.check_pictures)
]
# (from, to) in seconds, one after another.
Spans = Annotated[Any, Kind(converters.as_spans, "several", "list")]
# The path of a YAML or JSON file, what was read from it, or stretches of time.
Story = Annotated[
    Any,
    Kind(converters.as_story, check_file=file_checks.check_storyboard, is_fitted=True),
]
# A path, or an array of latents [t h w z] or [b t h w z].
Noise = Annotated[Any, Kind(converters.as_noise, check_file=file_checks.check_exists)]
# Given pixels of the video; in Python only.
GivenPixels = Annotated[Any, Kind(as_condition, None)]
# (height, width) in pixels; as text, WIDTHxHEIGHT.
Size = Annotated[Any, Kind(converters.as_size_input)]
# Numbers and choices; converted, and so checked, when the task is built.
Count = Annotated[Any, Kind(as_count, int)]
CountInPython = Annotated[Any, Kind(as_count, None)]
Share = Annotated[Any, Kind(as_number, float)]
RateInPython = Annotated[Any, Kind(as_number, None)]
Side = Annotated[Any, Kind(converters.as_direction, Direction)]


class Argument(NamedTuple):
    """A field of a task.

    Attributes:
      kind: how it is parsed.
      is_required: whether it has no default.
      default: its default value.
      about: its documentation.
    """

    kind: Kind
    is_required: bool
    default: Any
    about: str


class Task(abc.ABC):
    """A task; a subclass is a frozen dataclass whose fields are its arguments.

    Attributes:
      name: on the command line and in JSON.
      counts: whether `frames` counts "all" frames of the video, or the "new" ones;
        None if other arguments set the length.
      prompt: whether a prompt is required, optional, or not taken.
      size: whether the video has the size of its "input", or needs "another".
    """

    name: ClassVar[str]
    counts: ClassVar[Literal["all", "new"] | None] = None
    prompt: ClassVar[Literal["required", "optional", "none"]] = "optional"
    size: ClassVar[Literal["input", "another"]] = "input"

    def __post_init__(self):
        """Convert every argument to its one form.

        Raises:
          ValueError: names every argument that is wrong, its value and the remedy.
        """
        problems: list[str] = []
        for name, argument in self.arguments().items():
            value = getattr(self, name)
            if value is None and argument.default is None:
                continue
            try:
                object.__setattr__(self, name, argument.kind.convert(value, name))
            except ValueError as error:
                problems += str(error).splitlines()
        frames = getattr(self, "frames", None)
        if not problems and frames is not None and self.counts:
            if frames < 1:
                problems.append(f"frames must be >= 1, got {frames}")
            if not self.counts_frames:
                problems.append(
                    f"frames must be left out, got {frames}: the video says how long "
                    "the result is"
                )
        if problems:
            raise ValueError("\n".join(problems))

    @abc.abstractmethod
    def segments(self, context: TaskContext) -> list[Segment]:
        """Build the segments of the video.

        Raises:
          ValueError: names the argument that is wrong, its value and the remedy.
        """

    @property
    def needs_prompt(self) -> bool:
        """Return whether a prompt is required."""
        return self.prompt == "required"

    @property
    def counts_frames(self) -> bool:
        """Return whether `frames` applies, given the other arguments."""
        return self.counts is not None

    @classmethod
    @functools.cache
    def arguments(cls) -> Mapping[str, Argument]:
        """Return the arguments by name."""
        hints = get_type_hints(cls, include_extras=True)
        about = {
            item.arg_name: item.description or ""
            for each in reversed(cls.__mro__)
            for item in docstring_parser.parse(each.__doc__ or "").params
        }
        return {
            field.name: Argument(
                kind=_kind_of(hints[field.name]),
                is_required=field.default is dataclasses.MISSING,
                default=field.default,
                about=" ".join(about.get(field.name, "").split()),
            )
            for field in dataclasses.fields(cls)  # pyright: ignore[reportArgumentType]
        }

    def footage(self) -> list[Any]:
        """Return the clips and pictures that are brought to the size of the video."""
        given = [
            getattr(self, name)
            for name, argument in self.arguments().items()
            if argument.kind.is_fitted
        ]
        items = [x for one in given for x in (one if isinstance(one, tuple) else [one])]
        found = [getattr(item, "picture", item) for item in items]
        return [x for x in found if isinstance(x, (str, np.ndarray))]

    def to_json(self) -> dict[str, Any]:
        """Return the task as plain data: its name and non-default arguments.

        Raises:
          ValueError: an argument is an array, not a file.
        """
        given = {
            name: _plain(getattr(self, name), name)
            for name, argument in self.arguments().items()
            if argument.is_required
            or not _is_default(getattr(self, name), argument.default)
        }
        return {"task": self.name, **given}


def build(kind: type[Task], given: Mapping[str, Any]) -> Task:
    """Build a task from arguments of the command line, Python or JSON.

    Raises:
      ValueError: names every argument that is wrong, its value and the remedy.
    """
    arguments = kind.arguments()
    problems = [
        f"{quoted(name)} is no argument of {kind.name}, got {describe_value(value)}: "
        f"it takes {', '.join(arguments)}"
        for name, value in given.items()
        if name not in arguments
    ]
    missing = {n for n, a in arguments.items() if a.is_required and n not in given}
    problems += [
        f"{name} is missing: {kind.name} needs one" for name in sorted(missing)
    ]
    values = {name: value for name, value in given.items() if name in arguments}
    if not missing:
        try:
            task = kind(**values)
        except ValueError as error:
            problems += str(error).splitlines()
        else:
            if not problems:
                return task
    raise ValueError("\n".join(problems))


def _kind_of(hint: Any) -> Kind:
    """Return the `Kind` in an annotation, optional or not."""
    if get_origin(hint) in (Union, types.UnionType):
        (hint,) = (arg for arg in get_args(hint) if arg is not type(None))
    if get_origin(hint) is Annotated:
        return hint.__metadata__[0]
    raise TypeError(f"{hint} names no Kind")


def _is_default(value: Any, default: Any) -> bool:
    return (
        type(value) is type(default)
        and not hasattr(value, "shape")
        and (value == default)
    )


def _plain(value: Any, name: str) -> Any:
    """Convert an argument to JSON data; a file that was read, to its path."""
    if isinstance(value, StoryboardFile):
        return value.path
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{name}[{i}]") for i, item in enumerate(value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {
            field.name: _plain(getattr(value, field.name), f"{name}.{field.name}")
            for field in dataclasses.fields(value)
        }
        return {key: item for key, item in fields.items() if item is not None}
    if isinstance(value, np.ndarray):
        raise ValueError(
            f"{name} must be a file to be written as JSON, got "
            f"{describe_value(value)}: give the path of a file"
        )
    return value
