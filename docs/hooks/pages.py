# SPDX-License-Identifier: Apache-2.0
"""Pages of the site that are made when it is built, and a check of what was built."""

from __future__ import annotations

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
CANONICAL = re.compile(r'<link rel="?(?:canonical|next|prev)"?[^>]*>')


def on_files(files: Files, config: Any) -> Files:
    """Adds the catalogue of `myoedge explain` and the functions of the package."""
    for name, content in (("codes", codes_page()), ("python", python_page())):
        files.append(File.generated(config, f"reference/{name}.md", content=content))
    return files


def python_page() -> str:
    """All that `import myoedge` offers, read from the docstrings by mkdocstrings."""
    head = (
        "# Python\n\nEach verb of the command line is a function with the same arguments. "
        "Errors are `myoedge.MyoedgeError`.\n"
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
