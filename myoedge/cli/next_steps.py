# SPDX-License-Identifier: Apache-2.0
"""Next commands that each verb suggests at its end, complete and ready to copy."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from myoedge.backends.names import chips_of
from myoedge.errors import UNUSABLE, Notice, command, printable
from myoedge.extension import StepHook
from myoedge.system.hooks import load, with_hooks

if TYPE_CHECKING:
    from myoedge.backends.build import Build

CALIB, SCRIPT = "calib.npz", "make_calib.py"  # names that init uses
MODEL_ENDINGS = (".pt2", ".onnx", ".pt")
LISTED_BY = {"operators": "ops", "boards": "boards"}  # kind of plug-in -> verb
FACTORY = "net:make_model"  # written by init for a checkpoint


def given_words(*left_out: str) -> list[str]:
    """Return the arguments of the running verb as typed, to suggest another verb with the same
    arguments.

    left_out   parameters to omit, in addition to the common ones
    """
    context, words = click.get_current_context(), list[str]()
    for parameter in context.command.params:
        name = parameter.name or ""
        is_typed = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if not is_typed or name in left_out or parameter.opts[-1] in COMMON:
            continue
        words += _words_of(parameter, context.params[name])
    return words


COMMON = ("--quiet", "--verbose", "--json", "--no-color")  # opts[-1] of every command's options


def _words_of(parameter: click.Parameter, value: Any) -> Iterator[str]:
    """Yield a parameter as typed: names of options, and values that are no flags."""
    for one in value if parameter.multiple else (value,):
        if not isinstance(parameter, click.Argument):
            yield parameter.secondary_opts[0] if one is False else parameter.opts[-1]
        if not isinstance(one, bool):
            yield str(one)


REPEATED = "myoedge build ... "  # start of a remedy: the same command with further options
REPEATS = ("build", "quantize")


def after_warnings(warnings: Iterable[Notice], *others: str) -> Iterator[str]:
    """Yield the next command if the first warning about unusable samples has a remedy; otherwise
    `others`."""
    unusable = next((w for w in warnings if w.code in UNUSABLE), None)
    if unusable is None:
        yield from others
        return
    verb, remedy = click.get_current_context().command.name, unusable.tries[0]
    words = shlex.split(remedy.removeprefix(REPEATED)) if remedy.startswith(REPEATED) else []
    if words and verb in REPEATS:
        kept = given_words(*(word.removeprefix("--") for word in words))
        yield f"{command(verb, *kept, *words)}   # for {unusable.code}"
    else:
        yield printable(f"# first, for {unusable.code}: {remedy}")
        yield command(verb, *given_words())


def after_init(folder: str, written: Sequence[Path]) -> Iterator[str]:
    """Yield the next steps after init: comments on a missing model or factory, the script if there
    are no samples, then a build."""
    yield from _missing_model(Path(folder))
    where = "" if Path(folder).resolve() == Path.cwd() else f"cd {shlex.quote(folder)} && "
    steps = [command("build")]
    if any(path.name == SCRIPT for path in written):
        steps.insert(0, f"python {SCRIPT}   # synthetic, until it reads your recordings")
    yield printable(where) + steps[0]
    yield from steps[1:]


def _missing_model(folder: Path) -> Iterator[str]:
    """Return shell comments that name the model file or script to write first."""
    import tomllib

    table = tomllib.loads((folder / "myoedge.toml").read_text("utf-8"))["model"]
    if not (folder / table["path"]).exists():
        line = f'torch.export.save(torch.export.export(model, (example,)), "{table["path"]}")'
        yield printable(f"# first save the network, in Python: {line}")
    if table.get("factory") == FACTORY and not (folder / "net.py").exists():
        yield "# first write net.py: def make_model() returns the network of the checkpoint"


def after_plugin_check(named: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield the next steps after plugin check: a comment with the lines of myoedge.toml that name
    the plug-ins, unless it has them, then a verb that lists these.

    named   names of the entry points by kind
    """
    from myoedge.building.config import find

    table = find(None).settings.plugins
    for kind, names in named.items():
        known = getattr(table, kind)
        if not {*names} <= {*known}:
            listed = json.dumps([*known, *(name for name in names if name not in known)])
            yield printable(f"# first, in myoedge.toml: [plugins] {kind} = {listed}")
    listing = [verb for kind, verb in LISTED_BY.items() if kind in named]
    yield from map(command, listing) if listing else [at_a_model()]


def after_inspect(model: str, factory: str | None, calib: str | None) -> Iterator[str]:
    """Yield the next steps after inspect: a build with the existing samples, or first without
    samples."""
    words = [*(("--factory", factory) if factory else ())]
    found = calib or (CALIB if Path(CALIB).is_file() else None)
    if found:
        yield command("build", model, *words, "--calib", found)
        return
    if not factory and not Path("myoedge.toml").exists():
        yield f"{command('init', '--from', model)}   # a script that makes {CALIB}"
    random = command("build", model, *words, "--calib", "random")
    yield f"{random}   # before there are samples: cycles and memory"


def after_build(build: Build, options: Mapping[str, Any]) -> Iterator[str]:
    """Yield the next steps after build: of the core, and of extensions.

    options   of `build`
    """
    for step in with_hooks(OWN, "steps"):
        yield from load(step)(build, options)


def validate_step(build: Build, options: Mapping[str, Any]) -> Iterator[str]:
    """Yield the command that validates a build on every backend of its target."""
    others = [name for name in build.report["exact"] if name != "host"]
    words = ("--on", f"host,{others[0]}") if others else ()
    yield command("validate", build.folder, *words)


def simulate_step(build: Build, options: Mapping[str, Any]) -> Iterator[str]:
    """Yield the command that simulates a build, if no simulator has counted its cycles."""
    is_simulated = build.report["target"]["chip"] in chips_of("simulator")
    if is_simulated and build.report["cycles"]["source"] == "modelled":
        yield command("simulate", build.folder)


OWN = (
    StepHook("validate", "myoedge.cli.next_steps:validate_step"),
    StepHook("simulate", "myoedge.cli.next_steps:simulate_step"),
)


def after_validate(folder: Path, report: Mapping[str, Any], exact: Mapping[str, Any]) -> str:
    """Return the next step after validate: simulation if it has not been compared, then energy."""
    if not report["cycles"] or report["target"]["chip"] not in chips_of("simulator"):
        return command("report", folder, "--open")
    is_open = exact.get("simulator") is None
    return command(*(("validate", folder, "--on", "simulator") if is_open else ("energy", folder)))


def after_energy(folder: Path, every: str | None, report: Mapping[str, Any]) -> str:
    """Return the next step after energy: battery life if no period is known, then the whole
    report."""
    if report["duty"] is None and every is None:
        return command("energy", folder, "--every", "50 ms", "--battery", "300")
    return command("report", folder, "--open")


def after_report(folder: Path, against: str | None, *, is_page: bool) -> str:
    """Return the next step after report: opening the page, then listing the largest buffers."""
    if is_page:
        return command("inspect", folder, "--memory")
    if against is not None:
        return command("report", folder, "--against", against, "--html", "--open")
    return command("report", folder, "--open")


def at_a_model() -> str:
    """Return a command that inspects a model file of the current folder, or one that starts a new
    project if there is none."""
    files = [path for path in Path().iterdir() if path.suffix in MODEL_ENDINGS]
    return command("inspect", max(files, key=_modification_key)) if files else command("init")


def _modification_key(path: Path) -> tuple[int, str]:
    return path.stat().st_mtime_ns, path.name


def with_board(verb: str, folder: Path, *words: str, options: Mapping[str, Any]) -> str:
    """Return a suggested command of `verb` for the same board and port."""
    named = ((f"--{name}", options.get(name)) for name in ("board", "port"))
    chosen: Sequence[str] = [word for pair in named if pair[1] for word in map(str, pair)]
    return command(verb, folder, *words, *chosen)
