"""The tables of umT5's encoder: Hugging Face's layout, and that of Wan's own file."""

from __future__ import annotations

from sora_jax.config import TextConfig
from sora_jax.families.table import ALL, LINEAR, SAME, Entry, Index
from sora_jax.families.wan.layouts import LAYOUTS

ATTENTION = ("layer.0.SelfAttention", "attn")
# (our path, index behind the layer, name in Hugging Face's layout, in the original)
LINEARS: tuple[tuple[str, Index, str, str], ...] = (
    ("attention/query", (), "layer.0.SelfAttention.q", "attn.q"),
    ("attention/kv", (ALL, 0), "layer.0.SelfAttention.k", "attn.k"),
    ("attention/kv", (ALL, 1), "layer.0.SelfAttention.v", "attn.v"),
    ("attention/out", (), "layer.0.SelfAttention.o", "attn.o"),
    ("up", (ALL, 0), "layer.1.DenseReluDense.wi_0", "ffn.gate.0"),
    ("up", (ALL, 1), "layer.1.DenseReluDense.wi_1", "ffn.fc1"),
    ("down", (), "layer.1.DenseReluDense.wo", "ffn.fc2"),
)
OTHERS = (
    ("norm_1/scale", "layer.0.layer_norm.weight", "norm1.weight"),
    ("norm_2/scale", "layer.1.layer_norm.weight", "norm2.weight"),
    (
        "attention/position_bias",
        "layer.0.SelfAttention.relative_attention_bias.weight",
        "pos_embedding.embedding.weight",
    ),
)
BLOCK = ("encoder.block", "blocks")
EMBEDDING = ("shared.weight", "token_embedding.weight")
# T5's decoder would share the embedding of its encoder, so that it has two names.
ALIASES = {"encoder.embed_tokens.weight": "shared.weight"}
# The tokenizer, which some programs keep in the same file.
TOKENIZER = "spiece_model"
LAST_NORM = ("encoder.final_layer_norm.weight", "norm.weight")


def canonical_name(name: str) -> str | None:
    """Return a tensor's name in the table; None if it is none of ours."""
    return None if name == TOKENIZER else name


def text_table(config: TextConfig, layout: str = "diffusers") -> list[Entry]:
    """Every tensor of an umT5 encoder of these sizes.

    Args:
      config: the encoder.
      layout: "diffusers" (Hugging Face's) or "original".
    """
    which = LAYOUTS.index(layout)
    entries = [
        Entry(name=EMBEDDING[which], path="embedding", transform=SAME),
        Entry(name=LAST_NORM[which], path="norm/scale", transform=SAME),
    ]
    for layer in range(config.depth):
        block = f"{BLOCK[which]}.{layer}"
        for path, index, *names in LINEARS:
            entries.append(
                Entry(
                    name=f"{block}.{names[which]}.weight",
                    path=f"layers/{path}/kernel",
                    index=(layer, *index),
                    transform=LINEAR,
                )
            )
        for path, *names in OTHERS:
            entries.append(
                Entry(
                    name=f"{block}.{names[which]}",
                    path=f"layers/{path}",
                    index=(layer,),
                    transform=SAME,
                )
            )
    return entries
