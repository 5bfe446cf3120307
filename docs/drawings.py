"""The two drawings of the architecture: `python docs/drawings.py`.

The flow is laid out here by hand; the rooms are those of `[tool.importlinter]`, so that
the drawing shows the ranks that are checked.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import tyro

DOCS = Path(__file__).parent
PICTURES = DOCS / "pictures"
STYLE = (
    "text{font:14px system-ui,sans-serif;fill:#1f2933}"
    ".small{font-size:11px;fill:#52606d}"
    "rect{fill:#f0f4f8;stroke:#627d98;rx:6}"
    ".net{fill:#d9e8fb;stroke:#2f6fb7}"
    ".disk{fill:#fdf3d8;stroke:#b58105}"
    "path{stroke:#52606d;fill:none;marker-end:url(#tip)}"
)
TIP = (
    '<marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" '
    'markerHeight="8" orient="auto"><path d="M0 0L8 4L0 8z" '
    'style="fill:#52606d;stroke:none;marker-end:none"/></marker>'
)
# What each room holds, for the drawing.
HOLDS = {
    "commands": "sora-jax and its programs",
    "loading": "sora_jax.load",
    "datasets": "builders of TFDS datasets of clips",
    "worlds": "the playground: clips with truth, their judge",
    "evals": "one harness, metrics, tables",
    "plan": "steps compiled for machines that are not here",
    "training": "programs, the loop, encoding clips",
    "sampling": "tasks, segments, windows, denoising",
    "weights": "folders of weights, adapters",
    "families": "ours, Wan: tables, layouts, defaults",
    "models": "VAE, DiT, text encoder, tokenizer",
    "nn": "layers, attention",
    "diffusion": "flow matching, solvers, conditions",
    "data": "sources of clips, video files, packing",
}
WIDE, HIGH, GAP = 132, 46, 34


@dataclasses.dataclass(frozen=True, kw_only=True)
class Box:
    """A step of the flow, in a grid of columns and rows.

    Attributes:
      at: (column, row).
      title: what it is.
      below: a second, smaller line.
      kind: its class in the style.
    """

    at: tuple[float, float]
    title: str
    below: str = ""
    kind: str = "step"

    @property
    def corner(self) -> tuple[float, float]:
        """Its upper left corner in pixels."""
        return 12 + self.at[0] * (WIDE + GAP), 36 + self.at[1] * (HIGH + 26)


def svg(width: float, height: float, body: Sequence[str], title: str) -> str:
    """A whole drawing."""
    lines = "\n".join(body)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'role="img"><title>{escape(title)}</title><style>{STYLE}</style>'
        f"<defs>{TIP}</defs>\n"
        f'<rect width="{width:g}" height="{height:g}" '
        f'style="fill:#fff;stroke:none"/>\n{lines}\n</svg>\n'
    )


def words(x: float, y: float, text: str, kind: str = "", anchor: str = "middle") -> str:
    """A line of text."""
    return (
        f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">'
        f"{escape(text)}</text>"
    )


def drawn(box: Box) -> list[str]:
    """A box and its lines."""
    x, y = box.corner
    middle = x + WIDE / 2
    lines = [
        f'<rect class="{box.kind}" x="{x:g}" y="{y:g}" width="{WIDE}" '
        f'height="{HIGH}" rx="6"/>',
        words(middle, y + (20 if box.below else 28), box.title),
    ]
    return [*lines, words(middle, y + 36, box.below, "small")] if box.below else lines


def arrow(start: Box, end: Box) -> str:
    """From one box to another, which is to the right, above or below."""
    (x, y), (u, v) = start.corner, end.corner
    if u > x:
        begin, stop = (x + WIDE, y + HIGH / 2), (u, v + HIGH / 2)
    elif v > y:
        begin, stop = (x + WIDE / 2, y + HIGH), (u + WIDE / 2, v)
    else:
        begin, stop = (x + WIDE / 2, y), (u + WIDE / 2, v + HIGH)
    return f'<path d="M{begin[0]:g} {begin[1]:g}L{stop[0]:g} {stop[1]:g}"/>'


def flow() -> str:
    """Clips to a gradient step, and a prompt to a file."""
    clips = Box(at=(0, 0), title="clips, captions", below="data/sources")
    encode = Box(at=(1, 0), title="VAE encoder", below="latents", kind="net")
    cache = Box(at=(2, 0), title="encoded clips", below="on disk", kind="disk")
    pack = Box(at=(3, 0), title="packed rows", below="tokens, noise levels")
    dit = Box(at=(4, 0.5), title="DiT", below="velocity of each token", kind="net")
    loss = Box(at=(5, 0), title="flow matching", below="loss, optimizer step")
    weights = Box(at=(5, 1), title="weights", below="a folder", kind="disk")
    text = Box(at=(3, 1), title="text encoder", below="keys and values", kind="net")
    task = Box(at=(0, 2), title="prompt, clips", below="a task")
    parts = Box(at=(1, 2), title="what is known", below="pixels and mask")
    window = Box(at=(2, 2), title="windows", below="of latent frames")
    step = Box(at=(3, 2), title="solver step × N", below="the DiT, on noise")
    decode = Box(at=(4, 2), title="VAE decoder", below="a stream of frames", kind="net")
    out = Box(at=(5, 2), title="a file", below="mp4, gif, png, npy", kind="disk")
    boxes = [clips, encode, cache, pack, dit, loss, weights, text]
    boxes += [task, parts, window, step, decode, out]
    pairs = [(clips, encode), (encode, cache), (cache, pack), (pack, dit), (text, dit)]
    pairs += [(dit, loss), (loss, weights), (task, parts), (parts, window)]
    pairs += [(window, step), (step, decode), (decode, out), (step, text)]
    body = [words(12, 22, "training", "small", "start")]
    body += [words(12, 36 + 1.72 * (HIGH + 26), "sampling", "small", "start")]
    body += [line for box in boxes for line in drawn(box)]
    body += [arrow(*pair) for pair in pairs]
    return svg(12 + 6 * (WIDE + GAP), 36 + 3 * (HIGH + 26), body, "The flow")


def ranks() -> list[list[str]]:
    """The rooms, the highest first, as the import rules list them."""
    project = tomllib.loads((DOCS.parent / "pyproject.toml").read_text())
    contract = project["tool"]["importlinter"]["contracts"][0]
    return [
        [name.strip(" ()") for name in layer.replace(":", "|").split("|")]
        for layer in contract["layers"]
    ]


def rooms() -> str:
    """The packages in their ranks: each imports from the ranks below it alone."""
    body, y, width = [], 12, 860
    for rank in ranks():
        if rank == ranks()[-1]:
            text = " ".join(rank)
            half = text.rfind(" ", 0, len(text) // 2)
            body.append(
                f'<rect x="12" y="{y}" width="{width - 24}" height="50" rx="6"/>'
            )
            body.append(words(width / 2, y + 21, text[:half], "small"))
            body.append(words(width / 2, y + 38, text[half:], "small"))
            y += 60
            continue
        # Brackets in the rules stand around rooms that may be still to come.
        shown = [name for name in rank if (DOCS.parent / "sora_jax" / name).is_dir()]
        if strange := set(shown) - set(HOLDS):
            raise ValueError(f"HOLDS lacks {sorted(strange)}: say what they hold")
        if not shown:
            continue
        each = (width - 24 - 12 * (len(shown) - 1)) / len(shown)
        for number, name in enumerate(shown):
            x = 12 + number * (each + 12)
            body.append(
                f'<rect x="{x:g}" y="{y}" width="{each:g}" height="{HIGH}" rx="6"/>'
            )
            body.append(words(x + each / 2, y + 20, f"{name}/"))
            body.append(words(x + each / 2, y + 36, HOLDS[name], "small"))
        y += HIGH + 12
    body.append(
        words(12, y + 12, "A room imports from lower ranks alone.", "small", "start")
    )
    return svg(width, y + 24, body, "The rooms")


def drawings() -> dict[str, str]:
    """Every drawing by the name of its file."""
    return {"flow.svg": flow(), "rooms.svg": rooms()}


def main() -> None:
    """Write the drawings."""
    PICTURES.mkdir(exist_ok=True)
    for name, content in drawings().items():
        (PICTURES / name).write_text(content)


if __name__ == "__main__":
    tyro.cli(main)
