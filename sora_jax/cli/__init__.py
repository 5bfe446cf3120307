"""Command line: arguments, config files, console output."""

from sora_jax.cli.arguments import (
    PATHS,
    closest,
    join_pair,
    output_name,
    parse,
    parse_size,
    refuse_control,
)
from sora_jax.cli.config_files import (
    FLAGS,
    load_config,
    parse_beside_config,
    parse_run,
)
from sora_jax.cli.console import (
    bars,
    exit_with_message,
    printable,
    raised_by_package,
    say,
)

__all__ = [
    "FLAGS",
    "PATHS",
    "bars",
    "closest",
    "exit_with_message",
    "join_pair",
    "load_config",
    "output_name",
    "parse",
    "parse_beside_config",
    "parse_run",
    "parse_size",
    "printable",
    "raised_by_package",
    "refuse_control",
    "say",
]
