"""The notebooks, executed and kept with outputs: `python tests/execute_notebooks.py`.

Needs the `notebooks` extra. Outputs hold what everybody would see: no progress bars,
times or paths. The notebook's metadata keep a hash of the source that was executed, so
that an edit of the source alone is noticed.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LARGEST = 1_500_000  # bytes
ENVIRONMENT = {
    # Warnings of the notebook server's own are not ours to mend.
    "PYTHONWARNINGS": "default",
    "JUPYTER_PLATFORM_DIRS": "1",
}
# What tqdm draws, with a total and without one.
BAR = re.compile(r"[^\r\n]*(?:\d%\||\d\w* \[\d+:\d\d)[^\r\n]*")
# Base64 may hold anything.
DATA = re.compile(r"base64,[\w+/=]+")
PATHS = re.compile(r"(?:^|[\s'\"(=:])(?:/\w[\w.-]*/|~/|[A-Z]:\\)[^\s'\"]*")


def execute(path: Path) -> nbformat.NotebookNode:
    """Run a notebook in its folder, and return it with its outputs.

    Raises:
      nbclient.exceptions.CellExecutionError: a cell fails.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=900,
        record_timing=False,
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute(env={"JAX_PLATFORMS": "cpu", **os.environ, **ENVIRONMENT})
    for cell in code_cells(notebook):
        cell.outputs = tidied(cell.outputs)
    notebook.metadata["language_info"] = {"name": "python"}
    notebook.metadata["executed"] = digest(notebook)
    return notebook


def tidied(outputs: list[Any]) -> list[Any]:
    """Outputs without progress bars, and what was printed in one piece as one."""
    kept: list[Any] = []
    for output in outputs:
        if output.get("name") == "stderr":
            # Bars say how fast this machine is.
            output.text = BAR.sub("", output.text).strip("\r\n ")
            if not output.text:
                continue
        if kept and "name" in output and kept[-1].get("name") == output.name:
            kept[-1].text += output.text
        else:
            kept.append(output)
    return kept


def code_cells(notebook: nbformat.NotebookNode) -> list[Any]:
    """The cells that are executed, in order."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def digest(notebook: nbformat.NotebookNode) -> str:
    """A hash of the source of all code cells."""
    source = "\0".join(cell.source for cell in code_cells(notebook))
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def kinds(cell: Any) -> list[str]:
    """What a cell's outputs are: "stream stdout", "display_data", "execute_result"."""
    return [
        f"{output.output_type} {output.get('name', '')}".strip()
        for output in cell.outputs
    ]


def problems(notebook: nbformat.NotebookNode) -> list[str]:
    """What keeps an executed notebook from being published."""
    found = []
    cells = code_cells(notebook)
    counts = [cell.execution_count for cell in cells]
    if counts != list(range(1, len(cells) + 1)):
        found.append(f"its cells were not executed once, in order: {counts}")
    if notebook.metadata.get("executed") != digest(notebook):
        found.append("its source is not what was executed")
    size = len(nbformat.writes(notebook).encode())
    if size > LARGEST:
        found.append(f"it has {size} bytes, more than {LARGEST}")
    for cell in cells:
        told = set(kinds(cell)) - {"stream stdout", "display_data", "execute_result"}
        found += [f"cell {cell.id}: {kind}" for kind in sorted(told)]
        texts = DATA.sub("", "\n".join(map(text_of, cell.outputs)))
        found += [f"cell {cell.id}: {path!r}" for path in PATHS.findall(texts)]
        if set(cell.metadata):
            found.append(f"cell {cell.id}: metadata {dict(cell.metadata)}")
    return found


def text_of(output: Any) -> str:
    """What an output says in words; pictures say nothing."""
    data = output.get("data", {})
    texts = [text for kind, text in data.items() if kind.startswith("text/")]
    return "\n".join([output.get("text", ""), *texts])


def main() -> None:
    """Execute the notebooks that are named, or all, and keep their outputs.

    Raises:
      SystemExit: one is not fit to be published; it is not written.
    """
    for path in map(Path, sys.argv[1:] or NOTEBOOKS):
        notebook = execute(path)
        if found := problems(notebook):
            sys.exit(f"{path}: " + "\n".join(found))
        nbformat.write(notebook, path)
        print(path)


if __name__ == "__main__":
    main()
