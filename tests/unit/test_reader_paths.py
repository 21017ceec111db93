# SPDX-License-Identifier: Apache-2.0
"""docs/ by reader: the paths of the navigation, their words, and the pages that messages name.

A word is what stands between blanks, as `wc -w` counts it: of text, tables, code and transcripts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.unit.test_docs import MADE

DOCS = ROOT / "docs"
PATHS = ("Train and deploy", "Integrate into a product", "Build a wearable")
SECTIONS = (*PATHS, "Developers", "Reference")
MOST_PAGES, MOST_WORDS_OF_PATHS, MOST_WORDS = 10, 16_000, 55_000
MOST_LINES_BEFORE_AN_EXAMPLE = 12
# what users see names pages: messages, help, templates of generated files, boards, examples
SPEAKING = ("myoedge", "firmware_templates", "boards", "gvsoc", "examples")
TEXTS = (".py", ".txt", ".json", ".ipynb", ".j2", ".c", ".h", ".S", ".toml", ".md")


def sections() -> dict[str, list[str]]:
    """Pages of each section of the navigation, in order."""
    _, _, navigation = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")
    found: dict[str, list[str]] = {}
    for line in navigation.splitlines():
        if top := re.fullmatch(r"  - ([^:]+):(?: (\S+\.md))?", line):
            pages = found.setdefault(top[1], [])
            if top[2]:
                pages.append(top[2])
        elif page := re.search(r": (\S+\.md)$", line):
            pages.append(page[1])
    return found


def words(page: Path) -> int:
    return len(page.read_text(encoding="utf-8").split())


def of_paths() -> list[Path]:
    return [DOCS / page for path in PATHS for page in sections()[path]]


def test_the_navigation_has_a_section_for_each_reader() -> None:
    assert [*sections()] == ["Home", *SECTIONS]
    assert sections()["Home"] == ["index.md"]
    assert {*sections()["Reference"]} >= MADE


def test_three_paths_are_short() -> None:
    assert len(of_paths()) <= MOST_PAGES
    assert sum(map(words, of_paths())) <= MOST_WORDS_OF_PATHS


def test_all_pages_are_short() -> None:
    counts = {str(page.relative_to(DOCS)): words(page) for page in DOCS.rglob("*.md")}
    assert sum(counts.values()) <= MOST_WORDS, counts


def test_pages_of_a_path_are_in_its_folder() -> None:
    folders = {path: {page.partition("/")[0] for page in sections()[path]} for path in PATHS}
    assert [len(names) for names in folders.values()] == [1, 1, 1]
    for path, (folder,) in folders.items():
        listed = {DOCS / page for page in sections()[path]}
        assert listed == {*(DOCS / folder).glob("*.md")}, path


@pytest.mark.parametrize("page", of_paths(), ids=lambda page: page.stem)
def test_a_page_of_a_path_starts_with_an_example(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()[:MOST_LINES_BEFORE_AN_EXAMPLE]
    assert any(line.startswith(("    ", "```")) for line in lines)


def named() -> Iterator[tuple[str, str]]:
    """(page, file that names it)."""
    files = [path for name in SPEAKING for path in (ROOT / name).rglob("*")]
    for path in [*files, *ROOT.glob("*.md"), ROOT / "pyproject.toml"]:
        if path.suffix in TEXTS and path.is_file():
            for page in re.findall(r"\bdocs/([\w/-]+\.md)", path.read_text(encoding="utf-8")):
                yield page, str(path.relative_to(ROOT))


def test_pages_that_are_named_exist() -> None:
    found = {*named()}
    assert {file for _, file in found} & {"myoedge/catalogue/usage.txt", "README.md"}
    missing = {(page, file) for page, file in found if not (DOCS / page).is_file()}
    assert missing == set()
