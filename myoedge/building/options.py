# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: RUF009  (_option calls dataclasses.field)
"""Options of a build: one dataclass for the command line, Python and myoedge.toml;
checks of the types of its values."""

from __future__ import annotations

import difflib
import functools
import inspect
import re
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field, fields, replace
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from myoedge.errors import MyoedgeError
from myoedge.system.hooks import hooks
from myoedge.targets import ACCELERATOR, CHIPS

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from myoedge.backends.build import Build
    from myoedge.building.config import Found
    from myoedge.building.config_tables import Config
    from myoedge.quantization.samples import Given
    from myoedge.quantization.scales import QuantGraph

TAKEN_FROM_TOML = {  # option -> its table of myoedge.toml
    "method": "calib",
    "percentile": "calib",
    "samples": "calib",
    "holdout": "calib",
    "accurate": "calib",
    "weights": "calib",
    "ctc": "model",
    "prefix": "model",
}
FIRST, *OTHERS, LAST = CHIPS
NAME, ENGINE = ACCELERATOR.name, ACCELERATOR.text
StrPath = str | Path
OptionsT = TypeVar("OptionsT", bound="QuantizeOptions")
P = ParamSpec("P")
RecordT = TypeVar("RecordT")
ResultT = TypeVar("ResultT")


def silent(_: object) -> None:
    """Ignore a message: the default callback."""


def takes(
    record: Callable[P, RecordT],
) -> Callable[[Callable[[RecordT], ResultT]], Callable[P, ResultT]]:
    """Return a decorator that turns a function of a record of options into one of the record's
    fields, with their names, types and defaults: build(BuildOptions) -> build(model, calib=...)."""

    def taking(function: Callable[[RecordT], ResultT]) -> Callable[P, ResultT]:
        returns = inspect.signature(function).return_annotation
        fields_of = inspect.signature(record).replace(return_annotation=returns)

        @functools.wraps(function)
        def call(*arguments: P.args, **named: P.kwargs) -> ResultT:
            try:
                fields_of.bind(*arguments, **named)
            except TypeError as error:
                unknown = next((name for name in named if name not in fields_of.parameters), "")
                near = difflib.get_close_matches(unknown, fields_of.parameters, 1)
                meant = f"; did you mean {near[0]!r}?" if near else ""
                raise TypeError(f"{function.__name__}() {error}{meant}") from None
            return function(record(*arguments, **named))

        # help() and notebooks show them
        setattr(call, "__signature__", fields_of)  # noqa: B010
        records = inspect.getmro(record) if isinstance(record, type) else ()
        texts = (inspect.getdoc(x) or "" for x in (function, *records[:-1]))
        call.__doc__ = "\n\n".join(texts)
        return call

    return taking


def application_help() -> str:
    """Return the help of --app: what can be generated around the network."""
    names = [f"{hook.name}{hook.text}" for hook in hooks("applications")]
    return f"Also generate an application: {'; '.join(names)}."


def _option(help: str | Callable[[], str], default: Any = None, **more: Any) -> Any:
    """Return a dataclass field that the command line shows as an option.

    help   help text, or a function that returns it
    more   further metadata: `metavar`, `choices`, `kind` (type of the values, default str), and
           `negative` (whether "--no-x" exists)
    """
    return field(default=default, metadata={"help": help, **more})


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """Callbacks of a call, which change nothing of its result.

    say        called with the name of each stage
    progress   called during the simulation: (cycles so far, estimated cycles)
    """

    say: Callable[[str], None] = silent
    progress: Callable[[int, float], None] | None = None


@dataclass(frozen=True)
class QuantizeOptions(Hooks):
    """Options of loading, calibration and quantisation; None: the value in myoedge.toml, or its
    default.

    model     file
    calib     files, arrays, a function, or "random"
    test      labelled samples, in the forms of calib, used only to measure accuracy or errors
    factory   "pkg.mod:make_model", the function that builds a checkpoint's network
    method    observer that sets the ranges: "auto" (the one with the best SQNR), "minmax",
              "percentile" with `percentile`, "mse"
    samples   maximum number of calibration samples; None: 256
    holdout   fraction of samples held out for evaluation; None: 0.2
    accurate  whether every output is to reach 30 dB regardless of cycles, instead of 25
    strict    whether warnings are errors
    weights   "auto": the fewest weight bits per layer that meet [budget] sqnr, l2 or energy;
              "fast": fewer bits where an accelerator, or a run that waits for weights, then takes
              fewer cycles and outputs keep their goal
    ctc       index of the blank class: a greedy CTC decoder is appended, and its symbols are the
              output
    reuse     an older build, its folder, or its network; layers with unchanged weights keep its
              ranges and integers
    max_bytes   maximum unpacked size of a compressed checkpoint or npz, as "2GiB"; None: 1 GiB
    config    myoedge.toml, or its parsed content
    """

    model: StrPath | None = None
    calib: Given | None = _option(
        "Real samples: npz, npy, mat, csv, wav, a folder, pkg.mod:fn; or 'random'.", metavar="DATA"
    )
    _: KW_ONLY
    test: Given | None = _option(
        "Labelled test samples, in the formats of --calib; accuracy is measured on them.",
        metavar="DATA",
    )
    factory: str | None = _option(
        "Function that builds a checkpoint's network.", metavar="PKG.MOD:FN"
    )
    method: str | None = _option(
        "Observer that sets the ranges; auto (default): the one with the best SQNR.",
        choices=("auto", "minmax", "percentile", "mse"),
    )
    percentile: float | None = _option(
        "Percentage within the range, for --method percentile (default: 99.99).", kind=float
    )
    samples: int | None = _option("Maximum number of calibration samples (default: 256).", kind=int)
    holdout: float | None = _option(
        "Fraction of samples held out for evaluation (default: 0.2).", kind=float
    )
    accurate: bool = _option(
        "Target 30 dB at every output regardless of cycles (default: 25 dB).", default=False
    )
    weights: str | None = _option(
        f"auto: bits per layer for [budget] sqnr, l2, energy; fast: where {ENGINE} or L3 gains.",
        choices=("auto", "fast"),
    )
    ctc: int | None = _option(
        "Append a greedy CTC decoder with this blank class; negative: counted from the last class.",
        kind=int,
        metavar="BLANK",
    )
    reuse: Build | QuantGraph | StrPath | None = _option(
        "Reuse the integers of unchanged layers of this build.", kind=Path, metavar="DIR"
    )
    max_bytes: str | int | None = _option(
        "Maximum unpacked size of a compressed file (default: 1GiB).", metavar="SIZE"
    )
    strict: bool = _option("Treat warnings as errors.", default=False)
    config: StrPath | Found | None = _option(
        "Configuration (default: ./myoedge.toml).", kind=Path, metavar="TOML"
    )

    def __post_init__(self) -> None:
        """Raise E203 for a value of another type than the option has."""
        check_types(self)


@dataclass(frozen=True, kw_only=True)
class BuildOptions(QuantizeOptions):
    """Options of a build: quantisation, chip, memories, C sources and simulation.

    target   name of the chip; None: the default
    board    id or board.toml of the board whose memories the program may use; None: any
    output   folder; None: build/<model>-<target>. An earlier build there is replaced
    l1 .. l3   limit for each memory, such as "64KiB"; None: [budget], else the chip's size
    memory   "mram=auto": weights may also be in the flash on the chip; external RAM and flash stay
             in use where they are faster, unless [budget] external excludes them. None or
             "mram=off": not
    app      name of an application to generate around the network, with its program or project:
             "gap-sdk", "mlperf", "sensor", or one of an installed extension
    operating_point   "high", "low", a clock ("300MHz"), of --app sensor two ("240/10 MHz"), or
                      "auto", its default: the cheapest that keeps the latency of [budget], of an
                      application that waits the one of least average power. None: the chip's first
    prefix   of all C names, as "gesture" for gesture_run; None: from the model's name
    weights_blob   also write model.blob: <prefix>_load of another build of this layout takes it in
                   place of its own weights, scales and tables
    checks   also generate <prefix>_check, the CRC-32 of the constants; the firmware calls it at its
             start and after each inference (docs/product/releases.md)
    traced   a function that computes several layers stores the result of each, which validate then
             compares; more memory and cycles
    engine   "auto": an accelerator for layers that are estimated to be faster there; "cores":
             never; its name: for every layer it can run. [engine] overrides this
             per layer
    stream   generate <prefix>_push, which takes frames as they arrive, by [stream]; then
             <prefix>_run computes a pass of frames, not a window
             (docs/train-and-deploy/streaming.md)
    simulate   False: report estimated cycles only; True: simulate even above 600 M estimated cycles
    tune     choose tiles by simulated cycles, of the best few of each distinct layer, cached; the
             fastest, unless they exceed [budget], or take more energy at the point of "auto"
    """

    target: str | None = _option(
        f"{FIRST} (default), {', '.join(OTHERS)} or {LAST}.", metavar="CHIP"
    )
    board: str | None = _option("Use only memories that this board has.", metavar="ID|TOML")
    l1: str | int | None = _option("Limit for L1, for example 64KiB.", metavar="SIZE")
    l2: str | int | None = _option("Limit for L2, code included.", metavar="SIZE")
    l3: str | int | None = _option("Limit for L3.", metavar="SIZE")
    memory: str | None = _option(
        "mram=auto: weights also in the flash on the chip, outside it only where this is faster or"
        " there is no room ([budget] external); mram=off (default).",
        metavar="CHOICE",
    )
    operating_point: str | None = _option(
        "high (default), low, auto (default of --app sensor), 300MHz, or 240/10MHz (--app sensor).",
        metavar="NAME",
    )
    app: str | None = _option(
        application_help,
        metavar="KIND",
    )
    prefix: str | None = _option(
        "Prefix of all C names (default: from the model's name).", metavar="NAME"
    )
    checks: bool = _option(
        "Also generate <prefix>_check, the CRC-32 of the constants; the firmware calls it.",
        default=False,
    )
    weights_blob: bool = _option(
        "Also write model.blob, which <prefix>_load of a build with the same layout reads.",
        default=False,
    )
    traced: bool = _option(
        "Functions that compute several layers store the result of each, for validate.",
        default=False,
    )
    engine: str = _option(
        f"auto (default): the faster engine per layer; cores; {NAME}: wherever {ENGINE} can run "
        "a layer.",
        default="auto",
        metavar="NAME",
    )
    stream: bool = _option(
        "Generate <prefix>_push, which processes frames as they arrive.", default=False
    )
    simulate: bool | None = _option(
        "Simulate one inference at the end (default: up to 600 M estimated cycles).", negative=True
    )
    tune: bool = _option("Choose tiles by cycles in simulation (takes minutes).", default=False)
    output: StrPath | None = _option("Default: build/MODEL-CHIP.", kind=Path, metavar="DIR")


def with_settings(options: OptionsT, settings: Config) -> OptionsT:
    """Return the options with unset ones taken from myoedge.toml.

    Errors: E203 a percentile with another method.
    """
    values = {
        name: getattr(getattr(settings, table), name)
        for name, table in TAKEN_FROM_TOML.items()
        if hasattr(options, name) and ((value := getattr(options, name)) is None or value is False)
    }
    method = values.get("method", options.method)
    if options.percentile is not None and method != "percentile":
        facts = {"needs": "percentile", "has": method}
        raise MyoedgeError("E203", "a percentile needs its method", facts, ["--method percentile"])
    return replace(options, **values)


# --- types of values, from the annotations of the record ------------------------------------------


OWN_MESSAGES = ("model", "calib", "test")  # their readers say what to give instead (E202, E212)
PARTS = re.compile(r"\s*\|\s*(?![^\[]*\])")  # between the types of a union, outside of brackets


def _is_number(kind: Any) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kind) and not isinstance(value, bool)


def _is_path(value: Any) -> bool:
    return isinstance(value, str | PathLike) and "\0" not in str(value)


KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {  # annotation -> its name, what it holds for
    "bool": ("True or False", lambda value: isinstance(value, bool)),
    "int": ("a whole number", _is_number(Integral)),
    "float": ("a number", _is_number(Real)),
    "str": ("text", lambda value: isinstance(value, str)),
    "StrPath": ("a path", _is_path),
    "Callable": ("a function", callable),
    "None": ("None", lambda value: value is None),
}
CLASSES = {  # classes that the record does not import -> their names in messages
    "Build": "a build",
    "QuantGraph": "a network",
    "Found": "a parsed configuration",
}


def check_types(options: DataclassInstance) -> None:
    """Raise E203 for the first option whose value has none of the types of its annotation."""
    for option in fields(options):
        value, parts = getattr(options, option.name), PARTS.split(str(option.type))
        if option.name in OWN_MESSAGES or any(_matches_type(part, value) for part in parts):
            continue
        kinds = [part.partition("[")[0] for part in parts]
        needs = " or ".join(CLASSES[x] if x in CLASSES else KINDS[x][0] for x in kinds)
        facts = {"needs": needs, "has": repr(value)}
        tries = () if "None" in parts else [f"leave {option.name} out, for the default"]
        raise MyoedgeError("E203", f"{option.name} is of another type", facts, tries)


def _matches_type(part: str, value: Any) -> bool:
    kind = part.partition("[")[0]
    if kind in CLASSES:
        return any(base.__name__ == kind for base in type(value).__mro__)
    return kind not in KINDS or KINDS[kind][1](value)  # others are of inner records
