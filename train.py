"""Train a model: `python train.py --config=configs/FILE.py --workdir=DIR`.

The same command again continues where the run was. Any field of the config is
overridden as `--config.field=value`; `--config=FILE.py --help` lists them.
"""

from __future__ import annotations

import sys

from sora_jax import cli
from sora_jax.commands.train import STOPPED, main

if __name__ == "__main__":
    with cli.exit_with_message(STOPPED):
        main(sys.argv[1:])
