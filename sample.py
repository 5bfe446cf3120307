"""Make a video: `python sample.py --prompt "a red ball moves right on a green floor"`.

Without `--weights` the model that ships with the package is used, on any machine.
"""

from __future__ import annotations

import sys

from sora_jax import cli
from sora_jax.commands.sample import STOPPED, main

if __name__ == "__main__":
    with cli.exit_with_message(STOPPED):
        main(sys.argv[1:])
