"""The `sora-jax data build` program: a dataset of clips, part by part."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import multiprocessing
import shlex
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any

import tyro
from etils import epath

from sora_jax import cli
from sora_jax.config import PlaygroundConfig
from sora_jax.data.sources import tfds_store
from sora_jax.data.sources.listing import LeftOut
from sora_jax.datasets.builder import ClipDataset, build_part
from sora_jax.datasets.parts import (
    Part,
    complete_parts,
    count_parts,
    parts_of,
    recipe_hash,
)
from sora_jax.datasets.records import Recipe
from sora_jax.files import located, quoted

MOST_LISTED = 10  # clips that were left out, with their reasons


@dataclasses.dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """Flags of the program."""

    # fluent_emoji, video_folder or playground.
    name: Annotated[str, tyro.conf.Positional]
    # Folder of datasets, in which one of this name is made; may be gs://.
    data_dir: str
    # video_folder: the folder of clips; may be gs://.
    source: Annotated[str, tyro.conf.arg(name="from")] = ""
    # video_folder: what `sora-jax data curate` wrote, to store shots with their scores.
    curation: str = ""
    # video_folder: what `sora-jax data caption` wrote.
    captions: str = ""
    # fluent_emoji: folder of the packages, if they cannot be fetched.
    manual_dir: str = ""
    # fluent_emoji: take clips too that the repository under an MIT licence lacks.
    every: bool = False
    # playground: which clips.
    playground: PlaygroundConfig = PlaygroundConfig(length=10_000)
    # playground: number of clips of the split for validation.
    held_out: int = 500
    # Number of parts; 0 chooses it. A killed build goes on after its complete parts.
    parts: int = 0
    # Build only this part, from 0; -1 builds all.
    part: int = -1
    # Processes, each of which builds parts.
    workers: int = 1
    # Options of Apache Beam, such as "--runner=DirectRunner"; "" builds without it.
    beam: str = ""


def check_options(options: BuildOptions) -> None:
    """Check flags before any work.

    Raises:
      ValueError: names the flag that is wrong.
    """
    if options.name not in RECIPES:
        near = cli.closest(options.name, RECIPES)
        hint = f"did you mean {near}?" if near else f"there are {', '.join(RECIPES)}"
        raise ValueError(f"{quoted(options.name)} is no dataset: {hint}")
    for flag, value, least in (
        ("--parts", options.parts, 0),
        ("--held-out", options.held_out, 0),
        ("--workers", options.workers, 1),
    ):
        if value < least:
            raise ValueError(f"{flag} must be >= {least}, got {value}")
    if options.part >= 0 and not options.part < options.parts:
        raise ValueError(
            f"--part must be from 0 and below --parts ({options.parts}), got "
            f"{options.part}"
        )
    if options.name == "video_folder" and not options.source:
        raise ValueError("--from is missing: give the folder of the clips")


def main(argv: Sequence[str]) -> None:
    """Build a dataset of encoded clips, captions and scores, which training reads.

    Raises:
      ValueError: a flag is wrong, a package cannot be fetched, or no clip can be read.
      OSError: the disk is full; complete parts are kept.
    """
    options = cli.parse(BuildOptions, argv, about=main.__doc__)
    check_options(options)
    kind, recipe = RECIPES[options.name](options)
    folder = located(options.data_dir, "--data_dir") / kind.name
    left_out = build(options, kind, recipe, folder)
    for line in report(folder, left_out):
        cli.say(line)


def _fluent_emoji(options: BuildOptions) -> tuple[type[ClipDataset], Recipe]:
    from sora_jax.datasets.fluent_emoji import packages
    from sora_jax.datasets.fluent_emoji.builder import EmojiRecipe, FluentEmoji

    cache = packages.cache_folder(options.data_dir)
    fetched = packages.fetch(cache, manual_dir=options.manual_dir)
    archives = {
        number: packages.unpacked(path, cache) for number, path in fetched.items()
    }
    return FluentEmoji, EmojiRecipe(archives, only_mit=not options.every)


def _video_folder(options: BuildOptions) -> tuple[type[ClipDataset], Recipe]:
    from sora_jax.datasets.video_folder import VideoFolder, folder_recipe

    recipe = folder_recipe(options.source, options.curation, options.captions)
    return VideoFolder, recipe


def _playground(options: BuildOptions) -> tuple[type[ClipDataset], Recipe]:
    from sora_jax.datasets.playground import PlaygroundDataset, PlaygroundRecipe

    recipe = PlaygroundRecipe(config=options.playground, held_out=options.held_out)
    return PlaygroundDataset, recipe


RECIPES: dict[str, Callable[[BuildOptions], tuple[type[ClipDataset], Recipe]]] = {
    "fluent_emoji": _fluent_emoji,
    "video_folder": _video_folder,
    "playground": _playground,
}


def build(
    options: BuildOptions,
    kind: type[ClipDataset],
    recipe: Recipe,
    folder: epath.Path,
) -> list[LeftOut]:
    """Build the parts that are asked for; return the clips that were left out."""
    count = options.parts or count_parts(folder)
    parts = parts_of(recipe, count, options.workers)
    if options.part >= 0:
        parts = [parts[options.part]]
    left_out: list[LeftOut] = []
    tasks = _built(options, kind, recipe, parts)
    for done, found in enumerate(tasks, start=1):
        left_out += found
        if len(parts) > 1:
            cli.say(f"{done} of {len(parts)} parts")
    return left_out


def _built(
    options: BuildOptions,
    kind: type[ClipDataset],
    recipe: Recipe,
    parts: Sequence[Part],
) -> Iterator[list[LeftOut]]:
    beam = beam_options(options.beam)
    workers, digest = min(options.workers, len(parts)), recipe_hash(recipe)
    if workers == 1 or beam is not None:
        for part in parts:
            yield build_part(kind, recipe, part, options.data_dir, beam, digest)
        return
    # Forks of a process with threads may hang.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(workers, context) as pool:
        tasks = [
            pool.submit(build_part, kind, recipe, part, options.data_dir, None, digest)
            for part in parts
        ]
        try:
            for task in concurrent.futures.as_completed(tasks):
                yield task.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def beam_options(flags: str) -> Any:
    """Return the options of a pipeline; None if there are none.

    Raises:
      ValueError: Apache Beam is not installed.
    """
    if not flags:
        return None
    try:
        from apache_beam.options.pipeline_options import (  # pyright: ignore
            PipelineOptions,
        )
    except ImportError as error:
        raise ValueError(
            "--beam needs Apache Beam: pip install 'sora_jax[beam]'"
        ) from error
    return PipelineOptions(shlex.split(flags))


def report(folder: epath.Path, left_out: Sequence[LeftOut]) -> list[str]:
    """Return what was built, in a few lines.

    Raises:
      ValueError: no clip could be read.
    """
    listed = "".join(f"\n  {name}: {why}" for name, why in left_out[:MOST_LISTED])
    listed += "\n  ..." if len(left_out) > MOST_LISTED else ""
    wanted, complete = count_parts(folder), complete_parts(folder)
    lines = [f"clips left out: {len(left_out)}{listed}"] if left_out else []
    if complete < wanted:
        return [*lines, f"{complete} of {wanted} parts are complete: {folder}"]
    directories = tfds_store.find_directories(folder)
    if not directories:
        raise ValueError(f"no clip can be read; give other files{listed}")
    counts = (
        f"{len(tfds_store.TfdsStore(directories, split))} in {split}"
        for split in tfds_store.split_names(directories)
    )
    return [*lines, f"{', '.join(counts)}: {folder}"]
