"""Wan's transformer and VAE at full size, beside `diffusers` on the same weights.

`python benchmarks/wan_weights.py --out DIR` makes the weights, then
`python benchmarks/wan.py --folder DIR` (with the `parity` extra) measures: time and
memory to load, one forward pass compared, one guided step of 9 x 256 x 256 and the
decoding of 17 x 256 x 256, each beside the reference's.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import psutil
import safetensors.numpy
import torch  # pyright: ignore[reportMissingImports]
import tyro
from diffusers import (  # pyright: ignore[reportMissingImports]
    AutoencoderKLWan,
    WanTransformer3DModel,
)
from etils import epath
from flax import nnx

from sora_jax.config import DiTConfig
from sora_jax.data.patches import coordinates, patchify, unpatchify
from sora_jax.families import WAN
from sora_jax.families.family import TensorFiles
from sora_jax.families.wan import layout_diffusers, network_json
from sora_jax.models.dit import DiT
from sora_jax.models.vae import VAE
from sora_jax.sampling import codec, denoising
from sora_jax.types import Context, Tokens
from sora_jax.weights.network import StoredNetwork, read_headers

SIZE, FRAMES, DECODED = (256, 256), 9, 17
TEXT, TIME, MOVE, GUIDANCE = 512, 0.437, -0.05, 5.0


def main(
    folder: str,
    measure: tuple[Literal["step", "decode"], ...] = ("step", "decode"),
    rounds: int = 2,
) -> None:
    """Measure one after another and print; nothing large stays from one to the next."""
    where = epath.Path(folder)
    vae_json = layout_diffusers.read_config(where, "vae")
    vae_config = network_json.vae_config(vae_json)
    dit_json = layout_diffusers.read_config(where, "transformer")
    config = network_json.dit_config(dit_json, vae_config.channels)
    constants = network_json.latent_statistics(vae_json)
    network = stored(where / "transformer", "dit", config)
    vae: Any = stored(where / "vae", "vae", vae_config, constants).load()
    print(f"{jax.devices()[0].device_kind}, {folder}")
    if "step" in measure:
        stepping(loading(network), config, where, rounds)
    if "decode" in measure:
        decoding(vae, where, rounds)


def stored(
    folder: epath.Path, name: str, config: Any, constants: Mapping[str, Any] = {}
) -> StoredNetwork:
    """A network of a folder in diffusers' layout."""
    spec = WAN.networks[name]
    return StoredNetwork(
        where=str(folder),
        spec=spec,
        config=config,
        layout="diffusers",
        stored=read_headers(TensorFiles(folder=folder), spec),
        constants=constants,
    )


class Peak:
    """The most memory that this process has while the block inside runs, in bytes."""

    def __enter__(self) -> Peak:
        self.process, self.done = psutil.Process(), threading.Event()
        self.before = self.most = self.process.memory_info().rss
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def watch(self) -> None:
        """Look, often."""
        while not self.done.wait(0.01):
            self.most = max(self.most, self.process.memory_info().rss)

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.thread.join()


def loading(network: StoredNetwork) -> Any:
    """Load, beside a plain read of the same files."""
    files = {item.file for item in network.stored.values()}

    def read() -> None:
        for path in files:
            safetensors.numpy.load_file(path)

    read()  # into the page cache
    plain = seconds(read)
    gc.collect()
    with Peak() as peak:
        start = time.perf_counter()
        module = network.load()
        jax.block_until_ready(nnx.state(module))
        took = time.perf_counter() - start
    arrays = sum(x.nbytes for x in jax.tree.leaves(nnx.state(module)))
    print(
        f"load: {took:.1f} s, {took / plain:.2f} of a NumPy read ({plain:.1f} s); "
        f"arrays {arrays / 2**30:.2f} GiB, "
        f"peak {(peak.most - peak.before) / 2**30:.2f} GiB above what was there"
    )
    return module


def stepping(dit: Any, config: DiTConfig, where: epath.Path, rounds: int) -> None:
    """One guided step of the transformer, and its output."""
    rng = np.random.default_rng(0)
    grid = (1 + (FRAMES - 1) // 4, SIZE[0] // 16, SIZE[1] // 16)
    shape = (grid[0], grid[1] * 2, grid[2] * 2, config.channels)
    latents = rng.normal(size=shape).astype(np.float32)
    text = rng.normal(size=(2, TEXT, dict(config.contexts)["text"])).astype(np.float32)
    count = int(np.prod(grid))
    tokens = rows_of(patchify(latents, config.patch), coordinates(grid), config)
    ids = jnp.ones((2, count), jnp.int32)
    context = Context(
        states=jnp.asarray(text), segments=jnp.ones((2, TEXT), jnp.int32), ids=ids
    )
    here, moved = our_step(dit, tokens, context, rounds)
    del dit
    jax.clear_caches()
    gc.collect()
    peer = WanTransformer3DModel.from_pretrained(
        where / "transformer", torch_dtype=torch.float32
    ).eval()
    when = torch.tensor([TIME * 1000])
    x = torch.tensor(np.moveaxis(latents, -1, 0)[None]).expand(2, -1, -1, -1, -1)

    def run() -> torch.Tensor:
        with torch.no_grad():
            with_prompt, without = (
                peer(x[:1], when, torch.tensor(text[i : i + 1])).sample
                for i in range(2)
            )
        return x[:1] + MOVE * (without + GUIDANCE * (with_prompt - without))

    expected = run()[0].numpy()
    reference = min(seconds(run) for _ in range(rounds))
    made = np.asarray(unpatchify(moved, grid, config.patch))
    change, wanted = made - latents, np.moveaxis(expected, 0, -1) - latents
    error = np.linalg.norm(change - wanted) / np.linalg.norm(wanted)
    print(f"guided step: relative error of the change {error:.1e}")
    report(f"guided step, {FRAMES} x {SIZE[0]} x {SIZE[1]}", here, reference)


def our_step(
    dit: DiT, tokens: Tokens, context: Context, rounds: int
) -> tuple[float, np.ndarray]:
    """Seconds and result of a guided Euler step, the text's keys and values ready."""
    contexts = {"text": context}
    network = denoising.prepare_network(dit, contexts)

    def step() -> jax.Array:
        return jax.block_until_ready(
            denoising.denoise_step(
                network,
                tokens.x[None, :1],
                tokens,
                contexts,
                jnp.float32(TIME),
                jnp.float32([[1.0, MOVE]]),
                jnp.float32(GUIDANCE),
                is_guided=True,
            )
        )

    moved = np.asarray(step())[0, 0]
    return min(seconds(step) for _ in range(rounds)), moved


def rows_of(x: np.ndarray, coords: np.ndarray, config: DiTConfig) -> Tokens:
    """Two equal rows of one sample, with and without prompt."""
    ones = np.ones((2, len(x)), np.int32)
    tokens = Tokens(
        x=np.stack([x, x]),
        extra=np.zeros((2, len(x), config.extra_features), np.float32),
        coords=np.stack([coords, coords]),
        segments=ones,
        levels=np.full((2, 2), TIME, np.float32),
        level_ids=ones,
        order=ones * 0,
        target_mask=ones > 0,
    )
    return jax.tree.map(jnp.asarray, tokens)


def decoding(vae: VAE, where: epath.Path, rounds: int) -> None:
    """The VAE's decoder."""
    cells = [side // vae.config.space_factor for side in SIZE]
    shape = (1, 1 + (DECODED - 1) // 4, *cells, vae.config.channels)
    latents = np.random.default_rng(0).normal(size=shape).astype(np.float32)

    def decoded() -> np.ndarray:
        return np.concatenate(list(codec.decode(vae, jnp.asarray(latents))), axis=1)

    peer = AutoencoderKLWan.from_pretrained(where / "vae", torch_dtype=torch.float32)
    raw = latents * np.asarray(vae.latent_std[...]) + np.asarray(vae.latent_mean[...])
    inputs = torch.tensor(np.moveaxis(raw, -1, 1), dtype=torch.float32)

    def reference() -> np.ndarray:
        with torch.no_grad():
            return peer.decode(inputs).sample.numpy()

    made, expected = decoded(), np.moveaxis(reference(), 1, -1)
    error = np.linalg.norm(made - expected) / np.linalg.norm(expected)
    print(f"decoding: relative error {error:.1e}")
    times = [(seconds(decoded), seconds(reference)) for _ in range(rounds)]
    name = f"decoding, {DECODED} x {SIZE[0]} x {SIZE[1]}"
    report(name, min(t for t, _ in times), min(t for _, t in times))


def seconds(run: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def report(what: str, here: float, reference: float) -> None:
    """Print both times, and how many times as fast as diffusers we are."""
    ratio = reference / here
    print(f"{what}: {here:.1f} s, diffusers {reference:.1f} s: {ratio:.2f} times")


if __name__ == "__main__":
    tyro.cli(main)
