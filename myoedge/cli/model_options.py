# SPDX-License-Identifier: Apache-2.0
"""Command-line options of `quantize` and `build`, generated from the fields of their
dataclasses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

import click

from myoedge.building.options import QuantizeOptions
from myoedge.cli.shell import with_options

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
    settings: dict[str, Any] = {"default": option.default, "help": about["help"]}
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
