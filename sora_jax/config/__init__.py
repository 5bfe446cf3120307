"""Every setting of the project as frozen dataclasses; defaults live here alone.

A config file (`configs/*.py`) defines `get_config(arg=None)` and returns one of the
runs of `runs.py`, or a series of them. Values are checked when a dataclass is built, so
an override on the command line is checked like any other value.
"""

from sora_jax.config.causal import CausalConfig
from sora_jax.config.clips import ClipsConfig
from sora_jax.config.data import PackingConfig, PlaygroundConfig
from sora_jax.config.dtypes import Quantization, resolve_dtypes
from sora_jax.config.encoders import PictureConfig, TextConfig
from sora_jax.config.finetune import FineTune
from sora_jax.config.history import ChunksConfig, HistoryConfig
from sora_jax.config.models import (
    AttentionPlan,
    CriticConfig,
    DiTConfig,
    Dtype,
    VAEConfig,
)
from sora_jax.config.plain import (
    FPS,
    from_json,
    require,
    to_json,
    updated_config,
)
from sora_jax.config.recipes import RECIPES, Recipe, recipe_settings
from sora_jax.config.renamed import with_new_names
from sora_jax.config.runs import DataConfig, DiTRun, EncodeRun, Series, VAERun
from sora_jax.config.sampling import Cache, Direction, Fit, SamplingConfig, Solver
from sora_jax.config.training import (
    FRAME_RULES,
    RULES,
    SAMPLING_MESH,
    FlowConfig,
    MeshConfig,
    OptimConfig,
    RunConfig,
)
from sora_jax.config.weights import AdapterConfig, ModelConfig, SeenConfig

__all__ = [
    "AdapterConfig",
    "AttentionPlan",
    "Cache",
    "CausalConfig",
    "ChunksConfig",
    "ClipsConfig",
    "CriticConfig",
    "DiTConfig",
    "DataConfig",
    "DiTRun",
    "Direction",
    "Dtype",
    "EncodeRun",
    "FPS",
    "FRAME_RULES",
    "FineTune",
    "Fit",
    "FlowConfig",
    "HistoryConfig",
    "MeshConfig",
    "ModelConfig",
    "OptimConfig",
    "PackingConfig",
    "PictureConfig",
    "PlaygroundConfig",
    "RECIPES",
    "RULES",
    "Recipe",
    "RunConfig",
    "SAMPLING_MESH",
    "SamplingConfig",
    "SeenConfig",
    "Series",
    "Solver",
    "TextConfig",
    "VAEConfig",
    "VAERun",
    "from_json",
    "recipe_settings",
    "require",
    "Quantization",
    "resolve_dtypes",
    "to_json",
    "updated_config",
    "with_new_names",
]
