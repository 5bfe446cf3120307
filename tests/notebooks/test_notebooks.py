"""The notebooks run whole; needs the `notebooks` extra: `pytest tests/notebooks`."""

import re
import subprocess
import sys
import tomllib
import types

from tests import execute_notebooks
import nbformat
import pytest

AGAIN = "run python tests/execute_notebooks.py"
PATHS = execute_notebooks.NOTEBOOKS
ADDRESS = "https://example.org/somebody/sora_jax"


def read(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_it_runs_whole_and_shows_what_is_kept(path, monkeypatch):
    # Compiling takes longer than running here.
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    monkeypatch.setenv("STEPS", "4")  # of the training in finetune.ipynb
    now, kept = execute_notebooks.execute(path), read(path)
    assert not execute_notebooks.problems(now)
    for cell, before in zip(
        *map(execute_notebooks.code_cells, (now, kept)), strict=True
    ):
        shown = execute_notebooks.kinds(cell)
        assert shown == execute_notebooks.kinds(before), f"{cell.id}: {AGAIN}"


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_it_is_kept_with_outputs_that_anybody_would_see(path):
    kept = read(path)
    assert not execute_notebooks.problems(kept), AGAIN
    assert len([cell for cell in kept.cells if cell.get("outputs")]) > 5
    assert kept.metadata.kernelspec.name == "python3"


def test_what_is_not_fit_to_be_kept_is_found():
    notebook = read(PATHS[0])
    cells = execute_notebooks.code_cells(notebook)
    assert execute_notebooks.PATHS.findall("clip.mp4: 9 of 10/2 frames, 4/s") == []
    for text in ("/home/a/b.mp4", "in '/tmp/x'", "C:\\a", "~/a", "to /srv/b"):
        cells[0].outputs = [nbformat.v4.new_output("stream", name="stdout", text=text)]
        (problem,) = execute_notebooks.problems(notebook)
        assert cells[0].id in problem
    cells[0].outputs = [nbformat.v4.new_output("stream", name="stderr", text="Warning")]
    assert "stderr" in execute_notebooks.problems(notebook)[0]
    cells[0].outputs = []
    cells[0].source += "\n# changed"
    assert execute_notebooks.problems(notebook) == [
        "its source is not what was executed"
    ]
    cells[1].execution_count = None
    assert len(execute_notebooks.problems(notebook)) == 2


def test_progress_is_not_kept():
    def stream(name, text):
        return nbformat.v4.new_output("stream", name=name, text=text)

    outputs = [
        stream("stdout", "step 1\n"),
        stream("stderr", "\r  0%|   | 0/60 [00:00<?, ?step/s]\n\n"),
        stream("stderr", "\r100%|███| 60/60 [01:32<00:00, 1.54s/step]\r      \r"),
        stream("stderr", "\rmeasuring latents: 4batch [00:05,  1.25s/batch]\n"),
        stream("stdout", "step 2\n"),
        stream("stderr", "\r 10%|   | 6/60 [00:00<?, ?step/s]\nUserWarning: slow\n"),
    ]
    kept = [(output.name, output.text) for output in execute_notebooks.tidied(outputs)]
    assert kept == [("stdout", "step 1\nstep 2\n"), ("stderr", "UserWarning: slow")]


# --- the first cell -------------------------------------------------------------------
def installing():
    """The source of the cell, which is the same in all notebooks."""
    found = {execute_notebooks.code_cells(read(path))[0].source for path in PATHS}
    (source,) = found
    assert len(source.splitlines()) <= 30
    return source


@pytest.fixture
def cell(monkeypatch):
    """The names that the cell defines, where sora_jax cannot be imported."""
    definitions, call, _ = installing().rpartition("print(")
    assert call
    names = {}
    exec(definitions, names)
    monkeypatch.setattr(names["importlib"].util, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "path", [])
    calls = []
    monkeypatch.setattr(
        subprocess, "run", lambda *args, **how: calls.append((*args, how))
    )
    return types.SimpleNamespace(names=names, calls=calls)


def installed(cell, folder):
    """What the cell installs from a folder, and what it says."""
    line = cell.names["install"](folder)
    ((command, how),) = cell.calls
    assert command[:5] == [sys.executable, "-m", "pip", "install", "--quiet"]
    assert how == {"check": True} and "\n" not in line
    return command[5:], line


def on_colab(monkeypatch, uploaded):
    files = types.SimpleNamespace(upload=lambda: dict.fromkeys(uploaded, b""))
    colab = types.SimpleNamespace(files=files)
    monkeypatch.setitem(sys.modules, "google", types.SimpleNamespace(colab=colab))
    monkeypatch.setitem(sys.modules, "google.colab", colab)


def test_the_address_is_that_of_the_project():
    project = tomllib.loads((execute_notebooks.ROOT / "pyproject.toml").read_text())
    address = project["project"]["urls"]["Repository"]
    assert re.findall('^REPOSITORY = "(.*)"', installing(), re.MULTILINE) == [address]


def test_nothing_is_installed_where_it_can_be_imported(cell, tmp_path, monkeypatch):
    (tmp_path / "sora_jax-1-py3-none-any.whl").touch()
    found = types.SimpleNamespace(origin="__init__.py")
    monkeypatch.setattr(cell.names["importlib"].util, "find_spec", lambda name: found)
    assert "already" in cell.names["install"](tmp_path)
    assert not cell.calls


def test_a_folder_beside_the_notebook_is_no_package(cell, tmp_path, monkeypatch):
    found = types.SimpleNamespace(origin=None)
    monkeypatch.setattr(cell.names["importlib"].util, "find_spec", lambda name: found)
    (tmp_path / "sora_jax-1.tar.gz").touch()
    assert installed(cell, tmp_path)[0] == [str(tmp_path / "sora_jax-1.tar.gz")]


def test_the_clone_around_the_notebook_is_installed(cell, tmp_path):
    (tmp_path / "sora_jax").mkdir()
    (tmp_path / "sora_jax" / "__init__.py").touch()
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "sora_jax-1.zip").touch()
    options, line = installed(cell, tmp_path / "notebooks")
    assert options == ["--editable", str(tmp_path)]
    assert line == f"installed sora_jax from {tmp_path}"
    assert str(tmp_path) in sys.path
    assert (execute_notebooks.ROOT / "sora_jax" / "__init__.py").exists()


@pytest.mark.parametrize(
    "name", ["sora_jax-1-py3-none-any.whl", "sora_jax-main.zip", "sora_jax-1.tar.gz"]
)
@pytest.mark.parametrize("is_uploaded", [False, True])
def test_a_wheel_or_an_archive_is_installed(
    name, is_uploaded, cell, tmp_path, monkeypatch
):
    (tmp_path / "other.zip").touch()
    if is_uploaded:
        on_colab(monkeypatch, [name])
    else:
        (tmp_path / name).touch()
    options, line = installed(cell, tmp_path)
    assert options == [str(tmp_path / name)]
    assert name in line


def test_an_address_is_installed_once_there_is_one(cell, tmp_path, monkeypatch):
    on_colab(monkeypatch, ["not_asked_for.whl"])
    cell.names["REPOSITORY"] = ADDRESS
    options, line = installed(cell, tmp_path)
    assert options == [f"git+{ADDRESS}"]
    assert ADDRESS in line


@pytest.mark.parametrize("is_on_colab", [False, True])
def test_without_any_of_these_no_address_is_guessed(
    is_on_colab, cell, tmp_path, monkeypatch
):
    if is_on_colab:
        on_colab(monkeypatch, [])
    with pytest.raises(ValueError, match="wheel or an archive"):
        cell.names["install"](tmp_path)
    assert not cell.calls


def test_hooks_leave_outputs_alone():
    hooks = (execute_notebooks.ROOT / ".pre-commit-config.yaml").read_text()
    assert not re.search("nbstripout|clear-output|jupyter", hooks)
    project = tomllib.loads((execute_notebooks.ROOT / "pyproject.toml").read_text())
    assert "notebooks" in project["tool"]["ruff"]["extend-exclude"]
