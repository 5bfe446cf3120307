"""What the pages of the documentation say is so: commands, Python, links and walks."""

import dataclasses
import re
import shutil
import tomllib

import numpy as np
import pages
import pytest
import tyro
from PIL import Image

import sora_jax
from sora_jax import cli
from sora_jax.config import Series, wan
from sora_jax.evals import operation_options, playground_options
from sora_jax.limits import UNLIMITED
from sora_jax.plan import command as plan
from sora_jax.sampling import checks, job, spellings
from sora_jax.sampling.model import Model
from sora_jax.sampling.parts import Canvas, Then, check_parts
from sora_jax.weights import export, publish, published

BASH = [block for page in pages.PAGES for block in pages.blocks_of(page, "bash")]
PYTHON = [page for page in pages.PAGES if pages.blocks_of(page, "python")]
PROJECT = tomllib.loads((pages.ROOT / "pyproject.toml").read_text())
# Programs that are not ours, or change nothing but the shell.
OTHERS = {"cd", "export", "gcloud", "git", "hf", "pre-commit", "source", "sphinx-build"}
OPTIONS = {
    "sora_jax.evals.operations": operation_options,
    "sora_jax.evals.playground": playground_options,
}


class Grey(Model):
    """Checks all that is asked for as a model does, and answers in grey."""

    def perform(self, parts, progress):
        check_parts(parts, self.config, self.limits)
        return shown(parts)


def shown(parts):
    for part in parts:
        if isinstance(part, np.ndarray):
            yield part[None]
            continue
        canvas = part.canvas if isinstance(part, Then) else part
        request, frames = canvas.request, canvas.stop - canvas.start
        grey = np.zeros((len(request.prompts), frames, *request.settings.size, 3))
        grey = grey.astype(np.float32)
        if isinstance(part, Canvas):
            yield grey
        else:
            yield from shown(part.parts(grey[0]))


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """What the commands of the pages find where they are given."""
    folder = tmp_path_factory.mktemp("clone")
    shutil.copytree(pages.ROOT / "configs", folder / "configs")
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


def sample(argv, needs):
    arguments = spellings.parse(argv)
    if not needs:
        checks.refuse(arguments)
        assert job.prepare(arguments).outs


def train(argv, needs):
    del needs
    config, _ = cli.parse_run(argv)
    for location, *_ in config.stages if isinstance(config, Series) else ():
        cli.load_config(location)


def module(name, argv):
    if name == "sora_jax.plan":
        config, options = cli.parse_beside_config(argv, plan.Options)
        assert re.fullmatch(r"\w+:\d+(x\d+)+", options.topology), options
        assert isinstance(config, plan.DiTRun | plan.ModelConfig)
    elif name in OPTIONS:
        options = tyro.cli(OPTIONS[name].Options, args=argv)
        OPTIONS[name].check(options)
    else:
        known = {"sora_jax.weights.publish": publish, "sora_jax.weights.export": export}
        tyro.cli(known[name].Arguments, args=argv)


def check(command, needs):
    """Check a command as far as it would be before its work begins."""
    program, *argv = command
    if program == "python":
        first, *rest = argv
        if first == "sample.py":
            sample(rest, needs)
        elif first == "train.py":
            train(rest, needs)
        elif first == "-m" and rest[0] != "venv":
            module(rest[0], rest[1:])
        elif first != "-m":
            flags = [word.partition("=")[0] for word in rest if word.startswith("--")]
            names = {flag[2:].replace("-", "_") for flag in flags}
            assert names <= pages.names_in(pages.ROOT / first)
    elif program == "pip":
        extras = re.findall(r"\[([\w,]+)\]", " ".join(argv))
        known = PROJECT["project"]["optional-dependencies"]
        assert set(",".join(extras).split(",")) <= {*known, ""}
    elif program == "pytest":
        paths = [word for word in argv if "/" in word]
        assert all((pages.ROOT / path).exists() for path in paths)
    else:
        assert program in OTHERS, f"nothing here checks {program!r}: mark its block"


@pytest.mark.parametrize("block", BASH, ids=lambda block: block.name)
def test_commands_are_taken(block, files, monkeypatch, capsys):
    monkeypatch.chdir(files)
    commands = pages.commands_of(block.text)
    assert commands
    for command in commands:
        is_help = "--help" in command
        with pytest.raises(SystemExit) if is_help else monkeypatch.context() as raised:
            check(command, block.needs)
        assert not is_help or raised.value.code == 0


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
    config = published.describe(published.ASSETS)
    grey = Grey(dataclasses.replace(weights, config=config))
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
    assert len((pages.ROOT / "README.md").read_text().splitlines()) <= 150


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_links_lead_somewhere(name):
    assert not pages.broken_links(pages.ROOT / name)


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
    assert len(hops) > 50
    missing = [
        f"{file}:{name}"
        for file, name in hops
        if not (pages.ROOT / file).is_file()
        or name not in pages.definitions(pages.ROOT / file)
    ]
    assert not missing
    named = re.findall(r"`(\w+/[\w/.]*?)(?::[\w.]+)?`", text)
    assert not [path for path in named if not (pages.ROOT / path).exists()]


CLIP = np.zeros((17, 64, 64, 3), np.float32)
ROWS = {
    "generate: a video or an image from text": [
        lambda m: m.generate("a", frames=17, size=(64, 64)),
        lambda m: m.generate("a", frames=1, size=(64, 64)),
    ],
    "animate a first picture": [lambda m: m.animate(CLIP[:1], "a", frames=17)],
    "animate through any keyframes": [lambda m: m.animate(KEYS, "a", frames=17)],
    "extend forward": [lambda m: m.extend(CLIP, "a", frames=16)],
    "extend backward, connect, loop": [
        lambda m: m.extend(CLIP, "a", frames=16, direction="backward"),
        lambda m: m.connect(CLIP, CLIP, "a", frames=8),
        lambda m: m.loop(CLIP, "a", frames=8),
        lambda m: m.loop(prompt="a", frames=32, size=(64, 64)),
    ],
    "insert, remove": [
        lambda m: m.insert(CLIP, "a", spans=[(0.5, 1.5)], fps=8),
        lambda m: m.remove(CLIP, "a", spans=[(0.5, 1.0)], fps=8),
    ],
    "inpaint, outpaint": [
        lambda m: m.inpaint(CLIP, np.zeros((17, 64, 64), np.float32), "a"),
        lambda m: m.outpaint(CLIP, "a", size=(96, 96)),
    ],
    "edit, upscale": [
        lambda m: m.edit(CLIP, "a"),
        lambda m: m.upscale(CLIP, "a", size=(128, 128)),
    ],
    "storyboard, without pictures": [
        lambda m: m.storyboard(SHOTS, frames=17, size=(64, 64))
    ],
    "videos longer than a window": [
        lambda m: m.generate("a", frames=241, size=(64, 64))
    ],
}
KEYS = [
    sora_jax.sampling.tasks.keyframes.Keyframe(pixels=CLIP[:1], frame=frame)
    for frame in (0, 8)
]
SHOTS = [
    sora_jax.sampling.tasks.story.Stretch(frame=frame, prompt="a") for frame in (0, 8)
]
COLUMNS = {
    "default": ["default"],
    "Wan 2.1 1.3B, 14B": ["wan21_1b3", "wan21_14b"],
    "Wan 2.2 5B": ["wan22_5b"],
    "Wan 2.2 A14B": ["wan22_a14b"],
}


def works(call, model):
    try:
        call(model)
    except ValueError:
        return False
    return True


def test_the_table_of_models_says_what_works(weights):
    text = (pages.ROOT / "README.md").read_text()
    table = re.search(r"^\| \| default .*?\n\n", text, re.MULTILINE | re.DOTALL)
    head, _, *lines = (
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table[0].strip().splitlines()
    )
    assert head[1:] == list(COLUMNS) and [line[0] for line in lines] == list(ROWS)
    configs = {**wan.MODELS, "default": published.describe(published.ASSETS)}
    for name, *cells in lines:
        for cell, models in zip(cells, COLUMNS.values(), strict=True):
            for each in models:
                known = dataclasses.replace(weights, config=configs[each])
                model = Grey(known, limits=UNLIMITED)
                found = [works(call, model) for call in ROWS[name]]
                assert all(found) or not any(found), (name, each, found)
                assert cell == ("yes" if found[0] else "–"), (name, each)
