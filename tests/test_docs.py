"""What the pages of the documentation say is so: commands, Python, links and walks."""

import contextlib
import dataclasses
import re
import shutil

import pytest
from PIL import Image

import sora_jax
from sora_jax import config
from sora_jax.sampling import spellings
from sora_jax.sampling.flags import SampleFlags
from sora_jax.sampling.task_methods import TaskMethods
from sora_jax.weights import bundle
from tests.helpers import pages
from tests.helpers.doc_commands import check
from tests.helpers.grey import Grey
from tests.helpers.paths import ROOT

BASH = [block for page in pages.PAGES for block in pages.blocks_of(page, "bash")]
PYTHON = [page for page in pages.PAGES if pages.blocks_of(page, "python")]


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """What the commands of the pages find where they are given."""
    folder = tmp_path_factory.mktemp("clone")
    shutil.copytree(ROOT / "configs", folder / "configs")
    (folder / "videos").mkdir()
    frames = [Image.new("RGB", (64, 64), (9 * i, 80, 200)) for i in range(17)]
    frames[0].save(folder / "videos" / "start.png")
    frames[0].save(
        folder / "videos" / "clip.gif",
        save_all=True,
        append_images=frames[1:],
        duration=125,
    )
    (story,) = pages.blocks_of(pages.DOCS / "sampling.md", "yaml")
    (folder / "story.yaml").write_text(story.text)
    return folder


@pytest.mark.parametrize("block", BASH, ids=lambda block: block.name)
def test_commands_are_taken(block, files, monkeypatch, capsys):
    monkeypatch.chdir(files)
    commands = pages.commands_of(block.text)
    assert commands
    for command in commands:
        ends = pytest.raises(SystemExit, match="^0$")
        with ends if "--help" in command else contextlib.nullcontext():
            check(command, block.needs)


@pytest.mark.parametrize("page", pages.PAGES, ids=lambda page: page.stem)
def test_commands_in_sentences_are_taken(page, files, monkeypatch):
    monkeypatch.chdir(files)
    for line in pages.inline_commands(page):
        for command in pages.commands_of(line):
            check(command, "a reader who has what they name")


def test_a_command_that_is_none_is_found(files, monkeypatch, capsys):
    monkeypatch.chdir(files)
    for line, kind in (
        ("python sample.py --prompt 'a ball' --frame 4", SystemExit),
        ("python sample.py --prompt 'a ball' --frames 4", ValueError),
        ("python train.py --config=configs/none.py --workdir=a", ValueError),
        ("python benchmarks/steps.py --case 3", AssertionError),
        ("pip install -e '.[docks]'", AssertionError),
        ("pytest tests/none", AssertionError),
        ("make videos", AssertionError),
    ):
        (command,) = pages.commands_of(line)
        with pytest.raises(kind):
            check(command, "")


@pytest.mark.parametrize("page", PYTHON, ids=lambda page: page.stem)
def test_python_runs(page, weights, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "videos").mkdir()
    described = bundle.describe(bundle.ASSETS)
    grey = Grey(dataclasses.replace(weights, config=described))
    monkeypatch.setattr(sora_jax, "load", lambda: grey, raising=False)
    names: dict = {}
    for block in pages.blocks_of(page, "python"):
        code = compile(block.text, block.name, "exec")
        if not block.needs:
            exec(code, names)


def test_every_page_has_its_place():
    assert len(BASH) > 20 and len(PYTHON) > 3
    index = (pages.DOCS / "index.md").read_text()
    listed = set(re.findall(r"^[a-z_]+$", index, re.MULTILINE)) | {"index"}
    assert listed == {path.stem for path in pages.DOCS.glob("*.md")}
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_links_lead_somewhere(name):
    assert not pages.broken_links(ROOT / name)


def test_generated_pages_are_what_their_scripts_write():
    for name in ("coming_from", "prompts"):
        written = (pages.DOCS / f"{name}.md").read_text()
        again = f"docs/{name}.md: run python docs/{name}.py"
        assert written == pages.script(name).page(), again
    for name, content in pages.script("drawings").drawings().items():
        assert (pages.DOCS / "pictures" / name).read_text() == content, name


def test_every_flag_of_others_is_on_the_page_for_those_who_come():
    programs = pages.script("coming_from").PROGRAMS.values()
    told = {name.replace("_", "-") for _, flags, _ in programs for name in flags}
    assert set(spellings.FLAGS) <= told


def test_prompts_that_work_are_of_words_that_were_read():
    prompts = pages.script("prompts")
    assert not prompts.unread()
    sheets = list((pages.DOCS / "prompts").iterdir())
    assert len(sheets) == len(prompts.sections()) + 1
    assert sum(path.stat().st_size for path in sheets) <= 400_000


def test_walks_pass_through_functions_that_there_are():
    text = (pages.DOCS / "architecture.md").read_text()
    hops = re.findall(r"`([\w/]+\.py):([\w.]+)`", text)
    assert len(hops) > 30
    missing = [
        f"{file}:{name}"
        for file, name in hops
        if not (ROOT / file).is_file() or name not in pages.definitions(ROOT / file)
    ]
    assert not missing
    named = re.findall(r"`(\w+/[\w/.]*?)(?::[\w.]+)?`", text)
    assert not [path for path in named if not (ROOT / path).exists()]


def test_the_pages_leave_nothing_out():
    sampling = (pages.DOCS / "sampling.md").read_text()
    flags = (field.name.replace("_", "-") for field in dataclasses.fields(SampleFlags))
    assert [flag for flag in flags if f"--{flag}" not in sampling] == []
    python = (pages.DOCS / "python.md").read_text()
    kinds = [name for name in config.__all__ if isinstance(vars(config)[name], type)]
    assert [name for name in kinds if f"sora_jax.config.{name}\n" not in python] == []
    (members,) = re.findall(r"TaskMethods\n   :members: (.+)", python)
    public = {name for name in vars(TaskMethods) if not name.startswith("_")}
    public -= {"perform"}  # of `Model`
    assert set(members.split(", ")) == public - {"run"}
