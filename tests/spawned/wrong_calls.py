"""Run by `test_wrong_calls.py` in a process of its own, where no types are checked.

Calls the Python methods with one wrong argument after another, and prints as JSON what
each says.
"""

import json
import traceback

import jax.numpy as jnp
import numpy as np

import sora_jax
from sora_jax.files import quoted
from sora_jax.sampling.model import Model
from sora_jax.sampling.tasks import Keyframe, Stretch
from sora_jax.types import Condition
from sora_jax.weights import bundle
from sora_jax.weights.model_weights import weights_in_memory

CLIP = np.zeros((9, 32, 32, 3), np.float32)
SHOTS = [Stretch(frame=0, prompt="a")]
# Calls that would do, but for one argument.
GOOD = {
    "generate": {"prompts": "a"},
    "animate": {"image": CLIP[:1], "prompt": "a"},
    "extend": {"video": CLIP, "prompt": "a", "frames": 4},
    "loop": {"video": CLIP, "prompt": "a", "frames": 4},
    "connect": {"first": CLIP, "second": CLIP, "prompt": "a", "frames": 4},
    "insert": {"video": CLIP, "prompt": "a", "span": [(0.5, 0.75)]},
    "remove": {"video": CLIP, "prompt": "a", "span": [(0.5, 0.75)], "frames": 2},
    "edit": {"video": CLIP, "prompt": "a", "strength": 0.5},
    "inpaint": {"video": CLIP, "mask": np.ones(CLIP.shape[:3]), "prompt": "a"},
    "outpaint": {"video": CLIP, "prompt": "a", "size": (64, 64)},
    "storyboard": {"storyboard": SHOTS, "frames": 8},
    "upscale": {"video": CLIP, "prompt": "a", "size": (64, 64), "strength": 0.5},
    "reconstruct": {"pixels": CLIP[None]},
}
CLIPS = [None, "a.mp4", 7, [1, 2], CLIP[0], CLIP[..., :1], CLIP[:0], CLIP * np.nan]
CLIPS += [CLIP + 5, CLIP.astype(np.uint8), CLIP.astype(complex), CLIP.astype("O")]
COUNTS = [None, "4", 4.5, -1, 0, True, [4], 10**30, np.zeros(2), float("nan")]
NUMBERS = ["0.5", None, -1.0, 2.0, float("nan"), True, [0.5], 1j]
SIZES = [None, 64, "64x64", (64,), (64, 64, 64), (64.5, 64), (0, 64), (-64, 64)]
SIZES += [("64", "64"), (10**9, 10**9), (True, True), [[64, 64]], (32, 32)]
NUMBERS += [10**400, np.array(1j), np.array("abc")]
COUNTS += [10**5000]
SIZES += [[[1], [2, 3]]]
TEXTS = [None, 7, b"a", ["a"], "\udcff", "a" * 10**6]
SPANS = [None, 3, "0:1", [], [0.5], [(0.5,)], [("0", "1")], [(1, 0)], [(-1, 1)]]
SPANS += [[1, [2]], [(0.5, [1])]]
SPANS += [[(0.5, float("inf"))], [(0.2, 0.6), (0.4, 0.8)], [(99, 100)]]
WRONG = {
    "prompts": [
        np.array("x"),
        None,
        7,
        b"a",
        [],
        [None],
        ["a", 7],
        {"a": 1},
        "\udcff",
        "a" * 10**6,
    ],
    "prompt": TEXTS,
    "video": CLIPS,
    "first": CLIPS,
    "second": [*CLIPS, CLIP[:, :16]],
    "image": [
        *(value for value in CLIPS if value is not None),
        *([], [CLIP], [None], CLIP),
        [Keyframe(picture=CLIP[:1], frame=99)],
        [Keyframe(picture="a.png")],
        [Keyframe(picture=CLIP[:1], frame="a")],
        [Keyframe(picture=CLIP[:1], frame=1.5)],
        [Keyframe(picture=CLIP[:1], strength=None)],
        [Keyframe(picture=CLIP[:1] * np.nan)],
    ],
    "frames": COUNTS,
    "span": SPANS,
    "strength": NUMBERS,
    "mask": [None, 7, np.ones((9, 32)), np.ones((9, 16, 32)), 2 * np.ones((9, 32, 32))],
    "size": SIZES,
    "storyboard": [
        *(None, 7, [], ["a"], [{}]),
        [Stretch(frame=4, prompt="a")],
        [Stretch(frame="a", prompt="a")],
        [Stretch(frame=0, prompt=5)],
        [Stretch(frame=0, prompt="a", picture=CLIP[:1, :8, :8])],
        [Stretch(frame=0, prompt="a", picture=CLIP[:1] * np.nan)],
        [Stretch(frame=0, prompt="a", picture=CLIP)],
    ],
    "pixels": [
        None,
        7,
        CLIP,
        CLIP[None] * np.nan,
        CLIP[None, :8],
        CLIP[None].astype(np.uint8),
    ],
}
# Options that every method takes.
OPTIONS = {
    "seed": [None, "1", 1.5, -1, 2**40, True],
    "steps": [0, -1, "3", 2.5, None, 10**9],
    "guidance": [-1.0, "4", None, float("nan"), [4.0]],
    "shift": [0.0, "2", float("inf")],
    "solver": ["dpm", None, 3, np.array(["unipc"])],
    "sigmas": [None, 0.5, "1", [2.0], [0.5, 0.7], ["1"], [float("nan")], [0.0]],
    "recipe": [3, "none", ["rcm"]],
    "cache": ["tea", None, True, "magcache"],
    "cache_curve": [None, 3, "none.json", [1.0], [(1.0,)], [(1.0, 0.0)], [("1", 1.0)]],
    "cache_threshold": ["1", None, -1.0, float("nan")],
    "cache_max_skips": [0, 1.5, None, 10**9],
    "cache_retention": [2.0, -0.1, "1"],
    "fps": [0.0, "8", float("nan"), 10**9],
    "window": [0, 4, "9", 10**9],
    "context": [0, "5"],
    "tile": [-1, 3, "64"],
    "negative_prompt": [None, 3],
    "num_frames_": [9],
    "progress": [3],
    "init_noise": [7, CLIP, np.full((1, 3, 4, 4, 8), np.nan, np.float32)],
    "condition": [
        *(7, CLIP),
        Condition(mask="a", pixels="b"),
        Condition(mask=np.ones((9, 32, 32)), pixels=CLIP * np.nan),
    ],
}


def calls():
    for method, fields in GOOD.items():
        for name in fields:
            for value in WRONG[name]:
                is_optional = value is None and (method, name) in {
                    ("loop", "video"),
                    ("upscale", "video"),
                    ("remove", "frames"),
                    *((m, "frames") for m in ("extend", "loop", "connect")),
                }
                if not is_optional:
                    yield method, name, {**fields, name: value}
    for name, values in OPTIONS.items():
        for value in values:
            yield "generate", name, {"prompts": "a", name: value}
    for name in ("seed", "steps", "fps"):
        for value in OPTIONS[name]:
            yield "extend", name, {**GOOD["extend"], name: value}


def outcome(call, name):
    """What a call says, and whether the error is one that we meant."""
    try:
        call()
    except (ValueError, TypeError) as error:
        *_, (frame, _) = traceback.walk_tb(error.__traceback__)
        is_ours = frame.f_globals.get("__name__", "").startswith("sora_jax")
        return {"error": type(error).__name__, "says": str(error), "is_ours": is_ours}
    except Exception as error:
        return {"error": type(error).__name__, "says": str(error), "is_ours": False}
    return {"error": "", "says": "", "is_ours": False}


def taken(model):
    """What else than NumPy's arrays and tuples is taken, without a weight."""
    made = []
    model.sample = lambda segments, progress: made.append(1) or iter([CLIP[None]])
    model.extend(
        jnp.asarray(CLIP, jnp.bfloat16), frames=np.int64(4), steps=jnp.int32(2)
    )
    model.outpaint(CLIP.astype(np.float64), size=[64, 64], guidance=np.float32(2))
    model.inpaint(jnp.asarray(CLIP), jnp.ones(CLIP.shape[:3], bool))
    model.upscale(CLIP, size=np.array([64, 64]), fps=8)
    model.insert(CLIP, "a", span=np.array([[0.5, 0.75]]))
    return len(made)


def main():
    weights = weights_in_memory(
        bundle.describe(bundle.ASSETS),
        bundle.load_tokenizer(bundle.ASSETS),
    )
    model = Model(weights)
    results = []
    for method, name, fields in calls():
        found = outcome(lambda m=method, f=fields: getattr(model, m)(**f), name)
        given = fields[name]
        shown = getattr(given, "shape", None) or quoted(given)[:60]
        results.append({"call": f"{method}({name}={shown})", "name": name, **found})
    for given in (7, None, ["a"]):
        found = outcome(lambda g=given: sora_jax.load(g), "folder")
        results.append({"call": f"load({given})", "name": "folder", **found})
    for name, given in (("mesh", {"data": 2}), ("limits", 5), ("rewords", "no")):
        found = outcome(lambda n=name, g=given: sora_jax.load(**{n: g}), name)
        results.append({"call": f"load({name})", "name": name, **found})
    print(json.dumps({"wrong": results, "taken": taken(model)}))


if __name__ == "__main__":
    main()
