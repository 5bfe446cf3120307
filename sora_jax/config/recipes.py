"""Sampling recipes of step-distilled models, as data.

Such a model is trained for a few noise levels and one sampling loop, without guidance:
"euler" follows the velocity from level to level, "renoise" predicts the data and noises
it to the next level. A recipe names these settings; it does not change weights.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
from collections.abc import Mapping
from typing import Any

from sora_jax.config.sampling import Solver
from sora_jax.files import quoted


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """The sampling settings of step-distilled checkpoints."""

    # The checkpoints that were distilled for it.
    models: str
    # The sampling loop.
    solver: Solver
    # Noise levels, before the shift.
    sigmas: tuple[float, ...]
    # Moves the noise levels towards noise.
    shift: float = 1.0

    def settings(self) -> dict[str, Any]:
        """Return the fields of `SamplingConfig` that it sets."""
        return {
            "solver": self.solver,
            "sigmas": self.sigmas,
            "steps": len(self.sigmas),
            "shift": self.shift,
            "guidance": 1.0,
        }


def _thousandths(*times: int) -> tuple[float, ...]:
    return tuple(time / 1000 for time in times)


def _trigonometric(most: float) -> tuple[float, ...]:
    """Convert rCM's angles, the first of which is that of the ratio of noise to data.

    At an angle, TrigFlow's sample is cos data + sin noise; ours is that over cos + sin.
    """
    angles = (math.atan(most), 1.5, 1.4, 1.0)
    return tuple(math.sin(x) / (math.sin(x) + math.cos(x)) for x in angles)


RECIPES: Mapping[str, Recipe] = {
    "lightx2v": Recipe(
        models="lightx2v's 4-step LoRAs and models of Wan 2.1 14B and Wan 2.2 A14B",
        solver="euler",
        sigmas=_thousandths(1000, 750, 500, 250),
        shift=5.0,
    ),
    # These levels are shifted already.
    "fastwan": Recipe(
        models="FastWan 2.1 1.3B and 14B, FastWan 2.2 5B, with full attention",
        solver="renoise",
        sigmas=_thousandths(1000, 757, 522),
    ),
    "causvid": Recipe(
        models="CausVid's bidirectional model and the LoRAs made from it",
        solver="renoise",
        sigmas=_thousandths(1000, 757, 522),
    ),
    "causvid_9": Recipe(
        models="lightx2v's T2V-14B-CausVid, in nine steps",
        solver="renoise",
        sigmas=_thousandths(999, 934, 862, 756, 603, 410, 250, 140, 74),
    ),
    "self_forcing": Recipe(
        models="Self-Forcing's causal models of Wan 2.1 1.3B",
        solver="renoise",
        sigmas=_thousandths(1000, 750, 500, 250),
        shift=5.0,
    ),
    "causvid_causal": Recipe(
        models="CausVid's causal models of Wan 2.1 1.3B",
        solver="renoise",
        sigmas=_thousandths(1000, 757, 522),
    ),
    "rcm": Recipe(
        models="rCM and TurboDiffusion of Wan 2.1 1.3B and 14B",
        solver="renoise",
        sigmas=_trigonometric(80.0),
    ),
    "rcm_i2v": Recipe(
        models="rCM and TurboDiffusion of Wan 2.2 A14B that begin with a picture",
        solver="renoise",
        sigmas=_trigonometric(200.0),
    ),
}


def recipe_settings(name: Any) -> dict[str, Any]:
    """Return the settings of a recipe.

    Raises:
      ValueError: there is none of this name; lists those that there are.
    """
    if isinstance(name, str) and name in RECIPES:
        return RECIPES[name].settings()
    near = difflib.get_close_matches(str(name)[:100].lower(), RECIPES, 1)
    hint = f": did you mean {near[0]}?" if near else ""
    raise ValueError(
        f"recipe must be one of {', '.join(RECIPES)}, got {quoted(name)}{hint}"
    )


def named_in(text: str) -> list[str]:
    """Return the recipes whose name is among the words of a text, such as a title."""
    words = re.sub(r"[\W_]+", " ", text.lower()).split()
    joined = f"_{'_'.join(words)}_"
    found = [name for name in RECIPES if f"_{name}_" in joined]
    # "causvid_9" is no "causvid".
    return [a for a in found if not any(b.startswith(f"{a}_") for b in found)]
