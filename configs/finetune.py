"""Fine-tune a model on your own clips; docs/your_data.md says how they are laid out.

The result is runs/mine/adapter.safetensors, which sample.py takes as --lora, or with
--config.method=full a folder that it takes as --weights.

Hardware: 2 CPU cores for the default weights: 1,000 steps in 5 minutes, beside others.
Expected: a held-out loss of 0.35 after 1,000 steps on 19 clips of 64 x 64 of one new
  thing, which then also looks right in combinations that none of them shows
  (notebooks/finetune.ipynb).
Command:
  sora-jax train --config=configs/finetune.py --config.data=clips \\
    --config.start_from=weights --workdir=runs/mine
"""

from sora_jax.config import FineTune


def get_config() -> FineTune:
    """Return the fine-tuning."""
    return FineTune()
