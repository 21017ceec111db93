# SPDX-License-Identifier: Apache-2.0
"""Pages of the site that are made when it is built, and a check of what was built."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

import myoedge
from myoedge import api
from myoedge.catalogue import entries, explanation, schemas
from myoedge.cli import commands, group
from myoedge.reports import operators

# what a browser fetches by itself; a link that is followed by a click is none
FETCHED = re.compile(r"""<(?:script|link|img|iframe)\b[^>]*?\b(?:src|href)=["']?(https?:)?//""")
FETCHED_BY_STYLE = re.compile(r"""(?:@import|url\()\s*["']?(?:https?:)?//""")
DOCS = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted(DOCS.parent.glob("examples/*.ipynb"))
MENTION = re.compile(r"^    .*$|(?<![\w/\[`])(?<!\]\()docs/([\w/-]+\.md)(?!`)", re.MULTILINE)
NOTEBOOK = re.compile(r"\]\((?:\.\./)+examples/(\w+)\.ipynb\)")  # a file of the repository
FENCE = re.compile(r"^```(\w+) (\S+)$", re.MULTILINE)  # of a block that is a file's
COLUMNS = re.compile(r"<p>[^<]*\w {2,}\w|<(?:p|li)>[^<]*\nErrors: ")  # of a docstring, as text
DEFAULT = re.compile(r"</td>\n<td>(.*)</td>\n</tr>")  # the last column of options
CANONICAL = re.compile(r'<link rel="?(?:canonical|next|prev)"?[^>]*>')


def on_config(config: Any) -> None:
    """mkdocs-click reads `commands`, which are names alone: verbs are imported on use."""
    context = click.Context(group)
    group.commands |= {row.name: group.get_command(context, row.name) for row in commands()}


def on_files(files: Files, config: Any) -> Files:
    """Adds the catalogue of `myoedge explain`, operators, the functions of the package, its
    schemas, and the notebooks."""
    made = {"reference/codes.md": codes_page(), "reference/python.md": python_page()}
    made["reference/operators.md"] = operators.markdown(api.ops())
    made |= {f"reference/schemas/{_stem(n)}.md": schema_page(n) for n in schemas.names()}
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


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """The file's name is the title of a block that names one; pages that are named are links, and
    links to notebooks lead to their pages."""
    folder = posixpath.dirname(page.file.src_uri)
    to = posixpath.relpath("notebooks", folder or ".")
    markdown = NOTEBOOK.sub(rf"]({to}/\1.md)", markdown)
    return MENTION.sub(
        lambda found: (
            f"[{found[0]}]({posixpath.relpath(found[1], folder or '.')})" if found[1] else found[0]
        ),
        FENCE.sub(r'```\1 title="\2"', markdown),
    )


def on_page_content(html: str, page: Any, **_: Any) -> str:
    """A default stands behind the option's description; few options have one."""
    if page.file.src_uri != "reference/command-line.md":
        return html
    return DEFAULT.sub(_with_default, html.replace("<th>Default</th>\n", ""))


def _with_default(row: re.Match[str]) -> str:
    shown = re.sub(r"[(',)]", "", row[1].removeprefix("<code>").removesuffix("</code>"))
    # click 8.3 and later has an object for "no default", which mkdocs-click 0.9 prints
    default = "" if shown in ("", "None", "Sentinel.UNSET") else f" Default: <code>{shown}</code>."
    return f"{default}</td>\n</tr>"


def codes_page() -> str:
    """Every code with its explanation, as Markdown; one heading a code."""
    head = "# Codes of errors and warnings\n\n`myoedge explain E301` prints one of them.\n"
    return head + "".join(f"\n## {code}\n\n{_quoted(code)}\n" for code in sorted(entries()))


def _quoted(code: str) -> str:
    _, title, *body = explanation(code).replace(f"{code}  ", "\n", 1).split("\n", 2)
    return f"**{title}**\n" + "\n".join(body)


# --- schemas --------------------------------------------------------------------------------------


def _stem(name: str) -> str:
    """report.1.json -> report-1"""
    return name.removesuffix(".json").replace(".", "-")


def schema_page(name: str) -> str:
    """A schema as a table: a row for every key."""
    schema = schemas.schema(name)
    head = (
        f"# {schema['title']}\n\n{schema['description']}\n\n"
        f"The JSON Schema is `myoedge/catalogue/schemas/{name}`. Keys may be added under this "
        "name; none is removed or changes its meaning.\n\n| key | type | |\n|---|---|---|\n"
    )
    rows = _rows("", schema, schema)
    return head + "".join(f"| `{key}` | {kind} | {text} |\n" for key, kind, text in rows)


def _rows(
    path: str, schema: Mapping[str, Any], root: Mapping[str, Any]
) -> Iterator[tuple[str, str, str]]:
    """(key, type, meaning) of the keys of an object, and of objects in it."""
    required = schema.get("required", ())
    for key, value in schema.get("properties", {}).items():
        inner, kind, place = _resolved(value, root, f"{path}{key}")
        text = value.get("description", inner.get("description", ""))
        absent = "" if key in required else "; may be absent"
        yield place, kind + absent, text.replace("|", "\\|")
        yield from _rows(f"{place}.", inner, root)


def _resolved(
    value: Mapping[str, Any], root: Mapping[str, Any], place: str
) -> tuple[Mapping[str, Any], str, str]:
    """What a value holds at last, its type in words, and its place with [] and {} behind it."""
    if "anyOf" in value:
        inner, kind, place = _resolved(value["anyOf"][0], root, place)
        return inner, f"{kind} or null", place
    if "$ref" in value:
        file, _, name = value["$ref"].partition("#/$defs/")
        if not file:
            return _resolved(root["$defs"][name], root, place)
        where = f"`{name}` of " if name else ""
        return {}, f"{where}[{file.split('.')[0]}]({_stem(file)}.md)", place
    if "items" in value and "prefixItems" not in value:
        inner, kind, place = _resolved(value["items"], root, f"{place}[]")
        return inner, f"list of {kind}{' or null' * ('null' in value['type'])}", place
    if isinstance(value.get("additionalProperties"), Mapping):
        inner, kind, place = _resolved(value["additionalProperties"], root, f"{place}{{}}")
        return inner, f"by name {kind}", place
    if "enum" in value or "const" in value:
        known = value.get("enum", [value.get("const")])
        return {}, " or ".join("null" if x is None else f"`{x}`" for x in known), place
    kinds = value.get("type", "any")
    return value, kinds if isinstance(kinds, str) else " or ".join(kinds), place


def on_post_build(config: Any) -> None:
    """Errors: PluginError where a page, style or script would be fetched from elsewhere, or columns
    of a docstring are no list."""
    site = Path(config["site_dir"])
    pages = [p for p in site.rglob("*.html") if FETCHED.search(CANONICAL.sub("", p.read_text()))]
    styles = [p for p in site.rglob("*.css") if FETCHED_BY_STYLE.search(p.read_text())]
    if found := [str(p.relative_to(site)) for p in (*pages, *styles)]:
        raise PluginError(f"fetched from elsewhere: {', '.join(found)}")
    if found := COLUMNS.findall((site / "reference" / "python.html").read_text()):
        raise PluginError(f"columns of a docstring are text: {found[:3]}")
    verbs = (site / "reference" / "command-line.html").read_text()
    if found := [o for verb in group.commands.values() for o in _options(verb) if o not in verbs]:
        raise PluginError(f"options are not on the page of the command line: {found[:3]}")


def _options(command: click.Command) -> Iterator[str]:
    for parameter in command.params:
        yield from (option for option in parameter.opts if option.startswith("--"))
