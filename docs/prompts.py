"""The page of prompts that work, made from the grammar: `python docs/prompts.py`.

Each section of `prompts.md` shows one sheet of videos, one video per row of its table:
the default model's, from one seed. `--text` rewrites the page alone.
The words are those of the playground's captions (`words`), and of what people say
otherwise (`rewrites`), so that the page cannot tell of words that no caption has.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tyro
from parts import fill

import sora_jax
from sora_jax import runtime
from sora_jax.data import animations
from sora_jax.data.video import to_uint8
from sora_jax.models.tokenizer import words_of
from sora_jax.training.report import tile
from sora_jax.weights import bundle
from sora_jax.worlds.playground import rewrites, words, world

DOCS = Path(__file__).parent
FRAMES = 17
COLUMNS = 4
# What moves, and where: other objects lose their shape in these motions.
MOVER = "a red square {} in front of hills"
MOVERS = {
    "still": "a red square {} on a blue floor",
    "right": "a red square {} on a blue floor",
    "left": "a red square {} on a blue floor",
    "bounce": "a big red ball {} on a blue floor",
    "spin": "a blue star {} in front of grey stripes",
    "circle": "a big red ball {} in front of hills",
}
# What people say, in the order of the page; `rewrites` says how each is read.
SAID = (
    "a red ball moves diagonally in front of grey stripes",
    "a green cube jumps up and down on a brown floor",
    "a purple donut falls in front of a dotted wall",
    "a yellow star comes closer in front of hills",
    "a blue ball next to an orange square on a green floor",
    "a red ball and a blue star above a green floor, they collide",
    "a cyan ball disappears behind a wall",
    "a red ball bounces on a green floor, then a blue star spins in front of hills",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section:
    """A table of prompts, and the sheet of their videos.

    Attributes:
      name: of the sheet's file.
      prompts: in the order of the sheet, row by row.
      says: all phrasings of what each prompt shows.
    """

    name: str
    prompts: Sequence[str]
    says: Sequence[Sequence[str]]


def inflected(phrase: str) -> str:
    """A motion as it is said of one object: "move left" is "moves left"."""
    verb, _, rest = phrase.partition(" ")
    return " ".join(filter(None, (words.VERBS[verb][0], rest)))


def sections() -> list[Section]:
    """Everything that the grammar can say, one fact after another."""
    motions = {
        name: [inflected(phrase) for phrase in dict.fromkeys(phrases)]
        for name, phrases in words.MOTION_PHRASES.items()
    }
    moving = [MOVERS.get(name, MOVER) for name in motions]
    colours = list(world.COLOURS)
    return [
        Section(
            name="colours",
            prompts=[f"a big {c} ball moves left on a green floor" for c in colours],
            says=[[colour] for colour in colours],
        ),
        Section(
            name="shapes",
            prompts=[
                f"a {size} {colour} {shape} stays still in front of grey stripes"
                for shape, size, colour in zip(
                    (*words.SHAPE_WORDS, "ball", "square"),
                    (*["big"] * 6, "medium-sized", "small"),
                    ("red", "blue", "yellow", "orange", "green", "pink") * 2,
                    strict=False,
                )
            ],
            says=[
                *(sorted(set(said)) for said in words.SHAPE_WORDS.values()),
                sorted(set(words.SIZE_WORDS["medium"])),
                sorted(set(words.SIZE_WORDS["small"])),
            ],
        ),
        Section(
            name="motions",
            prompts=[
                told.format(said[0])
                for told, said in zip(moving, motions.values(), strict=True)
            ],
            says=list(motions.values()),
        ),
        Section(
            name="places",
            prompts=[
                f"a big pink ball stays still {_where(name)}"
                for name in words.BACKGROUND_WORDS
            ],
            says=[list(said) for said in words.BACKGROUND_WORDS.values()],
        ),
        Section(
            name="camera",
            prompts=[
                f"a big blue ball stays still on a green floor, {said[0]}"
                for said in (*_moving(words.CAMERA_CLAUSES), *_moving(_LIGHT))
            ],
            says=[*_moving(words.CAMERA_CLAUSES), *_moving(_LIGHT)],
        ),
        Section(
            name="pairs",
            prompts=[
                "a red ball to the left of a blue square on a green floor",
                "a yellow square above a purple ball in front of grey stripes",
                "a red ball and a blue square collide in front of grey stripes",
                "a green ball moves right and passes behind a grey wall",
            ],
            says=[
                _of(words.SUBJECTS["left of", False]),
                _of(words.SUBJECTS["above", False]),
                _of(words.SUBJECTS["collide", False]),
                _of(words.SUBJECTS["behind", True]),
            ],
        ),
    ]


_LIGHT = words.LIGHT_CLAUSES


def _where(name: str) -> str:
    preposition = "on" if name.endswith("floor") else "in front of"
    return f"{preposition} {words.BACKGROUND_WORDS[name][0]}"


def _moving(clauses: dict[str, tuple[str, ...]]) -> list[tuple[str, ...]]:
    return [said for name, said in clauses.items() if name not in ("still", "steady")]


def _of(templates: Sequence[str]) -> list[str]:
    """Templates with two objects in the place of their names."""
    fills = {"a": "A", "b": "B", "a_does": "moves right", "a_doing": "moving right"}
    return [template.format(**fills) for template in dict.fromkeys(templates)]


def tables() -> dict[str, str]:
    """Every picture and table of the page, by its place in the text."""
    found = {
        section.name: shown(
            section.name,
            "ways to say it",
            [
                f"| {prompt} | {', '.join(said)} |"
                for prompt, said in zip(section.prompts, section.says, strict=True)
            ],
        )
        for section in sections()
    }
    rows = [f"| {said} | {' **/** '.join(read(said))} |" for said in SAID]
    return {**found, "freely": shown("freely", "is read as", rows)}


def shown(name: str, head: str, rows: Sequence[str]) -> str:
    """A sheet of videos, and its table."""
    picture = f"![a video for each row](prompts/{name}.webp)"
    return "\n".join((picture, "", f"| prompt | {head} |", "|---|---|", *rows))


def page() -> str:
    """The whole page."""
    return fill("prompts", tables())


def read(prompt: str) -> list[str]:
    """What the default model reads of a prompt, shot by shot."""
    known = bundle.describe(bundle.ASSETS).seen.words
    return [rewrites.rewrite(shot, known) for shot in rewrites.shots(prompt, known)]


def unread() -> set[str]:
    """Words of the page's prompts that no caption of the training has."""
    known = set(bundle.describe(bundle.ASSETS).seen.words)
    said = [prompt for section in sections() for prompt in section.prompts]
    said += [shot for prompt in SAID for shot in read(prompt)]
    return {word for prompt in said for word in words_of(prompt)} - known


def save(path: Path, videos: np.ndarray, fps: float) -> None:
    """Write a moving sheet as WebP, which takes a tenth of what a GIF takes."""
    # A white line between videos; white cells fill the last row.
    count, line = -len(videos) % COLUMNS, (0, 2)
    padding = ((0, count), (0, 0), line, line, (0, 0))
    clips = np.pad(to_uint8(videos), padding, constant_values=255)
    temporary = path.with_suffix(".part.webp")
    with temporary.open("wb") as file:
        frames = tile(clips, COLUMNS)
        animations.write_animation(file, frames, fps, "WEBP", quality=55, method=6)
    temporary.replace(path)


def main(text: bool = False, only: str = "") -> None:
    """Write the page, and its pictures.

    Args:
      text: rewrite the page alone.
      only: make this sheet and no other.
    """
    if strange := unread():
        raise ValueError(f"no caption of the training has the words {sorted(strange)}")
    (DOCS / "prompts.md").write_text(page())
    if text:
        return
    runtime.enable_compilation_cache()
    model = sora_jax.load()
    sheets = {section.name: list(section.prompts) for section in sections()}
    for name, prompts in {**sheets, "freely": list(SAID)}.items():
        if only not in ("", name):
            continue
        # One by one where a prompt may tell of a cut: it is made shot by shot.
        groups = [[said] for said in prompts] if name == "freely" else [prompts]
        videos = [model.generate(group, frames=FRAMES) for group in groups]
        fps = model.config.sampling.fps
        save(DOCS / "prompts" / f"{name}.webp", np.concatenate(videos), fps)


if __name__ == "__main__":
    tyro.cli(main)
