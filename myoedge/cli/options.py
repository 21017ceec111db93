# SPDX-License-Identifier: Apache-2.0
"""Options of several verbs: the options of `quantize` and `build`, generated from the fields of
their dataclasses, and --junit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

import click

from myoedge.building.options import QuantizeOptions
from myoedge.cli.shell import with_options
from myoedge.errors import MyoedgeError

Decorator = Callable[[Any], Any]
SHORT = {"output": ("-o",)}


def model_options(record: type[QuantizeOptions]) -> Decorator:
    """Return a decorator that adds the argument MODEL and one option per field of a dataclass to a
    verb."""
    model = click.argument("model", required=False, type=click.Path())
    return with_options(model, *(click_option(f) for f in fields(record) if f.metadata))


def click_option(option: Field[Any]) -> Decorator:
    """Return the click option for a dataclass field, from its name, default and metadata."""
    about, flag = option.metadata, f"--{option.name.replace('_', '-')}"
    if "negative" in about:
        flag = f"{flag}/--no-{flag.removeprefix('--')}"
    text = about["help"]() if callable(about["help"]) else about["help"]
    settings: dict[str, Any] = {"default": option.default, "help": text}
    if option.default is False:
        settings["is_flag"] = True
    elif "choices" in about:
        settings["type"] = click.Choice(about["choices"])
    elif "negative" not in about:
        kind = about.get("kind", str)
        settings["type"] = click.Path() if kind is Path else kind
        settings["metavar"] = about.get("metavar")
    return click.option(*SHORT.get(option.name, ()), flag, **settings)


MAX_BYTES = click_option(next(f for f in fields(QuantizeOptions) if f.name == "max_bytes"))


# --- JUnit XML ------------------------------------------------------------------------------------


JUNIT = click.option(
    "--junit", type=click.Path(), metavar="FILE", help="Also write JUnit XML, for CI."
)


@contextmanager
def junit_file(file: str | None, suite: str) -> Iterator[Callable[[Callable[[], bytes]], None]]:
    """Context manager that yields a function to write JUnit XML to `file`, if given; an error
    raised in the context is written, too.

    suite   name of the test suite
    Errors: E220, E281 the file cannot be written, raised at once.
    """
    from myoedge.reports.junit import error_xml
    from myoedge.system.folder import check_file, write_file

    if file is None:
        yield lambda make: None
        return
    check_file(Path(file))
    is_written = False

    def write(make: Callable[[], bytes]) -> None:
        nonlocal is_written
        write_file(Path(file), make())
        is_written = True

    try:
        yield write
    except MyoedgeError as error:
        if not is_written:
            write_file(Path(file), error_xml(suite, error.notice))
        raise
