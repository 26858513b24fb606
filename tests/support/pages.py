"""The README and the pages of docs/, as the tests read them."""

import re
from pathlib import Path
from typing import Final

import attrs

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
FILES: Final = (ROOT / "README.md", *sorted(DOCS.glob("*.md")))
# test_docs_walkthroughs.py runs these as a whole: commands that build on each other, with output.
WALKTHROUGHS: Final = ("first-ten-minutes.md", "rehearsal.md")
MACHINES: Final = "many-machines.md"


@attrs.frozen
class Block:
    """A fenced block of code, and its page."""

    page: str
    language: str
    code: str

    @property
    def commands(self) -> list[str]:
        lines = self.code.splitlines()
        return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]

    def __str__(self) -> str:
        return f"{self.page}: {self.code.strip().splitlines()[-1][:40]}"


def page(name: str) -> str:
    """Return the text of a page of docs/."""
    return (DOCS / name).read_text()


def blocks_of(file: Path) -> list[Block]:
    """Return the blocks of a page, in order."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", file.read_text(), re.DOTALL | re.MULTILINE)
    return [Block(file.name, language, code) for language, code in found]


BLOCKS: Final = [block for file in FILES for block in blocks_of(file)]


def blocks_in(language: str) -> list[Block]:
    """Return all blocks in a language, except those of a walkthrough."""
    return [
        block for block in BLOCKS if block.language == language and block.page not in WALKTHROUGHS
    ]


def block_with(word: str) -> str:
    """Return the first Python block that contains a word."""
    return next(block.code for block in blocks_in("python") if word in block.code)
