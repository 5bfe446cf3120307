"""Publish a DiT run as a weights folder: `python -m sora_jax.weights.publish`."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence

from etils import epath
from flax import nnx

from sora_jax import cli
from sora_jax.config import DiTRun, ModelConfig, SamplingConfig, SeenConfig
from sora_jax.data.records import Records
from sora_jax.families import OURS
from sora_jax.files import located
from sora_jax.models.tokenizer import words_of
from sora_jax.models.vae import VAE
from sora_jax.weights import bundle, workdirs
from sora_jax.weights.model_weights import weights_in_memory
from sora_jax.weights.modules import parameters

# Larger vocabularies are not recorded.
MOST_WORDS = 1000


@dataclasses.dataclass(frozen=True, kw_only=True)
class PublishOptions:
    """Publish the averaged weights of a run."""

    # Workdir of a DiT run.
    run: str
    # Folder to write; it must not contain weights.
    out: str
    # A VAE to use instead of the run's: a better decoder for the same latents.
    vae: str = ""
    # Name of the model; the name of the run's folder by default.
    name: str = ""
    # Default sampling settings.
    sampling: SamplingConfig = SamplingConfig()


def publish(arguments: PublishOptions) -> None:
    """Write the folder.

    Raises:
      ValueError: the run has no undamaged checkpoint, the folder has weights, the run's
        clips or text encoder have changed since training, or the VAE encodes other
        latents.
    """
    out, _ = located(arguments.out, "--out"), located(arguments.vae, "--vae")
    files = ("config.json", *map(bundle.file_of, OURS.networks))
    if taken := [name for name in files if (out / name).exists()]:
        raise ValueError(
            f"--out {arguments.out!r} holds {taken[0]} already: give another folder"
        )
    trained = workdirs.load_trained(arguments.run, "--run")
    run = trained.run
    refuse_other_sources(run, trained.sources)
    vae = workdirs.load_vae(run.latents)
    if arguments.vae:
        vae = same_latents(arguments.vae, vae)
    config = ModelConfig(
        name=arguments.name or epath.Path(arguments.run).name,
        vae=workdirs.describe_vae(run.latents),
        dit=run.dit,
        text=run.text,
        sampling=arguments.sampling,
        fps=workdirs.encode_run_of(run.latents).data.fps,
        conditioning=run.conditioning,
        mid_clip=run.packing.mid_clip > 0,
        seen=seen_config(run, vae.config.space_factor),
    )
    weights = weights_in_memory(
        config,
        workdirs.tokenizer_of(run),
        **{OURS.autoencoder: vae, **trained.networks},
    )
    bundle.save(out, weights)
    print(f"{out}: step {trained.step} of {arguments.run}")


def seen_config(run: DiTRun, space_factor: int) -> SeenConfig:
    """Return the sizes and the vocabulary of a run's clips."""
    read = (run.latents, *run.more_latents)
    records = Records(*(epath.Path(folder) / "train" for folder in read))
    cells = {(spec.height, spec.width) for spec in records.index}
    sizes = sorted((h * space_factor, w * space_factor) for h, w in cells)
    words: set[str] = set()
    for number in range(len(records)):
        record = records[number]
        told = (text for _, texts in record.stretches for text in texts)
        words.update(*map(words_of, (*record.captions, *told)))
        if len(words) > MOST_WORDS:
            words = set()
            break
    return SeenConfig(sizes=tuple(sizes), words=tuple(sorted(words)))


def refuse_other_sources(run: DiTRun, trained_on: dict[str, str]) -> None:
    """Refuse folders whose hashes differ from those recorded by the run."""
    now = workdirs.source_hashes_of_run(run)
    changed = [name for name in now if now[name] != trained_on.get(name)]
    if changed:
        read = [run.latents, *run.more_latents, *filter(None, [run.text_from])]
        raise ValueError(
            f"the run was trained on another {' and '.join(changed)} than that now in "
            f"{', '.join(map(repr, read))}: put the former files back, or train again"
        )


def same_latents(folder: str, own: VAE) -> VAE:
    """Combine the run's encoder with the decoder of a VAE with the same encoder.

    The latents' mean and deviation stay those of the encoded clips.
    """
    other = workdirs.load_vae(folder)
    if not workdirs.same_encoder(own, other):
        raise ValueError(
            f"--vae {folder!r} encodes other latents than the run was trained on: "
            "give a VAE trained from it with trainable 'decoder'"
        )
    kept, decoder = parameters(own), parameters(other)["decoder"]
    graphdef, state = nnx.split(own)
    nnx.replace_by_pure_dict(state, {**kept, "decoder": decoder})
    return nnx.merge(graphdef, state)


def main(argv: Sequence[str]) -> None:
    """Parse, then publish."""
    publish(cli.parse(PublishOptions, argv))


if __name__ == "__main__":
    with cli.exit_with_message("stopped; --out is not whole without its config.json"):
        main(sys.argv[1:])
