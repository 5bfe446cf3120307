"""The page for those who come from another program: `python docs/coming_from.py`.

What `sample.py` makes of others' flags is asked of the very function that reads them
(`sora_jax.sampling.spellings`), so that the page cannot tell of what is not so.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import tyro
from parts import fill

from sora_jax.sampling import spellings

PAGE = Path(__file__).with_name("coming_from.md")
# Arguments of each program, with a value for each.
DIFFUSERS = {
    "prompt": '"a fox in snow"',
    "negative_prompt": "blurry",
    "height": "480 --width 832",
    "num_frames": "81",
    "num_inference_steps": "40",
    "guidance_scale": "5.0",
    "guidance_scale_2": "4.0",
    "flow_shift": "3.0",
    "num_videos_per_prompt": "2",
    "output_path": "fox.mp4",
    "output": "fox.mp4",
}
WAN = {
    "ckpt_dir": "DIR",
    "size": "832*480",
    "frame_num": "81",
    "prompt": '"a fox in snow"',
    "n_prompt": "blurry",
    "base_seed": "42",
    "sample_solver": "unipc",
    "sample_steps": "50",
    "sample_shift": "5.0",
    "sample_guide_scale": "5.0",
    "save_file": "fox.mp4",
}
MAXDIFFUSION = {
    "pretrained_model_name_or_path": "DIR",
    "prompt": '"a fox in snow"',
    "negative_prompt": "blurry",
    "height": "480 --width 832",
    "num_frames": "81",
    "num_video_frames": "81",
    "num_inference_steps": "40",
    "guidance_scale": "5.0",
    "flow_shift": "3.0",
    "fps": "16",
    "seed": "42",
}
# What is said otherwise here, or needs no flag.
DIFFUSERS_TOO = {
    "`generator=torch.Generator().manual_seed(42)`": "`--seed 42`, or `seed=42`",
    "`latents=…`": "`--init-noise FILE.npy`, or `init_noise=…`",
    "`image=…` (WanImageToVideoPipeline)": "`--image FILE`, or `model.animate(…)`",
    "`pipe.enable_model_cpu_offload()`": "nothing: networks that do not fit into "
    "memory together are loaded in turn",
    "`pipe.vae.enable_tiling()`": "`--tile 256`; by default as memory allows",
    "`torch_dtype=torch.bfloat16`": "nothing: bfloat16 on accelerators, else float32",
    "`export_to_video(frames, …)`": "`--out`, or `sora_jax.write`",
}
WAN_TOO = {
    "`--image cat.jpg` with `--task ti2v-5B`": "`--image cat.jpg`",
    "`--offload_model True`, `--t5_cpu`": "nothing: networks that do not fit into "
    "memory together are loaded in turn",
    "`--convert_model_dtype`": "nothing: bfloat16 on accelerators, float32 on CPUs",
    "`--dit_fsdp`, `--t5_fsdp`": "`--mesh.fsdp 4`",
    "`--ulysses_size 8`, `--ring_size 2`": "`--mesh.context 16 --mesh.ulysses 8`; by "
    "default all devices share each video",
    "`torchrun --nproc_per_node=8`": "nothing on one machine; see [pods](pods.md) for "
    "several",
    "`--use_prompt_extend`": "not there: write the long prompt yourself",
}
MAXDIFFUSION_TOO = {
    "`python …/generate_wan.py CONFIG.yml KEY=VALUE`": "`sample.py` with `--KEY VALUE`",
    "`ici_data_parallelism=2`": "`--mesh.data 2`",
    "`ici_fsdp_parallelism=4`": "`--mesh.fsdp 4`",
    "`ici_context_parallelism=4`": "`--mesh.context 4`",
    "`ici_tensor_parallelism=2`": "`--mesh.tensor 2`",
    "`attention=flash`": "nothing: the kernel is chosen by the device",
    "`jax_cache_dir=DIR`": "the environment variable `JAX_COMPILATION_CACHE_DIR`",
}

PROGRAMS: dict[str, tuple[str, Mapping[str, str], Mapping[str, str]]] = {
    "diffusers": ("diffusers", DIFFUSERS, DIFFUSERS_TOO),
    "wan": ("Wan's generate.py", WAN, WAN_TOO),
    "maxdiffusion": ("MaxDiffusion", MAXDIFFUSION, MAXDIFFUSION_TOO),
}


def flag_rows(flags: Mapping[str, str]) -> list[str]:
    """What becomes of each flag."""
    rows = []
    for name, value in flags.items():
        given = f"--{name} {value}"
        here = " ".join(spellings.translate(shlex.split(given)))
        if name == "prompt":
            here = given
        rows.append(f"| `{given}` | `{here}` |")
    return rows


def table(head: str, rows: Sequence[str]) -> str:
    """A table of two columns."""
    return "\n".join((f"| {head} | here |", "|---|---|", *rows))


def tables() -> dict[str, str]:
    """Every table of the page, by its place in the text."""
    found = {}
    for key, (name, flags, others) in PROGRAMS.items():
        rows = [f"| {there} | {here} |" for there, here in others.items()]
        found[key] = table(name, flag_rows(flags))
        found[f"{key}_too"] = table(name, rows)
    tasks = [f"| `{name}` | `{here}` |" for name, here in spellings.TASKS.items()]
    return {**found, "tasks": table("`--task`", tasks)}


def page() -> str:
    """The whole page."""
    return fill("coming_from", tables())


def main() -> None:
    """Write the page."""
    PAGE.write_text(page())


if __name__ == "__main__":
    tyro.cli(main)
