"""What the models with open weights take on real pods: `python benchmarks/pods.py`.

Every row is compiled for its topology, which takes some minutes each; rows that are in
`pods.json` already are not compiled again. `--check` compiles two of them anew, which
take least, and compares them with what is written there.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import tyro

HERE = Path(__file__).parent
# The plans of each row by step.
Rows = dict[str, dict[str, dict]]
GIB = 2**30
COMMANDS = (
    "Each command makes the row of its step, and of its decoding where it samples:"
)
TOLERANCE = 0.02  # by which compilers of one version differ


@dataclasses.dataclass(frozen=True)
class Row:
    """A step, and where it runs.

    Attributes:
      task: what the table calls it.
      config: a file of `configs/`.
      topology: of the pod.
      flags: how devices share it, and what differs from the config.
    """

    task: str
    config: str
    topology: str
    flags: str


def training(model: str, topology: str, rows: int, shares: str, more: str = "") -> Row:
    """A row of training; `shares` are mesh axes, such as "fsdp=4 context=2"."""
    size = {"1b3": "1.3B, 81 x 480 x 832", "14b": "14B, 81 x 720 x 1280"}[model]
    axes = ["data=1", *shares.split()]
    flags = [*(f"--config.mesh.{axis}" for axis in axes), *more.split()]
    flags.append(f"--config.packing.rows={rows}")
    task = f"train {size}, {rows} clips" + (", 4 batches a step" if more else "")
    return Row(task, f"wan_train.py:{model}", topology, " ".join(flags))


def sampling(model: str, topology: str, shares: str, *, minute: bool = False) -> Row:
    """A row of sampling, of the model's own size or of a minute in 1080 lines."""
    flags = " ".join(f"--mesh.{axis}" for axis in shares.split())
    name = {"1b3": "1.3B", "14b": "14B"}[model]
    size = "961 x 1088 x 1920" if minute else "81 x 720 x 1280"
    if minute:
        flags += " --config.sampling.frames=961 --config.sampling.size 1088 1920"
    return Row(f"sample {name}, {size}", f"wan21_{model}.py", topology, flags)


def streaming(topology: str) -> Row:
    """A row of a causal model, which denoises a block beside all that it sees."""
    task = "sample causal 1.3B, 12 x 480 x 832 of 81"
    return Row(task, "wan.py:wan21_1b3_causal", topology, "")


def minute(topology: str, shares: str, kind: str = "distilled") -> Row:
    """A row of Helios: a step at the finest stage of a chunk, of a minute of video."""
    flags = [f"--mesh.{axis}" for axis in shares.split()]
    flags.append("--config.sampling.frames=1449")
    task = f"sample Helios-{kind.capitalize()}, 33 x 384 x 640 of a minute"
    return Row(task, f"helios.py:helios_{kind}", topology, " ".join(flags))


ROWS = (
    sampling("14b", "v6e:2x4", "data=2 context=4"),
    training("1b3", "v5e:4x4", 4, "fsdp=4 context=4"),
    training("1b3", "v5p:2x2x1", 4, "fsdp=4 context=1"),
    training("1b3", "v6e:2x4", 4, "fsdp=4 context=2"),
    training("14b", "v5p:2x2x4", 4, "fsdp=4 context=4"),
    training("14b", "v6e:4x8", 4, "fsdp=4 context=8"),
    training("14b", "tpu7x:2x2x1", 2, "fsdp=2 context=4"),
    training(
        "14b", "v5p:8x8x8", 128, "fsdp=128 context=4", "--config.optim.accumulate=4"
    ),
    sampling("14b", "tpu7x:2x2x1", "data=2 context=4"),
    streaming("v6e:1x1"),
    streaming("v6e:2x4"),
    sampling("1b3", "v6e:16x16", "data=2 context=128", minute=True),
    sampling("14b", "v6e:16x16", "data=2 context=128", minute=True),
    minute("v6e:2x4", "data=1 context=8"),
    minute("tpu7x:2x2x1", "data=1 context=8"),
    minute("v6e:2x4", "data=2 context=4", "base"),
    minute("tpu7x:2x2x1", "data=2 context=4", "base"),
)
# One of training, and one of two million tokens.
CHECKED = tuple(
    row
    for row in ROWS
    if (row.task[:10], row.topology)
    in (("train 1.3B", "v5p:2x2x1"), ("sample 14B", "v6e:16x16"))
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
    """Compile what is missing, and write the table."""

    # Compile two rows anew, and compare; nothing is written.
    check: bool = False


def command(row: Row) -> list[str]:
    """What plans a row."""
    return [
        *("-m", "sora_jax.plan", f"--config=configs/{row.config}"),
        *(f"--topology={row.topology}", *row.flags.split()),
    ]


def planned(row: Row) -> dict[str, dict]:
    """Compile a row in a process of its own; a plan for each of its steps."""
    paths = [str(HERE.parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(
        [sys.executable, *command(row), "--json"],
        cwd=HERE.parent,
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{row.task} on {row.topology}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def differences(before: dict[str, dict], now: dict[str, dict]) -> list[str]:
    """What no longer is as it was written down."""
    lines = []
    for step, plan in now.items():
        was = before[step]
        sent = [sum(one["collective_bytes"].values()) for one in (was, plan)]
        peaks = [one["peak_hbm_bytes"] for one in (was, plan)]
        pairs = {"peak_hbm_bytes": peaks, "sent": sent}
        lines += [
            f"{step} {name}: {old} before, {new} now"
            for name, (old, new) in pairs.items()
            if old is None or new is None or abs(new - old) > TOLERANCE * old
        ]
    return lines


def table(found: Rows) -> str:
    """The table as Markdown."""
    libraries = ", ".join(f"{name} {version(name)}" for name in ("jax", "libtpu"))
    lines = [
        "# Models with open weights on pods",
        "",
        f"`python benchmarks/pods.py`, with {libraries}. Nothing ran: XLA compiled",
        "each step for chips that were not there. Memory is what XLA measured of the",
        "program, bytes sent are read in it; bounds are arithmetic with the makers'",
        "figures. MFU: the share of the chips' peak that the model's FLOPs can have at",
        "most; in brackets, if heads of 128 filled the matrix unit, of side 256 on",
        "v6e and tpu7x.",
        "",
        "| step | pod | mesh | remat | GiB of a device | sent, GiB "
        "| bounds, s: compute (nominal), HBM, links | MFU |",
        "|---|---|---|---|---:|---:|---|---:|",
    ]
    for row in ROWS:
        for step, plan in found.get(key(row), {}).items():
            lines.append(line(row, step, plan))
    lines += ["", COMMANDS, "", "```bash"]
    lines += [f"python {' '.join(command(row))}" for row in ROWS]
    return "\n".join([*lines, "```", ""])


def line(row: Row, step: str, plan: dict) -> str:
    """A row of the table."""
    mesh = " x ".join(f"{k} {v}" for k, v in plan["mesh"].items() if v > 1) or "one"
    peak, room = (plan[name] for name in ("peak_hbm_bytes", "hbm_bytes"))
    memory = f"{peak / GIB:.1f} of {room / GIB:.1f}" if peak else "unknown"
    task = row.task if step != "decode" else row.task.replace("sample", "decode")
    begins = f"| {task} | {row.topology} | {mesh} | {plan['remat']} |"
    if not plan["fits"]:
        return f"{begins} **{memory}** | does not fit | | |"
    sent = sum(plan["collective_bytes"].values()) / GIB
    bounds = plan["bounds_s"]
    times = (
        f"{bounds['compute']:.3g} ({bounds['compute_nominal']:.3g}), "
        f"{bounds['hbm']:.3g}, {bounds['ici']:.3g}"
    )
    share = f"{plan['mfu_bound']:.0%} ({plan['mfu_bound_nominal']:.0%})"
    return f"{begins} {memory} | {sent:.1f} | {times} | {share} |"


def key(row: Row) -> str:
    """A row's name in the file."""
    return " ".join(command(row)[2:])


def main(arguments: Arguments) -> None:
    """Compile and write, or check.

    Raises:
      RuntimeError: a row does not compile, or is no longer what it was.
    """
    store = HERE / "pods.json"
    written = json.loads(store.read_text()) if store.exists() else {}
    made_with = {name: version(name) for name in ("jax", "libtpu")}
    # Another compiler makes other programs: all is compiled anew, nothing compared.
    is_same = written.get("made_with") == made_with
    found = written["rows"] if is_same else {}
    if arguments.check and not is_same:
        print(f"made with {written.get('made_with')}, not {made_with}: not compared")
    elif arguments.check:
        for row in CHECKED:
            if key(row) not in found:
                raise RuntimeError(f"{row.task} on {row.topology} is not written yet")
            if changed := differences(found[key(row)], planned(row)):
                raise RuntimeError(f"{row.task} on {row.topology}: {changed}")
            print(f"{row.task} on {row.topology}: as written")
    else:
        complete(found, made_with, store)


def complete(found: Rows, made_with: dict[str, str], store: Path) -> None:
    """Compile the rows that are missing, each written as soon as it is there."""
    for row in ROWS:
        if key(row) not in found:
            print(f"{row.task} on {row.topology}", flush=True)
            found[key(row)] = planned(row)
            content = {"made_with": made_with, "rows": found}
            store.write_text(json.dumps(content, indent=1) + "\n")
    (HERE / "pods.md").write_text(table(found))


if __name__ == "__main__":
    main(tyro.cli(Arguments))
