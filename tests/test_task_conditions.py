"""What tasks tell the transformer: what training draws, and nothing that is hidden."""

import dataclasses
import gc
import itertools
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sora_jax.data import outputs
from sora_jax.data.patches import patchify
from sora_jax.diffusion import conditioning
from sora_jax.models.dit import DiT
from sora_jax.sampling import condition_encoding, denoising
from sora_jax.sampling.model import Model
from sora_jax.sampling.prompt_cache import PromptCache
from sora_jax.sampling.request import Request
from sora_jax.sampling.segments import all_sampled
from sora_jax.sampling.stories import LatentSpan, window_story
from sora_jax.sampling.tasks import (
    Animate,
    Connect,
    Extend,
    Insert,
    Keyframe,
    Loop,
    Remove,
    Storyboard,
    Stretch,
)
from sora_jax.sampling.window_sampler import Window, WindowSampler
from sora_jax.types import Condition
from sora_jax.weights.model_weights import LazyNetworks, weights_in_memory
from tests.helpers.oracle import PATCH, window
from tests.helpers.tiny import make
from tests.helpers.worlds import PROMPT, assert_made, encode_clip


def test_no_condition_lets_unknown_pixels_through(world):
    """By perturbation, in what training and in what tasks encode."""
    rng = np.random.default_rng(0)
    clip = world.clip[:9]
    other = rng.uniform(-1, 1, clip.shape).astype(np.float32)
    for _ in range(12):
        mask = conditioning.draw_mask(rng, 9, 32, 32)
        changed = np.where(mask[..., None] > 0, clip, other)
        pair = [world.given(c, mask)[1] for c in (clip, changed)]
        np.testing.assert_array_equal(*pair)
        task = [
            condition_encoding.encode_channels(
                world.vae, [Condition(pixels=c, mask=mask)]
            )
            for c in (clip, changed)
        ]
        np.testing.assert_array_equal(*task)
        np.testing.assert_allclose(patchify(task[0][0], PATCH), pair[0], atol=1e-5)


def test_no_gradient_reaches_unknown_pixels(world):
    mask = conditioning.outside_box_mask(9, 32, 32, (8, 4, 24, 20))

    def total(clip):
        shown = conditioning.grey_out(clip, mask).pixels
        return jnp.square(encode_clip(world.vae, shown)).sum()

    gradient = np.asarray(jax.jit(jax.grad(total))(world.clip[:9]))
    assert (gradient[mask == 0] == 0).all() and np.abs(gradient[mask > 0]).max() > 0


def test_a_token_reads_the_text_of_its_stretch_alone(world, dit_config):
    # One block: further ones pass on what other tokens have read.
    config = dataclasses.replace(dit_config, depth=1)
    dit = make(DiT, config)
    weights = weights_in_memory(
        dataclasses.replace(world.config, dit=config),
        world.tokenizer,
        vae=world.vae,
        dit=dit,
        text_encoder=world.text_encoder,
    )
    settings = dataclasses.replace(world.config.sampling, frames=17)
    request = Request(prompts=(PROMPT,), settings=settings)
    cache = PromptCache(weights)
    sampler = WindowSampler(weights, cache, request, captions=2)
    batch = jax.tree.map(
        jnp.asarray,
        sampler.rows(Window(frames=5, story=((0, None), (2, "a blue square")))),
    )
    context = cache.contexts(batch)["text"]

    def velocity(states):
        read = {"text": dataclasses.replace(context, states=states)}
        return dit(batch.tokens, read)[0].reshape(5, -1)

    read = np.abs(jax.jacfwd(velocity)(context.states)).sum(axis=(1, 2, 4))
    per_text = read.reshape(5, 2, -1).sum(axis=-1)  # latent frames x prompts
    assert (per_text[:2, 1] == 0).all() and (per_text[2:, 0] == 0).all()
    assert (per_text[:2, 0] > 0).all() and (per_text[2:, 1] > 0).all()


def test_every_window_and_part_has_its_own_noise(world):
    settings = world.config.sampling
    drawn = [
        np.asarray(
            denoising.draw_noise(
                Request(prompts=(PROMPT, PROMPT), settings=settings, part=part),
                number,
                (4, 4),
            )
        )
        for part, number in itertools.product(range(3), range(3))
    ]
    every = np.concatenate(drawn).reshape(18, -1)
    assert len({row.tobytes() for row in every}) == 18


def test_windows_tell_their_stretches(world):
    story = ((5, "second"), (13, "third"))
    request = Request(prompts=(PROMPT,), settings=world.config.sampling, story=story)
    told = [
        window_story(request, span, world.config)
        for span in (
            LatentSpan(0, 3, 0),
            LatentSpan(1, 4, 2),
            LatentSpan(2, 5, 2),
            LatentSpan(5, 8, 2),
        )
    ]
    assert told == [
        ((0, None), (2, "second")),
        ((0, None), (1, "second")),
        ((0, "second"), (2, "third")),
        ((0, "third"),),
    ]


def test_networks_make_room_for_one_another(world):
    clip = world.clip[:13]
    made = world.seen(clip[:9])
    after = np.concatenate([made[4:9], clip[9:13]])
    windows = [window(world.latents(c), features=0) for c in (clip[:9], after)]
    dit = dataclasses.replace(world.config.dit, extra_channels=0)
    parts = world.model(
        *windows, dit=dit, conditioning="tokens", mid_clip=False
    ).weights
    alive = weakref.WeakSet()
    crowds = []

    def loader(name):
        def load():
            gc.collect()
            crowds.append((name, len(alive)))
            loaded = nnx.clone(parts.networks[name])
            alive.add(loaded)
            return loaded

        return load

    names = ("vae", "dit", "text_encoder")
    turns = LazyNetworks({name: loader(name) for name in names}, keep=False)
    model = Model(dataclasses.replace(parts, networks=turns))
    got = model.generate(PROMPT, frames=13)[0]
    assert_made(got[:9], made)
    assert [count for _, count in crowds] == [0] * len(crowds), crowds


def drawn_frames(mask):
    """Whether whole frames are known as training draws them."""
    flat = mask.reshape(len(mask), -1)
    assert (flat.min(axis=1) == flat.max(axis=1)).all()
    known = flat[:, 0].astype(int)
    begin = len(known) if known.all() else int(known.argmin())
    end = 0 if known.all() else int(known[::-1].argmin())
    inner = known[begin : len(known) - end]
    return inner.sum() <= 3 and not (inner.any() and end > 1)


def test_tasks_know_what_training_draws(world):
    """Every mask that a task of whole frames builds is of a kind that is drawn."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        mask = conditioning.draw_mask(rng, 17, 32, 32)
        if np.ptp(mask, axis=(1, 2)).max() == 0:
            assert drawn_frames(mask)
    clip, model = world.clip[:12], world.model(window(world.latents(world.clip[:9])))
    context = model.context({"window": 29, "context": 9})
    picture = Stretch(frame=0, prompt=PROMPT, picture=clip[:1])
    keys = [Keyframe(picture=clip[:1], frame=frame) for frame in (0, 7, -1)]
    tasks = [
        Animate(image=keys, frames=17),
        Extend(video=clip, frames=7, direction="both"),
        Loop(video=clip, frames=5),
        Connect(video=(clip[:3], clip[:2]), frames=6),
        Insert(video=clip, span=[(0, 0.5), (1, 1.25)]),
        Remove(video=clip, span=[(0.5, 1)]),
        Storyboard(storyboard=[picture], frames=9),
    ]
    sampled = [one for task in tasks for one in all_sampled(task.segments(context))]
    masks = [np.asarray(one.request.condition.mask) for one in sampled]
    assert len(masks) == 9 and all(drawn_frames(mask) for mask in masks)


def test_an_interrupt_leaves_nothing(world, tmp_path):
    def interrupted(numbers, unit):
        del unit
        yield numbers[0]
        raise KeyboardInterrupt

    model = world.model(window(world.latents(world.clip[:9])))
    chunks = model.stream(PROMPT, progress=interrupted)
    with pytest.raises(KeyboardInterrupt):
        outputs.write(tmp_path / "clip.mp4", (chunk[0] for chunk in chunks), 8)
    assert not list(tmp_path.iterdir())
