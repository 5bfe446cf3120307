"""The `sora-jax data caption` program: caption clips by a vision model."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Annotated

import tyro

from sora_jax import cli
from sora_jax.data.curation import packages
from sora_jax.data.curation.captions import UncaptionedClip
from sora_jax.data.curation.folder import media_files
from sora_jax.data.curation.shots import read_curation


@dataclasses.dataclass(frozen=True, kw_only=True)
class CaptionOptions:
    """Flags of the program."""

    # The folder of videos and pictures; may be gs://.
    source: Annotated[str, tyro.conf.arg(name="from")]
    # Base address of an OpenAI-compatible endpoint, such as http://localhost:8000/v1.
    endpoint: str
    # Name of the vision model there.
    model: str
    # JSON lines, one for each clip.
    out: str = "captions.jsonl"
    # What `sora-jax data curate` wrote, to caption shots; without it, whole files.
    curation: str = ""
    # Requests at a time.
    workers: int = 8
    # Frames of a clip that the model sees.
    frames: int = 8
    # Seconds that one request may take.
    timeout: float = 120.0
    # Environment variable with the key of the endpoint, if it needs one.
    key_variable: str = "OPENAI_API_KEY"


def check_options(options: CaptionOptions) -> None:
    """Check the flags.

    Raises:
      ValueError: names the flag, its value, and what it may be.
    """
    for name in ("workers", "frames"):
        value = getattr(options, name)
        if not 1 <= value <= 256:
            raise ValueError(f"--{name} must be from 1 to 256, got {value}")
    if not 0 < options.timeout < 1e7:
        raise ValueError(f"--timeout must be > 0 and < 1e7, got {options.timeout:g}")


def main(argv: Sequence[str]) -> None:
    """Caption the clips of a folder, in a short, a dense and a camera form.

    A text beside a clip (`clip.txt` beside `clip.mp4`) is given to the model as a hint.

    Raises:
      ValueError: a flag is wrong, or no clip can be captioned.
      OSError: the disk is full.
    """
    options = cli.parse(CaptionOptions, argv, about=main.__doc__)
    check_options(options)
    packages.require_captioning()
    from sora_jax.data.curation.caption_folder import caption_clips, clip_files
    from sora_jax.data.curation.endpoint import Endpoint
    from sora_jax.data.curation.prompt import prompt_hash

    endpoint = Endpoint(
        url=options.endpoint,
        model=options.model,
        key=os.environ.get(options.key_variable, "").strip(),
        timeout=options.timeout,
    )
    shots = read_curation(options.curation) if options.curation else None
    clips = clip_files(media_files(options.source), shots)
    lines = caption_clips(
        clips,
        endpoint,
        options.out,
        model=options.model,
        prompt=prompt_hash(endpoint.prompt),
        workers=options.workers,
        frames=options.frames,
    )
    bad = [line for line in lines.values() if isinstance(line, UncaptionedClip)]
    cli.say(f"{len(lines) - len(bad)} clips have captions: {options.out}")
    if bad:
        cli.say(f"{len(bad)} have none; the same command tries them again:")
        for line in bad[:10]:
            cli.say(f"  {line.id}: {line.error}")
