"""What is wrong with the flags of `sample.py` by themselves, before JAX is imported.

Models and devices are not looked at, and of files no more than their headers.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from sora_jax import cli, files
from sora_jax.config import SamplingConfig
from sora_jax.data import animations, containers, outputs, pictures, storyboard
from sora_jax.limits import SEEDS, Limits
from sora_jax.sampling import duties, flags
from sora_jax.sampling.limit_checks import check_prompts, exceeding, is_text, too_many

# A name on a hub of models, and no folder.
HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


class Read(NamedTuple):
    """What the flags say.

    Attributes:
      problems: with them, a line each.
      is_clear: whether it is known what is to be done, and with which files.
      prompts: one for each video.
      size: (height, width), if given.
    """

    problems: list[str]
    is_clear: bool
    prompts: tuple[str, ...]
    size: tuple[int, int] | None


def refuse(arguments: flags.Arguments) -> None:
    """Refuse flags that are wrong by themselves.

    Raises:
      ValueError: names each flag that is wrong, its value and the remedy.
    """
    problems = read(arguments).problems or check_files(arguments)
    if problems:
        raise ValueError("\n".join(flags.as_flags(problems, arguments)))


def read(arguments: flags.Arguments) -> Read:
    """Read the flags, and note all that is wrong with them."""
    limits = arguments.limits
    problems = duties.check_task(arguments) + _check_items(arguments)
    is_clear = not problems
    prompts = collect(problems, read_prompts, arguments, limits) or ("",)
    if arguments.variations < 1:
        problems.append(f"--variations must be >= 1, got {arguments.variations}")
    videos = len(prompts) * max(1, arguments.variations)
    if videos > limits.variations:
        problems.append(too_many("variations", "videos", videos, limits.variations))
        videos = 1
    prompts = tuple(p for p in prompts for _ in range(videos // len(prompts)))
    last = SEEDS - max(1, len(prompts))  # each video has a seed of its own
    if not 0 <= (arguments.seed or 0) <= last:
        problems.append(f"--seed must be from 0 to {last}, got {arguments.seed}")
    problems += check_prompts(prompts, limits)
    size = None
    if arguments.size is not None:
        size = collect(problems, cli.parse_size, arguments.size)
    if arguments.outpaint is not None:
        around = collect(problems, cli.parse_size, arguments.outpaint, "--outpaint")
        if around is not None and max(around) > limits.side:
            problems.append(too_many("outpaint", "pixels", max(around), limits.side))
    problems += _check_settings(arguments, size)
    return Read(problems, is_clear, prompts, size)


def collect(problems: list[str], function: Callable[..., Any], *args: Any) -> Any:
    """Call; on a ValueError note the problem and go on with the other checks."""
    try:
        return function(*args)
    except ValueError as error:
        problems.extend(str(error).splitlines())
        return None


def _check_settings(
    arguments: flags.Arguments, size: tuple[int, int] | None
) -> list[str]:
    """Problems with settings whatever the model is."""
    problems: list[str] = []
    given = flags.settings_given(arguments)
    given |= {} if size is None else {"size": size}
    for name, value in given.items():
        # One by one, since several are told together.
        settings = collect(problems, partial(SamplingConfig().asked, **{name: value}))
        if settings is not None:
            problems += exceeding(settings, arguments.limits)
    seconds = arguments.seconds or 0
    if seconds > arguments.limits.frames:
        problems.append(too_many("seconds", "", seconds, arguments.limits.frames))
    if not is_text(arguments.negative_prompt or ""):
        problems.append("--negative-prompt holds what is no UTF-8 text")
    return problems


def _check_items(arguments: flags.Arguments) -> list[str]:
    """Problems with what may be given several times."""
    problems: list[str] = []
    for name in ("image", "span", "video"):
        count, most = len(getattr(arguments, name)), arguments.limits.items
        if count > most:
            problems.append(too_many(name, "", count, most))
            return problems
    for text in arguments.span:
        collect(problems, parse_span, text)
    for text in arguments.image:
        collect(problems, split_keyframe, text)
    return problems


def check_files(arguments: flags.Arguments) -> list[str]:
    """Problems with files that their beginnings tell."""
    problems: list[str] = []
    limits = arguments.limits
    if arguments.weights is not None:
        collect(problems, _check_weights, arguments.weights)
    for text in arguments.image:
        path = split_keyframe(text)[0]
        collect(problems, pictures.check, path, "--image", limits)
    for path in arguments.video:
        collect(problems, _check_footage, path, "--video", limits)
    if arguments.mask is not None:
        collect(problems, _check_footage, arguments.mask, "--mask", limits)
    if arguments.storyboard is not None:
        collect(problems, partial(storyboard.read, limits=limits), arguments.storyboard)
    if not (arguments.out.endswith("/") or os.path.isdir(arguments.out)):
        collect(problems, outputs.encoder_of, files.located(arguments.out, "--out"))
    if arguments.init_noise is not None:
        collect(problems, files.existing, arguments.init_noise, "--init-noise")
    return problems


def _check_weights(folder: str) -> None:
    where = files.located(folder, "--weights")
    if where.exists():
        return
    named = f"--weights {files.quoted(folder)}"
    if HUB.fullmatch(folder):
        raise ValueError(
            f"{named} is no folder here, and weights are not fetched: download them "
            f"with 'hf download {folder} --local-dir DIR' (pip install "
            "huggingface_hub), then give --weights DIR"
        )
    raise ValueError(f"{named} is no folder: check the name")


def _check_footage(path: str, field: str, limits: Limits) -> None:
    source = files.existing(path, field)
    if path.endswith(".npy") or pictures.is_still(path, field=field):
        return
    try:
        if not animations.is_one(source):
            with containers.opened(source, limits):
                pass
    except Exception as error:  # as in `decoding.decode`
        raise containers.unreadable(f"{field} {files.quoted(path)}", 0, error) from (
            error
        )


def split_keyframe(text: str) -> tuple[str, int, float]:
    """A picture given as FILE, FILE@FRAME or FILE@FRAME:STRENGTH.

    Raises:
      ValueError: it is none of these.
    """
    match = re.fullmatch(r"(.+?)(?:@(-?\d{1,18})(?::(\d*\.?\d+))?)?", text, re.DOTALL)
    path, frame, strength = match.groups() if match else ("", None, None)
    if match is None or (frame is None and "@" in path and not _exists(path)):
        raise ValueError(
            f"--image {files.quoted(text)} must be FILE, FILE@FRAME or "
            "FILE@FRAME:STRENGTH, such as end.png@-1:0.8"
        )
    return path, int(frame or 0), float(strength or 1)


def _exists(path: str) -> bool:
    try:
        files.existing(path, "--image")
    except ValueError:
        return False
    return True


def parse_span(text: str) -> tuple[float, float]:
    """Read "FROM:TO" in seconds."""
    match = re.fullmatch(r"(\d*\.?\d+):(\d*\.?\d+)", text.strip())
    if match is None or len(text) > 50:
        raise ValueError(
            "--span must be FROM:TO in seconds, like 1:2.5, got " + files.quoted(text)
        )
    return float(match[1]), float(match[2])


def read_prompts(arguments: flags.Arguments, limits: Limits) -> tuple[str, ...]:
    """The prompts of the command line or of a file."""
    if arguments.prompts is None:
        prompt = arguments.prompt
        if prompt is not None and not prompt.strip():
            raise ValueError("--prompt is empty: say what the video shows")
        return ("",) if prompt is None else (prompt,)
    if arguments.prompt is not None:
        raise ValueError("--prompt and --prompts are both given: leave one out")
    text = files.read_text(arguments.prompts, "--prompts")
    lines = [line.strip() for line in text.splitlines()]
    prompts = tuple(line for line in lines if line)
    if not prompts:
        raise ValueError(f"--prompts {files.quoted(arguments.prompts)} holds no prompt")
    if len(prompts) > limits.variations:
        raise ValueError(too_many("prompts", "", len(prompts), limits.variations))
    return prompts
