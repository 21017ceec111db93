# SPDX-License-Identifier: Apache-2.0
"""Verbs that need no build: `myoedge init`, `doctor`, `explain`, `completion`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict
from itertools import chain
from typing import TYPE_CHECKING

import click

from myoedge.cli import next_steps
from myoedge.cli.shell import Terminal, common, echo
from myoedge.errors import command

if TYPE_CHECKING:
    from myoedge.backends.doctor import ToolRow

MISSING = 5


@click.command("init")
@click.argument("folder", type=click.Path(), default=".")
@click.option("--from", "model", type=click.Path(), metavar="MODEL", help="Model file to build.")
@click.option(
    "--factory", metavar="PKG.MOD:FN", help="Function that builds a checkpoint's network."
)
@click.option("--calib", metavar="FILE", help="Samples (default: the samples in FOLDER).")
@common
def init(terminal: Terminal, folder: str, **options: str | None) -> None:
    """Write myoedge.toml, and a script that makes calibration data if there is none.

    Samples in FOLDER are used: calib.npz, recordings/, or all files of one format. Nothing is ever
    overwritten, not even by the script.
    """
    from myoedge import api

    written = api.init(folder, **options)
    paths = [str(path) for path in written]
    if not terminal.json_printed("init/1", {"written": paths}):
        echo("\n".join(f"wrote {name}" for name in paths))
    terminal.next(*next_steps.after_init(folder, written))


@click.group("plugin")
def plugin() -> None:
    """Check a package with your own operators, boards, readers or extensions."""


@plugin.command("check")
@click.argument("package")
@common
def check(terminal: Terminal, package: str) -> None:
    """Load an installed PACKAGE with all its hooks, and test its operators on random cases.

    Integer results must match the float results, and the generated C the integers bit for bit. Exit
    code 2 if an entry point or a hook cannot be used or an operator has no CASES, 4 if results
    differ.
    """
    from myoedge import api

    found = api.check_plugin(package)
    if not terminal.json_printed("plugin-check/1", asdict(found)):
        terminal.text(f"{found.package} {found.version}")
        for point in found.entry_points:
            _print_plugin_row(terminal, point.kind, point.name, point.state, point.cause)
        for op in found.operators:
            name = f"{op.name}, {op.uses} uses" if op.uses else op.name
            _print_plugin_row(terminal, "operator", name, op.state, op.cause)
        for row in found.import_rows:
            name = f"{row.call}, {row.uses} uses" if row.uses else row.call
            _print_plugin_row(terminal, "import row", name, row.state, row.cause)
        for hook in found.hooks:
            _print_plugin_row(terminal, hook.kind, hook.name, hook.state, hook.cause)
    if code := found.exit_code:
        sys.exit(code)
    if found.entry_points:  # else it is a folder of the package itself
        terminal.next(*next_steps.after_plugin_check(found.named_points))


def _print_plugin_row(terminal: Terminal, kind: str, name: str, state: str, cause: str) -> None:
    terminal.text(f"  {state:<13} {kind:<12} {name}{f': {cause}' if cause else ''}", soft_wrap=True)


def _tool_lines(row: ToolRow) -> Iterator[str]:
    """Yield a line about a tool and, if it is missing, a line on how to install it."""
    is_there = row.state == "ok"
    state = row.state + " (optional)" * (not row.needed and not is_there)
    yield f"{state:<20} {row.name:<13} {row.version}  {row.where}".rstrip()
    if not is_there:
        blocks = f"; without it: no {', '.join(row.blocks)}" if row.blocks else ""
        works = f" ({row.works})" if row.works else ""
        yield f"{'':<20} install: {row.fix}{blocks}{works}"


@click.command("doctor")
@common
def doctor(terminal: Terminal) -> None:
    """List required tools and packages, and how to install missing ones."""
    from myoedge import api

    rows = api.doctor()
    if not terminal.json_printed("doctor/1", {"tools": [asdict(row) for row in rows]}):
        for line in chain.from_iterable(map(_tool_lines, rows)):
            terminal.text(line, soft_wrap=True)
    if any(row.state != "ok" and row.needed for row in rows):
        sys.exit(MISSING)
    terminal.next(next_steps.at_a_model())


@click.command("explain")
@click.argument("code", required=False)
@common
def explain(terminal: Terminal, code: str | None) -> None:
    """Explain an error or warning code and its remedy; without a code, list all."""
    from myoedge import api

    text = api.explain(code)
    value = {"text": text} if code is None else {"code": code.upper(), "text": text}
    if not terminal.json_printed("explanation/1", value):
        echo(text)
    first_code = text.split(maxsplit=1)[0]
    terminal.next(command("explain", *([] if code else [first_code])))


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a shell's completion script for commands and options.

    \b
    bash    eval "$(myoedge completion bash)"    in ~/.bashrc
    zsh     eval "$(myoedge completion zsh)"     in ~/.zshrc
    fish    myoedge completion fish | source     in ~/.config/fish/config.fish
    """
    from click.shell_completion import get_completion_class

    from myoedge.cli import COMPLETE, group

    made = get_completion_class(shell)
    assert made is not None  # click knows these shells
    script = made(group, {}, "myoedge", COMPLETE)
    echo(made.source_template % script.source_vars())  # source() would start the shell
