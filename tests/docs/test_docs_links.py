"""Every link of the documentation leads somewhere, and every page and name can be found."""

import pkgutil
import re
from pathlib import Path

import pytest
from pages import DOCS, FILES, ROOT

import invoicexpress_async

pytestmark = pytest.mark.one_python

TEXTS = {file: file.read_text() for file in (*FILES, ROOT / "CHANGELOG.md", ROOT / "SECURITY.md")}
LINKS = [
    (file, link)
    for file, text in TEXTS.items()
    for link in dict.fromkeys(re.findall(r"\]\(([^)\s]+)\)", text))
    if not link.startswith("https://")
]


def anchors(file: Path) -> set[str]:
    text = re.sub(r"^```.*?^```$", "", file.read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    slugs = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return slugs | set(re.findall(r'<a id="([\w-]+)">', text))


def leads_somewhere(file: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (file.parent / path).resolve() if path else file
    is_ours = target.is_file() and ROOT in target.parents
    return is_ours and (not anchor or anchor in anchors(target))


def test_every_link_leads_to_a_file_and_a_heading() -> None:
    assert LINKS
    assert [(file.name, link) for file, link in LINKS if not leads_somewhere(file, link)] == []


def test_every_page_is_linked_from_the_readme_and_the_index() -> None:
    names = {file.name for file in DOCS.glob("*.md")}
    pages = names - {"index.md"}
    menu = (ROOT / ".mkdocs.yml").read_text()

    assert {name for name in pages if f"](docs/{name})" not in TEXTS[ROOT / "README.md"]} == set()
    assert {name for name in pages if f"]({name})" not in TEXTS[DOCS / "index.md"]} == set()
    assert {name for name in names if f": {name}\n" not in menu} == set()


def test_no_page_links_outside_the_site() -> None:
    assert [file.name for file in FILES if file.parent == DOCS and "](../" in TEXTS[file]] == []


def test_the_reference_has_every_public_name() -> None:
    described = set[object]()
    for target in re.findall(r"^::: (\S+)$", TEXTS[DOCS / "reference.md"], re.MULTILINE):
        found = pkgutil.resolve_name(target)
        described |= {getattr(found, name) for name in getattr(found, "__all__", ())} | {found}

    for name in dir(invoicexpress_async):
        assert getattr(invoicexpress_async, name) in described, name
