"""The tables of Wan's VAEs (2.1 without shortcuts, 2.2 with), in both layouts."""

from __future__ import annotations

from collections.abc import Iterator

from sora_jax.config import VAEConfig
from sora_jax.families.table import (
    CONV_2D,
    CONV_3D,
    POINT_2D,
    POINT_3D,
    SAME,
    Entry,
    Transform,
    squeezed,
)
from sora_jax.families.wan.layouts import LAYOUTS

# The latents' statistics, which lie in diffusers' config.json.
CONSTANTS = ("latent_mean", "latent_std")
# Parts of a residual block: our path, its name in diffusers' layout, in the original.
RESIDUAL = (
    ("norm_1", "norm1", "residual.0"),
    ("conv_1", "conv1", "residual.2"),
    ("norm_2", "norm2", "residual.3"),
    ("conv_2", "conv2", "residual.6"),
    ("project", "conv_shortcut", "shortcut"),
)
# What surrounds the stages, likewise.
ENDS = {
    "encoder": (
        ("conv_in", "encoder.conv_in", "encoder.conv1"),
        ("head/conv", "encoder.conv_out", "encoder.head.2"),
        ("moments", "quant_conv", "conv1"),
    ),
    "decoder": (
        ("latents", "post_quant_conv", "conv2"),
        ("conv_in", "decoder.conv_in", "decoder.conv1"),
        ("head/conv", "decoder.conv_out", "decoder.head.2"),
    ),
}
NORM_OUT = ("norm_out", "head.0")
GAMMA = squeezed(0, 1, 1, 1)
FRAME_GAMMA = squeezed(0, 1, 1)


def vae_table(config: VAEConfig, layout: str = "diffusers") -> list[Entry]:
    """Every tensor of a Wan VAE of these sizes, but for `CONSTANTS`.

    Args:
      config: the VAE.
      layout: "diffusers" or "original".
    """
    which = LAYOUTS.index(layout)
    entries: list[Entry] = []
    for side in ("encoder", "decoder"):
        for path, *names in ENDS[side]:
            entries += convolution(names[which], f"{side}/{path}")
        norm = f"{side}.{NORM_OUT[which]}"
        entries.append(scale(norm, f"{side}/head/norm", GAMMA))
        entries += middle(side, which)
        stages = encoder_stages if side == "encoder" else decoder_stages
        for path, name, kind in stages(config, which):
            entries += part(f"{side}.{name}", f"{side}/stages/{path}", kind, which)
    return entries


def middle(side: str, which: int) -> list[Entry]:
    """Residual, attention, residual."""
    if which == 0:
        names = ("resnets.0", "attentions.0", "resnets.1")
        root = f"{side}.mid_block"
    else:
        names, root = ("0", "1", "2"), f"{side}.middle"
    path = f"{side}/middle"
    attention = f"{root}.{names[1]}"
    return [
        *residual(f"{root}.{names[0]}", f"{path}/before", which),
        *residual(f"{root}.{names[2]}", f"{path}/after", which),
        scale(f"{attention}.norm", f"{path}/attention/norm", FRAME_GAMMA),
        *convolution(f"{attention}.to_qkv", f"{path}/attention/qkv", POINT_2D),
        *convolution(f"{attention}.proj", f"{path}/attention/out", POINT_2D),
    ]


Part = tuple[str, str, str]  # our path, its name in the files, and what it is


def encoder_stages(config: VAEConfig, which: int) -> Iterator[Part]:
    """The parts of the encoder's stages, finest first."""
    widths = [1, *config.multipliers]
    flat = 0  # without shortcuts, they count through all the stages
    for stage in range(len(config.multipliers)):
        parts = [
            (
                f"{stage}/blocks/{block}",
                _kind(block == 0 and widths[stage] != widths[stage + 1]),
            )
            for block in range(config.blocks)
        ]
        if stage < len(config.stages):
            time, _ = config.stages[stage]
            parts.append(
                (f"{stage}/down", "resample in time" if time > 1 else "resample")
            )
        for number, (path, kind) in enumerate(parts):
            if not config.shortcuts:
                name = f"{('down_blocks', 'downsamples')[which]}.{flat}"
            elif which == 1:
                name = f"downsamples.{stage}.downsamples.{number}"
            else:
                inner = f"resnets.{number}" if "blocks" in path else "downsampler"
                name = f"down_blocks.{stage}.{inner}"
            yield path, name, kind
            flat += 1


def decoder_stages(config: VAEConfig, which: int) -> Iterator[Part]:
    """The parts of the decoder's stages, coarsest first."""
    widths = [config.multipliers[-1], *config.multipliers[::-1]]
    flat = 0
    for stage in range(len(config.multipliers)):
        # Without shortcuts, going up has halved what comes in.
        came = widths[stage] / (2 if stage and not config.shortcuts else 1)
        parts = [
            (f"{stage}/blocks/{block}", _kind(block == 0 and came != widths[stage + 1]))
            for block in range(config.blocks + 1)
        ]
        if stage < len(config.stages):
            time, _ = config.stages[::-1][stage]
            parts.append(
                (f"{stage}/up", "resample in time" if time > 1 else "resample")
            )
        for number, (path, kind) in enumerate(parts):
            is_block = "blocks" in path
            if which == 0:
                up = "upsampler" if config.shortcuts else "upsamplers.0"
                inner = f"resnets.{number}" if is_block else up
                name = f"up_blocks.{stage}.{inner}"
            elif config.shortcuts:
                name = f"upsamples.{stage}.upsamples.{number}"
            else:
                name = f"upsamples.{flat}"
            yield path, name, kind
            flat += 1


def _kind(changes: bool) -> str:
    return "residual with projection" if changes else "residual"


def part(name: str, path: str, kind: str, which: int) -> list[Entry]:
    """The tensors of a part of a stage."""
    if kind.startswith("residual"):
        return residual(name, path, which, projects="projection" in kind)
    entries = convolution(f"{name}.resample.1", f"{path}/space", CONV_2D)
    if "time" in kind:
        entries += convolution(f"{name}.time_conv", f"{path}/time")
    return entries


def residual(name: str, path: str, which: int, projects: bool = False) -> list[Entry]:
    """The tensors of a residual block."""
    entries: list[Entry] = []
    for role, *names in RESIDUAL:
        stored, parameter = f"{name}.{names[which]}", f"{path}/{role}"
        if role.startswith("norm"):
            entries.append(scale(stored, parameter, GAMMA))
        elif role != "project":
            entries += convolution(stored, parameter)
        elif projects:
            entries += convolution(stored, parameter, POINT_3D)
    return entries


def convolution(name: str, path: str, transform: Transform = CONV_3D) -> list[Entry]:
    """Weight and bias of a convolution; one of a single pixel is a linear map."""
    kernel = "filters" if transform in (CONV_3D, CONV_2D) else "kernel"
    return [
        Entry(name=f"{name}.weight", path=f"{path}/{kernel}", transform=transform),
        Entry(name=f"{name}.bias", path=f"{path}/bias", transform=SAME),
    ]


def scale(name: str, path: str, transform: Transform) -> Entry:
    """The scale of a norm."""
    return Entry(name=f"{name}.gamma", path=f"{path}/scale", transform=transform)
