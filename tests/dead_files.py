# SPDX-License-Identifier: Apache-2.0
"""Files that nothing reads: modules without an importer, C files that no source or kernel names.

python -m tests.dead_files    prints them; exit code 1 if there are any. `make check` runs it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parents[1]
TEMPLATES = ROOT / "firmware_templates"
EXTENSIONS = ROOT / "myoedge" / "extensions"
# Started or loaded by name: `python -m myoedge`, examples, what users import for a library, JSON
# Schemas, and modules of operators.
LOADED = re.compile(
    r"myoedge(\.__main__|\.extensions\.(zoo(\..*)?|integrations\.\w+|\w+)|\.catalogue\.schemas|\.operators\.(api|\w+\.\w+))?"
)
NAMED = re.compile(r"[\w.-]+")
INSTANCES = "_instances.def"  # tables that myoedge/codegen/library.py finds by their ending


def find_unread_modules() -> Iterator[str]:
    """Modules that no other module imports. Packages are read through their modules."""
    graph = grimp.build_graph("myoedge", exclude_type_checking_imports=False, cache_dir=None)
    text = "\n".join(path.read_text() for path in (ROOT / "myoedge").rglob("*.py"))
    for module in sorted(graph.modules):
        is_read = graph.find_modules_that_directly_import(module) or graph.find_children(module)
        names = f'"{module}"', f'"{module}:', f'"{module.rsplit(".", 1)[-1]}"'
        by_name = any(name in text for name in names)
        is_family = (
            ROOT / module.replace(".", "/") / "__init__.py"
        ).exists()  # operators' packages
        if not (is_read or by_name or is_family or LOADED.fullmatch(module)):
            yield module


def find_unread_sources() -> Iterator[str]:
    """Files of firmware_templates/, and of extensions' firmware and templates, whose name without
    its suffix no other file contains."""
    added = (x for x in EXTENSIONS.rglob("*") if x.suffix not in (".py", ".pyc"))
    sources = [*TEMPLATES.rglob("*"), *added]
    texts = [*sources, *(ROOT / "myoedge").rglob("*.py"), *(ROOT / "gvsoc").rglob("*")]
    words: dict[str, set[Path]] = {}
    for path in (path for path in texts if path.is_file() and path.suffix != ".pyc"):
        for word in NAMED.findall(path.read_text(encoding="utf-8")):
            words.setdefault(Path(word).stem, set()).add(path)
    for path in sorted(x for x in sources if x.is_file()):
        if path.name.endswith(INSTANCES):
            continue
        if not words.get(Path(path.stem).stem, set()) - {path}:
            yield str(path.relative_to(ROOT))


def main() -> int:
    dead = [*find_unread_modules(), *find_unread_sources()]
    for name in dead:
        print(f"nothing reads {name}")
    return 1 if dead else 0


if __name__ == "__main__":
    sys.exit(main())
