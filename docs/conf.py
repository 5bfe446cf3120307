"""The settings of Sphinx: `sphinx-build -W -n -b html docs build/docs`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))

import fields  # noqa: E402

import sora_jax  # noqa: E402, F401

project = "sora_jax"
author = "the authors of sora_jax"
copyright = "the authors of sora_jax, Apache-2.0"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
exclude_patterns = ["parts"]
templates_path: list[str] = []

# --- pages ----------------------------------------------------------------------------
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
# Building takes seconds and needs no accelerator: notebooks are shown as they stand.
nb_execution_mode = "off"

# --- the Python API -------------------------------------------------------------------
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_attr_annotations = False
# No network is reached, so others' types are not looked up.
nitpick_ignore_regex = [
    (r"py:.*", r"(np|numpy|jax|jaxtyping|collections|typing|etils|epath)\..*"),
]

# --- what it looks like ---------------------------------------------------------------
html_theme = "sphinx_book_theme"
html_title = "sora_jax"
html_theme_options = {
    "show_navbar_depth": 1,
    "show_toc_level": 2,
    "use_download_button": False,
}


def copy_notebooks() -> None:
    """Bring the notebooks below this folder, where Sphinx finds pages."""
    target = DOCS / "notebooks"
    target.mkdir(exist_ok=True)
    for path in (DOCS.parent / "notebooks").glob("*.ipynb"):
        copy = target / path.name
        if not copy.exists() or copy.read_bytes() != path.read_bytes():
            shutil.copyfile(path, copy)


copy_notebooks()


def setup(app: object) -> None:
    """Show what the comments above fields of dataclasses say."""
    fields.connect(app)
