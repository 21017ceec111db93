# SPDX-License-Identifier: Apache-2.0
"""Pages of the site that are made when it is built, and a check of what was built."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

import myoedge
from myoedge.catalogue import entries, explanation

# what a browser fetches by itself; a link that is followed by a click is none
FETCHED = re.compile(r"""<(?:script|link|img|iframe)\b[^>]*?\b(?:src|href)=["']?(https?:)?//""")
FETCHED_BY_STYLE = re.compile(r"""(?:@import|url\()\s*["']?(?:https?:)?//""")
DOCS = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted(DOCS.parent.glob("examples/*.ipynb"))
CANONICAL = re.compile(r'<link rel="?(?:canonical|next|prev)"?[^>]*>')


def on_files(files: Files, config: Any) -> Files:
    """Adds the catalogue of `myoedge explain`, the functions of the package, and the notebooks."""
    made = {"reference/codes.md": codes_page(), "reference/python.md": python_page()}
    made |= {f"notebooks/{path.stem}.md": notebook_page(path) for path in NOTEBOOKS}
    made |= {f"notebooks/{path.name}": path.read_text(encoding="utf-8") for path in NOTEBOOKS}
    for name, content in made.items():
        files.append(File.generated(config, name, content=content))
    return files


def notebook_page(path: Path) -> str:
    """Markdown of a notebook, which has no outputs; plots as far as docs/images has them."""
    head = f"*This page is [examples/{path.name}]({path.name}), without its tables and reports.*\n"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    title, *rest = [_cell(path.stem, cell) for cell in cells]
    return "\n\n".join([title, head, *rest]) + "\n"


def _cell(stem: str, cell: dict[str, Any]) -> str:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return source
    picture = Path("images", "notebooks", f"{stem}-{cell['id']}.png")
    plot = f"\n\n![Plot of the cell above](../{picture})" if (DOCS / picture).exists() else ""
    return f"```python\n{source}\n```{plot}"


def python_page() -> str:
    """All that `import myoedge` offers, read from the docstrings by mkdocstrings."""
    head = (
        "# Python\n\nEach verb of the command line is a function with the same arguments. "
        "Errors are `myoedge.MyoedgeError`. Notebooks show every result; those with `rows()` have "
        "`to_pandas()` too.\n"
    )
    names = [name for name in myoedge.__all__ if name.isidentifier() and name[0] != "_"]
    objects = [getattr(myoedge, name) for name in sorted(names, key=str.lower)]
    return head + "".join(f"\n::: {o.__module__}.{o.__qualname__}\n" for o in objects)


def on_page_content(html: str, **_: Any) -> str:
    """click 8.3 and later has an object for "no default", which mkdocs-click 0.9 prints."""
    return html.replace("<code>Sentinel.UNSET</code>", "")


def codes_page() -> str:
    """Every code with its explanation, as Markdown; one heading a code."""
    head = "# Codes of errors and warnings\n\n`myoedge explain E301` prints one of them.\n"
    return head + "".join(f"\n## {code}\n\n{_quoted(code)}\n" for code in sorted(entries()))


def _quoted(code: str) -> str:
    _, title, *body = explanation(code).replace(f"{code}  ", "\n", 1).split("\n", 2)
    return f"**{title}**\n" + "\n".join(body)


def on_post_build(config: Any) -> None:
    """Errors: PluginError where a page, style or script would be fetched from elsewhere."""
    site = Path(config["site_dir"])
    pages = [p for p in site.rglob("*.html") if FETCHED.search(CANONICAL.sub("", p.read_text()))]
    styles = [p for p in site.rglob("*.css") if FETCHED_BY_STYLE.search(p.read_text())]
    if found := [str(p.relative_to(site)) for p in (*pages, *styles)]:
        raise PluginError(f"fetched from elsewhere: {', '.join(found)}")
