"""The pages of the documentation: their fenced blocks, commands and links."""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType

from tests.helpers.paths import ROOT

DOCS = ROOT / "docs"
# What the changelog tells was so when it was written.
PAGES = sorted(
    path
    for folder in (ROOT, DOCS, ROOT / "benchmarks", ROOT / "sora_jax" / "assets")
    for path in folder.glob("*.md")
    if path.name != "CHANGELOG.md"
)
FENCE = re.compile(r"^```(.*)$")
INLINE = re.compile(r"`((?:pip|pytest|python|sphinx-build) [^`]+)`")
NEEDS = re.compile(r"<!-- needs: (.+) -->")
LINK = re.compile(r"(?:!?\[[^\]]*\]\(|src=\")([^)\s\"]+)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block.

    Attributes:
      page: where it stands.
      line: of its fence, from 1.
      language: after the fence.
      needs: what it cannot run without; empty where it can run anywhere.
      text: what is inside.
    """

    page: Path
    line: int
    language: str
    needs: str
    text: str

    @property
    def name(self) -> str:
        """Where it stands, for messages."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page: Path, language: str) -> list[Block]:
    """The blocks of a page in a language."""
    found, inside, before = [], None, ""
    for number, line in enumerate(page.read_text().splitlines(), start=1):
        fence = FENCE.match(line)
        if inside is None and fence:
            inside, needs = (number, fence[1]), NEEDS.fullmatch(before.strip())
            text: list[str] = []
        elif inside is not None and line == "```":
            found.append(
                Block(
                    page=page,
                    line=inside[0],
                    language=inside[1],
                    needs=needs[1] if needs else "",
                    text="\n".join(text) + "\n",
                )
            )
            inside = None
        elif inside is not None:
            text.append(line)
        before = line
    assert inside is None, f"{page} ends inside a block"
    return [block for block in found if block.language == language]


def inline_commands(page: Path) -> list[str]:
    """The commands within the sentences and tables of a page."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    found = (" ".join(command.split()) for command in INLINE.findall(text))
    return [command for command in found if "…" not in command]


def commands_of(text: str) -> list[list[str]]:
    """The commands of a shell script of plain lines, joined by && or not."""
    commands: list[list[str]] = []
    for line in text.replace("\\\n", " ").splitlines():
        command: list[str] = []
        for word in [*shlex.split(line, comments=True), "&&"]:
            if word != "&&":
                command.append(word)
            elif command:
                commands.append(command)
                command = []
    return commands


def names_in(path: Path) -> set[str]:
    """Arguments of functions and fields of classes of a script: what flags may be."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.add(node.value.removeprefix("--").replace("-", "_"))
    return names


def definitions(path: Path) -> set[str]:
    """Functions, classes and methods of a file, as NAME or CLASS.NAME."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            inside = (item for item in node.body if isinstance(item, ast.FunctionDef))
            found |= {f"{node.name}.{item.name}" for item in inside}
    return found


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in kept}


def broken_links(page: Path) -> list[str]:
    """Links of a page to files, and places in them, that there are not."""
    broken = []
    for link in LINK.findall(page.read_text()):
        path, _, anchor = link.partition("#")
        if "://" in path:
            continue
        target = page if not path else (page.parent / path)
        is_there = target.exists() and (not anchor or anchor in anchors(target))
        broken += [] if is_there else [link]
    return broken


def script(name: str) -> ModuleType:
    """A script of the documentation, as a module."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    if str(DOCS) not in sys.path:
        sys.path.append(str(DOCS))
    sys.modules[module.__name__] = module  # where dataclasses look for their types
    spec.loader.exec_module(module)
    return module
