# SPDX-License-Identifier: Apache-2.0
"""The command line: every verb parses its options, calls the API function and prints."""

from __future__ import annotations

import gc
import os
from functools import cache
from typing import Any

import click

from myoedge.extension import CommandHook
from myoedge.system.hooks import find_hook, load, with_hooks
from myoedge.version import __version__

COMMANDS = (
    CommandHook(
        "init",
        "write myoedge.toml, and a script for calibration data if there is none",
        "myoedge.cli.others:init",
    ),
    CommandHook(
        "inspect",
        "show a model file's network, or a build's report and memory peaks",
        "myoedge.cli.models:inspect",
    ),
    CommandHook(
        "quantize",
        "measure int8 accuracy and SQNR layer by layer, without writing anything",
        "myoedge.cli.models:quantize",
    ),
    CommandHook("build", "turn a trained network into verified int8 C", "myoedge.cli.models:build"),
    CommandHook(
        "validate",
        "compare the C with the NumPy reference, bit for bit",
        "myoedge.cli.runs:validate",
    ),
    CommandHook(
        "simulate",
        "run the firmware on the simulated chip: cycles, layer by layer",
        "myoedge.cli.simulate:simulate",
    ),
    CommandHook(
        "energy",
        "estimate energy per inference and battery life; calibrate to a board",
        "myoedge.cli.energy:energy",
    ),
    CommandHook(
        "report",
        "show a build's report; with --against, its differences from another build",
        "myoedge.cli.runs:report",
    ),
    CommandHook(
        "diff",
        "check whether a new model.blob suffices to update a firmware (--weights-blob)",
        "myoedge.cli.runs:diff",
    ),
    CommandHook(
        "check",
        "compare a build with the accepted one; exit code 3 if it is worse",
        "myoedge.cli.runs:check",
    ),
    CommandHook("ops", "list the supported operators", "myoedge.cli.models:ops"),
    CommandHook(
        "plugin",
        "check a package with your own operators, boards or readers",
        "myoedge.cli.others:plugin",
    ),
    CommandHook(
        "doctor", "list required tools and how to install missing ones", "myoedge.cli.others:doctor"
    ),
    CommandHook(
        "explain",
        "explain an error code and its remedy; without a code, list all codes",
        "myoedge.cli.others:explain",
    ),
    CommandHook(
        "completion",
        "print a shell's completion script for commands and options",
        "myoedge.cli.others:completion",
    ),
)

YOUNG_OBJECTS = 100_000  # Python's 700 make the collector take 8 % of a build
COMPLETE = "_MYOEDGE_COMPLETE"  # set by shells to request completions

EPILOG = """\b
Exit codes: 0 ok, 1 model not usable, 2 usage, 3 does not fit,
4 outputs differ, 5 tool missing, 6 board, 7 simulated program faulted, 70 bug in myoedge,
130 interrupted.
"""


# Flags of every command, which may also come before the command.
FLAGS = ("--json", "--no-color", "-q", "--quiet", "-v", "--verbose")


def verb_first(arguments: list[str]) -> list[str]:
    """Move flags before the verb to its end; arguments after "--" keep their places."""
    verb = next((i for i, text in enumerate(arguments) if text not in FLAGS), None)
    if verb is None:
        return []
    end = arguments.index("--") if "--" in arguments[verb:] else len(arguments)
    return [*arguments[verb:end], *arguments[:verb], *arguments[end:]]


@cache
def commands() -> tuple[CommandHook, ...]:
    """Return all commands of the core and of extensions, in their order."""
    return with_hooks(COMMANDS, "commands")


class Verbs(click.Group):
    """A click group whose verbs are functions in other modules, imported on use."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, verb_first(args))

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [row.name for row in commands()]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        row = find_hook("commands", name, COMMANDS)
        if row is None:  # click suggests one of these
            self.commands = {row.name: click.Command(row.name) for row in commands()}
            return None
        command: click.Command = load(row)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(row.name, row.text) for row in commands()])


@click.group(
    cls=Verbs,
    epilog=EPILOG,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "-V", "--version", prog_name="myoedge")
def group() -> None:
    """Trained sEMG networks become verified int8 C for wearable chips.

    \b
    myoedge build model.pt2 --calib calib.npz
    """


def main(arguments: list[str] | None = None) -> Any:
    """Entry point of the command line; exits with the exit code of the outcome."""
    if instruction := os.environ.get(COMPLETE):
        from click.shell_completion import shell_complete

        raise SystemExit(shell_complete(group, {}, "myoedge", COMPLETE, instruction))
    from myoedge.cli.shell import run_command_line

    gc.set_threshold(YOUNG_OBJECTS)
    run_command_line(group, arguments)
