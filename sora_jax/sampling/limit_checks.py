"""Check settings and prompts against the limits. Needs no JAX."""

from __future__ import annotations

from sora_jax.config import SamplingConfig
from sora_jax.limits import Limits


def limit_problems(settings: SamplingConfig, limits: Limits) -> list[str]:
    """Return the problems of settings that exceed the limits."""
    asked = {
        "frames": (settings.frames, limits.frames),
        "window": (settings.window or 0, limits.window),
        "context": (settings.context, limits.window),
        "steps": (settings.steps, limits.steps),
        "cache_max_skips": (settings.cache_max_skips, limits.steps),
        "cache_curve": (len(settings.cache_curve), 2 * limits.steps),
        "size": (max(settings.size), limits.side),
        "tile": (settings.tile or 0, limits.side),
        "negative_prompt": (len(settings.negative_prompt), limits.prompt),
    }
    units = {"size": "pixels along a side", "negative_prompt": "characters"}
    return [
        too_many(name, units.get(name, ""), value, most)
        for name, (value, most) in asked.items()
        if value > most
    ]


def too_many(name: str, unit: str, value: int | float, most: int | float) -> str:
    """Return the message for a value above its limit."""
    # Python refuses to print integers of thousands of digits.
    got = f"{value:,}" if value < 10**30 else "far more"
    return (
        f"{name} must be at most {most:,}{' ' + unit if unit else ''}, got {got}: "
        "ask for less, or lift the limits (--unlimited, or limits=UNLIMITED)"
    )


def check_prompts(prompts: tuple[str, ...], limits: Limits) -> list[str]:
    """Return problems with the number, length and encoding of prompts."""
    problems = []
    if len(prompts) > limits.variations:
        problems.append(too_many("variations", "", len(prompts), limits.variations))
    longest = max(map(len, prompts), default=0)
    if longest > limits.prompt:
        problems.append(too_many("prompt", "characters", longest, limits.prompt))
    for prompt in dict.fromkeys(prompts):
        if not is_utf8(prompt):
            problems.append(f"prompt must be UTF-8 text, got {ascii(prompt[:80])}")
    return problems


def is_utf8(text: str) -> bool:
    """Return whether a text is UTF-8; other bytes of argv are surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
