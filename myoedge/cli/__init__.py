# SPDX-License-Identifier: Apache-2.0
"""The command line: every verb parses its options, calls the API function and prints."""

from __future__ import annotations

import gc
import importlib
import os
from typing import Any

import click

from myoedge.version import __version__

VERBS = {
    "init": "write myoedge.toml, and a script for calibration data if there is none",
    "inspect": "show a model file's network, or a build's report and memory peaks",
    "quantize": "measure int8 accuracy and SQNR layer by layer, without writing anything",
    "build": "turn a trained network into verified int8 C",
    "advise": "measure what would make a build better: at most five suggestions",
    "validate": "compare the C with the NumPy reference, bit for bit",
    "simulate": "run the firmware on the simulated chip: cycles, layer by layer",
    "energy": "estimate energy per inference and battery life; calibrate to a board",
    "adapt": "adapt a build to a new session, and measure accuracy and cost",
    "evidence": "collect evidence for a build's requirements, with a bill of materials",
    "flash": "write the application to a board, verify and start it",
    "run": "run the application on a board: outputs and cycles",
    "bench": "measure the energy per inference on a board with a power meter",
    "monitor": "decode the packets of a sensor application: print, plot, save, forward",
    "report": "show a build's report; with --against, its differences from another build",
    "diff": "check whether a new model.blob suffices to update a firmware (--weights-blob)",
    "check": "compare a build with the accepted one; exit code 3 if it is worse",
    "sweep": "build all combinations of models, budgets and options; find regressions",
    "ops": "list the supported operators",
    "boards": "list the known boards",
    "plugin": "check a package with your own operators, boards or readers",
    "doctor": "list required tools and how to install missing ones",
    "explain": "explain an error code and its remedy; without a code, list all codes",
    "completion": "print a shell's completion script for commands and options",
}

YOUNG_OBJECTS = 100_000  # Python's 700 make the collector take 8 % of a build
COMPLETE = "_MYOEDGE_COMPLETE"  # set by shells to request completions

EPILOG = """\b
Exit codes: 0 ok, 1 model not usable, 2 usage, 3 does not fit,
4 outputs differ, 5 tool missing, 6 board, 7 simulated program faulted, 70 bug in myoedge,
130 interrupted.
"""


MODULES = {  # modules of this package, with their commands
    "models": ("inspect", "quantize", "build", "ops"),
    "runs": ("validate", "report", "diff", "check", "advise"),
    "simulate": ("simulate",),
    "energy": ("energy",),
    "assessment": ("adapt", "evidence"),
    "devices": ("flash", "run", "bench", "boards"),
    "monitor": ("monitor",),
    "others": ("init", "sweep", "plugin", "doctor", "explain", "completion"),
}


# Flags of every command, which may also come before the command.
FLAGS = ("--json", "--no-color", "-q", "--quiet", "-v", "--verbose")


def verb_first(arguments: list[str]) -> list[str]:
    """Move flags before the verb to its end; arguments after "--" keep their places."""
    verb = next((i for i, text in enumerate(arguments) if text not in FLAGS), None)
    if verb is None:
        return []
    end = arguments.index("--") if "--" in arguments[verb:] else len(arguments)
    return [*arguments[verb:end], *arguments[:verb], *arguments[end:]]


class Verbs(click.Group):
    """A click group whose verbs are functions in modules of this package, imported on use."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, verb_first(args))

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        (module,) = (module for module, verbs in MODULES.items() if name in verbs)
        command: click.Command = getattr(importlib.import_module(f"myoedge.cli.{module}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.group(
    cls=Verbs,
    commands={name: click.Command(name) for name in VERBS},
    epilog=EPILOG,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "-V", "--version", prog_name="myoedge")
def group() -> None:
    """Trained sEMG networks become verified int8 C for wearable chips.

    \b
    myoedge build --target gap9 model.pt2 --calib calib.npz
    """


def main(arguments: list[str] | None = None) -> Any:
    """Entry point of the command line; exits with the exit code of the outcome."""
    if instruction := os.environ.get(COMPLETE):
        from click.shell_completion import shell_complete

        raise SystemExit(shell_complete(group, {}, "myoedge", COMPLETE, instruction))
    from myoedge.cli.shell import run_command_line

    gc.set_threshold(YOUNG_OBJECTS)
    run_command_line(group, arguments)
