"""The programs in README.md and docs/ run and print what the page says, and its links lead somewhere.

A ```python block with a `__main__` guard is a program: it has to end well. What it prints is the ```output block after
it, to the letter; if there is none, the comments behind its `print` calls, if there are any. Any other block is a
fragment; it has to compile. The guide's programs are also the files of examples/guide, and those of its translation.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SECONDS = 30.0

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_PRINTED = re.compile(r"^ *print\(.*\)  # (.+)$", re.MULTILINE)
_FILE = re.compile(r"^\[(examples/guide/\w+\.py)\]\(\.\./\1\)\n\n```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\((?!https?://)([^)#]+)")


class Block(NamedTuple):
    where: str
    code: str
    printed: str | None

    @property
    def is_program(self) -> bool:
        return 'if __name__ == "__main__":' in self.code


def blocks(page: Path) -> list[Block]:
    """The page's ```python blocks, each with what it has to print (None: the page does not say)."""
    text = page.read_text(encoding="utf-8")
    fences = list(_FENCE.finditer(text))
    found = []
    for i, fence in enumerate(fences):
        language, code = fence.groups()
        if language != "python":
            continue
        after = fences[i + 1] if i + 1 < len(fences) else None
        if after is not None and after[1] == "output" and not text[fence.end() : after.start()].strip():
            printed = after[2]
        else:
            printed = "".join(f"{line}\n" for line in _PRINTED.findall(code)) or None
        line = text.count("\n", 0, fence.start()) + 1
        found.append(Block(f"{page.name}:{line}", code, printed))
    return found


BLOCKS = [block for page in PAGES for block in blocks(page)]


PROGRAMS = {block.code: block for block in reversed(BLOCKS) if block.is_program}  # each once


@pytest.mark.parametrize("block", PROGRAMS.values(), ids=lambda b: b.where)
def test_program(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "program.py"
    path.write_text(block.code, encoding="utf-8")
    # Unbuffered, a line is two writes, and two processes' lines may mix.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, str(path)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    if block.printed is not None:
        assert done.stdout == block.printed, done.stderr


@pytest.mark.parametrize("block", BLOCKS, ids=lambda b: b.where)
def test_block_compiles(block: Block) -> None:
    compile(block.code, block.where, "exec", dont_inherit=True)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_output_blocks_belong_to_programs(page: Path) -> None:
    outputs = sum(language == "output" for language, _ in _FENCE.findall(page.read_text(encoding="utf-8")))
    assert outputs <= sum(block.is_program and block.printed is not None for block in blocks(page))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = _LINK.findall(page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


GUIDE, TRANSLATION = ROOT / "docs" / "guide.md", ROOT / "docs" / "guide.zh.md"


def test_each_program_of_the_guide_is_a_file() -> None:
    programs = _FILE.findall(GUIDE.read_text(encoding="utf-8"))
    assert [code for _, code in programs] == [block.code for block in blocks(GUIDE)]
    assert {ROOT / name for name, _ in programs} == set((ROOT / "examples" / "guide").glob("*"))
    for name, code in programs:  # a page has single blank lines
        assert re.sub(r"\n{3,}", "\n\n", (ROOT / name).read_text(encoding="utf-8")) == code, name


def test_the_translation_has_the_same_sections_programs_and_outputs() -> None:
    guide, translation = (page.read_text(encoding="utf-8") for page in (GUIDE, TRANSLATION))
    assert _FENCE.findall(guide) == _FENCE.findall(translation)
    assert _FILE.findall(guide) == _FILE.findall(translation)
    levels = [re.findall(r"^(#+) (\d*)", _FENCE.sub("", text), re.MULTILINE) for text in (guide, translation)]
    assert levels[0] == levels[1]
